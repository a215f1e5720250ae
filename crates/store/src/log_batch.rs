//! What one commit of the log database writes: entries, positions and removals of any number of groups.

use crate::keys::{entry_key, group_end, group_key};
use rocksdb::{ColumnFamily, WriteBatch};
use std::ops::Range;

/// Collects log writes. They become durable together, in the order given, by [`crate::LogDb::commit`].
pub struct LogBatch<'db> {
    pub(crate) batch: WriteBatch,
    entries: &'db ColumnFamily,
    meta: &'db ColumnFamily,
    key: Vec<u8>,
}

impl<'db> LogBatch<'db> {
    pub(crate) fn new(entries: &'db ColumnFamily, meta: &'db ColumnFamily) -> Self {
        Self { batch: WriteBatch::default(), entries, meta, key: Vec::new() }
    }

    /// Adds an entry, or replaces the one at its index.
    pub fn put_entry(&mut self, group: u32, index: u64, encoded: &[u8]) {
        self.batch.put_cf(self.entries, entry_key(group, index), encoded);
    }

    /// Removes the entries at `indexes`. Give narrow ranges: a range that was removed before costs readers again.
    pub fn remove_entries(&mut self, group: u32, indexes: Range<u64>) {
        if !indexes.is_empty() {
            self.batch.delete_range_cf(self.entries, entry_key(group, indexes.start), entry_key(group, indexes.end));
        }
    }

    /// Removes all that there is of a group.
    pub(crate) fn remove_group(&mut self, group: u32) {
        let (from, to) = (group.to_be_bytes().to_vec(), group_end(group));
        [self.entries, self.meta].into_iter().for_each(|column| self.batch.delete_range_cf(column, &from, &to));
    }

    /// Sets one of the group's named values.
    pub fn put_meta(&mut self, group: u32, tag: u8, value: &[u8]) {
        self.batch.put_cf(self.meta, group_key(&mut self.key, group, &[tag]), value);
    }

    /// Removes one of the group's named values.
    pub fn remove_meta(&mut self, group: u32, tag: u8) {
        self.batch.delete_cf(self.meta, group_key(&mut self.key, group, &[tag]));
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }
}
