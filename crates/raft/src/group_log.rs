//! One group's log as it stands: positions and newest entries in memory, the rest read from the log database.
//!
//! Memory is changed at once; the writer thread brings the same changes to disk, in the same order.

use crate::codec::{self, DecodeError, place};
use crate::error::Stopped;
use crate::tail::{Tail, weight};
use crate::types::{Entry, LogId, Vote, next_index};
use flintwheel_store::{LogBatch, LogDb, StoreError};
use parking_lot::Mutex;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The named values of a group in the log database.
pub(crate) mod tag {
    pub(crate) const VOTE: u8 = b'v';
    pub(crate) const COMMITTED: u8 = b'c';
    pub(crate) const PURGED: u8 = b'p';
    /// The node has a replica of the group: [`HOST_FOUNDER`](super::HOST_FOUNDER) or [`HOST_GUEST`](super::HOST_GUEST).
    pub(crate) const HOST: u8 = b'h';
    /// The replica has left this node, and what it had is being removed.
    pub(crate) const LEAVING: u8 = b'l';
    /// How the node came to be; of [`NODE`](super::NODE).
    pub(crate) const FOUNDED: u8 = b'f';
    /// Which start of the node's program began last; of [`NODE`](super::NODE).
    pub(crate) const EPOCH: u8 = b'e';
    /// Written to see whether the disk does what it is asked; of [`NODE`](super::NODE).
    pub(crate) const PROBE: u8 = b'q';
    /// Which start the cluster has recorded last; of [`NODE`](super::NODE).
    pub(crate) const CONFIRMED: u8 = b'r';
    /// Random, of the start that began last; of [`NODE`](super::NODE).
    pub(crate) const INCARNATION: u8 = b'i';
    /// Of which start that is: older versions count on without it; of [`NODE`](super::NODE).
    pub(crate) const BEGUN: u8 = b'b';
    /// The replica stands for no election yet. Empty, or the first entry that a leader has told it is committed.
    pub(crate) const MUTE: u8 = b'm';
    /// What the log has lost, once; of [`NODE`](super::NODE), or of one group that has lost something alone.
    // (Under `d` older versions have written to see whether the disk does what it is asked: it stands there still.)
    pub(crate) const DISTRUST: u8 = b'u';
    /// The replica has left since the log lost something: what it is now is new.
    pub(crate) const CLEARED: u8 = b'k';
    /// Why the cluster will have nothing of this disk any more; of [`NODE`](super::NODE).
    pub(crate) const EXPELLED: u8 = b'x';
    /// How many shards the cluster has; of [`NODE`](super::NODE).
    pub(crate) const SHARDS: u8 = b's';
}

/// The group under which the node keeps what is of no group.
pub(crate) const NODE: u32 = u32::MAX;

/// A replica that makes its group, as the only voter, if that is not done yet.
pub(crate) const HOST_FOUNDER: u64 = 1;
/// A replica that waits for its group's leader.
pub(crate) const HOST_GUEST: u64 = 2;

/// One group's log.
pub(crate) struct GroupLog {
    pub(crate) group: u32,
    db: Arc<LogDb>,
    /// The last entry when it was opened.
    opened: Option<LogId>,
    mute: AtomicBool,
    /// The first entry that a leader said was committed, of a replica that was mute.
    committed_then: OnceLock<LogId>,
    /// Held while that is written.
    hearing: Mutex<()>,
    positions: Mutex<Positions>,
}

struct Positions {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    /// The last entry, or what was purged last if there is none.
    last: Option<LogId>,
    tail: Tail,
}

/// Why a group's log can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} of group {group} in the log can't be read: {source}")]
    Decode { group: u32, what: String, source: DecodeError },
    #[error("the log of group {group} has a hole: entry {wanted} is missing, the next one is {found}")]
    Hole { group: u32, wanted: u64, found: u64 },
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        Self::other(error)
    }
}

impl From<&LogError> for Stopped {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Decode { source: DecodeError::Newer(_), .. } => Self::newer(error.to_string()),
            _ => Self::damaged(error.to_string()),
        }
    }
}

impl GroupLog {
    /// Of a replica that is fenced because it can't be read.
    pub(crate) fn unreadable(db: Arc<LogDb>, group: u32) -> Self {
        let positions = Positions { vote: None, committed: None, purged: None, last: None, tail: Tail::new(0) };
        let (mute, committed_then, hearing) = Default::default();
        Self { group, db, opened: None, mute, committed_then, hearing, positions: Mutex::new(positions) }
    }

