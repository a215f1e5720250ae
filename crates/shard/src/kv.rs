//! The key-value store as the state machine sees it: tables of ordered keys to read, and a transaction that collects writes.
//!
//! Knows no RocksDB and no shard prefix: whoever drives the machine adds both.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

/// One table of the state: an ordered map of byte strings. The number is part of the disk format; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// `meta`: counters and positions of the shard. Few keys, written with each batch.
    Meta = 0,
    /// namespace, id -> definition number.
    Names = 1,
    /// definition number, version -> the definition as given.
    Definitions = 2,
    /// definition number -> generation, next due, counters: small and hot.
    Cursors = 3,
    /// namespace, event type, definition number -> what the ingress needs to match.
    Subscriptions = 4,
    /// window class, time bucket, digest -> when it was seen; of a request, also how it was answered.
    Dedupe = 5,
    /// lane, sequence -> the firings of one entry that are not all acknowledged.
    Outbox = 6,
    /// sequence -> the occurrences of one entry; and how they ended.
    Account = 7,
    /// sequence -> a firing that the sink refused for good.
    Dead = 8,
    /// hour, definition number, version -> nothing: versions that may be dropped when they are old enough.
    Retired = 9,
    /// reason, account sequence -> nothing: chunks that hold what did not fire, by reason.
    Misses = 10,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Names,
        Self::Definitions,
        Self::Cursors,
        Self::Subscriptions,
        Self::Dedupe,
        Self::Outbox,
        Self::Account,
        Self::Dead,
        Self::Retired,
        Self::Misses,
    ];
}

/// The store could not be read: a disk or corruption fault, never a missing key.
#[derive(Debug, thiserror::Error)]
#[error("state store: {0}")]
pub struct ReadError(pub String);

/// Called with each key and its value; breaks to end the scan.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Reading the state of one shard.
pub trait Read {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Visits keys in `[from, to)` in ascending order until `visit` breaks; none where `from` is not before `to`.
    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError>;
}

/// A write that a transaction has collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Set a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Remove a key.
    Delete(Table, Vec<u8>),
    /// Remove all keys in `[from, to)`.
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

/// Collects the writes of one or more entries that are applied together, and reads through them: an entry sees what it would see if
/// those before it had been written. So it makes no difference to the state how a replica batches its entries.
pub struct Txn<'a> {
    read: &'a dyn Read,
    writes: Vec<Write>,
    /// By table: the index of the newest write that touches a key.
    newest: [BTreeMap<Vec<u8>, usize>; Table::ALL.len()],
    /// The ranges removed from what is committed.
    removed: Vec<(Table, Vec<u8>, Vec<u8>)>,
}

impl<'a> Txn<'a> {
    /// An empty one over the committed state.
    pub fn new(read: &'a dyn Read) -> Self {
        Self { read, writes: Vec::new(), newest: Default::default(), removed: Vec::new() }
    }

    /// The value of a key, with this transaction's own writes in place.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.newest[table as usize].get(key) {
            Some(index) => Ok(self.written(*index).cloned()),
            None if self.is_removed(table, key) => Ok(None),
            None => self.read.get(table, key),
        }
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.note(table, &key);
        self.writes.push(Write::Put(table, key, value));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.note(table, &key);
        self.writes.push(Write::Delete(table, key));
    }

    /// Removes all keys in `[from, to)`.
    pub fn delete_range(&mut self, table: Table, from: Vec<u8>, to: Vec<u8>) {
        if from >= to {
            return;
        }
        let range = (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
        for (_, index) in self.newest[table as usize].range_mut::<[u8], _>(range) {
            *index = self.writes.len();
        }
        self.removed.push((table, from.clone(), to.clone()));
        self.writes.push(Write::DeleteRange(table, from, to));
    }

    /// What is to be written, in order.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// Cursors are written for each decision and never read back: their newest values are in the machine's memory.
    fn note(&mut self, table: Table, key: &[u8]) {
        if table != Table::Cursors {
            self.newest[table as usize].insert(key.to_vec(), self.writes.len());
        }
    }

    /// What a write leaves behind for a key that it touches.
    fn written(&self, index: usize) -> Option<&Vec<u8>> {
        match &self.writes[index] {
            Write::Put(_, _, value) => Some(value),
            Write::Delete(..) | Write::DeleteRange(..) => None,
        }
    }

    fn is_removed(&self, table: Table, key: &[u8]) -> bool {
        self.removed.iter().any(|(t, from, to)| *t == table && from.as_slice() <= key && key < to.as_slice())
    }
}

