//! What is known of the runs of a definition whose occurrences must not simply overlap: which are open, what waits for them, and what the
//! last one left behind. Only definitions that ask for it have a track; all others cost nothing here.
//!
//! Everything but results, failures and inputs is in memory; each part has a record of its own, so that a change writes what has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::{Key, NO_CHUNK, check_version};
use crate::scan::{self, corrupt};

mod after;

pub use after::{Ended, LINGER, MOST_COMING};

const VERSION: u8 = 1;
/// Of the head of a track that says more; the others are written as they ever were.
const FOLLOWED_VERSION: u8 = 2;
/// Occurrences of one definition that wait for its open runs; what comes beyond is skipped. Temporal's own limit.
pub const WAITING: usize = 1000;
/// Open runs of one definition that are known. A definition that starts more than it ends would fill the memory of each replica.
pub const OPEN: usize = 10_000;

/// Occurrences that one open run may keep out before an operator is told.
pub const STUCK: u32 = 3;

/// What becomes of an occurrence while a run of its definition is open. The codes stand on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Policy {
    /// It is skipped.
    Skip = 1,
    /// It waits if none waits already.
    BufferOne = 2,
    /// It waits.
    BufferAll = 3,
    /// What runs is asked to cancel, and the latest that came meanwhile runs then.
    CancelOther = 4,
    /// What runs is ended, and the latest that came meanwhile runs then.
    TerminateOther = 5,
    /// It runs as well.
    AllowAll = 6,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Skip, Self::BufferOne, Self::BufferAll, Self::CancelOther, Self::TerminateOther, Self::AllowAll];

    pub(crate) fn encode(e: &mut Encoder, policy: Self) {
        e.u8(policy as u8);
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let code = d.u8()?;
        let found = Self::ALL.into_iter().find(|policy| *policy as u8 == code);
        found.ok_or_else(|| DecodeError(format!("overlap policy {code} is not known")))
    }
}

/// What a definition asks for about its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// For what is due, and for firings by hand that bring none of their own.
    pub policy: Policy,
    /// A run that fails pauses the definition.
    pub pause_on_failure: bool,
    /// The next run is given what the last one left behind.
    pub carry: bool,
}

impl Tracking {
    pub(crate) fn encode(e: &mut Encoder, tracking: &Self) {
        Policy::encode(e, tracking.policy);
        e.u8(tracking.pause_on_failure.into());
        e.u8(tracking.carry.into());
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self { policy: Policy::decode(d)?, pause_on_failure: d.flag()?, carry: d.flag()? })
    }
}

/// What shall become of an open run; a stronger wish replaces a weaker one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Wish {
    /// It goes on.
    #[default]
    None = 0,
    /// It is asked to cancel.
    Cancel = 1,
    /// It is ended.
    Terminate = 2,
}

/// A run that has not ended, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which firing it is of.
    pub key: Key,
    /// When that was decided, in microseconds since the epoch.
    pub since: i64,
    /// What shall become of it.
    pub wish: Wish,
    /// Where it stands in the outbox (chunk and record), until the sink has taken it.
    pub place: Option<(u64, u32)>,
}

impl Run {
    /// It is watched only because others wait for its end: an event neither waits for runs nor is one that others wait for to begin.
    pub fn is_beside(&self) -> bool {
        matches!(self.key, Key::Event(_))
    }

    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(64);
        e.u8(VERSION);
        Key::encode(&mut e, &self.key);
        e.i64(self.since);
        e.u8(self.wish as u8);
        e.option(self.place.as_ref(), |e, (chunk, record)| {
            e.u64(*chunk);
            e.u32(*record);
        });
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "run")?;
        let (key, since) = (Key::decode(&mut d)?, d.i64()?);
        let wish = match d.u8()? {
            0 => Wish::None,
            1 => Wish::Cancel,
            2 => Wish::Terminate,
            other => return Err(DecodeError(format!("wish {other} is not known"))),
        };
        let place = d.option(|d| Ok((d.u64()?, d.u32()?)))?;
        d.end()?;
        Ok(Self { key, since, wish, place })
    }
}

/// An occurrence that waits for the open runs of its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it is.
    pub key: Key,
    /// Since when, in microseconds since the epoch.
    pub since: i64,
    /// Its own policy; else the definition's, as that is when its turn comes.
    pub policy: Option<Policy>,
}

