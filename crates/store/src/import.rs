//! Replaces one group's state by exported files.
//!
//! Knows nothing of Raft: that nobody reads or writes the group meanwhile, and that it is done again after a crash, is with who calls.

use crate::error::{Fault, StoreError};
use crate::exported::{ExportedFile, verify};
use crate::keys::group_end;
use crate::shelf;
use crate::state_batch::StateBatch;
use crate::state_db::{Base, Column, StateDb};
use rocksdb::IngestExternalFileOptions;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How often memory is written out before RocksDB is let do it while all writers wait.
const FLUSHES: usize = 3;
/// Files of a column that are taken in at once. They mostly end up at the top level, and RocksDB slows all writers down when 20 files are
/// there, and stops them at 36.
const FILES: usize = 8;

impl StateDb {
    /// Replaces everything that `group` has in `columns` by what is in `files`, which an export of the same group wrote and which are in `dir`.
    /// A column without a file ends up without keys. The files are left as they are. Blocks; writers of other groups wait for moments, once a
    /// column, or once for each 8 files of it.
    ///
    /// All files are checked first: an error that comes of that has changed nothing. After any other error, and after a crash before it
    /// returns, the group is anything between before and after: do it again, from the same files, before the group is read. Doing it twice
    /// does no harm. `last` is written when all that is there, and with it: what tells that the group is after, not between. What it has done
    /// when it returns needs no flush.
    ///
    /// The caller writes nothing to the group meanwhile. That the keys in a file are of this group is only known by its checksum: the
    /// `rocksdb` package can't read a table without a database around it.
    pub fn import(
        &self,
        group: u32,
        columns: &[Column],
        dir: &Path,
        files: &[ExportedFile],
        last: impl FnOnce(&mut StateBatch<'_>),
    ) -> Result<(), StoreError> {
        let files = self.checked(columns, dir, files)?;
        self.clear(group, columns)?;
        for (column, paths) in files {
            self.take_in(group, column, dir, &paths)?;
        }
        let mut batch = self.batch(group);
        last(&mut batch);
        self.write(batch)?;
        // Flushes are of the whole database, and each leaves a file at the top of each column, where many hold up all writers: so only one.
        self.flush()
    }

    fn take_in(&self, group: u32, column: Column, dir: &Path, paths: &[PathBuf]) -> Result<(), StoreError> {
        if let Base::Shelf(base) = &self.base {
            return paths.iter().try_for_each(|path| shelf::ingest(base, column.0, path));
        }
        for (n, some) in paths.chunks(FILES).enumerate() {
            if n > 0 {
                self.make_room(group, column);
            }
            self.ingest(column, dir, some)?;
        }
        Ok(())
    }

    /// The files' paths by column, if all of them are as they were written.
    fn checked(
        &self,
        columns: &[Column],
        dir: &Path,
        files: &[ExportedFile],
    ) -> Result<Vec<(Column, Vec<PathBuf>)>, StoreError> {
        let known: BTreeSet<_> = columns.iter().map(|column| self.name(*column)).collect();
        let mut seen = BTreeSet::new();
        for file in files {
            if !known.contains(file.column.as_str()) {
                let cause = format!("file {:?} is of column {:?}, known here are {known:?}", file.name, file.column);
                return Err(StoreError::new(Fault::Incompatible, dir, cause));
            }
            if !seen.insert(&file.name) {
                let cause = format!("file {:?} stands twice in the list of files", file.name);
                return Err(StoreError::new(Fault::Damaged, dir, cause));
            }
        }
        files.iter().try_for_each(|file| verify(dir, file))?;
        let of = |column| files.iter().filter(move |file| file.column == self.name(column));
        let by_column = columns.iter().map(|&column| (column, of(column).map(|file| dir.join(&file.name)).collect()));
        Ok(by_column.filter(|(_, paths): &(_, Vec<_>)| !paths.is_empty()).collect())
    }

    /// Removes the group's keys, also from the files. A column without keys is left alone: what was removed for nothing costs readers and
    /// keeps files that are taken in above it.
    fn clear(&self, group: u32, columns: &[Column]) -> Result<(), StoreError> {
        // (What can't be read is to go all the same.)
        let taken = |column: &&Column| !matches!(self.is_empty(group, **column), Ok(true));
        let taken: Vec<_> = columns.iter().filter(taken).collect();
        if taken.is_empty() {
            return Ok(());
        }
        let mut batch = self.batch(group);
        taken.into_iter().for_each(|column| batch.clear(*column));
        self.write(batch)?;
        self.flush()
    }

    /// Compacts what the group has at the top level down. No error comes of it: if it fails because the database does, the next call says so.
    fn make_room(&self, group: u32, column: Column) {
        let (from, to) = (group.to_be_bytes(), group_end(group));
        self.rocks().compact_range_cf(self.column(column), Some(from), Some(to));
    }

    /// Takes files of a column in. All writers wait while RocksDB does that, and it must not write memory out meanwhile: so if the files' keys
    /// overlap with what is in memory, that is written out before, while writers go on.
    fn ingest(&self, column: Column, dir: &Path, paths: &[PathBuf]) -> Result<(), StoreError> {
        let failed = |e| StoreError::from_rocksdb(dir, "take its files in", &e);
        for _ in 0..FLUSHES {
            match self.try_ingest(column, paths, false) {
                Err(e) if wants_flush(&e) => self.flush()?,
                done => return done.map_err(failed),
            }
        }
        self.try_ingest(column, paths, true).map_err(failed)
    }

    fn try_ingest(&self, column: Column, paths: &[PathBuf], may_flush: bool) -> Result<(), rocksdb::Error> {
        let mut options = IngestExternalFileOptions::default();
        // Copied and synced: the caller needs the files again if there is a crash.
        options.set_move_files(false);
        options.set_allow_blocking_flush(may_flush);
        self.rocks().ingest_external_file_cf_opts(self.column(column), &options, paths.to_vec())
    }
}

/// RocksDB tells it in its text only.
fn wants_flush(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::InvalidArgument && error.to_string().contains("requires flush")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::export_in;
    use crate::testing::{ABSENT, ALL, BLOB, POINT, Rows, SEQUENCE, after_power_loss, open, put, rows, sample};
    use std::fs;
    use tempfile::TempDir;

    const GROUP: u32 = 5;
    const SPLIT: u64 = 64 << 10;

    /// Files of the group with these rows, several for each column, and where they are.
    fn exported(wanted: &Rows) -> (TempDir, PathBuf, Vec<ExportedFile>) {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        put(&db, GROUP, wanted);
        let dir = root.path().join("export");
        let files = export_in(&db, GROUP, &dir, SPLIT);
        (root, dir, files)
    }

    /// A database with other rows of the group, in files, in memory and removed by range, and neighbours at both sides.
    fn occupied(root: &TempDir) -> (StateDb, Rows) {
        let db = open(root);
        let neighbour = sample(3, 100, 50);
        put(&db, GROUP, &sample(2, 3_000, 100));
        put(&db, GROUP - 1, &neighbour);
        db.flush().unwrap();
        let mut batch = db.batch(GROUP);
        ALL.iter().for_each(|column| batch.delete_range(*column, &500_u32.to_be_bytes(), &900_u32.to_be_bytes()));
        db.write(batch).unwrap();
        put(&db, GROUP, &sample(4, 50, 100));
        // Keys at the borders of the group's range.
        put(&db, GROUP, &Rows::from([((POINT.0, vec![0xff; 20]), b"last".to_vec())]));
        put(&db, GROUP + 1, &neighbour);
        (db, neighbour)
    }

    #[test]
    fn an_import_replaces_all_keys_of_the_group_and_leaves_others_alone() {
        let wanted = sample(1, 2_000, 200);
        let (_source, dir, files) = exported(&wanted);
        let root = tempfile::tempdir().unwrap();
        let (db, neighbour) = occupied(&root);
        for _ in 0..2 {
            db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
            assert_eq!(rows(&db, GROUP), wanted);
            assert_eq!(rows(&db, GROUP - 1), neighbour);
            assert_eq!(rows(&db, GROUP + 1), neighbour);
        }
        files.iter().for_each(|file| verify(&dir, file).unwrap());
    }

    #[test]
    fn an_import_survives_a_loss_of_power_and_can_be_written_over() {
        let wanted = sample(1, 2_000, 200);
        let (_source, dir, files) = exported(&wanted);
        let root = tempfile::tempdir().unwrap();
        let (db, neighbour) = occupied(&root);
        db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
        let (_copy, found) = after_power_loss(&db);
        assert_eq!(rows(&found, GROUP), wanted);
        assert_eq!(rows(&found, GROUP + 1), neighbour);
        let newer = sample(9, 2_500, 10);
        put(&found, GROUP, &newer);
        assert_eq!(rows(&found, GROUP), wanted.into_iter().chain(newer).collect());
    }

    #[test]
    fn an_import_that_was_cut_short_is_completed_by_the_next_one() {
        let wanted = sample(1, 2_000, 200);
        let (_source, dir, files) = exported(&wanted);
        let by_column = |db: &StateDb| db.checked(&ALL, &dir, &files).unwrap();
        for columns_done in 0..ALL.len() {
            let root = tempfile::tempdir().unwrap();
            let (db, neighbour) = occupied(&root);
            db.clear(GROUP, &ALL).unwrap();
            let done = by_column(&db).into_iter().take(columns_done);
            done.for_each(|(column, paths)| db.ingest(column, &dir, &paths).unwrap());
            let (_copy, found) = after_power_loss(&db);
            found.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
            assert_eq!(rows(&found, GROUP), wanted, "{columns_done}");
            assert_eq!(rows(&found, GROUP - 1), neighbour);
        }
    }

    #[test]
    fn no_files_clear_the_group() {
        let (_source, dir, files) = exported(&Rows::new());
        assert_eq!(files, []);
        let root = tempfile::tempdir().unwrap();
        let (db, neighbour) = occupied(&root);
        db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
        let (_copy, found) = after_power_loss(&db);
        for db in [&db, &found] {
            assert_eq!(rows(db, GROUP), Rows::new());
            assert_eq!(rows(db, GROUP + 1), neighbour);
        }
    }

    #[test]
    fn columns_that_are_not_asked_for_are_left_alone() {
        let wanted = sample(1, 100, 100);
        let (_source, dir, files) = exported(&wanted);
        let root = tempfile::tempdir().unwrap();
        let (db, _) = occupied(&root);
        let before = rows(&db, GROUP);
        let files: Vec<_> = files.into_iter().filter(|file| file.column == "blob").collect();
        db.import(GROUP, &[BLOB], &dir, &files, |_| ()).unwrap();
        let of = |rows: &Rows, other: bool| -> Rows {
            rows.clone().into_iter().filter(|((place, _), _)| (*place == BLOB.0) != other).collect()
        };
        assert_eq!(of(&rows(&db, GROUP), true), of(&before, true));
        assert_eq!(of(&rows(&db, GROUP), false), of(&wanted, false));
    }

    #[test]
    fn imported_values_are_found_by_key_in_every_kind_of_column() {
        let root = tempfile::tempdir().unwrap();
        let mut wanted = Rows::new();
        // Enough keys for filters of many parts, and values of many blocks.
        for place in [POINT.0, ABSENT.0] {
            wanted.extend((0..40_000_u32).map(|n| ((place, (n * 2).to_be_bytes().to_vec()), n.to_be_bytes().to_vec())));
        }
        for place in [SEQUENCE.0, BLOB.0] {
            wanted.extend((0..20_u32).map(|n| ((place, (n * 2).to_be_bytes().to_vec()), vec![n as u8; 100_000])));
        }
        let (_source, dir, files) = exported(&wanted);
        let db = open(&root);
        db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
        for ((place, key), value) in &wanted {
            assert_eq!(db.get(GROUP, Column(*place), key).unwrap().as_ref(), Some(value));
        }
        for n in 0..1_000_u32 {
            assert_eq!(db.get(GROUP, ABSENT, &(n * 2 + 1).to_be_bytes()).unwrap(), None);
        }
        assert_eq!(rows(&db, GROUP), wanted);
    }

    #[test]
    fn files_that_are_not_as_they_were_written_change_nothing() {
        type Damage = fn(&Path, &mut Vec<ExportedFile>);
        let cases: [(&str, Fault, Damage); 6] = [
            ("it is missing", Fault::Damaged, |dir, files| fs::remove_file(dir.join(&files[3].name)).unwrap()),
            ("were written", Fault::Damaged, |dir, files| {
                let file = files.last().unwrap();
                let open = fs::File::options().write(true).open(dir.join(&file.name)).unwrap();
                open.set_len(file.bytes - 1).unwrap();
            }),
            ("its checksum is", Fault::Damaged, |dir, files| {
                let path = dir.join(&files.last().unwrap().name);
                let mut content = fs::read(&path).unwrap();
                content[1_000] ^= 0x10;
                fs::write(path, content).unwrap();
            }),
            ("is not the name of a file", Fault::Damaged, |_, files| {
                files[2].name = format!("../export/{}", files[2].name);
            }),
            ("stands twice", Fault::Damaged, |_, files| files.push(files[0].clone())),
            ("is of column \"other\", known here are", Fault::Incompatible, |dir, files| {
                let was = dir.join(&files[0].name);
                files[0].column = "other".to_owned();
                files[0].name = "other-0.sst".to_owned();
                fs::rename(was, dir.join("other-0.sst")).unwrap();
            }),
        ];
        let root = tempfile::tempdir().unwrap();
        let (db, _) = occupied(&root);
        let before = rows(&db, GROUP);
        for (want, fault, damage) in cases {
            let (_source, dir, mut files) = exported(&sample(1, 2_000, 200));
            damage(&dir, &mut files);
            let error = db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap_err();
            assert_eq!(error.fault, fault, "{error}");
            assert!(error.to_string().contains(want), "{error}");
            assert_eq!(rows(&db, GROUP), before);
        }
    }

    #[test]
    fn what_no_export_wrote_is_refused_by_the_database_itself() {
        let (_source, dir, mut files) = exported(&sample(1, 10, 10));
        fs::write(dir.join(&files[0].name), [7; 5_000]).unwrap();
        files[0] = ExportedFile::read(&dir, &files[0].column.clone(), 0).unwrap();
        let root = tempfile::tempdir().unwrap();
        let (db, neighbour) = occupied(&root);
        let error = db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap_err();
        assert_eq!((error.fault, error.path.as_path()), (Fault::Damaged, dir.as_path()), "{error}");
        assert_eq!(rows(&db, GROUP + 1), neighbour);
        // Nothing is stopped by it: with good files, it is done.
        db.import(GROUP, &ALL, &dir, &[], |_| ()).unwrap();
        assert_eq!(rows(&db, GROUP), Rows::new());
    }

    #[test]
    fn what_is_in_memory_is_written_out_before_files_go_above_it() {
        let wanted = sample(1, 2_000, 200);
        let (_source, dir, files) = exported(&wanted);
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        put(&db, GROUP, &sample(2, 2_000, 10));
        let checked = db.checked(&ALL, &dir, &files).unwrap();
        let (column, paths) = &checked[0];
        assert!(wants_flush(&db.try_ingest(*column, paths, false).unwrap_err()));
        checked.iter().for_each(|(column, paths)| db.ingest(*column, &dir, paths).unwrap());
        assert_eq!(rows(&db, GROUP), wanted);
    }

    #[test]
    fn many_files_do_not_pile_up_where_they_hold_up_writers() {
        let wanted = sample(1, 8_000, 200);
        let (_source, dir, files) = exported(&wanted);
        let (fresh, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for db in [open(&fresh), occupied(&full).0] {
            // What compaction does by itself, and when, must not decide what is seen here.
            let manual = |column| db.rocks().set_options_cf(db.column(column), &[("disable_auto_compactions", "true")]);
            ALL.into_iter().try_for_each(manual).unwrap();
            db.import(GROUP, &ALL, &dir, &files, |_| ()).unwrap();
            for column in ALL {
                let given = files.iter().filter(|file| file.column == db.name(column)).count();
                let live = db.rocks().live_files().unwrap();
                let top =
                    live.iter().filter(|file| file.column_family_name == db.name(column) && file.level == 0).count();
                // Beside what was flushed before and after.
                assert!(given > 2 * FILES && top <= FILES + 3, "{given} files, {top} at the top");
            }
            assert_eq!(rows(&db, GROUP), wanted);
        }
    }
}
