//! The value of a CloudEvents attribute, borrowed from the wire.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_types::Timestamp;

use crate::wire::{Fields, Malformed, Raw};

/// The value of an attribute, in one of the seven types that CloudEvents knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Written `true` or `false`.
    Boolean(bool),
    /// Written in decimal.
    Integer(i32),
    /// Text.
    String(&'a str),
    /// Written as base64.
    Bytes(&'a [u8]),
    /// An absolute URI.
    Uri(&'a str),
    /// A URI reference.
    UriRef(&'a str),
    /// Written as RFC 3339; within the years 1 to 9999.
    Timestamp {
        /// Since the Unix epoch, negative before it.
        seconds: i64,
        /// 0 to 999,999,999, counted forward.
        nanos: i32,
    },
}

impl<'a> Value<'a> {
    /// As CloudEvents writes it: what a filter on an attribute compares with. Allocates for bytes, integers and times only.
    pub fn canonical(&self) -> Cow<'a, str> {
        match *self {
            Self::Boolean(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Self::Integer(value) => Cow::Owned(value.to_string()),
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::Timestamp { seconds, nanos } => Cow::Owned(Timestamp { seconds, nanos }.to_string()),
        }
    }

    /// Reads a `CloudEventAttributeValue`; `None` if it holds no value of a type that the standard knows.
    pub(super) fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut value = None;
        for field in Fields::new(message) {
            let (number, raw) = field?;
            value = match number {
                1 => Some(Self::Boolean(raw.varint()? != 0)),
                // An int32 travels as the low half of the number.
                2 => Some(Self::Integer(raw.varint()? as i32)),
                3 => Some(Self::String(raw.text()?)),
                4 => Some(Self::Bytes(raw.bytes()?)),
                5 => Some(Self::Uri(raw.text()?)),
                6 => Some(Self::UriRef(raw.text()?)),
                7 => Some(read_timestamp(raw)?),
                _ => value,
            };
        }
        Ok(value)
    }

    /// Whether it can be written: a time may lie outside of what RFC 3339 can say.
    pub(super) fn is_sound(&self) -> bool {
        const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
        match self {
            Self::Timestamp { seconds, nanos } => {
                YEARS_1_TO_9999.contains(seconds) && (0..1_000_000_000).contains(nanos)
            }
            _ => true,
        }
    }
}

fn read_timestamp(raw: Raw<'_>) -> Result<Value<'_>, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::new(raw.bytes()?) {
        match field? {
            (1, raw) => seconds = raw.varint()? as i64,
            (2, raw) => nanos = raw.varint()? as i32,
            _ => {}
        }
    }
    Ok(Value::Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_cloudevents_says() {
        for (value, text) in [
            (Value::Boolean(true), "true"),
            (Value::Boolean(false), "false"),
            (Value::Integer(-5), "-5"),
            (Value::String("a b"), "a b"),
            (Value::Bytes(&[0, 1, 2, 255]), "AAEC/w=="),
            (Value::Uri("urn:x"), "urn:x"),
            (Value::UriRef("/x"), "/x"),
            (Value::Timestamp { seconds: 1_795_420_800, nanos: 0 }, "2026-11-23T08:00:00Z"),
            (Value::Timestamp { seconds: -1, nanos: 500_000_000 }, "1969-12-31T23:59:59.500Z"),
        ] {
            assert_eq!(value.canonical(), text);
        }
    }
}
