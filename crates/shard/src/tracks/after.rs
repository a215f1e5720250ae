//! What runs of one definition mean to others: which definitions are followed, which of their runs have ended and who waits for that has not
//! been told, and what is due because of runs elsewhere. Both sides are here, as one definition may be on both.

use bytes::Bytes;

use super::{COMING, ENDED, Track, Tracks};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::{NEVER, RunEnd};
use crate::keys;
use crate::kv::{Table, Txn};
use crate::occurrence::{Key, check_version};

const VERSION: u8 = 1;
/// Due times of one definition that have come from runs of others and lie ahead; what comes beyond is skipped.
pub const MOST_COMING: usize = 1000;
/// For how long at least runs are watched after somebody has asked for that, in microseconds: who asks writes down that it waits only then, and
/// nobody knows of it before.
pub const LINGER: i64 = 60_000_000;

/// A run that has ended, as who waits for it is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which firing it was of.
    pub key: Key,
    /// How it has ended.
    pub end: RunEnd,
    /// When, in microseconds since the epoch.
    pub at: i64,
}

impl Ended {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(48);
        e.u8(VERSION);
        Key::encode(&mut e, &self.key);
        e.u8(self.end as u8);
        e.i64(self.at);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "ended run")?;
        let ended = Self { key: Key::decode(&mut d)?, end: RunEnd::of(d.u8()?)?, at: d.i64()? };
        d.end()?;
        Ok(ended)
    }
}

impl Track {
    /// Others wait for its runs.
    pub fn is_followed(&self) -> bool {
        self.followed.is_some()
    }

    /// When that was last asked for, in microseconds since the epoch.
    pub fn followed_since(&self) -> Option<i64> {
        self.followed
    }

    /// Runs that have ended and of which not all who wait have been told.
    pub fn ended(&self) -> impl Iterator<Item = (u64, &Ended)> {
        self.ended.iter().map(|(run, ended)| (*run, ended))
    }

    /// One of these.
    pub fn ended_run(&self, run: u64) -> Option<&Ended> {
        self.ended.get(&run)
    }

    /// Nominal times that have come from runs of others and lie ahead of its cursor or at it, each with what was told of that run.
    pub fn coming(&self) -> impl Iterator<Item = (i64, &Bytes)> {
        self.coming.iter().map(|(nominal, why)| (*nominal, why))
    }

    /// How many these are.
    pub fn coming_len(&self) -> usize {
        self.coming.len()
    }
}

impl Tracks {
    /// Whether others wait for the runs of a definition.
    pub fn is_followed(&self, number: u64) -> bool {
        self.get(number).is_some_and(Track::is_followed)
    }

    /// All such definitions.
    pub fn followed(&self) -> impl Iterator<Item = u64> {
        self.followed.iter().copied()
    }

    /// Runs that have ended and of which not all who wait have been told, from one on: definition and run.
    pub fn ended_from(&self, from: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
        self.ended.range(from..).copied()
    }

    /// The sooner of a nominal time and those that have come from runs of others.
    pub fn soonest(&self, number: u64, next: i64) -> i64 {
        let first = self.get(number).and_then(|track| track.coming.keys().next());
        first.map_or(next, |first| next.min(*first))
    }

    /// Somebody asks that its runs be watched.
    pub(crate) fn follow(&mut self, txn: &mut Txn<'_>, (number, lane): (u64, u16), at: i64) {
        self.make(txn, number, lane);
        let Some(track) = self.tracks.get_mut(&number) else { return };
        track.followed = track.followed.max(Some(at));
        self.followed.insert(number);
        self.put_head(txn, number);
    }

    /// Nobody waits for its runs: but somebody who has asked lately may be about to.
    pub(crate) fn unfollow(&mut self, txn: &mut Txn<'_>, number: u64, at: i64) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        if track.followed.is_none_or(|asked| at - asked < LINGER) {
            return;
        }
        track.followed = None;
        self.followed.remove(&number);
        self.put_head(txn, number);
    }

    /// A run has ended, and others wait for that.
    pub(crate) fn put_ended(&mut self, txn: &mut Txn<'_>, number: u64, run: u64, ended: Ended) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        txn.put(Table::Meta, keys::track(number, ENDED, run), ended.encode());
        track.ended.insert(run, ended);
        self.ended.insert((number, run));
    }

    /// All of them know.
    pub(crate) fn told(&mut self, txn: &mut Txn<'_>, number: u64, run: u64) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        if track.ended.remove(&run).is_some() {
            self.ended.remove(&(number, run));
            txn.delete(Table::Meta, keys::track(number, ENDED, run));
        }
    }

    /// A run of another definition makes this one due, at that time or as soon after it as there is a microsecond that is nobody's: each such run
    /// has a due time of its own. Gives the nominal time.
    pub(crate) fn come(&mut self, txn: &mut Txn<'_>, number: u64, due: i64, why: Bytes) -> Option<i64> {
        let track = self.tracks.get_mut(&number)?;
        let nominal = (due..NEVER).find(|nominal| !track.coming.contains_key(nominal))?;
        txn.put(Table::Meta, keys::track(number, COMING, nominal.unsigned_abs()), why.to_vec());
        track.coming.insert(nominal, why);
        Some(nominal)
    }

    /// The cursor stands there: what came before has been decided, or is not to be. Says how many that were, and the last one.
    pub(crate) fn pass(&mut self, txn: &mut Txn<'_>, number: u64, next: i64) -> (usize, Option<i64>) {
        if self.get(number).is_none_or(|track| track.coming.is_empty()) {
            return (0, None);
        }
        let Some(track) = self.tracks.get_mut(&number) else { return (0, None) };
        let ahead = track.coming.split_off(&next);
        let passed = std::mem::replace(&mut track.coming, ahead);
        for nominal in passed.keys() {
            txn.delete(Table::Meta, keys::track(number, COMING, nominal.unsigned_abs()));
        }
        (passed.len(), passed.last_key_value().map(|(nominal, _)| *nominal))
    }
}
