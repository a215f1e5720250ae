//! A node's disk: what was synced stays, and of what was not a crash keeps a part, in the order in which it was written.
//!
//! Stands where RocksDB does: a write is there as a whole or not at all. Knows keys and values, and just enough of the state's keys to keep
//! a digest of each group's tables.

use crate::planted::Planted;
use crate::random::Random;
use flintwheel_shard::{Table, keys};
use flintwheel_store::{Change, Shelf};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Raft's own column of the state, and its one key.
const RAFT: usize = 0;
const APPLIED: &[u8] = b"applied";
/// The columns of the log, and the names of values that tell what a write is for.
const ENTRIES: usize = 0;
const META: usize = 1;
const VOTE: u8 = b'v';
const PURGED: u8 = b'p';
/// More than either database has.
const COLUMNS: usize = 16;

/// Both databases of one node.
pub struct Disk {
    /// The log.
    pub log: Arc<Maps>,
    /// The state.
    pub state: Arc<Maps>,
}

impl Disk {
    /// An empty one.
    pub fn new(planted: Option<Planted>) -> Self {
        let maps = |is_log| Arc::new(Maps { is_log, planted, contents: Mutex::default() });
        Self { log: maps(true), state: maps(false) }
    }

    /// The power goes.
    pub fn crash(&self, random: &mut Random) {
        self.log.crash(random);
        self.state.crash(random);
    }
}

/// A group's tables at what it had applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAt {
    /// Which group.
    pub group: u32,
    /// What it had applied, as it stands on disk.
    pub applied: Vec<u8>,
    /// Of all keys and values of its tables.
    pub digest: u64,
}

/// One database.
pub struct Maps {
    is_log: bool,
    planted: Option<Planted>,
    contents: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// As the running node sees it, by column.
    live: [Map; COLUMNS],
    /// As a crash leaves it.
    kept: [Map; COLUMNS],
    /// Written since, oldest first.
    unsynced: VecDeque<Vec<Change>>,
    /// The same, where a sync does not bring it to disk.
    loose: Vec<Change>,
    digests: BTreeMap<u32, u64>,
    seen: Vec<StateAt>,
    writes: u64,
    votes: u64,
}

impl Maps {
    /// States that were reached since the last call.
    pub fn take_seen(&self) -> Vec<StateAt> {
        std::mem::take(&mut self.contents.lock().seen)
    }

    /// How many votes were written.
    pub fn votes(&self) -> u64 {
        self.contents.lock().votes
    }

    /// A log entry of a group, as it stands there.
    pub fn entry(&self, group: u32, index: u64) -> Option<Vec<u8>> {
        let key = [group.to_be_bytes().as_slice(), &index.to_be_bytes()].concat();
        self.contents.lock().live[ENTRIES].get(&key).cloned()
    }

    fn crash(&self, random: &mut Random) {
        let mut contents = self.contents.lock();
        let kept = random.below(contents.unsynced.len() as u64 + 1) as usize;
        let rest = contents.unsynced.split_off(kept);
        drop(rest);
        contents.settle();
        contents.loose.clear();
        contents.live = contents.kept.clone();
        if !self.is_log {
            contents.digests = digests(&contents.live);
            let groups: Vec<u32> = contents.digests.keys().copied().collect();
            groups.into_iter().for_each(|group| contents.see(group));
        }
    }

    /// What a write becomes where a bug is planted: none, one, or several that are not one.
    fn parts(&self, changes: Vec<Change>) -> Vec<Vec<Change>> {
        match (self.planted, self.is_log) {
            (Some(Planted::AppliedOutsideTheBatch), false) => {
                let (applied, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_applied);
                vec![applied, rest]
            }
            (Some(Planted::BackfillOutsideTheBatch), false) => {
                let (backfills, rest): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_backfill);
                vec![rest, backfills]
            }
            (Some(Planted::SnapshotLeavesOldKeys), false) => {
                let clears = |change: &Change| matches!(change, Change::DeleteRange(_, from, _) if from.len() == 4);
                vec![changes.into_iter().filter(|change| !clears(change)).collect()]
            }
            (Some(Planted::DedupeDroppedEarly), false) => vec![changes.into_iter().map(widened).collect()],
            (Some(Planted::TruncationForgotten), true) => {
                let purges = changes.iter().any(|c| matches!(c, Change::Put(META, key, _) if key.ends_with(&[PURGED])));
                let truncates = |change: &Change| !purges && matches!(change, Change::DeleteRange(ENTRIES, ..));
                vec![changes.into_iter().filter(|change| !truncates(change)).collect()]
            }
            _ => vec![changes],
        }
    }

    fn is_synced(&self, writes: u64) -> bool {
        match (self.planted, self.is_log) {
            // The system writes it out by itself, now and then.
            (Some(Planted::FsyncSkipped), true) => writes.is_multiple_of(64),
            _ => true,
        }
    }
}

impl Shelf for Maps {
    fn write(&self, changes: Vec<Change>, sync: bool) {
        let mut contents = self.contents.lock();
        contents.writes += 1;
        let sync = sync && self.is_synced(contents.writes);
        let applied = changes.iter().find(|change| !self.is_log && is_applied(change)).map(group_of);
        contents.votes += changes.iter().filter(|change| self.is_log && is_vote(change)).count() as u64;
        for part in self.parts(changes) {
            if self.planted == Some(Planted::VoteNotSynced) && self.is_log {
                let (votes, part) = part.into_iter().partition(is_vote);
                contents.write_votes(votes);
                contents.write(part, false);
                continue;
            }
            contents.write(part, !self.is_log);
        }
        if sync {
            contents.settle();
        }
        if let Some(group) = applied {
            contents.see(group);
        }
    }

