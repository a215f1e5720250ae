//! The newest entries of a group's log in memory, so that applying and replicating them reads no disk.

use crate::types::Entry;
use openraft::EntryPayload;
use std::collections::VecDeque;
use std::ops::Range;

/// What an entry costs beside its payload, roughly.
const OVERHEAD: usize = 96;

/// A run of entries without a hole. Entries that are not durable yet always stay; older ones go when they are too many bytes.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
    /// The first index that is not durable yet.
    durable_end: u64,
    /// How often entries were truncated: what was on its way to disk before is not what stands here now.
    epoch: u64,
}

impl Tail {
    /// Keeps about `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limit, durable_end: 0, epoch: 0 }
    }

    /// The index of the oldest entry in memory.
    pub(crate) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index())
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// Appends the entry that follows the last one.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
    }

    /// What [`Tail::set_durable`] wants to know: entries written from now on are of this epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Entries before `end`, as they were in `epoch`, are on disk now.
    pub(crate) fn set_durable(&mut self, epoch: u64, end: u64) {
        if epoch == self.epoch {
            self.durable_end = self.durable_end.max(end);
        }
        while self.bytes > self.limit && self.first_index().is_some_and(|first| first < self.durable_end) {
            self.pop_front();
        }
    }

    /// Removes the entries at `from` and after.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.last().is_some_and(|entry| entry.log_id.index() >= from) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, weight);
        }
        self.durable_end = self.durable_end.min(from);
        self.epoch += 1;
    }

    /// Removes the entries before `end`.
    pub(crate) fn purge(&mut self, end: u64) {
        while self.first_index().is_some_and(|first| first < end) {
            self.pop_front();
        }
    }

    /// The entries in memory at `indexes`.
    pub(crate) fn range(&self, indexes: Range<u64>) -> impl Iterator<Item = &Entry> {
        let first = self.first_index().unwrap_or(indexes.end);
        let place = |index: u64| (index.max(first) - first).min(self.entries.len() as u64) as usize;
        self.entries.range(place(indexes.start)..place(indexes.end.max(indexes.start)))
    }

    fn pop_front(&mut self) {
        self.bytes -= self.entries.pop_front().as_ref().map_or(0, weight);
    }
}

/// The memory that an entry holds, roughly.
pub(crate) fn weight(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    OVERHEAD + payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Command, LeaderId, LogId};
    use bytes::Bytes;
    use openraft::entry::RaftEntry;

    fn entry(index: u64) -> Entry {
        let id = LogId::new(LeaderId { term: 1, node_id: 1 }, index);
        Entry::new(id, EntryPayload::Normal(Command(Bytes::from(vec![0; 4]))))
    }

    fn tail(limit: usize, indexes: Range<u64>) -> Tail {
        let mut tail = Tail::new(limit);
        indexes.for_each(|index| tail.push(entry(index)));
        tail
    }

    fn indexes(tail: &Tail, range: Range<u64>) -> Vec<u64> {
        tail.range(range).map(|entry| entry.log_id.index()).collect()
    }

    #[test]
    fn a_range_gives_what_is_in_memory() {
        let tail = tail(usize::MAX, 10..15);
        let cases: [(Range<u64>, &[u64]); 7] = [
            (0..100, &[10, 11, 12, 13, 14]),
            (11..13, &[11, 12]),
            (0..11, &[10]),
            (0..10, &[]),
            (14..15, &[14]),
            (15..20, &[]),
            (12..12, &[]),
        ];
        for (range, want) in cases {
            assert_eq!(indexes(&tail, range.clone()), want, "{range:?}");
        }
        assert_eq!(indexes(&Tail::new(0), 0..100), [0; 0]);
    }

    #[test]
    fn only_durable_entries_leave_memory() {
        let mut tail = tail(2 * (OVERHEAD + 4), 0..5);
        assert_eq!(indexes(&tail, 0..9), [0, 1, 2, 3, 4]);
        tail.set_durable(0, 2);
        assert_eq!(indexes(&tail, 0..9), [2, 3, 4]);
        tail.set_durable(0, 5);
        assert_eq!(indexes(&tail, 0..9), [3, 4]);
    }

    #[test]
    fn a_write_that_was_under_way_when_its_entries_were_truncated_makes_nothing_durable() {
        let mut tail = tail(0, 0..5);
        let before = tail.epoch();
        tail.truncate(3);
        tail.push(entry(3));
        tail.set_durable(before, 5);
        assert_eq!(indexes(&tail, 0..9), [0, 1, 2, 3]);
        tail.set_durable(tail.epoch(), 3);
        assert_eq!(indexes(&tail, 0..9), [3]);
    }

    #[test]
    fn purging_and_truncating_account_for_all_bytes() {
        let mut tail = tail(usize::MAX, 0..5);
        tail.purge(2);
        tail.truncate(4);
        assert_eq!(indexes(&tail, 0..9), [2, 3]);
        tail.purge(9);
        assert_eq!((tail.bytes, tail.last()), (0, None));
    }
}