    /// Reads the positions of `group` and checks that its entries begin where they were purged. Keeps about `tail_bytes` in memory.
    pub(crate) fn open(db: Arc<LogDb>, group: u32, tail_bytes: usize) -> Result<Self, LogError> {
        let read = Reader { db: &db, group };
        let vote = read.meta(tag::VOTE, "the vote", codec::decode_vote)?;
        let committed = read.meta(tag::COMMITTED, "the committed position", codec::decode_position)?;
        let purged = read.meta(tag::PURGED, "the purged position", codec::decode_position)?;
        let last = match db.last_entry(group)? {
            Some((index, bytes)) => Some(read.entry(index, &bytes)?.log_id),
            None => purged,
        };
        let wanted = next_index(purged.as_ref());
        if let Some(found) = db.first_index(group, 0)?
            && found > wanted
        {
            return Err(LogError::Hole { group, wanted, found });
        }
        let positions = Positions { vote, committed, purged, last, tail: Tail::new(tail_bytes) };
        let heard = read.meta(tag::MUTE, "what was committed when it came", decode_heard)?;
        let (mute, hearing) = (AtomicBool::new(heard.is_some()), Mutex::default());
        let committed_then = heard.flatten().map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { group, db, opened: last, mute, committed_then, hearing, positions: Mutex::new(positions) })
    }

    /// The state has all up to `upto`, from a leader of `vote` at the latest (a snapshot was installed by an earlier process, say): the log goes on
    /// from there, and no term before that one counts here any more. Entries that contradict it were never committed. Blocks until that is durable.
    pub(crate) fn stand_at(&self, upto: LogId, vote: Vote) -> Result<(), LogError> {
        let fits = self.has(upto)?;
        let mut positions = self.positions.lock();
        let vote = positions.vote.filter(|mine| *mine > vote).unwrap_or(vote);
        let end = if fits { upto.index() + 1 } else { u64::MAX };
        let mut batch = self.db.batch();
        batch.remove_entries(self.group, next_index(positions.purged.as_ref())..end);
        let at = place(self.group, tag::PURGED.into());
        batch.put_meta(self.group, tag::PURGED, &codec::encode_position(at, &upto));
        let at = place(self.group, tag::VOTE.into());
        batch.put_meta(self.group, tag::VOTE, &codec::encode_vote(at, &vote));
        self.db.commit(batch)?;
        (positions.vote, positions.purged) = (Some(vote), Some(upto));
        positions.last = if fits { positions.last } else { Some(upto) };
        Ok(())
    }

    /// Adds to a batch that the replica leaves: what it has goes from now on, whatever happens. A vote that can't be read is given up; who had
    /// it has been taken out of its group, and takes part in no election that it may have voted in.
    pub(crate) fn leave(db: &LogDb, batch: &mut LogBatch<'_>, group: u32) {
        batch.put_meta(group, tag::LEAVING, &[]);
        if (Reader { db, group }).meta(tag::VOTE, "the vote", codec::decode_vote).is_err() {
            batch.remove_meta(group, tag::VOTE);
        }
    }

    /// Whether this entry is on disk, or was the last that was removed. Blocks.
    pub(crate) fn has(&self, id: LogId) -> Result<bool, LogError> {
        let read = Reader { db: &self.db, group: self.group };
        let mut there = None;
        self.db.entries(self.group, id.index()..id.index() + 1, |index, bytes| {
            there = Some(read.entry(index, bytes));
            ControlFlow::Break(())
        })?;
        Ok(self.purged() == Some(id) || there.transpose()?.is_some_and(|entry| entry.log_id == id))
    }

    /// Removes the log, and keeps the vote: whoever comes back under the same id must not vote twice.
    pub(crate) fn erase(batch: &mut LogBatch<'_>, group: u32) {
        batch.remove_entries(group, 0..u64::MAX);
        let all = [tag::HOST, tag::COMMITTED, tag::PURGED, tag::LEAVING, tag::MUTE];
        all.into_iter().for_each(|tag| batch.remove_meta(group, tag));
    }

    /// It stands for no election.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::Acquire)
    }

    /// A leader says that so much is committed. What the first one says counts, also after a restart. Blocks.
    pub(crate) fn hear(&self, commit: LogId) -> Result<(), LogError> {
        let _alone = self.hearing.lock();
        if self.committed_then.get().is_some() {
            return Ok(());
        }
        let mut batch = self.db.batch();
        let at = place(self.group, tag::MUTE.into());
        batch.put_meta(self.group, tag::MUTE, &codec::encode_position(at, &commit));
        self.db.commit(batch)?;
        self.committed_then.get_or_init(|| commit);
        Ok(())
    }

    /// Whether it has heard a leader, and has applied what was committed then.
    pub(crate) fn has_caught_up(&self, applied: Option<u64>) -> bool {
        self.committed_then.get().is_some_and(|then| applied >= Some(then.index()))
    }

    /// Whether a candidate whose log ends there may have its vote, as far as its own log does not say.
    pub(crate) fn may_elect(&self, last: Option<LogId>) -> bool {
        !self.is_mute() || self.committed_then.get().is_some_and(|then| last >= Some(*then))
    }

    /// It may stand for elections from now on, also after a restart. Blocks.
    pub(crate) fn speak(&self) -> Result<(), LogError> {
        let mut batch = self.db.batch();
        batch.remove_meta(self.group, tag::MUTE);
        self.db.commit(batch)?;
        self.mute.store(false, Ordering::Release);
        Ok(())
    }

    /// Reads all that the disk has of the group, so that what is damaged is found; `pace` is told how many bytes were read, and may break it off.
    pub(crate) fn verify(&self, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<(), LogError> {
        Ok(self.db.verify(self.group, pace)?)
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.positions.lock().vote
    }

    pub(crate) fn set_vote(&self, vote: Vote) {
        self.positions.lock().vote = Some(vote);
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.positions.lock().committed
    }

    pub(crate) fn set_committed(&self, committed: Option<LogId>) {
        self.positions.lock().committed = committed;
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.positions.lock().purged
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.positions.lock().last
    }

    /// The last entry that it had when it was opened, and still has.
    pub(crate) fn opened(&self) -> Option<LogId> {
        self.opened.min(self.last())
    }

    /// Appends entries that follow each other. Returns the epoch to report with [`GroupLog::set_durable`].
    pub(crate) fn append(&self, entries: &[Entry]) -> Result<u64, LogError> {
        let mut positions = self.positions.lock();
        for entry in entries {
            let found = entry.log_id.index();
            if let Some(last) = positions.tail.last()
                && found != last.log_id.index() + 1
            {
                return Err(LogError::Hole { group: self.group, wanted: last.log_id.index() + 1, found });
            }
            positions.last = Some(entry.log_id);
            positions.tail.push(entry.clone());
        }
        Ok(positions.tail.epoch())
    }

    /// The entries before `end`, appended in `epoch`, are on disk.
    pub(crate) fn set_durable(&self, epoch: u64, end: u64) {
        self.positions.lock().tail.set_durable(epoch, end);
    }

    /// Removes the entries after `last`. Returns the indexes to remove from disk.
    pub(crate) fn truncate_after(&self, last: Option<LogId>) -> Range<u64> {
        let mut positions = self.positions.lock();
        let removed = next_index(last.as_ref())..next_index(positions.last.as_ref());
        if !removed.is_empty() {
            positions.tail.truncate(removed.start);
            positions.last = last.max(positions.purged);
        }
        removed
    }

    /// Removes the entries up to and including `upto`. Returns the indexes to remove from disk.
    pub(crate) fn purge(&self, upto: LogId) -> Range<u64> {
        let mut positions = self.positions.lock();
        let removed = next_index(positions.purged.as_ref())..upto.index() + 1;
        positions.purged = positions.purged.max(Some(upto));
        positions.last = positions.last.max(Some(upto));
        positions.tail.purge(removed.end);
        removed
    }

    /// The entries that the log has at `indexes`, up to about `limit` bytes but at least one: those in memory, and where older
    /// ones begin that are to be read with [`GroupLog::read_disk`] first.
    pub(crate) fn read_memory(&self, indexes: Range<u64>, limit: usize) -> Found {
        let positions = self.positions.lock();
        let start = indexes.start.max(next_index(positions.purged.as_ref()));
        let end = indexes.end.min(next_index(positions.last.as_ref())).max(start);
        let in_memory = positions.tail.first_index().unwrap_or(end).clamp(start, end);
        let mut room = Room(limit);
        let entries = if in_memory == start {
            positions.tail.range(in_memory..end).take_while(|entry| room.takes(entry)).cloned().collect()
        } else {
            Vec::new()
        };
        Found { entries, on_disk: start..in_memory }
    }

    /// Reads entries from disk, up to about `limit` bytes but at least one. Blocks. Those at the front may have been purged meanwhile.
    pub(crate) fn read_disk(&self, indexes: Range<u64>, limit: usize) -> Result<Vec<Entry>, LogError> {
        let read = Reader { db: &self.db, group: self.group };
        let (mut entries, mut failed, mut room) = (Vec::<Entry>::new(), None, Room(limit));
        self.db.entries(self.group, indexes.clone(), |index, bytes| {
            let wanted = entries.last().map_or(index, |last| last.log_id.index() + 1);
            match read.entry(index, bytes) {
                _ if index != wanted => failed = Some(LogError::Hole { group: self.group, wanted, found: index }),
                Err(error) => failed = Some(error),
                Ok(entry) if room.takes(&entry) => {
                    entries.push(entry);
                    return ControlFlow::Continue(());
                }
                Ok(_) => {}
            }
            ControlFlow::Break(())
        })?;
        failed.map_or(Ok(entries), Err)
    }
}

