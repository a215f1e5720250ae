//! The backfills of a shard's definitions: due times of the past that somebody wants to fire. Where each stands, and how the last ones ended.
//!
//! All of it is in memory too: there are few. Which due times a backfill has, and at which pace they are decided, is the leader's business.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::{NEVER, Range};
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::check_version;
use crate::scan;

const VERSION: u8 = 1;
/// Backfills of one definition that are known: those under way, and the last ones that have ended. A new one takes the place of the oldest that
/// has ended.
pub const PER_DEFINITION: usize = 16;
/// Backfills of one shard: each replica has them in memory.
pub const PER_SHARD: usize = 10_000;

/// One backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// What was asked for.
    pub range: Range,
    /// When it began, in microseconds since the epoch.
    pub begun: i64,
    /// The next nominal time in its order, or [`NEVER`] where all are decided.
    pub next: i64,
    /// Due times that it had when it began, as far as they were counted.
    pub total: u64,
    /// Of them, decided: fired, waiting for a run, or skipped.
    pub decided: u64,
    /// Of those, skipped at once because of a run.
    pub skipped: u64,
    /// When it ended.
    pub ended: Option<i64>,
}

impl Backfill {
    /// Whether it was ended before all of its due times were decided.
    pub fn is_stopped(&self) -> bool {
        self.ended.is_some() && self.next != NEVER
    }

    /// Whether one time comes before another one in its order.
    pub fn is_before(&self, one: i64, other: i64) -> bool {
        if self.range.newest_first { one > other } else { one < other }
    }

    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(96);
        e.u8(VERSION);
        self.range.encode(&mut e);
        e.i64(self.begun);
        e.i64(self.next);
        e.u64(self.total);
        e.u64(self.decided);
        e.u64(self.skipped);
        e.option(self.ended.as_ref(), |e, ended| e.i64(*ended));
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "backfill")?;
        let backfill = Self {
            range: Range::decode(&mut d)?,
            begun: d.i64()?,
            next: d.i64()?,
            total: d.u64()?,
            decided: d.u64()?,
            skipped: d.u64()?,
            ended: d.option(Decoder::i64)?,
        };
        d.end()?;
        Ok(backfill)
    }
}

/// All of a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Backfills {
    known: BTreeMap<u64, BTreeMap<String, Backfill>>,
    running: BTreeSet<(u64, String)>,
    len: usize,
}

impl Backfills {
    /// One of a definition's.
    pub fn get(&self, number: u64, id: &str) -> Option<&Backfill> {
        self.known.get(&number)?.get(id)
    }

    /// Those of a definition, by id.
    pub fn of(&self, number: u64) -> impl Iterator<Item = (&str, &Backfill)> {
        self.known.get(&number).into_iter().flatten().map(|(id, backfill)| (id.as_str(), backfill))
    }

    /// All of them: definition, id, backfill.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &str, &Backfill)> {
        self.known.iter().flat_map(|(number, all)| all.iter().map(|(id, one)| (*number, id.as_str(), one)))
    }

    /// Those that have not ended: definition and id.
    pub fn running(&self) -> impl Iterator<Item = (u64, &str)> {
        self.running.iter().map(|(number, id)| (*number, id.as_str()))
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.len
    }

    /// None is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one more of a definition would go beyond a limit, though the oldest that has ended made room.
    pub(crate) fn is_full(&self, number: u64) -> bool {
        let of = self.known.get(&number).map_or(0, BTreeMap::len);
        let full = of >= PER_DEFINITION || self.len >= PER_SHARD;
        full && self.oldest_ended(number).is_none()
    }

    /// Makes room for one more.
    pub(crate) fn make_room(&mut self, txn: &mut Txn<'_>, number: u64) {
        let of = self.known.get(&number).map_or(0, BTreeMap::len);
        if (of >= PER_DEFINITION || self.len >= PER_SHARD)
            && let Some(oldest) = self.oldest_ended(number)
        {
            txn.delete(Table::Meta, keys::backfill(number, &oldest));
            self.take(number, &oldest);
        }
    }

    fn oldest_ended(&self, number: u64) -> Option<String> {
        let ended = self.of(number).filter_map(|(id, backfill)| Some((backfill.ended?, id)));
        ended.min().map(|(_, id)| id.to_owned())
    }

    /// Writes one to memory and to disk.
    pub(crate) fn put(&mut self, txn: &mut Txn<'_>, number: u64, id: &str, backfill: Backfill) {
        txn.put(Table::Meta, keys::backfill(number, id), backfill.encode());
        self.keep(number, id, backfill);
    }

    /// Of a definition that goes.
    pub(crate) fn forget(&mut self, txn: &mut Txn<'_>, number: u64) {
        let Some(all) = self.known.remove(&number) else { return };
        self.len -= all.len();
        for id in all.into_keys() {
            txn.delete(Table::Meta, keys::backfill(number, &id));
            self.running.remove(&(number, id));
        }
    }

    fn keep(&mut self, number: u64, id: &str, backfill: Backfill) {
        if backfill.ended.is_none() {
            self.running.insert((number, id.to_owned()));
        } else {
            self.running.remove(&(number, id.to_owned()));
        }
        let before = self.known.entry(number).or_default().insert(id.to_owned(), backfill);
        self.len += usize::from(before.is_none());
    }

    fn take(&mut self, number: u64, id: &str) {
        let Some(all) = self.known.get_mut(&number) else { return };
        self.len -= usize::from(all.remove(id).is_some());
        if all.is_empty() {
            self.known.remove(&number);
        }
        self.running.remove(&(number, id.to_owned()));
    }

    /// From disk. `there` tells whether a definition is.
    pub(crate) fn load(state: &dyn Read, there: impl Fn(u64) -> bool) -> Result<Self, ReadError> {
        let mut backfills = Self::default();
        scan::each(state, Table::Meta, (keys::BACKFILLS, &keys::after(keys::BACKFILLS)), |key, value| {
            let (number, id) = keys::parse_backfill(key)?;
            if !there(number) {
                return Err(DecodeError(format!("backfill {id:?} of definition {number}: no such")));
            }
            backfills.keep(number, id, Backfill::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(backfills)
    }
}
