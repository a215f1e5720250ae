//! The log database: Raft entries and votes of all groups, in one stream that is synced once for all.
//!
//! One thread writes. Entries are opaque bytes here.

use crate::data_dir::DataDir;
use crate::error::{Fault, StoreError};
use crate::keys::{entry_key, group_end, group_key, index_of};
use crate::log_batch::LogBatch;
use crate::options;
use rocksdb::properties::{
    CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_PENDING_COMPACTION_BYTES, PropName, SIZE_ALL_MEM_TABLES, TOTAL_SST_FILES_SIZE,
};
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, ReadOptions, SingleThreaded, WriteOptions};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

/// Its folder in the data directory.
pub(crate) const NAME: &str = "log";
const ENTRIES: &str = "log";
const META: &str = "meta";

/// The log of all groups of a node.
pub struct LogDb {
    db: DBWithThreadMode<SingleThreaded>,
    path: PathBuf,
    /// Keeps the directory locked for as long as the database is open.
    _dir: DataDir,
}

/// Sizes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// In files, write-ahead log not counted.
    pub on_disk: u64,
    /// In memory tables.
    pub in_memory: u64,
    /// Memory that the memory tables take, those that are written out and still read included.
    pub buffers: u64,
    /// Waiting to be compacted, estimated.
    pub pending_compaction: u64,
}

impl LogDb {
    /// Opens the database in `dir`, making it if there is none. Replays what was synced and not yet written out.
    pub fn open(dir: &DataDir) -> Result<Self, StoreError> {
        let path = dir.path().join(NAME);
        let columns = [
            ColumnFamilyDescriptor::new("default", options::meta_column()),
            ColumnFamilyDescriptor::new(ENTRIES, options::log_column()),
            ColumnFamilyDescriptor::new(META, options::meta_column()),
        ];
        let db = DBWithThreadMode::open_cf_descriptors(&options::log_db(), &path, columns)
            .map_err(|e| StoreError::from_rocksdb(&path, "open", &e))?;
        let log = Self { db, path, _dir: dir.clone() };
        // A reader walks past every range removal in memory: write the memory table out before there are thousands.
        log.db
            .set_options_cf(log.column(ENTRIES), &[("memtable_max_range_deletions", "1000")])
            .map_err(|e| log.failed("set options", &e))?;
        Ok(log)
    }

