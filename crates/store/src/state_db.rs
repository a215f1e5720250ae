//! The state database: what the groups' machines have made of their logs. It has no log of its own: after a crash it stands
//! where it was last flushed, and the Raft log brings it forward again.
//!
//! Any thread may write or read. Knows columns by number, as the one who opens it lists them.

use crate::data_dir::DataDir;
use crate::error::{Fault, StoreError};
use crate::keys::{group_end, group_key};
use crate::manifest::{self, Manifest};
use crate::options::{ColumnSpec, StateOptions, StateTuning};
use crate::salvage;
use crate::shelf::Shelf;
use crate::state_batch::{StateBatch, Writes};
use rocksdb::properties::{
    CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_NUM_KEYS, ESTIMATE_PENDING_COMPACTION_BYTES, IS_WRITE_STOPPED, PropName,
    SIZE_ALL_MEM_TABLES, TOTAL_SST_FILES_SIZE,
};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DBAccess, DBRawIteratorWithThreadMode, DBWithThreadMode, FlushOptions,
    Options, Range, ReadOptions, SingleThreaded, WriteBatch, WriteOptions,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A column of the state: its place in the list that the database was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column(pub usize);

/// Sees keys (without their group) and values, one after the other, until it breaks.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Its folder in the data directory.
pub(crate) const NAME: &str = "state";
/// How much is read between two words of how far it is.
const TELL: u64 = 1 << 20;

/// Its columns are those of the list it is opened with: none is made or dropped later.
pub(crate) type Db = DBWithThreadMode<SingleThreaded>;

/// The state of all groups of a node.
pub struct StateDb {
    pub(crate) base: Base,
    specs: Vec<ColumnSpec>,
    path: PathBuf,
    /// Something of it can't be read.
    damaged: AtomicBool,
    /// None while it is not yet in its place. (Below the database: it is dropped after that.)
    manifest: Option<Manifest>,
    /// Keeps the directory locked for as long as the database is open.
    _dir: DataDir,
}

/// What it stands on.
pub(crate) enum Base {
    Rocks(Db, StateTuning),
    Shelf(Arc<dyn Shelf>),
}

/// Sizes in bytes, and whether writers wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateStats {
    /// In files.
    pub on_disk: u64,
    /// In memory tables: what a crash would replay from the log.
    pub in_memory: u64,
    /// Memory that the memory tables take, those that are written out and still read included.
    pub buffers: u64,
    /// Of the block cache in use.
    pub block_cache: u64,
    /// Waiting to be compacted, estimated.
    pub pending_compaction: u64,
    /// Keys in all columns, estimated.
    pub keys: u64,
    /// Whether writes are held up because compaction is behind.
    pub stopped: bool,
}

impl StateDb {
    /// Opens the database in `dir` with these columns, making what is missing. Columns may be added at the end of the list;
    /// a database with columns that are not in the list was written by another version and is refused.
    pub fn open(dir: &DataDir, options: StateOptions, columns: &[ColumnSpec]) -> Result<Self, StoreError> {
        manifest::check(dir.path(), NAME)?;
        let mut db = Self::open_at(dir, dir.path().join(NAME), StateTuning::new(options), columns)?;
        db.manifest = Some(Manifest::of(dir.path(), NAME)?);
        Ok(db)
    }

    /// As [`Self::open`], for one of which it is known that something can't be read, or found out now: what of these groups can be read is
    /// brought into a new database, and the old one is put aside. A group that can't be read as a whole is not in the new one: its keys are gone. Says
    /// whether that was done. With `all`, also where nothing can be read, which leaves an empty database.
    pub fn open_or_salvage(
        dir: &DataDir,
        options: StateOptions,
        columns: &[ColumnSpec],
        groups: &[u32],
        all: bool,
    ) -> Result<(Self, bool), StoreError> {
        let why = match salvage::reason(dir.path()) {
            Some(why) => why,
            None => match Self::open(dir, options, columns) {
                Err(error) if error.is_damage() => error,
                opened => return Ok((opened?, false)),
            },
        };
        salvage::salvage(dir, options, columns, (groups, all), why)?;
        Ok((Self::open(dir, options, columns)?, true))
    }

