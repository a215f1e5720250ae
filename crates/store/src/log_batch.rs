//! What one commit of the log database writes: entries, positions and removals of any number of groups.

use crate::keys::{entry_key, group_end, group_key};
use crate::log_db::{ENTRIES, LogDb, META};
use crate::shelf::Change;
use rocksdb::WriteBatch;
use std::ops::Range;

/// Collects log writes. They become durable together, in the order given, by [`crate::LogDb::commit`].
pub struct LogBatch<'db> {
    pub(crate) writes: Writes<'db>,
    key: Vec<u8>,
}

/// As the database takes them.
pub(crate) enum Writes<'db> {
    Rocks(WriteBatch, &'db LogDb),
    Shelf(Vec<Change>),
}

/// The columns' numbers where there is no RocksDB.
pub(crate) const ENTRIES_COLUMN: usize = 0;
pub(crate) const META_COLUMN: usize = 1;

impl<'db> LogBatch<'db> {
    pub(crate) fn new(writes: Writes<'db>) -> Self {
        Self { writes, key: Vec::new() }
    }

    /// Adds an entry, or replaces the one at its index.
    pub fn put_entry(&mut self, group: u32, index: u64, encoded: &[u8]) {
        let key = entry_key(group, index);
        match &mut self.writes {
            Writes::Rocks(batch, db) => batch.put_cf(db.column(ENTRIES), key, encoded),
            Writes::Shelf(changes) => changes.push(Change::Put(ENTRIES_COLUMN, key.to_vec(), encoded.to_vec())),
        }
    }

    /// Removes the entries at `indexes`. Give narrow ranges: a range that was removed before costs readers again.
    pub fn remove_entries(&mut self, group: u32, indexes: Range<u64>) {
        if indexes.is_empty() {
            return;
        }
        let (from, to) = (entry_key(group, indexes.start), entry_key(group, indexes.end));
        match &mut self.writes {
            Writes::Rocks(batch, db) => batch.delete_range_cf(db.column(ENTRIES), from, to),
            Writes::Shelf(changes) => changes.push(Change::DeleteRange(ENTRIES_COLUMN, from.to_vec(), to.to_vec())),
        }
    }

    /// Removes all that there is of a group.
    pub(crate) fn remove_group(&mut self, group: u32) {
        let (from, to) = (group.to_be_bytes().to_vec(), group_end(group));
        match &mut self.writes {
            Writes::Rocks(batch, db) => {
                [ENTRIES, META].into_iter().for_each(|name| batch.delete_range_cf(db.column(name), &from, &to));
            }
            Writes::Shelf(changes) => {
                let all = |column| Change::DeleteRange(column, from.clone(), to.clone());
                changes.extend([ENTRIES_COLUMN, META_COLUMN].map(all));
            }
        }
    }

    /// Sets one of the group's named values.
    pub fn put_meta(&mut self, group: u32, tag: u8, value: &[u8]) {
        let key = group_key(&mut self.key, group, &[tag]);
        match &mut self.writes {
            Writes::Rocks(batch, db) => batch.put_cf(db.column(META), key, value),
            Writes::Shelf(changes) => changes.push(Change::Put(META_COLUMN, key.to_vec(), value.to_vec())),
        }
    }

    /// Removes one of the group's named values.
    pub fn remove_meta(&mut self, group: u32, tag: u8) {
        let key = group_key(&mut self.key, group, &[tag]);
        match &mut self.writes {
            Writes::Rocks(batch, db) => batch.delete_cf(db.column(META), key),
            Writes::Shelf(changes) => changes.push(Change::Delete(META_COLUMN, key.to_vec())),
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        match &self.writes {
            Writes::Rocks(batch, _) => batch.is_empty(),
            Writes::Shelf(changes) => changes.is_empty(),
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
