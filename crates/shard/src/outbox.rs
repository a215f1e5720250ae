//! Firings decided and not yet acknowledged: which chunks are open, and what they carry beside their account records.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::occurrence::{End, check_version};

const VERSION: u8 = 1;

/// What the firings of a chunk need beside their account records: events and manual inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    /// Each once, however many definitions it matched.
    pub blobs: Vec<Bytes>,
    /// By record: index into the blobs, or none. Empty where no record has one (due times).
    pub by_record: Vec<Option<u32>>,
}

impl Payloads {
    /// The payload of a record.
    pub fn of(&self, record: u32) -> Option<&Bytes> {
        let index = (*self.by_record.get(record as usize)?)?;
        self.blobs.get(index as usize)
    }

    /// As it stands on disk, with the number of records in the chunk.
    pub fn encode(&self, records: u32) -> Vec<u8> {
        let size = self.blobs.iter().map(|blob| blob.len() + 4).sum::<usize>() + self.by_record.len() * 5;
        let mut e = Encoder::with_capacity(16 + size);
        e.u8(VERSION);
        e.u32(records);
        e.list(&self.blobs, |e, blob| e.bytes(blob));
        e.list(&self.by_record, |e, index| e.option(index.as_ref(), |e, index| e.u32(*index)));
        e.finish()
    }

    /// The number of records in the chunk, without reading their payloads.
    pub(crate) fn count(bytes: &[u8]) -> Result<u32, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "outbox")?;
        d.u32()
    }

    /// The number of records in the chunk, and their payloads.
    pub fn decode(bytes: &[u8]) -> Result<(u32, Self), DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "outbox")?;
        let records = d.u32()?;
        let blobs = d.list(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?;
        let by_record = d.list(|d| d.option(Decoder::u32))?;
        d.end()?;
        Ok((records, Self { blobs, by_record }))
    }
}

/// A chunk with firings that have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Firings in the chunk.
    pub records: u32,
    /// Of them, not ended.
    pub left: u32,
    /// How the others ended; empty until the first has.
    pub ends: Vec<End>,
}

impl Open {
    /// None has ended.
    pub fn new(records: u32) -> Self {
        Self { records, left: records, ends: Vec::new() }
    }

    /// With the ends that are known.
    pub fn with_ends(records: u32, ends: Vec<End>) -> Self {
        let left = ends.iter().filter(|end| **end == End::Pending).count() as u32;
        Self { records, left, ends }
    }

    /// Notes how a firing ended; `false` if it had ended before, or is none of this chunk.
    pub fn end(&mut self, record: u32, end: End) -> bool {
        if record >= self.records {
            return false;
        }
        if self.ends.is_empty() {
            self.ends = vec![End::Pending; self.records as usize];
        }
        let known = &mut self.ends[record as usize];
        if *known != End::Pending {
            return false;
        }
        *known = end;
        self.left -= 1;
        true
    }
}

/// The open chunks of a shard, by lane and sequence.
#[derive(Default)]
pub struct Outbox {
    open: BTreeMap<(u32, u64), Open>,
    pending: u64,
}

impl Outbox {
    /// Firings that have not ended.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Of one lane.
    pub fn pending_in(&self, lane: u32) -> u64 {
        self.range(lane, 0).map(|(_, open)| u64::from(open.left)).sum()
    }

    /// Open chunks of a lane from a sequence on, oldest first.
    pub fn range(&self, lane: u32, from: u64) -> impl Iterator<Item = (u64, &Open)> {
        self.open.range((lane, from)..=(lane, u64::MAX)).map(|((_, seq), open)| (*seq, open))
    }

    /// One open chunk.
    pub fn get(&self, lane: u32, seq: u64) -> Option<&Open> {
        self.open.get(&(lane, seq))
    }

    /// The oldest sequence that is open in any lane.
    pub fn oldest(&self) -> Option<u64> {
        self.open.keys().map(|(_, seq)| *seq).min()
    }

    pub(crate) fn insert(&mut self, lane: u32, seq: u64, open: Open) {
        self.pending += u64::from(open.left);
        if let Some(before) = self.open.insert((lane, seq), open) {
            self.pending -= u64::from(before.left);
        }
    }

    /// Takes a chunk out, to be changed and put back with [`Self::insert`] unless it is done.
    pub(crate) fn take(&mut self, lane: u32, seq: u64) -> Option<Open> {
        let open = self.open.remove(&(lane, seq))?;
        self.pending -= u64::from(open.left);
        Some(open)
    }
}
