//! An encoded CloudEvent with what every event is asked for at hand: read once, all of it checked, nothing copied.

use super::scan::{Data, Field, Scan};
use super::value::Value;
use crate::wire::Malformed;

/// An event whose bytes are well-formed. What the wire does not hold is empty: whether that is allowed is `model`'s to say.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    bytes: &'a [u8],
    /// `id`.
    pub id: &'a str,
    /// `source`.
    pub source: &'a str,
    /// `specversion`.
    pub spec_version: &'a str,
    /// `type`.
    pub event_type: &'a str,
    /// The payload.
    pub data: Data<'a>,
    /// How many optional attributes and extensions stand on the wire.
    pub attribute_count: usize,
}

impl<'a> Envelope<'a> {
    /// Walks the whole event once.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut envelope =
            Self { bytes, id: "", source: "", spec_version: "", event_type: "", data: Data::None, attribute_count: 0 };
        for field in Scan::new(bytes) {
            match field? {
                Field::Id(id) => envelope.id = id,
                Field::Source(source) => envelope.source = source,
                Field::SpecVersion(version) => envelope.spec_version = version,
                Field::Type(event_type) => envelope.event_type = event_type,
                Field::Attribute(..) => envelope.attribute_count += 1,
                Field::Data(data) => envelope.data = data,
            }
        }
        Ok(envelope)
    }

    /// The event as it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Optional attributes and extensions in the order of the wire; where a name stands twice the later one counts.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        // The bytes have been walked before, so no fault can come up here.
        Scan::new(self.bytes).filter_map(|field| match field {
            Ok(Field::Attribute(name, value)) => Some((name, value)),
            _ => None,
        })
    }

    /// One optional attribute or extension. Walks the event: for a few names, not for all.
    pub fn attribute(&self, name: &str) -> Option<Value<'a>> {
        self.attributes().filter(|(other, _)| *other == name).map(|(_, value)| value).last()
    }
}
