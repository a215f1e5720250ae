//! The wire contracts: what is generated from `/proto`, and the few messages that are better not decoded.
//!
//! Knows nothing of what the messages mean: that is `client::convert`'s business, towards the types of `model`.

pub mod cloudevent;
pub mod raw;
pub mod routing;
pub mod wire;

/// Package `flintwheel.v1`: the public API.
pub mod v1 {
    #![allow(missing_docs, unused_qualifications, clippy::all)]

    pub use crate::raw::{PublishRequest, PublishStreamRequest};
    tonic::include_proto!("flintwheel.v1");
}

/// Package `io.cloudevents.v1`: the standard's event.
pub mod cloudevents {
    #![allow(missing_docs, unused_qualifications, clippy::all)]

    tonic::include_proto!("io.cloudevents.v1");
}

/// Package `flintwheel.peer.v1`: what nodes of one cluster say to each other.
pub mod peer {
    #![allow(missing_docs, unused_qualifications, clippy::all)]

    tonic::include_proto!("flintwheel.peer.v1");
}

/// The public part of `/proto` as an encoded `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
