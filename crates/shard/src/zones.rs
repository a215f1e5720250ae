//! By which time-zone data a shard's due times were computed. When whoever leads it reads zones from other data, it looks at all definitions once,
//! some at a time, and moves those that are due otherwise; how far it is stands in the state, so the next leader goes on from there.

use crate::calendar_entry::Retimed;
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::occurrence::check_version;

/// The cluster's format from which on entries speak of it.
pub const ZONES_SINCE: u32 = 4;
/// Of the version of time-zone data, in bytes; real ones have five.
pub const VERSION_LEN: usize = 64;

const VERSION: u8 = 1;

/// `Meta`: how far a shard is with its time-zone data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zoned {
    /// Of the data, such as `2026b`.
    pub version: String,
    /// Definitions with a smaller number are due by it.
    pub from: u64,
    /// All are.
    pub done: bool,
}

/// Some definitions looked at by other time-zone data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rezone {
    /// Of the data. At most [`VERSION_LEN`] bytes.
    pub version: String,
    /// Those that are due otherwise, in ascending order.
    pub items: Vec<Retimed>,
    /// Where to go on: definitions with a smaller number have been looked at.
    pub from: u64,
    /// There are no others.
    pub last: bool,
}

impl Zoned {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.text(&self.version);
        e.u64(self.from);
        e.u8(self.done.into());
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "time-zone data")?;
        let zoned = Self { version: read_version(&mut d)?, from: d.u64()?, done: d.flag()? };
        d.end()?;
        Ok(zoned)
    }
}

impl Rezone {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.text(&self.version);
        e.list(&self.items, Retimed::encode);
        e.u64(self.from);
        e.u8(self.last.into());
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self { version: read_version(d)?, items: d.list(Retimed::decode)?, from: d.u64()?, last: d.flag()? })
    }
}

fn read_version(d: &mut Decoder) -> Result<String, DecodeError> {
    let version = d.text()?;
    if version.len() > VERSION_LEN {
        return Err(DecodeError(format!(
            "a version of time-zone data has {} bytes, at most {VERSION_LEN}",
            version.len()
        )));
    }
    Ok(version)
}
