//! The log database: Raft entries and votes of all groups, in one stream that is synced once for all.
//!
//! One thread writes. Entries are opaque bytes here.

use crate::data_dir::DataDir;
use crate::error::{Fault, StoreError};
use crate::keys::{entry_key, group_end, group_key, index_of};
use crate::log_batch::{ENTRIES_COLUMN, LogBatch, META_COLUMN, Writes};
use crate::log_salvage::{self, Lost};
use crate::manifest::{self, Manifest};
use crate::mark::{Mark, WORDS};
use crate::options;
use crate::shelf::Shelf;
use crate::state_db::{past_the_cache, read_all, whole_group};
use rocksdb::properties::{
    CUR_SIZE_ALL_MEM_TABLES, ESTIMATE_PENDING_COMPACTION_BYTES, PropName, SIZE_ALL_MEM_TABLES, TOTAL_SST_FILES_SIZE,
};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, ReadOptions, SingleThreaded, WriteBatch, WriteOptions,
};
use std::fs;
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its folder in the data directory.
pub(crate) const NAME: &str = "log";
/// Where one that can't be used goes, and the note that this one is such, in the data directory.
pub(crate) const OLD: &str = "log.damaged";
const NOTE: &str = "log.damage";
pub(crate) const ENTRIES: &str = "log";
pub(crate) const META: &str = "meta";

type Db = DBWithThreadMode<SingleThreaded>;

/// The log of all groups of a node.
pub struct LogDb {
    base: Base,
    path: PathBuf,
    mark: Mark,
    /// Something of it can't be read.
    damaged: AtomicBool,
    /// None while it is not yet in its place. (Below the database: it is dropped after that.)
    manifest: Option<Manifest>,
    /// Keeps the directory locked for as long as the database is open.
    dir: DataDir,
}

/// What a log database has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Nothing,
    /// The groups of which something could not be read.
    Groups,
    /// Any group may have lost something, and why.
    All(StoreError),
}

/// What it stands on.
enum Base {
    Rocks(Db),
    Shelf(Arc<dyn Shelf>),
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
    /// Opens the database in `dir`, making it if there is none. Replays what was synced and not yet written out. One that has lost something of that is
    /// damaged.
    pub fn open(dir: &DataDir) -> Result<Self, StoreError> {
        let log = Self::open_as_it_is(dir)?;
        log.lost()?.map_or(Ok(log), Err)
    }

    /// As [`Self::open`], for who can do without: one that has lost its end is opened with what is there; one of which something can't be read is made anew without
    /// the groups concerned, and of each of them `lost` says what is to be known; one that can't be used, or of which the group `essential` can't be read, is put
    /// aside for an empty one. Says what was done, also the next time, until [`Self::accept`].
    pub fn open_anyway(dir: &DataDir, essential: u32, lost: Lost<'_>) -> Result<(Self, Loss), StoreError> {
        log_salvage::resume(dir)?;
        let note = fs::read_to_string(dir.path().join(NOTE)).ok();
        let why = match (Self::open_as_it_is(dir), note) {
            (Ok(log), None) => {
                let loss = log.lost()?.map_or(Loss::Nothing, Loss::All);
                return Ok((log, loss));
            }
            (Ok(log), Some(note)) => {
                let why = StoreError::new(Fault::Damaged, &log.path, note.trim_end());
                let salvaged = log.lost()?.map_or(Ok(()), Err);
                match salvaged.and_then(|()| log_salvage::salvage(dir, &log, essential, lost)) {
                    Ok(()) => {
                        tracing::error!(%why, "the log database is damaged: it was made anew from what can be read");
                        drop(log);
                        log_salvage::replace(dir, true)?;
                        return Ok((Self::open_as_it_is(dir)?, Loss::Groups));
                    }
                    Err(error) => error,
                }
            }
            (Err(error), _) => error,
        };
        if !why.is_damage() {
            return Err(why);
        }
        tracing::error!(%why, "the log database can't be used: it is put aside");
        log_salvage::replace(dir, false)?;
        let log = Self::open_as_it_is(dir)?;
        let loss = log.lost()?.unwrap_or(why);
        Ok((log, Loss::All(loss)))
    }