impl Read for Txn<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Self::get(self, table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut own = self.newest[table as usize].range::<[u8], _>(range).peekable();
        let mut flow = ControlFlow::Continue(());
        self.read.scan(table, from, to, &mut |key, value| {
            while let Some((own_key, index)) = own.next_if(|(own_key, _)| own_key.as_slice() < key) {
                flow = self.written(*index).map_or(flow, |value| visit(own_key, value));
                if flow.is_break() {
                    return flow;
                }
            }
            flow = match own.next_if(|(own_key, _)| own_key.as_slice() == key) {
                Some((_, index)) => self.written(*index).map_or(flow, |value| visit(key, value)),
                None if self.is_removed(table, key) => flow,
                None => visit(key, value),
            };
            flow
        })?;
        while flow.is_continue()
            && let Some((key, index)) = own.next()
        {
            flow = self.written(*index).map_or(flow, |value| visit(key, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of one-byte keys and values.
    struct Committed(BTreeMap<u8, u8>);

    impl Read for Committed {
        fn get(&self, _: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
            Ok(self.0.get(&key[0]).map(|value| vec![*value]))
        }

        fn scan(&self, _: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
            let _ = self.0.range(from[0]..to[0]).try_for_each(|(key, value)| visit(&[*key], &[*value]));
            Ok(())
        }
    }

    const TABLE: Table = Table::Meta;

    fn scanned(txn: &Txn<'_>, from: u8, to: u8, limit: usize) -> Vec<(u8, u8)> {
        let mut found = Vec::new();
        txn.scan(TABLE, &[from], &[to], &mut |key, value| {
            found.push((key[0], value[0]));
            if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .expect("never fails");
        found
    }

    /// Keys 1, 3, 5, 7, 9 are committed as they are; then 3 is deleted, 5 set, 4 to 8 removed, and 6 and 0 set.
    fn written(committed: &Committed) -> Txn<'_> {
        let mut txn = Txn::new(committed);
        txn.delete(TABLE, vec![3]);
        txn.put(TABLE, vec![5], vec![50]);
        txn.put(TABLE, vec![4], vec![40]);
        txn.delete_range(TABLE, vec![4], vec![8]);
        txn.delete_range(TABLE, vec![9], vec![9]);
        txn.put(TABLE, vec![6], vec![60]);
        txn.put(TABLE, vec![0], vec![7]);
        txn
    }

    #[test]
    fn reads_see_all_writes_of_their_transaction() {
        let committed = Committed((1..10).step_by(2).map(|key| (key, key)).collect());
        let txn = written(&committed);
        let all: Vec<_> =
            (0..10).filter_map(|key| Some((key, txn.get(TABLE, &[key]).expect("never fails")?[0]))).collect();
        assert_eq!(all, [(0, 7), (1, 1), (6, 60), (9, 9)]);
        assert_eq!(scanned(&txn, 0, 10, usize::MAX), all);
    }

    #[test]
    fn a_scan_keeps_its_bounds_and_ends_when_told() {
        let committed = Committed((1..10).step_by(2).map(|key| (key, key)).collect());
        let txn = written(&committed);
        assert_eq!(scanned(&txn, 1, 9, usize::MAX), [(1, 1), (6, 60)]);
        assert_eq!(scanned(&txn, 5, 5, usize::MAX), []);
        assert_eq!(scanned(&txn, 9, 1, usize::MAX), []);
        for limit in 1..=4 {
            assert_eq!(scanned(&txn, 0, 10, limit), [(0, 7), (1, 1), (6, 60), (9, 9)][..limit]);
        }
        let empty = Committed(BTreeMap::new());
        assert_eq!(scanned(&written(&empty), 0, 10, 1), [(0, 7)]);
        assert_eq!(scanned(&written(&empty), 0, 10, usize::MAX), [(0, 7), (6, 60)]);
    }

    #[test]
    fn writes_come_out_in_order() {
        let committed = Committed(BTreeMap::new());
        let mut txn = Txn::new(&committed);
        txn.put(TABLE, vec![1], vec![1]);
        txn.delete_range(TABLE, vec![0], vec![2]);
        txn.delete(TABLE, vec![1]);
        let expected = [
            Write::Put(TABLE, vec![1], vec![1]),
            Write::DeleteRange(TABLE, vec![0], vec![2]),
            Write::Delete(TABLE, vec![1]),
        ];
        assert_eq!(txn.into_writes(), expected);
    }
}