impl Waiting {
    /// As it stands on disk, with the input that a firing by hand brings; empty for a due time.
    pub fn encode(&self, input: &[u8]) -> Vec<u8> {
        let mut e = Encoder::with_capacity(64 + input.len());
        e.u8(VERSION);
        Key::encode(&mut e, &self.key);
        e.i64(self.since);
        e.option(self.policy.as_ref(), |e, policy| Policy::encode(e, *policy));
        e.bytes(input);
        e.finish()
    }

    /// From disk, with its input.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Bytes), DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "waiting occurrence")?;
        let waiting = Self { key: Key::decode(&mut d)?, since: d.i64()?, policy: d.option(Policy::decode)? };
        let input = Bytes::copy_from_slice(d.bytes()?);
        d.end()?;
        Ok((waiting, input))
    }
}

/// One definition's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What the definition asks for; none where only a firing by hand has brought a policy.
    pub tracking: Option<Tracking>,
    /// Of the definition's namespace.
    pub lane: u16,
    /// Occurrences that were skipped because of the oldest open run.
    pub kept_out: u32,
    /// Given to the next run or waiting occurrence.
    next: u64,
    open: BTreeMap<u64, Run>,
    /// Of those, such as are in nobody's way.
    beside: usize,
    waiting: BTreeMap<u64, Waiting>,
    /// Others wait for its runs: when that was last asked for, in microseconds since the epoch.
    followed: Option<i64>,
    ended: BTreeMap<u64, Ended>,
    coming: BTreeMap<i64, Bytes>,
}

impl Track {
    fn new(lane: u16, tracking: Option<Tracking>) -> Self {
        Self {
            tracking,
            lane,
            kept_out: 0,
            next: 0,
            open: BTreeMap::new(),
            beside: 0,
            waiting: BTreeMap::new(),
            followed: None,
            ended: BTreeMap::new(),
            coming: BTreeMap::new(),
        }
    }

    /// What becomes of occurrences that bring no policy of their own.
    pub fn policy(&self) -> Policy {
        self.tracking.map_or(Policy::AllowAll, |tracking| tracking.policy)
    }

    /// Open runs, oldest first, by the number that they have here.
    pub fn open(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.open.iter().map(|(seq, run)| (*seq, run))
    }

    /// One open run.
    pub fn run(&self, seq: u64) -> Option<&Run> {
        self.open.get(&seq)
    }

    /// Open runs there are.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Whether one of them is in the way of what comes.
    pub fn is_in_the_way(&self) -> bool {
        self.open.len() > self.beside
    }

    /// What waits, in the order in which it came.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &Waiting)> {
        self.waiting.iter().map(|(seq, waiting)| (*seq, waiting))
    }

    /// How much waits.
    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// A run is open, something waits for one, or others wait to be told that one has ended.
    pub fn is_busy(&self) -> bool {
        !(self.open.is_empty() && self.waiting.is_empty() && self.ended.is_empty())
    }

    fn head(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(32);
        e.u8(if self.is_followed() { FOLLOWED_VERSION } else { VERSION });
        e.option(self.tracking.as_ref(), Tracking::encode);
        e.u32(self.kept_out);
        e.u64(self.next);
        self.followed.into_iter().for_each(|asked| e.i64(asked));
        e.finish()
    }

    fn of_head(bytes: &[u8], lane: u16) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let followed = match d.u8()? {
            FOLLOWED_VERSION => true,
            version => check_version(version, "track").map(|()| false)?,
        };
        let tracking = d.option(Tracking::decode)?;
        let (kept_out, next) = (d.u32()?, d.u64()?);
        let followed = if followed { Some(d.i64()?) } else { None };
        let track = Self { kept_out, next, followed, ..Self::new(lane, tracking) };
        d.end()?;
        Ok(track)
    }
}

/// The parts of a track, as they stand in its keys.
pub(crate) const HEAD: u8 = 0;
pub(crate) const RUN: u8 = 1;
pub(crate) const WAITS: u8 = 2;
pub(crate) const RESULT: u8 = 3;
pub(crate) const FAILURE: u8 = 4;
pub(crate) const ENDED: u8 = 5;
pub(crate) const COMING: u8 = 6;

/// What the last run left behind for the next one, as the sink knows it; opaque here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of the last one that ended well.
    pub result: Option<Bytes>,
    /// Of the last one, if it failed.
    pub failure: Option<Bytes>,
}