/// The value of [`tag::MUTE`].
fn decode_heard(place: u64, bytes: &[u8]) -> Result<Option<LogId>, DecodeError> {
    if bytes.is_empty() { Ok(None) } else { codec::decode_position(place, bytes).map(Some) }
}

/// What memory had to say about a range of the log.
pub(crate) struct Found {
    /// The entries, if the range begins in memory.
    pub(crate) entries: Vec<Entry>,
    /// The part of the range that is only on disk.
    pub(crate) on_disk: Range<u64>,
}

/// Takes entries until they weigh too much; the first always fits.
struct Room(usize);

impl Room {
    fn takes(&mut self, entry: &Entry) -> bool {
        let fits = self.0 > 0;
        self.0 = self.0.saturating_sub(weight(entry));
        fits
    }
}

struct Reader<'a> {
    db: &'a LogDb,
    group: u32,
}

impl Reader<'_> {
    fn meta<T>(
        &self,
        tag: u8,
        what: &str,
        decode: fn(u64, &[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, LogError> {
        let bytes = self.db.meta(self.group, tag)?;
        let value = bytes.map(|bytes| decode(place(self.group, tag.into()), &bytes)).transpose();
        value.map_err(|source| LogError::Decode { group: self.group, what: what.to_owned(), source })
    }

    fn entry(&self, index: u64, bytes: &[u8]) -> Result<Entry, LogError> {
        let entry = codec::decode_entry(place(self.group, index), index, bytes);
        entry.map_err(|source| LogError::Decode { group: self.group, what: format!("entry {index}"), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;
    use flintwheel_store::DataDir;

    const SHARD: u32 = 7;

    fn id(term: u64, index: u64) -> Option<LogId> {
        Some(LogId::new(LeaderId { term, node_id: 1 }, index))
    }

    #[test]
    fn a_new_log_elects_whoever_has_what_was_committed_when_it_first_heard_a_leader() {
        let root = tempfile::tempdir().unwrap();
        let db = Arc::new(LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap());
        let mut batch = db.batch();
        batch.put_meta(SHARD, tag::MUTE, &[]);
        db.commit(batch).unwrap();
        let open = || GroupLog::open(db.clone(), SHARD, 0).unwrap();
        let candidates = [None, id(1, 9), id(2, 4), id(2, 5), id(3, 1)];
        let elects = |log: &GroupLog| candidates.map(|last| log.may_elect(last));
        let nobody = open();
        assert_eq!((nobody.is_mute(), elects(&nobody)), (true, [false; 5]));
        assert!(!nobody.has_caught_up(Some(100)));
        nobody.hear(id(2, 5).unwrap()).unwrap();
        // What comes later does not count: it would never have all of it.
        nobody.hear(id(2, 9).unwrap()).unwrap();
        for heard in [nobody, open()] {
            assert_eq!((heard.is_mute(), elects(&heard)), (true, [false, false, false, true, true]));
            assert_eq!([None, Some(4), Some(5)].map(|applied| heard.has_caught_up(applied)), [false, false, true]);
        }
        open().speak().unwrap();
        let speaks = open();
        assert_eq!((speaks.is_mute(), elects(&speaks)), (false, [true; 5]));
    }
}
