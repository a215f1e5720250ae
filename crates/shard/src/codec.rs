//! Bytes of entries and values: little-endian integers, length-prefixed texts, in a fixed order.
//!
//! Written by hand because apply decodes a few hundred thousand decisions a second: a record is its fields, nothing else.
//! Whoever uses it puts a version byte first.

/// A value ends early or holds what this version can't read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Appends fields to a buffer.
#[derive(Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// With room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Length and bytes.
    ///
    /// # Panics
    /// Over 4 GiB; every input is limited far below.
    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(count(value.len()));
        self.0.extend_from_slice(value);
    }

    /// Length and UTF-8.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Exactly these bytes.
    pub fn raw(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// Length and each element.
    pub fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(count(items.len()));
        for item in items {
            each(self, item);
        }
    }

    /// Presence and value.
    pub fn option<T>(&mut self, item: Option<&T>, each: impl FnOnce(&mut Self, &T)) {
        match item {
            None => self.u8(0),
            Some(item) => {
                self.u8(1);
                each(self, item);
            }
        }
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// A log entry: format version, kind, the leader's time, and what the kind brings. Every machine's entries have this form.
pub fn encode_entry(version: u8, kind: u8, at: i64, capacity: usize, body: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut e = Encoder::with_capacity(capacity);
    e.u8(version);
    e.u8(kind);
    e.i64(at);
    body(&mut e);
    e.finish()
}

/// The other way: the leader's time, and what `body` makes of kind and rest. An entry of another version is refused, and so is one that
/// goes on after its body.
pub fn decode_entry<B>(
    version: u8,
    bytes: &[u8],
    body: impl FnOnce(u8, &mut Decoder<'_>) -> Result<B, DecodeError>,
) -> Result<(i64, B), DecodeError> {
    let mut d = Decoder::new(bytes);
    let found = d.u8()?;
    if found != version {
        return Err(DecodeError(format!("entry version {found} is not known to this program ({version} is)")));
    }
    let (kind, at) = (d.u8()?, d.i64()?);
    let body = body(kind, &mut d)?;
    d.end()?;
    Ok((at, body))
}

/// A length as it is stored.
///
/// # Panics
/// Over `u32`; every list and text is limited far below.
pub fn count(len: usize) -> u32 {
    u32::try_from(len).expect("lists and texts are limited far below 4 GiB")
}

/// Reads fields from a buffer.
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// From the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Exactly `len` bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| DecodeError(format!("{len} bytes expected, {} are left", self.0.len())))?;
        self.0 = tail;
        Ok(head)
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.raw(N)?.try_into().expect("raw returns the length asked for"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Yes or no, in one byte.
    pub fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError(format!("{other} is not a flag"))),
        }
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Length and bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()?;
        self.raw(len as usize)
    }

    /// Length and UTF-8.
    pub fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|e| DecodeError(format!("a text is not UTF-8: {e}")))
    }

    /// Length and each element.
    pub fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let len = self.u32()? as usize;
        // A damaged length can't make us reserve more than the bytes that are there.
        let mut items = Vec::with_capacity(len.min(self.0.len() / size_of::<T>().max(1) + 1));
        for _ in 0..len {
            items.push(each(self)?);
        }
        Ok(items)
    }

    /// Presence and value.
    pub fn option<T>(
        &mut self,
        each: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => each(self).map(Some),
            other => Err(DecodeError(format!("{other} is not a presence flag"))),
        }
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All has been read.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError(format!("{} bytes too many", self.0.len()))) }
    }
}