/// What the last run of a definition has left behind. Empty where none is kept.
pub fn left(state: &dyn Read, number: u64) -> Result<Left, ReadError> {
    let part = |part| Ok(state.get(Table::Meta, &keys::track(number, part, 0))?.map(Bytes::from));
    Ok(Left { result: part(RESULT)?, failure: part(FAILURE)? })
}

/// The tracks of a shard, by definition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    tracks: HashMap<u64, Track>,
    /// By outbox chunk: records that are runs which the sink has not taken yet, and which runs they are.
    pending: HashMap<u64, Vec<(u32, u64, u64)>>,
    /// Runs that the sink has taken.
    started: BTreeSet<(u64, u64)>,
    /// Of those, by lane.
    lanes: BTreeMap<u16, usize>,
    /// Of those, with a wish.
    wishes: BTreeSet<(u64, u64)>,
    waiting: usize,
    open: usize,
    /// Definitions for whose runs others wait.
    followed: BTreeSet<u64>,
    /// Runs of theirs that have ended and of which not all have been told.
    ended: BTreeSet<(u64, u64)>,
}

impl Tracks {
    /// One definition's.
    pub fn get(&self, number: u64) -> Option<&Track> {
        if self.tracks.is_empty() { None } else { self.tracks.get(&number) }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Track)> {
        self.tracks.iter().map(|(number, track)| (*number, track))
    }

    /// Runs that the sink has taken and that have not ended, from one on: definition and run.
    pub fn started_from(&self, from: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
        self.started.range(from..).copied()
    }

    /// Lanes that have such runs.
    pub fn lanes(&self) -> impl Iterator<Item = u16> {
        self.lanes.keys().copied()
    }