    /// What was lost is known and dealt with, durably: from now on, it is as if it had never been there.
    pub fn accept(&self) -> Result<(), StoreError> {
        self.mark.restart(self.written())?;
        match fs::remove_file(self.dir.path().join(NOTE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::from_io(&self.path, "remove the note of its damage", &error))
            }
            _ => Ok(()),
        }
    }

    /// What says that it has lost its end. Where nothing does, all that is there is on disk, and counts from now on.
    fn lost(&self) -> Result<Option<StoreError>, StoreError> {
        let loss = self.mark.loss(self.written());
        if loss.is_none() {
            self.mark.advance(self.written())?;
        }
        Ok(loss)
    }

    fn open_as_it_is(dir: &DataDir) -> Result<Self, StoreError> {
        manifest::check(dir.path(), NAME)?;
        let mut log = Self::open_at(dir, dir.path().join(NAME))?;
        log.manifest = Some(Manifest::of(dir.path(), NAME)?);
        Ok(log)
    }

    pub(crate) fn open_at(dir: &DataDir, path: PathBuf) -> Result<Self, StoreError> {
        let mark = Mark::open(dir.path())?;
        let columns = [
            ColumnFamilyDescriptor::new("default", options::meta_column()),
            ColumnFamilyDescriptor::new(ENTRIES, options::log_column()),
            ColumnFamilyDescriptor::new(META, options::meta_column()),
        ];
        let db = DBWithThreadMode::open_cf_descriptors(&options::log_db(), &path, columns)
            .map_err(|e| StoreError::from_rocksdb(&path, "open", &e))?;
        let log = Self::with(Base::Rocks(db), path, mark, dir);
        // A reader walks past every range removal in memory: write the memory table out before there are thousands.
        log.rocks()
            .set_options_cf(log.column(ENTRIES), &[("memtable_max_range_deletions", "1000")])
            .map_err(|e| log.failed("set options", &e))?;
        Ok(log)
    }

    /// One that stands on a simulation's maps.
    pub fn on(shelf: Arc<dyn Shelf>, dir: &DataDir) -> Result<Self, StoreError> {
        Ok(Self::with(Base::Shelf(shelf), dir.path().join(NAME), Mark::open(dir.path())?, dir))
    }

    fn with(base: Base, path: PathBuf, mark: Mark, dir: &DataDir) -> Self {
        Self { base, path, mark, damaged: AtomicBool::new(false), manifest: None, dir: dir.clone() }
    }

    /// Notes which files it has, where that has changed, so that the next start finds whether they are there. Call it about once a second. Blocks.
    pub fn note_files(&self) {
        self.manifest.iter().for_each(Manifest::note);
    }

    /// An empty batch.
    pub fn batch(&self) -> LogBatch<'_> {
        LogBatch::new(match self.base {
            Base::Rocks(_) => Writes::Rocks(WriteBatch::default(), self),
            Base::Shelf(_) => Writes::Shelf(Vec::new()),
        })
    }

    /// Writes and syncs. When this returns, the batch survives a loss of power; on an error, nothing is known: stop the process.
    pub fn commit(&self, batch: LogBatch<'_>) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        match (&self.base, batch.writes) {
            (Base::Rocks(db), Writes::Rocks(batch, _)) => {
                // (A compaction that has come to a damaged block: no other write will do better, in this process or the next.)
                db.write_opt(batch, &options).map_err(|e| self.failed("write and sync", &e))?;
                self.mark.advance(self.written())
            }
            (Base::Shelf(shelf), Writes::Shelf(changes)) => {
                shelf.write(changes, true);
                Ok(())
            }
            _ => unreachable!("the batch was made by this database"),
        }
    }

    /// Whether something of it can't be read. The next [`Self::open_anyway`] makes it anew from what can.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Numbers that are kept beside the database, for who has to know them also when it is lost; zeros at first.
    pub fn words(&self) -> [u64; WORDS] {
        self.mark.words()
    }

    /// Keeps such numbers, durably.
    pub fn set_words(&self, words: [u64; WORDS]) -> Result<(), StoreError> {
        self.mark.set_words(words)
    }

    /// How many writes are known to have been on disk, also after something was lost. It is kept before it is told: so after a crash it is never less.
    pub fn marked(&self) -> u64 {
        self.mark.written()
    }

    /// Visits the entries of `group` at `indexes`, in order, until `visit` breaks.
    pub fn entries(
        &self,
        group: u32,
        indexes: Range<u64>,
        mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (from, to) = (entry_key(group, indexes.start), entry_key(group, indexes.end));
        if let Base::Shelf(shelf) = &self.base {
            let mut failed = Ok(());
            shelf.scan(ENTRIES_COLUMN, &from, &to, &mut |key, value| match self.index(key) {
                Ok(index) => visit(index, value),
                Err(error) => {
                    failed = Err(error);
                    ControlFlow::Break(())
                }
            });
            return failed;
        }
        let mut options = ReadOptions::default();
        options.set_iterate_range(from.as_slice()..to.as_slice());
        let mut cursor = self.rocks().raw_iterator_cf_opt(self.column(ENTRIES), options);
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

    /// The last entry of `group`: index and bytes. Entries follow each other.
    pub fn last_entry(&self, group: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let (from, to) = (entry_key(group, 0), group_end(group));
        if let Base::Shelf(shelf) = &self.base {
            return shelf
                .last(ENTRIES_COLUMN, &from, &to)
                .map(|(key, value)| Ok((self.index(&key)?, value)))
                .transpose();
        }
        let mut options = ReadOptions::default();
        options.set_iterate_range(from.as_slice()..to.as_slice());
        let mut cursor = self.rocks().raw_iterator_cf_opt(self.column(ENTRIES), options);
        cursor.seek_to_last();
        match cursor.status().map_err(|e| self.failed("read the last entry", &e)) {
            Ok(()) => cursor.item().map(|(key, value)| Ok((self.index(key)?, value.to_vec()))).transpose(),
            // From behind, a block is read too of which all was removed. From the front it is not.
            Err(error) if error.is_damage() => self.search_last_entry(group).map_err(|_| error),
            Err(error) => Err(error),
        }
    }

    fn search_last_entry(&self, group: u32) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let Some(mut last) = self.first_index(group, 0)? else { return Ok(None) };
        let mut step = 1;
        while let Some(found) = self.first_index(group, last.saturating_add(step))? {
            (last, step) = (found, step.saturating_mul(2));
        }
        while step > 1 {
            step /= 2;
            last = self.first_index(group, last.saturating_add(step))?.unwrap_or(last);
        }
        let mut entry = None;
        self.entries(group, last..last.saturating_add(1), |index, bytes| {
            entry = Some((index, bytes.to_vec()));
            ControlFlow::Break(())
        })?;
        Ok(entry)
    }

    /// One of the group's named values.
    pub fn meta(&self, group: u32, tag: u8) -> Result<Option<Vec<u8>>, StoreError> {
        let mut key = Vec::new();
        let key = group_key(&mut key, group, &[tag]);
        let value = match &self.base {
            Base::Rocks(db) => db.get_cf(self.column(META), key),
            Base::Shelf(shelf) => Ok(shelf.get(META_COLUMN, key)),
        };
        value.map_err(|e| self.failed("read meta", &e))
    }

    /// Visits all named values of a group: tag and value. (A simulation makes no database anew.)
    pub(crate) fn metas(&self, group: u32, mut visit: impl FnMut(u8, &[u8])) -> Result<(), StoreError> {
        let mut cursor = self.rocks().raw_iterator_cf_opt(self.column(META), whole_group(group));
        cursor.seek_to_first();
        while let Some((key, value)) = cursor.item() {
            let tag = key.get(4).ok_or_else(|| {
                StoreError::new(Fault::Damaged, &self.path, format!("the key {key:02x?} names no value"))
            })?;
            visit(*tag, value);
            cursor.next();
        }
        cursor.status().map_err(|e| self.failed("read meta", &e))
    }

    /// Reads all that there is of a group once, so that what is damaged in the files is found. `read` is told how many bytes it was since it was told last,
    /// and may break it off.
    pub fn verify(&self, group: u32, read: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<(), StoreError> {
        let Base::Rocks(db) = &self.base else { return Ok(()) };
        for name in [META, ENTRIES] {
            let cursor = db.raw_iterator_cf_opt(self.column(name), past_the_cache(group));
            if read_all(cursor, read).map_err(|e| self.failed("verify", &e))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The groups that have a named value, in order.
    pub fn groups(&self) -> Result<Vec<u32>, StoreError> {
        let mut groups = Vec::new();
        if let Base::Shelf(shelf) = &self.base {
            let mut keys = Vec::new();
            shelf.scan(META_COLUMN, &[], &[0xff; 8], &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            });
            groups = keys.iter().map(|key| self.group(key)).collect::<Result<_, _>>()?;
            groups.dedup();
            return Ok(groups);
        }
        let mut cursor = self.rocks().raw_iterator_cf(self.column(META));
        cursor.seek_to_first();
        while let Some(key) = cursor.key() {
            let group = self.group(key)?;
            groups.push(group);
            cursor.seek(group_end(group));
        }
        cursor.status().map_err(|e| self.failed("read groups", &e))?;
        Ok(groups)
    }

    /// How many writes it has made durable, ever. A database that was closed, or whose process was killed, has no fewer when it is opened again.
    pub fn written(&self) -> u64 {
        match &self.base {
            Base::Rocks(db) => db.latest_sequence_number(),
            Base::Shelf(_) => 0,
        }
    }

    /// Where it is on disk.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Sizes for metrics.
    pub fn stats(&self) -> LogStats {
        let Base::Rocks(db) = &self.base else { return LogStats::default() };
        let sum = |name: &PropName| {
            let of = |column| db.property_int_value_cf(self.column(column), name).ok().flatten().unwrap_or(0);
            of(ENTRIES) + of(META)
        };
        LogStats {
            on_disk: sum(TOTAL_SST_FILES_SIZE),
            in_memory: sum(CUR_SIZE_ALL_MEM_TABLES),
            buffers: sum(SIZE_ALL_MEM_TABLES),
            pending_compaction: sum(ESTIMATE_PENDING_COMPACTION_BYTES),
        }
    }

    pub(crate) fn column(&self, name: &str) -> &ColumnFamily {
        self.rocks().cf_handle(name).expect("the column was opened with the database")
    }

    /// For those who have ruled the other base out.
    fn rocks(&self) -> &Db {
        match &self.base {
            Base::Rocks(db) => db,
            Base::Shelf(_) => unreachable!("a simulation's maps have no columns of RocksDB"),
        }
    }

    fn group(&self, key: &[u8]) -> Result<u32, StoreError> {
        key.first_chunk()
            .map(|group| u32::from_be_bytes(*group))
            .ok_or_else(|| StoreError::new(Fault::Damaged, &self.path, format!("the key {key:02x?} names no group")))
    }

    fn index(&self, key: &[u8]) -> Result<u64, StoreError> {
        index_of(key)
            .ok_or_else(|| StoreError::new(Fault::Damaged, &self.path, format!("log key {key:02x?} has no index")))
    }

    /// What can't be read once, or is not written because a compaction has come to what can't be read, is for the next start to deal with.
    fn failed(&self, action: &str, error: &rocksdb::Error) -> StoreError {
        let error = StoreError::from_rocksdb(&self.path, action, error);
        if error.fault == Fault::Damaged
            && !self.damaged.swap(true, Ordering::AcqRel)
            && let Err(failed) = fs::write(self.dir.path().join(NOTE), format!("{}\n", error.cause))
        {
            tracing::warn!(%failed, "that the log database is damaged could not be noted");
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

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
    fn what_is_written_is_counted_and_never_less_after_reopening() {
        let root = tempfile::tempdir().unwrap();
        let mut before = 0;
        for round in 0..3 {
            let log = open(&root);
            assert!(log.written() >= before);
            append(&log, 1, round..round + 5);
            assert!(log.written() >= before + 5);
            before = log.written();
        }
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
        fs::write(path.join("CURRENT"), "MANIFEST-999999\n").unwrap();
        let error = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).err().unwrap();
        assert!(matches!(error.fault, Fault::Damaged | Fault::Io), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    }

    /// With a note of each group that is lost. The essential one is 9.
    fn open_anyway(root: &tempfile::TempDir) -> (LogDb, Loss) {
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        LogDb::open_anyway(&dir, 9, &|batch, group, why| batch.put_meta(group, b'!', why.cause.as_bytes())).unwrap()
    }

    /// Three groups in one table, in blocks of their own, of which one is damaged.
    fn with_a_damaged_block(root: &tempfile::TempDir, groups: [u32; 3]) {
        let log = open(root);
        for group in groups {
            let mut batch = log.batch();
            batch.put_meta(group, b'v', b"vote");
            let random =
                |n: u64| (0..500).flat_map(move |i| xxh3_64(&[n, i].map(u64::to_le_bytes).concat()).to_le_bytes());
            (0..100).for_each(|n| batch.put_entry(group, n, &random(n).collect::<Vec<u8>>()));
            log.commit(batch).unwrap();
        }
        log.rocks().flush_cf(log.column(ENTRIES)).unwrap();
        let files = log.rocks().live_files().unwrap();
        let table = files.iter().find(|file| file.column_family_name == ENTRIES).unwrap();
        let path = log.path().join(table.name.trim_start_matches('/'));
        drop(log);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_can_be_read_of_a_damaged_log_is_in_the_new_one_and_what_is_lost_is_told() {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_block(&root, [1, 2, 9]);
        let verified =
            |log: &LogDb| [1, 2, 9].map(|group| log.verify(group, &mut |_| ControlFlow::Continue(())).is_ok());
        let (log, loss) = open_anyway(&root);
        assert_eq!((loss, log.is_damaged()), (Loss::Nothing, false));
        assert_eq!((verified(&log), log.is_damaged()), ([true, false, true], true));
        let (marked, words) = (log.marked(), log.words());
        drop(log);
        let (log, loss) = open_anyway(&root);
        assert_eq!((loss, verified(&log), log.marked(), log.words()), (Loss::Groups, [true; 3], marked, words));
        let count = |group| log.last_entry(group).unwrap().map(|(index, _)| index);
        assert_eq!([1, 2, 9].map(count), [Some(99), None, Some(99)]);
        assert_eq!(
            [1, 9].map(|group| log.meta(group, b'v').unwrap()),
            [Some(b"vote".to_vec()), Some(b"vote".to_vec())]
        );
        assert_eq!(log.meta(2, b'v').unwrap(), None);
        assert!(String::from_utf8(log.meta(2, b'!').unwrap().unwrap()).unwrap().contains("checksum"));
        log.accept().unwrap();
        drop(log);
        assert_eq!(open_anyway(&root).1, Loss::Nothing);
        open(&root);
    }

    #[test]
    fn without_its_essential_group_a_log_is_put_aside_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_block(&root, [1, 9, 10]);
        let (log, _) = open_anyway(&root);
        assert!(log.verify(9, &mut |_| ControlFlow::Continue(())).is_err());
        drop(log);
        let (log, loss) = open_anyway(&root);
        assert!(matches!(loss, Loss::All(_)), "{loss:?}");
        assert_eq!(log.groups().unwrap(), []);
    }

    #[test]
    fn what_can_not_be_read_of_a_group_does_not_matter_when_it_has_left() {
        let root = tempfile::tempdir().unwrap();
        with_a_damaged_block(&root, [1, 2, 9]);
        let log = open(&root);
        let mut batch = log.batch();
        batch.remove_entries(2, 0..u64::MAX);
        log.commit(batch).unwrap();
        assert_eq!((log.last_entry(2).unwrap(), log.first_index(2, 0).unwrap()), (None, None));
        for last in 7..30 {
            append(&log, 2, last..last + 1);
            assert_eq!(log.last_entry(2).unwrap(), Some((last, format!("2/{last}").into_bytes())));
        }
        assert_eq!(read(&log, 2, 0..9), ["2/7", "2/8"]);
    }

    /// The newest write-ahead log is cut, or gone.
    fn cut(root: &tempfile::TempDir, keep: Option<u64>) {
        let path = root.path().join(NAME);
        let logs = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let newest = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
        match keep {
            Some(keep) => fs::File::options().write(true).open(newest).unwrap().set_len(keep).unwrap(),
            None => fs::remove_file(newest).unwrap(),
        }
    }

    #[test]
    fn a_log_that_has_lost_its_end_is_refused_or_opened_with_what_is_there() {
        for keep in [None, Some(100)] {
            let root = tempfile::tempdir().unwrap();
            let dir = || DataDir::open(root.path(), 1, None).unwrap();
            let log = open(&root);
            append(&log, 1, 0..5);
            log.set_words([1, 2, 3, 4, 5]).unwrap();
            append(&log, 1, 5..50);
            let written = log.written();
            drop(log);
            cut(&root, keep);
            let error = LogDb::open(&dir()).err().unwrap();
            assert!(error.is_damage() && error.to_string().contains("the end of the log is lost"), "{error}");
            for _ in 0..2 {
                let (log, loss) = open_anyway(&root);
                assert!(matches!(loss, Loss::All(_)) && log.written() < written && log.marked() == written);
                assert_eq!(log.words(), [1, 2, 3, 4, 5]);
            }
            let (log, _) = open_anyway(&root);
            log.accept().unwrap();
            append(&log, 1, 0..1);
            drop(log);
            open(&root);
        }
    }

    #[test]
    fn a_log_that_can_not_be_opened_is_put_aside_where_that_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        let dir = || DataDir::open(root.path(), 1, None).unwrap();
        let log = open(&root);
        append(&log, 1, 0..5);
        let written = log.written();
        drop(log);
        let manifests = fs::read_dir(root.path().join(NAME)).unwrap().map(|entry| entry.unwrap().path());
        let manifest = manifests.filter(|path| path.to_string_lossy().contains("MANIFEST")).max().unwrap();
        fs::write(manifest, "what").unwrap();
        assert!(LogDb::open(&dir()).err().unwrap().is_damage());
        let (log, loss) = open_anyway(&root);
        assert!(matches!(loss, Loss::All(_)) && log.marked() == written && read(&log, 1, 0..9).is_empty());
        assert!(root.path().join(OLD).exists());
        log.accept().unwrap();
        drop(log);
        open(&root);
    }
}
