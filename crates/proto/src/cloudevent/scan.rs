//! Walks an encoded CloudEvent field by field, without allocation.

use super::value::Value;
use crate::wire::{Fields, Malformed, Raw};

/// The fields of an encoded CloudEvent in the order of the wire; what the standard does not know is passed over. Where a
/// field stands twice the later one counts, whole: two halves of one message are not merged, and no encoder writes such.
/// Ends after the first fault.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a>(Fields<'a>);

/// One field of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// `id`.
    Id(&'a str),
    /// `source`.
    Source(&'a str),
    /// `specversion`.
    SpecVersion(&'a str),
    /// `type`.
    Type(&'a str),
    /// An optional attribute or an extension.
    Attribute(&'a str, Value<'a>),
    /// The payload.
    Data(Data<'a>),
}

/// An event's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Data<'a> {
    /// There is none.
    #[default]
    None,
    /// Bytes.
    Binary(&'a [u8]),
    /// Text.
    Text(&'a str),
    /// A protobuf message.
    Proto {
        /// Names the message's type.
        type_url: &'a str,
        /// The encoded message.
        value: &'a [u8],
    },
}

impl<'a> Scan<'a> {
    /// Of an encoded event.
    pub fn new(event: &'a [u8]) -> Self {
        Self(Fields::new(event))
    }

    fn step(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        for field in self.0.by_ref() {
            let (number, raw) = field?;
            return Ok(Some(match number {
                1 => Field::Id(raw.text()?),
                2 => Field::Source(raw.text()?),
                3 => Field::SpecVersion(raw.text()?),
                4 => Field::Type(raw.text()?),
                5 => read_attribute(raw)?,
                6 => Field::Data(Data::Binary(raw.bytes()?)),
                7 => Field::Data(Data::Text(raw.text()?)),
                8 => Field::Data(read_any(raw)?),
                _ => continue,
            }));
        }
        Ok(None)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.0 = Fields::new(&[]);
        }
        step.transpose()
    }
}

/// A map entry: key 1, value 2; both may be absent or stand twice.
fn read_attribute(raw: Raw<'_>) -> Result<Field<'_>, Malformed> {
    let (mut name, mut value) = ("", None);
    for field in Fields::new(raw.bytes()?) {
        match field? {
            (1, raw) => name = raw.text()?,
            (2, raw) => value = Value::read(raw.bytes()?)?,
            _ => {}
        }
    }
    let value = value.filter(Value::is_sound).ok_or(Malformed::Attribute)?;
    Ok(Field::Attribute(name, value))
}

fn read_any(raw: Raw<'_>) -> Result<Data<'_>, Malformed> {
    let (mut type_url, mut value) = ("", &[][..]);
    for field in Fields::new(raw.bytes()?) {
        match field? {
            (1, raw) => type_url = raw.text()?,
            (2, raw) => value = raw.bytes()?,
            _ => {}
        }
    }
    Ok(Data::Proto { type_url, value })
}
