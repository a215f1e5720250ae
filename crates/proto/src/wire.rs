//! Reads protobuf's wire format from a slice: no allocation, no schema, no recursion.
//!
//! Knows no message. Groups (wire types 3 and 4), which proto3 does not have, are refused.

/// Why bytes are no protobuf message, or not the one that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a field.
    Truncated,
    /// A variable-length number has more than 64 bits.
    Varint,
    /// A field number of 0 or beyond 2^29, or a wire type that proto3 does not have.
    Key,
    /// A known field has another wire type than the contract says.
    WireType,
    /// A string is not UTF-8.
    Utf8,
    /// An attribute without a value, or with a time outside of the years 1 to 9999.
    Attribute,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the message ends inside a field",
            Self::Varint => "a number has more than 64 bits",
            Self::Key => "a field key is not valid",
            Self::WireType => "a field has the wrong wire type",
            Self::Utf8 => "a string is not UTF-8",
            Self::Attribute => "an attribute has no value, or a time outside of the years 1 to 9999",
        })
    }
}

impl std::error::Error for Malformed {}

/// A field's value as the wire shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Raw<'a> {
    /// Wire type 0: integers, booleans, enums.
    Varint(u64),
    /// Wire types 1 and 5: not looked into.
    Fixed,
    /// Wire type 2: strings, bytes, messages.
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    /// Of an integer field.
    pub fn varint(self) -> Result<u64, Malformed> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(Malformed::WireType) }
    }

    /// Of a bytes or message field.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed::WireType) }
    }

    /// Of a string field.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Utf8)
    }
}

/// The fields of one message, in the order of the wire. Ends after the first fault.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of an encoded message.
    pub fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<(u32, Raw<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(Malformed::Key)?;
        let raw = match key & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => self.take(8).map(|_| Raw::Fixed)?,
            2 => Raw::Bytes(self.delimited()?),
            5 => self.take(4).map(|_| Raw::Fixed)?,
            _ => return Err(Malformed::Key),
        };
        Ok((number, raw))
    }

    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
        self.take(len)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                return Err(Malformed::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { Malformed::Truncated } else { Malformed::Varint })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Raw<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        for (bytes, fault) in [
            (&[0x08][..], Malformed::Truncated),
            (&[0x0a, 0x05, 0x61], Malformed::Truncated),
            (&[0x09, 0, 0, 0], Malformed::Truncated),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Malformed::Truncated),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Malformed::Varint),
            (&[0x00, 0x01], Malformed::Key),
            (&[0x0b], Malformed::Key),
        ] {
            assert_eq!(Fields::new(bytes).last(), Some(Err(fault)), "{bytes:x?}");
        }
    }

    #[test]
    fn fields_come_in_wire_order() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4];
        let fields: Result<Vec<_>, _> = Fields::new(&bytes).collect();
        assert_eq!(fields, Ok(vec![(1, Raw::Varint(150)), (2, Raw::Bytes(b"hi")), (3, Raw::Fixed)]));
    }
}