    /// An empty batch.
    pub fn batch(&self) -> LogBatch<'_> {
        LogBatch::new(self.column(ENTRIES), self.column(META))
    }

    /// Writes and syncs. When this returns, the batch survives a loss of power; on an error, nothing is known: stop the process.
    pub fn commit(&self, batch: LogBatch<'_>) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch.batch, &options).map_err(|e| self.failed("write and sync", &e))
    }

    /// Visits the entries of `group` at `indexes`, in order, until `visit` breaks.
    pub fn entries(
        &self,
        group: u32,
        indexes: Range<u64>,
        mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(entry_key(group, indexes.start).as_slice()..entry_key(group, indexes.end).as_slice());
        let mut cursor = self.db.raw_iterator_cf_opt(self.column(ENTRIES), options);
        cursor.seek_to_first();
        while let Some((key, value)) = cursor.item() {
            if visit(self.index(key)?, value).is_break() {
                return Ok(());
            }
            cursor.next();
        }
        cursor.status().map_err(|e| self.failed("read entries", &e))
    }

    /// The first entry of `group` at `from` or after: its index.
    pub fn first_index(&self, group: u32, from: u64) -> Result<Option<u64>, StoreError> {
        let mut first = None;
        self.entries(group, from..u64::MAX, |index, _| {
            first = Some(index);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// The last entry of `group`: index and bytes.
    pub fn last_entry(&self, group: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(entry_key(group, 0).as_slice()..group_end(group).as_slice());
        let mut cursor = self.db.raw_iterator_cf_opt(self.column(ENTRIES), options);
        cursor.seek_to_last();
        cursor.status().map_err(|e| self.failed("read the last entry", &e))?;
        cursor.item().map(|(key, value)| Ok((self.index(key)?, value.to_vec()))).transpose()
    }

    /// One of the group's named values.
    pub fn meta(&self, group: u32, tag: u8) -> Result<Option<Vec<u8>>, StoreError> {
        let mut key = Vec::new();
        let value = self.db.get_cf(self.column(META), group_key(&mut key, group, &[tag]));
        value.map_err(|e| self.failed("read meta", &e))
    }

    /// The groups that have a named value, in order.
    pub fn groups(&self) -> Result<Vec<u32>, StoreError> {
        let mut groups = Vec::new();
        let mut cursor = self.db.raw_iterator_cf(self.column(META));
        cursor.seek_to_first();
        while let Some(key) = cursor.key() {
            let group = key.first_chunk().map(|group| u32::from_be_bytes(*group)).ok_or_else(|| {
                StoreError::new(Fault::Damaged, &self.path, format!("the key {key:02x?} names no group"))
            })?;
            groups.push(group);
            cursor.seek(group_end(group));
        }
        cursor.status().map_err(|e| self.failed("read groups", &e))?;
        Ok(groups)
    }

    /// Where it is on disk.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Sizes for metrics.
    pub fn stats(&self) -> LogStats {
        let sum = |name: &PropName| {
            let of = |column| self.db.property_int_value_cf(self.column(column), name).ok().flatten().unwrap_or(0);
            of(ENTRIES) + of(META)
        };
        LogStats {
            on_disk: sum(TOTAL_SST_FILES_SIZE),
            in_memory: sum(CUR_SIZE_ALL_MEM_TABLES),
            buffers: sum(SIZE_ALL_MEM_TABLES),
            pending_compaction: sum(ESTIMATE_PENDING_COMPACTION_BYTES),
        }
    }

    fn column(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("the column was opened with the database")
    }

    fn index(&self, key: &[u8]) -> Result<u64, StoreError> {
        index_of(key)
            .ok_or_else(|| StoreError::new(Fault::Damaged, &self.path, format!("log key {key:02x?} has no index")))
    }

    fn failed(&self, action: &str, error: &rocksdb::Error) -> StoreError {
        StoreError::from_rocksdb(&self.path, action, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &tempfile::TempDir) -> LogDb {
        LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap()
    }

    fn append(log: &LogDb, group: u32, indexes: Range<u64>) {
        let mut batch = log.batch();
        indexes.for_each(|index| batch.put_entry(group, index, format!("{group}/{index}").as_bytes()));
        log.commit(batch).unwrap();
    }

    fn read(log: &LogDb, group: u32, indexes: Range<u64>) -> Vec<String> {
        let mut found = Vec::new();
        log.entries(group, indexes, |index, value| {
            let value = std::str::from_utf8(value).unwrap();
            assert_eq!(value, format!("{group}/{index}"));
            found.push(value.to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        found
    }

    #[test]
    fn committed_entries_are_there_after_reopening() {
        let root = tempfile::tempdir().unwrap();
        let log = open(&root);
        append(&log, 1, 5..8);
        append(&log, 2, 0..2);
        let mut batch = log.batch();
        batch.put_meta(1, b'v', b"vote");
        log.commit(batch).unwrap();
        drop(log);
        let log = open(&root);
        assert_eq!(read(&log, 1, 0..100), ["1/5", "1/6", "1/7"]);
        assert_eq!(read(&log, 2, 1..2), ["2/1"]);
        assert_eq!(log.last_entry(1).unwrap(), Some((7, b"1/7".to_vec())));
        assert_eq!(log.last_entry(0).unwrap(), None);
        assert_eq!(log.first_index(1, 0).unwrap(), Some(5));
        assert_eq!(log.first_index(1, 8).unwrap(), None);
        assert_eq!(log.meta(1, b'v').unwrap().as_deref(), Some(&b"vote"[..]));
        assert_eq!(log.meta(2, b'v').unwrap(), None);
    }

    #[test]
    fn removals_take_their_range_of_their_group_only() {
        let root = tempfile::tempdir().unwrap();
        let log = open(&root);
        append(&log, 1, 0..6);
        append(&log, 2, 0..2);
        let mut batch = log.batch();
        batch.remove_entries(1, 0..3);
        batch.remove_entries(1, 5..6);
        batch.remove_entries(1, 4..4);
        assert!(!batch.is_empty() && batch.bytes() > 0);
        log.commit(batch).unwrap();
        assert_eq!(read(&log, 1, 0..100), ["1/3", "1/4"]);
        assert_eq!(read(&log, 2, 0..100), ["2/0", "2/1"]);
    }

    #[test]
    fn an_open_database_keeps_its_directory_locked() {
        let root = tempfile::tempdir().unwrap();
        let _log = open(&root);
        assert!(DataDir::open(root.path(), 1, None).is_err());
    }

    #[test]
    fn a_damaged_file_is_told_from_a_failing_disk() {
        let root = tempfile::tempdir().unwrap();
        let log = open(&root);
        let path = log.path().to_owned();
        drop(log);
        std::fs::write(path.join("CURRENT"), "MANIFEST-999999\n").unwrap();
        let error = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).err().unwrap();
        assert!(matches!(error.fault, Fault::Damaged | Fault::Io), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }
}