    pub(crate) fn open_at(
        dir: &DataDir,
        path: PathBuf,
        tuning: StateTuning,
        columns: &[ColumnSpec],
    ) -> Result<Self, StoreError> {
        let descriptors =
            columns.iter().map(|column| ColumnFamilyDescriptor::new(column.name, tuning.column(column.purpose)));
        let db = DBWithThreadMode::open_cf_descriptors(&tuning.db, &path, descriptors)
            .map_err(|e| StoreError::from_rocksdb(&path, "open", &e))?;
        Ok(Self::with(Base::Rocks(db, tuning), columns, path, dir))
    }

    /// One that stands on a simulation's maps.
    pub fn on(shelf: Arc<dyn Shelf>, dir: &DataDir, columns: &[ColumnSpec]) -> Self {
        Self::with(Base::Shelf(shelf), columns, dir.path().join(NAME), dir)
    }

    fn with(base: Base, columns: &[ColumnSpec], path: PathBuf, dir: &DataDir) -> Self {
        let damaged = AtomicBool::new(false);
        Self { base, specs: columns.to_vec(), path, damaged, manifest: None, _dir: dir.clone() }
    }

    /// An empty batch for `group`.
    pub fn batch(&self, group: u32) -> StateBatch<'_> {
        let writes = match &self.base {
            Base::Rocks(..) => Writes::Rocks(WriteBatch::default(), self.columns().collect()),
            Base::Shelf(_) => Writes::Shelf(Vec::new()),
        };
        StateBatch::new(writes, group)
    }

    /// Applies a batch at once. Readers see it when this returns; a crash may take it back, as long as [`Self::flush`] has not run.
    pub fn write(&self, batch: StateBatch<'_>) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        // A batch in key order (give it such) finds each place in the memory table from the last one, not from the top.
        options.set_memtable_insert_hint_per_batch(true);
        match (&self.base, batch.writes) {
            (Base::Rocks(db, _), Writes::Rocks(batch, _)) => {
                db.write_opt(batch, &options).map_err(|e| self.failed("write", &e))
            }
            (Base::Shelf(shelf), Writes::Shelf(changes)) => {
                shelf.write(changes, false);
                Ok(())
            }
            _ => unreachable!("the batch was made by this database"),
        }
    }

    /// The value of a key.
    pub fn get(&self, group: u32, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut buffer = Vec::with_capacity(4 + key.len());
        let key = group_key(&mut buffer, group, key);
        let value = match &self.base {
            Base::Rocks(db, _) => db.get_cf(self.column(column), key),
            Base::Shelf(shelf) => Ok(shelf.get(column.0, key)),
        };
        value.map_err(|e| self.unreadable("read", &e))
    }

    /// Visits the keys of `group` in `[from, to)` in ascending order until `visit` breaks; none where `from` is not before
    /// `to`. It sees the state as of the call.
    pub fn scan(
        &self,
        group: u32,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let (mut start, mut end) = (Vec::new(), Vec::new());
        let (start, end) = (group_key(&mut start, group, from), group_key(&mut end, group, to));
        if let Base::Shelf(shelf) = &self.base {
            shelf.scan(column.0, start, end, &mut |key, value| visit(&key[4..], value));
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_range(start..end);
        // Whole columns are walked when a node starts: what is read then, once, must not fill the cache.
        options.fill_cache(!from.is_empty());
        let cursor = self.rocks().raw_iterator_cf_opt(self.column(column), options);
        self.walk(cursor, visit)
    }

    /// Visits all that a cursor of one group shows, from its first key on, until `visit` breaks.
    pub(crate) fn walk<D: DBAccess>(
        &self,
        mut cursor: DBRawIteratorWithThreadMode<'_, D>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        cursor.seek_to_first();
        while let Some((key, value)) = cursor.item() {
            if visit(&key[4..], value).is_break() {
                return Ok(());
            }
            cursor.next();
        }
        cursor.status().map_err(|e| self.unreadable("scan", &e))
    }

    /// Reads all keys and values of a group in a column once, so that what is damaged in the files is found. `read` is told how many bytes it was since
    /// it was told last, and may break it off.
    pub fn verify(
        &self,
        group: u32,
        column: Column,
        read: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Base::Rocks(db, _) = &self.base else { return Ok(()) };
        let cursor = db.raw_iterator_cf_opt(self.column(column), past_the_cache(group));
        read_all(cursor, read).map(|_| ()).map_err(|e| self.unreadable("verify", &e))
    }

    /// Compacts from now on, where it was opened not to ([`StateOptions::hold_compactions`]). One of which something can't be read does not: a
    /// compaction that comes to a damaged block ends all writing.
    pub fn release_compactions(&self) -> Result<(), StoreError> {
        if self.damaged.load(Ordering::Acquire) {
            return Ok(());
        }
        self.set_compactions(true)?;
        // (It may have been found damaged in between.)
        if self.damaged.load(Ordering::Acquire) { self.set_compactions(false) } else { Ok(()) }
    }

    fn set_compactions(&self, run: bool) -> Result<(), StoreError> {
        let Base::Rocks(db, _) = &self.base else { return Ok(()) };
        let disabled = if run { "false" } else { "true" };
        let set = |column| db.set_options_cf(column, &[("disable_auto_compactions", disabled)]);
        self.columns().try_for_each(set).map_err(|e| self.failed("set options", &e))
    }

    /// Whether something of it can't be read. The next [`Self::open_or_salvage`] makes it anew from what can.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Whether a group has no key in a column.
    pub fn is_empty(&self, group: u32, column: Column) -> Result<bool, StoreError> {
        if let Base::Shelf(shelf) = &self.base {
            return Ok(shelf.last(column.0, &group.to_be_bytes(), &group_end(group)).is_none());
        }
        let mut cursor = self.rocks().raw_iterator_cf_opt(self.column(column), whole_group(group));
        cursor.seek_to_first();
        cursor.status().map_err(|e| self.unreadable("scan", &e))?;
        Ok(!cursor.valid())
    }

    /// Makes all writes so far durable, of all columns and groups at once. Blocks for as long as the disk needs.
    pub fn flush(&self) -> Result<(), StoreError> {
        let db = match &self.base {
            Base::Rocks(db, _) => db,
            Base::Shelf(shelf) => {
                shelf.flush();
                return Ok(());
            }
        };
        let columns: Vec<_> = self.columns().collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        db.flush_cfs_opt(&columns, &options).map_err(|e| self.failed("flush", &e))?;
        self.note_files();
        Ok(())
    }

    /// Notes which files it has, where that has changed, so that the next start finds whether they are there. Call it about once a second. Blocks.
    pub fn note_files(&self) {
        self.manifest.iter().for_each(Manifest::note);
    }

    /// What a group's keys take in files, about. What is only in memory is not counted. Costs some reads of indexes a column.
    pub fn bytes(&self, group: u32) -> u64 {
        let Base::Rocks(db, _) = &self.base else { return 0 };
        let (start, end) = (group.to_be_bytes(), group_end(group));
        let sizes = |column| db.get_approximate_sizes_cf(column, &[Range::new(&start, &end)]);
        self.columns().flat_map(sizes).sum()
    }

    /// Where it is on disk.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sizes for metrics.
    pub fn stats(&self) -> StateStats {
        let Base::Rocks(_, tuning) = &self.base else { return StateStats::default() };
        StateStats {
            on_disk: self.sum(TOTAL_SST_FILES_SIZE),
            in_memory: self.sum(CUR_SIZE_ALL_MEM_TABLES),
            buffers: self.sum(SIZE_ALL_MEM_TABLES),
            block_cache: tuning.cache_usage(),
            pending_compaction: self.sum(ESTIMATE_PENDING_COMPACTION_BYTES),
            keys: self.sum(ESTIMATE_NUM_KEYS),
            stopped: self.sum(IS_WRITE_STOPPED) > 0,
        }
    }

    fn sum(&self, name: &PropName) -> u64 {
        self.columns().map(|column| self.rocks().property_int_value_cf(column, name).ok().flatten().unwrap_or(0)).sum()
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &ColumnFamily> {
        (0..self.specs.len()).map(|place| self.column(Column(place)))
    }

    /// The column's name.
    pub(crate) fn name(&self, column: Column) -> &'static str {
        self.specs[column.0].name
    }

    /// What a file of the column is written with.
    pub(crate) fn column_options(&self, column: Column) -> Options {
        match &self.base {
            Base::Rocks(_, tuning) => tuning.column(self.specs[column.0].purpose),
            Base::Shelf(_) => Options::default(),
        }
    }

    pub(crate) fn column(&self, column: Column) -> &ColumnFamily {
        self.rocks().cf_handle(self.name(column)).expect("the column was opened with the database")
    }

    /// For those who have ruled the other base out.
    pub(crate) fn rocks(&self) -> &Db {
        match &self.base {
            Base::Rocks(db, _) => db,
            Base::Shelf(_) => unreachable!("a simulation's maps have no columns of RocksDB"),
        }
    }

    pub(crate) fn failed(&self, action: &str, error: &rocksdb::Error) -> StoreError {
        let error = StoreError::from_rocksdb(&self.path, action, error);
        // A compaction has come to it, and nothing is written any more.
        if error.fault == Fault::Damaged {
            self.mark_damaged(&error);
        }
        error
    }

    /// What can't be read once can't be relied on: what holds it is not compacted, which would end all writing, and the next start makes the database
    /// anew.
    pub(crate) fn unreadable(&self, action: &str, error: &rocksdb::Error) -> StoreError {
        let error = StoreError::from_rocksdb(&self.path, action, error);
        if !self.damaged.swap(true, Ordering::AcqRel) {
            self.mark_damaged(&error);
            if let Err(error) = self.set_compactions(false) {
                tracing::warn!(%error, "a damaged database can't be kept from compacting");
            }
        }
        error
    }

    fn mark_damaged(&self, error: &StoreError) {
        if let Some(root) = self.path.parent() {
            salvage::mark(root, error);
        }
    }
}

