//! Writes one group's state, as it is at one instant, into files: for a peer that is far behind, or for a backup.
//!
//! The files are tables of RocksDB itself (SST), which another database takes in without writing every key anew. Knows nothing of
//! Raft: which log position the instant stands for, who calls remembers.

use crate::error::StoreError;
use crate::exported::ExportedFile;
use crate::shelf;
use crate::state_db::{Base, Column, Db, StateDb, whole_group};
use rocksdb::{DBCompressionType, DBRawIteratorWithThreadMode, Options, SnapshotWithThreadMode, SstFileWriter};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// The length of a file, about: what RocksDB makes itself (`options.rs`). Larger ones would be split at the next compaction, many small
/// ones would cost a transfer and an open file each.
const FILE_BYTES: u64 = 64 << 20;
/// After how many bytes of keys and values the caller is heard: often enough for an even load on the disk.
const BLOCK: u64 = 1 << 20;
/// What is read ahead: one group is a range of neighbours.
const READ_AHEAD: usize = 1 << 20;

impl StateDb {
    /// Writes all keys that `group` has in `columns` (each named once), as they are at one instant, as files into `dir`, which is made by this
    /// call and must be empty if it is there. A column without keys has no file. Blocks for as long as that takes.
    ///
    /// `pinned` is called as soon as the instant is fixed and before anything is written: whoever must keep writers of the group away
    /// needs to do so until then and no longer. `written` is called with the bytes of keys and values that were added since its last call,
    /// about a MiB: it may sleep to slow the export down, or break it off.
    ///
    /// When it returns with files, they and the directory's list of them are synced; the directory's own entry above it is not.
    /// `None`: it was broken off. Then, and after an error, what is in the directory is of no use and may be deleted.
    ///
    /// While it runs, compaction keeps the versions of all groups' keys that were current at the instant: an export of hours costs space.
    pub fn export(
        &self,
        group: u32,
        columns: &[Column],
        dir: &Path,
        pinned: impl FnOnce(),
        written: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Vec<ExportedFile>>, StoreError> {
        if let Base::Shelf(base) = &self.base {
            let columns: Vec<_> = columns.iter().map(|column| (column.0, self.name(*column))).collect();
            return shelf::export(base, group, &columns, dir, pinned).map(Some);
        }
        let snapshot = self.rocks().snapshot();
        pinned();
        make_empty(dir)?;
        let export = Export { db: self, dir, file_bytes: FILE_BYTES, written, untold: 0, files: Vec::new() };
        export.run(group, columns, &snapshot)
    }
}

/// An export on its way.
struct Export<'a> {
    db: &'a StateDb,
    dir: &'a Path,
    /// Where a file ends.
    file_bytes: u64,
    written: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
    /// Bytes added since the last call of `written`.
    untold: u64,
    files: Vec<ExportedFile>,
}

type Snapshot<'a> = SnapshotWithThreadMode<'a, Db>;
type Cursor<'a> = DBRawIteratorWithThreadMode<'a, Db>;

