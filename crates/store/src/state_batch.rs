//! What one write of the state database changes, for one group, in any of its columns, at once.

use crate::keys::group_key;
use crate::state_db::Column;
use rocksdb::{ColumnFamily, WriteBatch};

/// Collects the writes of one group. They are applied together, in the order given, by [`crate::StateDb::write`].
pub struct StateBatch<'db> {
    pub(crate) batch: WriteBatch,
    columns: Vec<&'db ColumnFamily>,
    group: u32,
    key: Vec<u8>,
}

impl<'db> StateBatch<'db> {
    pub(crate) fn new(columns: Vec<&'db ColumnFamily>, group: u32) -> Self {
        Self { batch: WriteBatch::default(), columns, group, key: Vec::new() }
    }

    /// Sets a key.
    pub fn put(&mut self, column: Column, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.columns[column.0], group_key(&mut self.key, self.group, key), value);
    }

    /// Removes a key.
    pub fn delete(&mut self, column: Column, key: &[u8]) {
        self.batch.delete_cf(self.columns[column.0], group_key(&mut self.key, self.group, key));
    }

    /// Removes all keys in `[from, to)`.
    pub fn delete_range(&mut self, column: Column, from: &[u8], to: &[u8]) {
        let mut end = Vec::new();
        let from = group_key(&mut self.key, self.group, from);
        self.batch.delete_range_cf(self.columns[column.0], from, group_key(&mut end, self.group, to));
    }

    /// Removes all keys of the group in a column.
    pub fn clear(&mut self, column: Column) {
        let from = group_key(&mut self.key, self.group, &[]);
        self.batch.delete_range_cf(self.columns[column.0], from, &crate::keys::group_end(self.group));
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }
}
