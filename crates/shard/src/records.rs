//! Values of the colder tables: a definition's version, a dead letter, a pause note, the counters.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::dedupe::Dedupe;
use crate::occurrence::check_version;

const VERSION: u8 = 1;

/// `Definitions`: one version of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Of the definition: another one after it was deleted and made anew.
    pub incarnation: u64,
    /// When the definition was created, in microseconds since the epoch.
    pub created: i64,
    /// When this version was made.
    pub updated: i64,
    /// Event types that this version listens to.
    pub event_types: Vec<String>,
    /// The definition as given, in canonical JSON.
    pub document: Bytes,
}

impl Version {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(128 + self.document.len());
        e.u8(VERSION);
        e.text(&self.namespace);
        e.text(&self.id);
        e.u64(self.incarnation);
        e.i64(self.created);
        e.i64(self.updated);
        e.list(&self.event_types, |e, t| e.text(t));
        e.bytes(&self.document);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "definition")?;
        let version = Self {
            namespace: d.text()?,
            id: d.text()?,
            incarnation: d.u64()?,
            created: d.i64()?,
            updated: d.i64()?,
            event_types: d.list(Decoder::text)?,
            document: Bytes::copy_from_slice(d.bytes()?),
        };
        d.end()?;
        Ok(version)
    }
}

/// `Dead`: a firing that the sink refused for good. Complete, so that it can be looked at and sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its account chunk.
    pub chunk: u64,
    /// Its index in the chunk.
    pub record: u32,
    /// Firings in the chunk.
    pub records: u32,
    /// Its lane.
    pub lane: u32,
    /// When it was refused, in microseconds since the epoch.
    pub at: i64,
    /// What the sink said.
    pub reason: String,
    /// Its event or input.
    pub payload: Option<Bytes>,
}

impl DeadLetter {
    /// Its account chunk, without reading the rest.
    pub(crate) fn chunk_of(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "dead letter")?;
        d.u64()
    }

    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.u64(self.chunk);
        e.u32(self.record);
        e.u32(self.records);
        e.u32(self.lane);
        e.i64(self.at);
        e.text(&self.reason);
        e.option(self.payload.as_ref(), |e, payload| e.bytes(payload));
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "dead letter")?;
        let dead = Self {
            chunk: d.u64()?,
            record: d.u32()?,
            records: d.u32()?,
            lane: d.u32()?,
            at: d.i64()?,
            reason: d.text()?,
            payload: d.option(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?,
        };
        d.end()?;
        Ok(dead)
    }
}

/// `Meta`: why a definition is paused, since when, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseNote {
    /// Microseconds since the epoch.
    pub at: i64,
    /// For people.
    pub note: String,
    /// When it ends by itself, in microseconds since the epoch; none where somebody has to end it.
    pub until: Option<i64>,
}

/// Of a note of a pause that ends by itself. Any other is written as it ever was.
const TIMED: u8 = 2;

impl PauseNote {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(if self.until.is_some() { TIMED } else { VERSION });
        e.i64(self.at);
        e.text(&self.note);
        if let Some(until) = self.until {
            e.i64(until);
        }
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let version = d.u8()?;
        if version != TIMED {
            check_version(version, "pause note")?;
        }
        let (at, note) = (d.i64()?, d.text()?);
        let until = if version == TIMED { Some(d.i64()?) } else { None };
        let note = Self { at, note, until };
        d.end()?;
        Ok(note)
    }
}

/// `Meta`: under which number the dedupe keys of a restored definition were made. They are digests over the number that it had in its first
/// cluster; what came from different shards is told apart by a mask over the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its number there.
    pub number: u64,
    /// Of all restores since.
    pub mask: [u8; 16],
}

impl Origin {
    /// A digest over the number there, as it is found here.
    #[must_use]
    pub fn masked(&self, mut digest: [u8; 16]) -> [u8; 16] {
        digest.iter_mut().zip(self.mask).for_each(|(byte, mask)| *byte ^= mask);
        digest
    }

    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.u64(self.number);
        e.raw(&self.mask);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "origin")?;
        let origin = Self { number: d.u64()?, mask: d.array()? };
        d.end()?;
        Ok(origin)
    }
}

/// `Meta`: a backup that was brought in, or is being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// Which one.
    pub backup: [u8; 16],
    /// Nothing that was due before this fires. In microseconds since the epoch.
    pub skip_before: i64,
    /// Rows that are here.
    pub rows: u64,
    /// Whether that is all.
    pub finished: bool,
}

impl Restoration {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.raw(&self.backup);
        e.i64(self.skip_before);
        e.u64(self.rows);
        e.u8(self.finished.into());
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "restoration")?;
        let restoration = Self { backup: d.array()?, skip_before: d.i64()?, rows: d.u64()?, finished: d.flag()? };
        d.end()?;
        Ok(restoration)
    }
}

/// `Meta`: positions and counts of the shard, written with each entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The latest time that an entry has brought. Time never runs backward for a shard: this is what apply takes for now.
    pub clock: i64,
    /// The next definition's number.
    pub next_number: u64,
    /// The next account chunk.
    pub next_chunk: u64,
    /// The next dead letter.
    pub next_dead: u64,
    /// Dead letters there are.
    pub dead: u64,
    /// All due times up to here have been decided.
    pub fired_through: i64,
    /// Account chunks before this one have been dropped.
    pub account_floor: u64,
    /// The newest hour that has an account index.
    pub account_hour: u32,
    /// Lanes given out.
    pub lanes: u32,
    /// Which dedupe buckets hold keys.
    pub dedupe: Dedupe,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            clock: i64::MIN,
            next_number: 0,
            next_chunk: 1,
            next_dead: 1,
            dead: 0,
            fired_through: i64::MIN,
            account_floor: 1,
            account_hour: 0,
            lanes: 0,
            dedupe: Dedupe::default(),
        }
    }
}

impl Counters {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(128);
        e.u8(VERSION);
        e.i64(self.clock);
        e.u64(self.next_number);
        e.u64(self.next_chunk);
        e.u64(self.next_dead);
        e.u64(self.dead);
        e.i64(self.fired_through);
        e.u64(self.account_floor);
        e.u32(self.account_hour);
        e.u32(self.lanes);
        self.dedupe.encode(&mut e);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "counters")?;
        let counters = Self {
            clock: d.i64()?,
            next_number: d.u64()?,
            next_chunk: d.u64()?,
            next_dead: d.u64()?,
            dead: d.u64()?,
            fired_through: d.i64()?,
            account_floor: d.u64()?,
            account_hour: d.u32()?,
            lanes: d.u32()?,
            dedupe: Dedupe::decode(&mut d)?,
        };
        d.end()?;
        Ok(counters)
    }
}
