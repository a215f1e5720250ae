//! CloudEvents on the wire: encoding, decoding, and looking into one without decoding it.
//!
//! Knows the protobuf format, not the rules of an event (required attributes, names, lengths): those are `model`'s.

mod envelope;
mod scan;
mod value;

use prost::Message;
use prost::bytes::Bytes;

pub use crate::cloudevents::CloudEvent;
pub use crate::wire::Malformed;
pub use envelope::Envelope;
pub use scan::{Data, Field, Scan};
pub use value::Value;

/// An event's bytes, as they stand in the `events` of a publish request.
pub fn encode(event: &CloudEvent) -> Bytes {
    event.encode_to_vec().into()
}

/// The whole event. For a look at some of it see [`Scan`] and [`Envelope`].
pub fn decode(bytes: &[u8]) -> Result<CloudEvent, prost::DecodeError> {
    CloudEvent::decode(bytes)
}