    /// Such runs that shall end: definition and run.
    pub fn wishes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.wishes.iter().copied()
    }

    /// Definitions of which [`STUCK`] due times in a row were skipped because of the same open run: it has been open for longer than so many
    /// intervals.
    pub fn stuck(&self) -> impl Iterator<Item = (u64, &Track)> {
        self.iter().filter(|(_, track)| track.kept_out >= STUCK)
    }

    /// Occurrences that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Open runs.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Whether what is due of a definition, or of others, depends on its runs.
    pub(crate) fn is_asked(&self, number: u64) -> bool {
        self.get(number).is_some_and(|track| track.tracking.is_some() || track.is_followed())
    }

    /// Whether there is anything to tell of a definition's runs: it asks for that, or something is left that did.
    pub fn is_active(&self, number: u64) -> bool {
        let left = |track: &Track| !track.open.is_empty() || !track.waiting.is_empty();
        self.get(number).is_some_and(|track| track.tracking.is_some() || track.is_followed() || left(track))
    }

    /// A definition says what it asks for. One that asks for nothing any more keeps its head: no other run may have the number of one that it
    /// had, or that one's end would be taken for its own.
    pub(crate) fn set(&mut self, txn: &mut Txn<'_>, number: u64, lane: u16, tracking: Option<Tracking>) {
        if tracking.is_none() && self.get(number).is_none() {
            return;
        }
        let track = self.tracks.entry(number).or_insert_with(|| Track::new(lane, None));
        track.tracking = tracking;
        if !tracking.is_some_and(|tracking| tracking.carry) {
            txn.delete(Table::Meta, keys::track(number, RESULT, 0));
            txn.delete(Table::Meta, keys::track(number, FAILURE, 0));
        }
        self.put_head(txn, number);
    }

    /// A track for a firing that brings a policy.
    pub(crate) fn make(&mut self, txn: &mut Txn<'_>, number: u64, lane: u16) {
        if self.get(number).is_none() {
            self.tracks.insert(number, Track::new(lane, None));
            self.put_head(txn, number);
        }
    }

    /// Of a definition that goes.
    pub(crate) fn remove(&mut self, txn: &mut Txn<'_>, number: u64) {
        let Some(track) = self.tracks.remove(&number) else { return };
        self.waiting -= track.waiting.len();
        self.followed.remove(&number);
        track.ended.keys().for_each(|run| _ = self.ended.remove(&(number, *run)));
        for (seq, run) in &track.open {
            self.forget(track.lane, (number, *seq), run);
        }
        let prefix = keys::track_prefix(number);
        txn.delete_range(Table::Meta, prefix.clone(), keys::after(&prefix));
    }

    /// How many occurrences the oldest open run has kept out.
    pub(crate) fn set_kept_out(&mut self, txn: &mut Txn<'_>, number: u64, kept_out: u32) {
        let Some(track) = self.tracks.get_mut(&number).filter(|track| track.kept_out != kept_out) else { return };
        track.kept_out = kept_out;
        self.put_head(txn, number);
    }

    /// Opens a run; beyond [`OPEN`] it is not known here.
    pub(crate) fn open_run(&mut self, txn: &mut Txn<'_>, number: u64, run: Run) {
        let Some(track) = self.tracks.get_mut(&number).filter(|track| track.open.len() < OPEN) else { return };
        let (seq, lane) = (track.next, track.lane);
        track.next += 1;
        track.beside += usize::from(run.is_beside());
        txn.put(Table::Meta, keys::track(number, RUN, seq), run.encode());
        track.open.insert(seq, run.clone());
        self.note(lane, (number, seq), &run);
        self.put_head(txn, number);
    }

    /// A run has ended.
    pub(crate) fn close_run(&mut self, txn: &mut Txn<'_>, number: u64, seq: u64) -> Option<Run> {
        let track = self.tracks.get_mut(&number)?;
        let run = track.open.remove(&seq)?;
        let lane = track.lane;
        track.beside -= usize::from(run.is_beside());
        txn.delete(Table::Meta, keys::track(number, RUN, seq));
        self.forget(lane, (number, seq), &run);
        if !run.is_beside() {
            self.set_kept_out(txn, number, 0);
        }
        Some(run)
    }

    /// Whether any record of an outbox chunk is a run.
    pub(crate) fn has_pending(&self, chunk: u64) -> bool {
        !self.pending.is_empty() && self.pending.contains_key(&chunk)
    }

    /// Which run a record of an outbox chunk is.
    pub(crate) fn pending(&self, chunk: u64, record: u32) -> Option<(u64, u64)> {
        let of_chunk = self.pending.get(&chunk)?;
        of_chunk.iter().find(|(known, ..)| *known == record).map(|(_, number, seq)| (*number, *seq))
    }

    /// The sink has taken a run.
    pub(crate) fn start_run(&mut self, txn: &mut Txn<'_>, number: u64, seq: u64) {
        self.change_run(txn, number, seq, |run| run.place = None);
    }

    /// A run that came with a backup has its place in the outbox of this shard.
    pub(crate) fn place_run(&mut self, txn: &mut Txn<'_>, number: u64, key: &Key, place: (u64, u32)) {
        let Some(track) = self.get(number) else { return };
        let unplaced = |run: &Run| run.key == *key && run.place.is_some_and(|(chunk, _)| chunk == NO_CHUNK);
        let found = track.open().find(|(_, run)| unplaced(run)).map(|(seq, _)| seq);
        if let Some(seq) = found {
            self.change_run(txn, number, seq, |run| run.place = Some(place));
        }
    }

    /// All open runs of a definition shall end.
    pub(crate) fn wish(&mut self, txn: &mut Txn<'_>, number: u64, wish: Wish) {
        let Some(track) = self.get(number) else { return };
        let weaker: Vec<u64> =
            track.open().filter(|(_, run)| run.wish < wish && !run.is_beside()).map(|(seq, _)| seq).collect();
        for seq in weaker {
            self.change_run(txn, number, seq, |run| run.wish = wish);
        }
    }

    fn change_run(&mut self, txn: &mut Txn<'_>, number: u64, seq: u64, change: impl FnOnce(&mut Run)) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        let lane = track.lane;
        let Some(run) = track.open.get_mut(&seq) else { return };
        let before = run.clone();
        change(run);
        let after = run.clone();
        txn.put(Table::Meta, keys::track(number, RUN, seq), after.encode());
        self.forget(lane, (number, seq), &before);
        self.note(lane, (number, seq), &after);
    }

    /// An occurrence waits.
    pub(crate) fn wait(&mut self, txn: &mut Txn<'_>, number: u64, waiting: Waiting, input: &[u8]) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        let seq = track.next;
        track.next += 1;
        txn.put(Table::Meta, keys::track(number, WAITS, seq), waiting.encode(input));
        track.waiting.insert(seq, waiting);
        self.waiting += 1;
        self.put_head(txn, number);
    }

    /// An occurrence waits no more: it, and its input.
    pub(crate) fn wake(&mut self, txn: &mut Txn<'_>, number: u64, seq: u64) -> Result<Option<Bytes>, ReadError> {
        let Some(track) = self.tracks.get_mut(&number) else { return Ok(None) };
        if track.waiting.remove(&seq).is_none() {
            return Ok(None);
        }
        self.waiting -= 1;
        let key = keys::track(number, WAITS, seq);
        let value = txn.get(Table::Meta, &key)?;
        let value = value.ok_or_else(|| ReadError(format!("waiting occurrence {seq} of {number} is gone")))?;
        txn.delete(Table::Meta, key);
        Ok(Some(Waiting::decode(&value).map_err(corrupt)?.1))
    }

    fn put_head(&self, txn: &mut Txn<'_>, number: u64) {
        if let Some(track) = self.tracks.get(&number) {
            txn.put(Table::Meta, keys::track(number, HEAD, 0), track.head());
        }
    }

    fn note(&mut self, lane: u16, (number, seq): (u64, u64), run: &Run) {
        self.open += 1;
        if let Some((chunk, record)) = run.place {
            self.pending.entry(chunk).or_default().push((record, number, seq));
            return;
        }
        self.started.insert((number, seq));
        *self.lanes.entry(lane).or_default() += 1;
        if run.wish != Wish::None {
            self.wishes.insert((number, seq));
        }
    }

    fn forget(&mut self, lane: u16, (number, seq): (u64, u64), run: &Run) {
        self.open -= 1;
        if let Some((chunk, record)) = run.place {
            let of_chunk = self.pending.entry(chunk).or_default();
            of_chunk.retain(|known| *known != (record, number, seq));
            if of_chunk.is_empty() {
                self.pending.remove(&chunk);
            }
            return;
        }
        self.started.remove(&(number, seq));
        self.wishes.remove(&(number, seq));
        let count = self.lanes.entry(lane).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.lanes.remove(&lane);
        }
    }

    /// From disk. `lane` tells that of a definition that is there.
    pub(crate) fn load(state: &dyn Read, lane: impl Fn(u64) -> Option<u16>) -> Result<Self, ReadError> {
        let mut tracks = Self::default();
        scan::each(state, Table::Meta, (keys::TRACKS, &keys::after(keys::TRACKS)), |key, value| {
            let (number, part, seq) = keys::parse_track(key)?;
            let lane = lane(number).ok_or_else(|| DecodeError(format!("the track of definition {number}: no such")))?;
            tracks.take_part(number, lane, part, seq, value)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tracks)
    }

    /// A record of a backup, as it stands in it.
    pub(crate) fn restore(
        &mut self,
        txn: &mut Txn<'_>,
        (number, lane): (u64, u16),
        (part, seq): (u8, u64),
        value: &[u8],
    ) -> Result<(), DecodeError> {
        self.take_part(number, lane, part, seq, value)?;
        txn.put(Table::Meta, keys::track(number, part, seq), value.to_vec());
        Ok(())
    }

    /// One record. The head comes first, in the order of keys.
    fn take_part(&mut self, number: u64, lane: u16, part: u8, seq: u64, value: &[u8]) -> Result<(), DecodeError> {
        if part == HEAD {
            let track = Track::of_head(value, lane)?;
            if track.is_followed() {
                self.followed.insert(number);
            }
            let before = self.tracks.insert(number, track);
            return before.map_or(Ok(()), |_| Err(DecodeError(format!("a second track of definition {number}"))));
        }
        let headless = || DecodeError(format!("part {part} of the track of definition {number} has no head"));
        let track = self.tracks.get_mut(&number).ok_or_else(headless)?;
        let fits = seq < track.next && !track.open.contains_key(&seq) && !track.waiting.contains_key(&seq);
        match part {
            RUN if fits => {
                let run = Run::decode(value)?;
                track.beside += usize::from(run.is_beside());
                track.open.insert(seq, run.clone());
                self.note(lane, (number, seq), &run);
            }
            WAITS if fits => {
                track.waiting.insert(seq, Waiting::decode(value)?.0);
                self.waiting += 1;
            }
            RESULT | FAILURE if seq == 0 => {}
            ENDED if fits => {
                track.ended.insert(seq, Ended::decode(value)?);
                self.ended.insert((number, seq));
            }
            COMING => {
                let nominal = i64::try_from(seq).map_err(|_| DecodeError(format!("due time {seq} is none")))?;
                track.coming.insert(nominal, Bytes::copy_from_slice(value));
            }
            _ => {
                return Err(DecodeError(format!("part {part} {seq} of the track of definition {number} is not known")));
            }
        }
        Ok(())
    }
}
