//! What one write of the state database changes, for one group, in any of its columns, at once.

use crate::keys::{group_end, group_key};
use crate::shelf::Change;
use crate::state_db::Column;
use rocksdb::{ColumnFamily, WriteBatch};

/// Collects the writes of one group. They are applied together, in the order given, by [`crate::StateDb::write`].
pub struct StateBatch<'db> {
    pub(crate) writes: Writes<'db>,
    group: u32,
    key: Vec<u8>,
}

/// As the database takes them.
pub(crate) enum Writes<'db> {
    Rocks(WriteBatch, Vec<&'db ColumnFamily>),
    Shelf(Vec<Change>),
}

impl<'db> StateBatch<'db> {
    pub(crate) fn new(writes: Writes<'db>, group: u32) -> Self {
        Self { writes, group, key: Vec::new() }
    }

    /// Sets a key.
    pub fn put(&mut self, Column(column): Column, key: &[u8], value: &[u8]) {
        let key = group_key(&mut self.key, self.group, key);
        match &mut self.writes {
            Writes::Rocks(batch, columns) => batch.put_cf(columns[column], key, value),
            Writes::Shelf(changes) => changes.push(Change::Put(column, key.to_vec(), value.to_vec())),
        }
    }

    /// Removes a key.
    pub fn delete(&mut self, Column(column): Column, key: &[u8]) {
        let key = group_key(&mut self.key, self.group, key);
        match &mut self.writes {
            Writes::Rocks(batch, columns) => batch.delete_cf(columns[column], key),
            Writes::Shelf(changes) => changes.push(Change::Delete(column, key.to_vec())),
        }
    }

    /// Removes all keys in `[from, to)`.
    pub fn delete_range(&mut self, column: Column, from: &[u8], to: &[u8]) {
        let mut end = Vec::new();
        self.remove(column, from, group_key(&mut end, self.group, to));
    }

    /// Removes all keys of the group in a column.
    pub fn clear(&mut self, column: Column) {
        self.remove(column, &[], &group_end(self.group));
    }

    fn remove(&mut self, Column(column): Column, from: &[u8], end: &[u8]) {
        let from = group_key(&mut self.key, self.group, from);
        match &mut self.writes {
            Writes::Rocks(batch, columns) => batch.delete_range_cf(columns[column], from, end),
            Writes::Shelf(changes) => changes.push(Change::DeleteRange(column, from.to_vec(), end.to_vec())),
        }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> usize {
        match &self.writes {
            Writes::Rocks(batch, _) => batch.size_in_bytes(),
            Writes::Shelf(changes) => changes.iter().map(Change::bytes).sum(),
        }
    }
}