    fn get(&self, column: usize, key: &[u8]) -> Option<Vec<u8>> {
        self.contents.lock().live[column].get(key).cloned()
    }

    fn scan(&self, column: usize, from: &[u8], to: &[u8], visit: &mut flintwheel_store::Visit<'_>) {
        if from >= to {
            return;
        }
        // As of the call: who visits may look at the database again.
        let range = (Bound::Included(from), Bound::Excluded(to));
        let contents = self.contents.lock();
        let found: Vec<_> =
            contents.live[column].range::<[u8], _>(range).map(|(k, v)| (k.clone(), v.clone())).collect();
        drop(contents);
        for (key, value) in found {
            if visit(&key, &value) == ControlFlow::Break(()) {
                return;
            }
        }
    }

    fn last(&self, column: usize, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let contents = self.contents.lock();
        contents.live[column].range::<[u8], _>(range).next_back().map(|(key, value)| (key.clone(), value.clone()))
    }

    fn flush(&self) {
        if self.planted != Some(Planted::FlushForgotten) {
            self.contents.lock().settle();
        }
    }
}

impl Contents {
    fn write(&mut self, part: Vec<Change>, digested: bool) {
        part.iter().for_each(|change| self.make(change, digested));
        self.unsynced.push_back(part);
    }

    /// Votes that stand in a file of their own, which nobody syncs: the system writes it out now and then.
    fn write_votes(&mut self, votes: Vec<Change>) {
        votes.iter().for_each(|change| self.make(change, false));
        self.loose.extend(votes);
        if self.writes.is_multiple_of(64) {
            for change in std::mem::take(&mut self.loose) {
                drop(make(&mut self.kept, &change));
            }
        }
    }

    fn settle(&mut self) {
        for changes in std::mem::take(&mut self.unsynced) {
            changes.iter().for_each(|change| drop(make(&mut self.kept, change)));
        }
    }

    fn make(&mut self, change: &Change, digested: bool) {
        let before = make(&mut self.live, change);
        if !digested {
            return;
        }
        let (Change::Put(column, ..) | Change::Delete(column, _) | Change::DeleteRange(column, ..)) = change;
        for (key, value) in before {
            self.digest(*column, &key, &value, u64::wrapping_sub);
        }
        if let Change::Put(column, key, value) = change {
            self.digest(*column, key, value, u64::wrapping_add);
        }
    }

    fn digest(&mut self, column: usize, key: &[u8], value: &[u8], by: fn(u64, u64) -> u64) {
        if column != RAFT {
            let digest = self.digests.entry(group_in(key)).or_default();
            *digest = by(*digest, pair(column, key, value));
        }
    }

    /// Notes a group's state as it is now, if it stands for anything.
    fn see(&mut self, group: u32) {
        let key = [group.to_be_bytes().as_slice(), APPLIED].concat();
        if let Some(applied) = self.live[RAFT].get(&key) {
            let digest = self.digests.get(&group).copied().unwrap_or_default();
            self.seen.push(StateAt { group, applied: applied.clone(), digest });
        }
    }
}

/// Makes a change; what stood there before.
fn make(maps: &mut [Map; COLUMNS], change: &Change) -> Vec<(Vec<u8>, Vec<u8>)> {
    match change {
        Change::Put(column, key, value) => {
            maps[*column].insert(key.clone(), value.clone()).map(|before| (key.clone(), before)).into_iter().collect()
        }
        Change::Delete(column, key) => maps[*column].remove_entry(key).into_iter().collect(),
        Change::DeleteRange(column, from, to) if from < to => {
            let mut rest = maps[*column].split_off(from);
            let mut after = rest.split_off(to);
            maps[*column].append(&mut after);
            rest.into_iter().collect()
        }
        Change::DeleteRange(..) => Vec::new(),
    }
}

fn digests(maps: &[Map; COLUMNS]) -> BTreeMap<u32, u64> {
    let mut digests: BTreeMap<u32, u64> = maps[RAFT].keys().map(|key| (group_in(key), 0)).collect();
    for (column, map) in maps.iter().enumerate().skip(RAFT + 1) {
        for (key, value) in map {
            let digest = digests.entry(group_in(key)).or_default();
            *digest = digest.wrapping_add(pair(column, key, value));
        }
    }
    digests
}

fn pair(column: usize, key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(key, xxh3_64(value).wrapping_add(column as u64))
}

fn is_applied(change: &Change) -> bool {
    matches!(change, Change::Put(RAFT, key, _) if key.ends_with(APPLIED))
}

fn is_backfill(change: &Change) -> bool {
    let meta = Table::Meta as usize + 1;
    matches!(change, Change::Put(column, key, _) if *column == meta && key[4..].starts_with(keys::BACKFILLS))
}

fn is_vote(change: &Change) -> bool {
    matches!(change, Change::Put(META, key, _) if key.ends_with(&[VOTE]))
}

fn group_of(change: &Change) -> u32 {
    let (Change::Put(_, key, _) | Change::Delete(_, key) | Change::DeleteRange(_, key, _)) = change;
    group_in(key)
}

fn group_in(key: &[u8]) -> u32 {
    key.first_chunk().map_or(u32::MAX, |group| u32::from_be_bytes(*group))
}

/// A removal of dedupe buckets that takes all of their class.
fn widened(change: Change) -> Change {
    match change {
        Change::DeleteRange(column, from, _) if column == Table::Dedupe as usize + 1 && from.len() > 4 => {
            let end = [&from[..4], &[from[4] + 1]].concat();
            Change::DeleteRange(column, from, end)
        }
        other => other,
    }
}