/// For reading all keys of a group.
pub(crate) fn whole_group(group: u32) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_range(group.to_be_bytes().as_slice()..group_end(group).as_slice());
    options
}

/// The same for reading each of them once: what others read stays in the cache.
pub(crate) fn past_the_cache(group: u32) -> ReadOptions {
    let mut options = whole_group(group);
    options.fill_cache(false);
    options
}

/// Reads to the end, or until `read` breaks it off, which is told how many bytes it was since it was told last.
pub(crate) fn read_all<D: DBAccess>(
    mut cursor: DBRawIteratorWithThreadMode<'_, D>,
    read: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, rocksdb::Error> {
    cursor.seek_to_first();
    let mut untold = 0;
    while let Some((key, value)) = cursor.item() {
        untold += (key.len() + value.len()) as u64;
        if untold >= TELL && read(std::mem::take(&mut untold)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        cursor.next();
    }
    cursor.status().map(|()| ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;

    const COLUMNS: [ColumnSpec; 4] = [
        ColumnSpec { name: "hot", purpose: Purpose::Hot },
        ColumnSpec { name: "point", purpose: Purpose::Point },
        ColumnSpec { name: "sequence", purpose: Purpose::Sequence },
        ColumnSpec { name: "blob", purpose: Purpose::Blob },
    ];
    const POINT: Column = Column(1);
    const SEQUENCE: Column = Column(2);

    fn open(root: &tempfile::TempDir) -> StateDb {
        StateDb::open(&DataDir::open(root.path(), 1, None).unwrap(), StateOptions::default(), &COLUMNS).unwrap()
    }

    fn scan(db: &StateDb, group: u32, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        db.scan(group, SEQUENCE, from, to, &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
        found
    }

    #[test]
    fn flushed_writes_are_there_after_reopening_in_every_column() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        let mut batch = db.batch(9);
        (0..COLUMNS.len()).for_each(|place| batch.put(Column(place), b"key", &[place as u8]));
        assert!(batch.bytes() > 0);
        db.write(batch).unwrap();
        db.flush().unwrap();
        drop(db);
        let db = open(&root);
        for place in 0..COLUMNS.len() {
            assert_eq!(db.get(9, Column(place), b"key").unwrap(), Some(vec![place as u8]));
            assert_eq!(db.get(8, Column(place), b"key").unwrap(), None);
        }
    }

    #[test]
    fn a_scan_keeps_to_its_group_and_range() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        for group in 1..4 {
            let mut batch = db.batch(group);
            [b"a", b"b", b"c"].iter().for_each(|key| batch.put(SEQUENCE, *key, &[group as u8]));
            db.write(batch).unwrap();
        }
        let row = |key: &[u8]| (key.to_vec(), vec![2]);
        assert_eq!(scan(&db, 2, b"", b"z"), [row(b"a"), row(b"b"), row(b"c")]);
        assert_eq!(scan(&db, 2, b"b", b"c"), [row(b"b")]);
        for (group, from, to) in [(4, "", "z"), (2, "b", "b"), (2, "c", "a")] {
            assert_eq!(scan(&db, group, from.as_bytes(), to.as_bytes()), []);
        }
        let mut seen = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            seen += 1;
            ControlFlow::Break(())
        };
        db.scan(2, SEQUENCE, b"", b"z", visit).unwrap();
        assert_eq!(seen, 1);
    }

    #[test]
    fn deletes_and_range_deletes_keep_to_their_group() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        for group in [1, 2] {
            let mut batch = db.batch(group);
            [b"a", b"b", b"c", b"d"].iter().for_each(|key| batch.put(SEQUENCE, *key, b"x"));
            db.write(batch).unwrap();
        }
        let mut batch = db.batch(1);
        batch.delete(SEQUENCE, b"a");
        batch.delete_range(SEQUENCE, b"b", b"d");
        db.write(batch).unwrap();
        assert_eq!(scan(&db, 1, b"", b"z").len(), 1);
        assert_eq!(scan(&db, 2, b"", b"z").len(), 4);
        let mut batch = db.batch(2);
        batch.clear(SEQUENCE);
        db.write(batch).unwrap();
        assert!(db.is_empty(2, SEQUENCE).unwrap() && !db.is_empty(1, SEQUENCE).unwrap());
        assert!(db.is_empty(1, POINT).unwrap());
    }

    #[test]
    fn a_database_with_unknown_columns_is_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(open(&root));
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        let error = StateDb::open(&dir, StateOptions::default(), &COLUMNS[..2]).err().unwrap();
        assert_eq!(error.fault, Fault::Incompatible, "{error}");
    }

    #[test]
    fn columns_can_be_added_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        drop(StateDb::open(&dir, StateOptions::default(), &COLUMNS[..2]).unwrap());
        drop(dir);
        assert_eq!(open(&root).get(1, SEQUENCE, b"x").unwrap(), None);
    }

    #[test]
    fn stats_follow_what_is_written_and_flushed() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        let empty = db.stats();
        let mut batch = db.batch(1);
        (0..1000_u32).for_each(|key| batch.put(POINT, &key.to_be_bytes(), &[7; 100]));
        db.write(batch).unwrap();
        let written = db.stats();
        assert!(written.in_memory > empty.in_memory && written.keys == 1000 && !written.stopped, "{written:?}");
        db.flush().unwrap();
        assert!(db.stats().on_disk > empty.on_disk);
        assert!(db.bytes(1) > 1000 && db.bytes(2) < db.bytes(1), "{} and {} bytes", db.bytes(1), db.bytes(2));
    }
}