impl Export<'_> {
    fn run(
        mut self,
        group: u32,
        columns: &[Column],
        snapshot: &Snapshot<'_>,
    ) -> Result<Option<Vec<ExportedFile>>, StoreError> {
        for &column in columns {
            if self.column(group, column, snapshot)?.is_break() {
                return Ok(None);
            }
        }
        if self.untold > 0 && self.tell().is_break() {
            return Ok(None);
        }
        let synced = File::open(self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|e| StoreError::from_io(self.dir, "sync the directory", &e))?;
        Ok(Some(self.files))
    }

    fn column(&mut self, group: u32, column: Column, snapshot: &Snapshot<'_>) -> Result<ControlFlow<()>, StoreError> {
        let mut reading = whole_group(group);
        reading.fill_cache(false);
        reading.set_readahead_size(READ_AHEAD);
        let mut cursor = snapshot.raw_iterator_cf_opt(self.db.column(column), reading);
        cursor.seek_to_first();
        let mut options = self.db.column_options(column);
        // These files are read once, and compacted where they are taken in: zstd, for the columns that end in it, would be done twice.
        options.set_bottommost_compression_type(DBCompressionType::Lz4);
        for n in 0.. {
            if !cursor.valid() {
                break;
            }
            if self.file(self.db.name(column), n, &options, &mut cursor)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.intact(&cursor)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Moves what the cursor gives into one file, until that is long enough.
    fn file(
        &mut self,
        column: &str,
        n: u32,
        options: &Options,
        cursor: &mut Cursor<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let path = self.dir.join(ExportedFile::name(column, n));
        let failed = |e: rocksdb::Error| StoreError::from_rocksdb(&path, "export", &e);
        let mut file = SstFileWriter::create(options);
        file.open(&path).map_err(failed)?;
        while let Some((key, value)) = cursor.item() {
            file.put(key, value).map_err(failed)?;
            self.untold += (key.len() + value.len()) as u64;
            cursor.next();
            if self.untold >= BLOCK && self.tell().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if file.file_size() >= self.file_bytes {
                break;
            }
        }
        self.intact(cursor)?;
        // This syncs it.
        file.finish().map_err(failed)?;
        let described = ExportedFile::read(self.dir, column, n);
        self.files.push(described.map_err(|e| StoreError::from_io(&path, "read it back", &e))?);
        Ok(ControlFlow::Continue(()))
    }

    fn tell(&mut self) -> ControlFlow<()> {
        (self.written)(std::mem::take(&mut self.untold))
    }

    /// A cursor that can't read on looks as one at its end.
    fn intact(&self, cursor: &Cursor<'_>) -> Result<(), StoreError> {
        cursor.status().map_err(|e| self.db.unreadable("read for an export", &e))
    }
}

fn make_empty(dir: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::from_io(dir, "make a directory for an export", &e);
    fs::create_dir_all(dir).map_err(failed)?;
    match fs::read_dir(dir).map_err(failed)?.next() {
        None => Ok(()),
        Some(entry) => {
            let name = entry.map_err(failed)?.file_name();
            let message = format!("it holds {name:?}; name a directory that is empty or not yet there");
            Err(failed(io::Error::new(io::ErrorKind::DirectoryNotEmpty, message)))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::{ALL, BLOB, POINT, Rows, open, put, rows, sample};
    use crate::{Fault, verify};

    /// An export in files of about this length, which nobody disturbs.
    pub(crate) fn export_in(db: &StateDb, group: u32, dir: &Path, file_bytes: u64) -> Vec<ExportedFile> {
        let snapshot = db.rocks().snapshot();
        make_empty(dir).unwrap();
        let written = &mut |_| ControlFlow::Continue(());
        let export = Export { db, dir, file_bytes, written, untold: 0, files: Vec::new() };
        export.run(group, &ALL, &snapshot).unwrap().unwrap()
    }

    fn names(files: &[ExportedFile]) -> Vec<&str> {
        files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn a_column_with_keys_becomes_files_and_others_do_not() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        put(&db, 7, &Rows::from([((POINT.0, b"a".to_vec()), b"1".to_vec()), ((BLOB.0, vec![]), b"2".to_vec())]));
        put(&db, 8, &sample(1, 10, 10));
        let dir = root.path().join("new/deep");
        let (mut pinned, mut told) = (false, 0);
        let written = &mut |bytes| {
            told += bytes;
            ControlFlow::Continue(())
        };
        let on_pin = || {
            pinned = true;
            assert!(!dir.exists());
        };
        let files = db.export(7, &ALL, &dir, on_pin, written).unwrap().unwrap();
        assert!(pinned);
        assert_eq!(told, 2 * 5 + 1);
        assert_eq!(names(&files), ["point-0.sst", "blob-0.sst"]);
        let on_disk: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(on_disk.len(), 2, "{on_disk:?}");
        files.iter().for_each(|file| verify(&dir, file).unwrap());
        let none = db.export(6, &ALL, &root.path().join("none"), || {}, &mut |_| panic!("nothing is written"));
        assert_eq!(none, Ok(Some(vec![])));
    }

    #[test]
    fn a_large_column_is_split_at_the_given_length() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        put(&db, 1, &sample(1, 2_000, 200));
        let dir = root.path().join("export");
        let files = export_in(&db, 1, &dir, 64 << 10);
        for column in ALL {
            let lengths: Vec<_> =
                files.iter().filter(|file| file.column == db.name(column)).map(|file| file.bytes).collect();
            assert!(lengths.len() >= 4, "{lengths:?}");
            assert!(lengths.iter().all(|bytes| *bytes < 128 << 10), "{lengths:?}");
        }
        files.iter().for_each(|file| verify(&dir, file).unwrap());
    }

    #[test]
    fn files_show_the_pinned_instant_while_writes_go_on() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        let keys: Vec<_> = sample(1, 3_000, 200).into_keys().collect();
        // Every key has the number of the round that wrote it last.
        let round = |n: u32| -> Rows { keys.iter().map(|key| (key.clone(), [n.to_be_bytes(); 50].concat())).collect() };
        put(&db, 1, &round(1));
        db.flush().unwrap();
        put(&db, 1, &round(2));
        // After the instant all is overwritten, removed, written out and compacted underneath.
        let pinned = || put(&db, 1, &round(3));
        let mut calls = 0;
        let written = &mut |_| {
            calls += 1;
            let mut batch = db.batch(1);
            ALL.iter().for_each(|column| batch.clear(*column));
            db.write(batch).unwrap();
            put(&db, 1, &round(3 + calls));
            db.flush().unwrap();
            ALL.iter().for_each(|column| db.rocks().compact_range_cf(db.column(*column), None::<&[u8]>, None::<&[u8]>));
            ControlFlow::Continue(())
        };
        let dir = root.path().join("export");
        let files = db.export(1, &ALL, &dir, pinned, written).unwrap().unwrap();
        assert!(calls > 1, "{calls}");
        assert_eq!(rows(&db, 1), round(3 + calls));
        let other = tempfile::tempdir().unwrap();
        let copy = open(&other);
        copy.import(1, &ALL, &dir, &files, |_| ()).unwrap();
        assert_eq!(rows(&copy, 1), round(2));
    }

    #[test]
    fn an_export_can_be_broken_off_and_leaves_a_directory_to_delete() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        let all = sample(1, 5_000, 200);
        put(&db, 1, &all);
        for calls in [1, 3, 5] {
            let dir = root.path().join("export");
            let mut left = calls;
            let written = &mut |bytes| {
                assert!(bytes >= BLOCK || left == 1, "{bytes}");
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            assert_eq!(db.export(1, &ALL, &dir, || {}, written), Ok(None));
            fs::remove_dir_all(&dir).unwrap();
        }
        assert_eq!(rows(&db, 1), all);
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        put(&db, 1, &sample(1, 10, 10));
        let dir = root.path().join("export");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("point-0.sst"), "mine").unwrap();
        let error = db.export(1, &ALL, &dir, || {}, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.fault, Fault::Io, "{error}");
        assert!(error.to_string().contains("it holds \"point-0.sst\""), "{error}");
        assert_eq!(fs::read(dir.join("point-0.sst")).unwrap(), b"mine");
    }
}
