//! Makes a state database anew from what can be read of a damaged one.
//!
//! A damaged block can't be removed from a database: each compaction that comes to it fails, and files that hold several groups can't be dropped for
//! one of them. So all groups that can be read go into a new database, which takes the old one's place. It stands aside until the next time. Where it is not certain
//! which files the old one has, nothing of it is read: what is missing could not be told from what never was.
//!
//! A file that was written lately and can't be opened at all takes all groups with it: each of them could have something in it.
//!
//! Knows nothing of Raft: who has groups that came out empty finds that their logs don't fit.

use crate::data_dir::DataDir;
use crate::error::{Fault, StoreError};
use crate::manifest;
use crate::options::{ColumnSpec, StateOptions, StateTuning};
use crate::state_db::{Column, NAME, StateDb};
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// The note that the next start is to do this, with the reason.
const NOTE: &str = "state.damage";
/// Where the new database is made, and where the old one goes.
const NEW: &str = "state.new";
const OLD: &str = "state.damaged";
/// A key above all of a group.
const END: [u8; 64] = [0xff; 64];
/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// Notes that the database below `root` is damaged. Where that fails, the next start finds out by itself.
pub(crate) fn mark(root: &Path, error: &StoreError) {
    let written = fs::write(root.join(NOTE), format!("{}\n", error.cause)).and_then(|()| File::open(root)?.sync_all());
    if let Err(error) = written {
        tracing::warn!(%error, "that the state database is damaged could not be noted");
    }
}

/// What an earlier process has noted.
pub(crate) fn reason(root: &Path) -> Option<StoreError> {
    let text = fs::read_to_string(root.join(NOTE)).ok()?;
    Some(StoreError::new(Fault::Damaged, &root.join(NAME), text.trim_end()))
}

/// See the module. With `all`, also where nothing can be read. Does it again from the beginning where an earlier process was interrupted.
pub(crate) fn salvage(
    dir: &DataDir,
    options: StateOptions,
    columns: &[ColumnSpec],
    (groups, all): (&[u32], bool),
    why: StoreError,
) -> Result<(), StoreError> {
    let root = dir.path();
    let (damaged, new, old) = (root.join(NAME), root.join(NEW), root.join(OLD));
    let failed = |action| move |error: io::Error| StoreError::from_io(root, action, &error);
    tracing::error!(%why, "the state database is damaged: what can be read of it is brought into a new one");
    mark(root, &why);
    // An earlier process was interrupted between the two names: then the new one is whole.
    let is_made = !damaged.exists() && old.exists() && new.exists();
    if !is_made {
        make(dir, options, columns, (groups, all), why)?;
        remove(&old).map_err(failed("remove a state that was put aside before"))?;
        if damaged.exists() {
            fs::rename(&damaged, &old).map_err(failed("put the damaged state aside"))?;
        }
    }
    manifest::forget(root, NAME).map_err(failed("forget the files of the damaged state"))?;
    fs::rename(&new, &damaged).map_err(failed("put the new state in its place"))?;
    fs::remove_file(root.join(NOTE)).map_err(failed("remove the note of the damage"))?;
    File::open(root).and_then(|root| root.sync_all()).map_err(failed("sync it"))?;
    tracing::warn!(old = %old.display(), "the state database was made anew; the old one is of no more use, but to find out what happened");
    Ok(())
}

/// The new database, from what can be read.
fn make(
    dir: &DataDir,
    options: StateOptions,
    columns: &[ColumnSpec],
    (groups, all): (&[u32], bool),
    why: StoreError,
) -> Result<(), StoreError> {
    let (damaged, new) = (dir.path().join(NAME), dir.path().join(NEW));
    remove(&new).map_err(|error| StoreError::from_io(&new, "remove an unfinished state", &error))?;
    let source = manifest::check(dir.path(), NAME);
    let source = source.and_then(|()| StateDb::open_at(dir, damaged, StateTuning::lenient(options), columns));
    if source.is_err() && !all {
        return Err(why);
    }
    let target = StateDb::open_at(dir, new, StateTuning::new(options), columns)?;
    match source {
        Ok(source) => copy(&source, &target, columns.len(), groups)?,
        Err(error) => tracing::error!(%error, "nothing of the state can be read"),
    }
    target.flush()
}

/// Each group as a whole, or nothing of it.
fn copy(source: &StateDb, target: &StateDb, columns: usize, groups: &[u32]) -> Result<(), StoreError> {
    for &group in groups {
        let mut outcome = Ok(());
        for column in (0..columns).map(Column) {
            outcome = outcome.and(copy_column(source, target, group, column)?);
        }
        if let Err(error) = outcome {
            tracing::error!(group, %error, "the state of a group can't be read");
            let mut batch = target.batch(group);
            (0..columns).map(Column).for_each(|column| batch.clear(column));
            target.write(batch)?;
        }
    }
    Ok(())
}

/// The inner error is the source's, the outer one the target's.
fn copy_column(
    source: &StateDb,
    target: &StateDb,
    group: u32,
    column: Column,
) -> Result<Result<(), StoreError>, StoreError> {
    let (mut batch, mut written) = (target.batch(group), Ok(()));
    let read = source.scan(group, column, &[], &END, &mut |key, value| {
        batch.put(column, key, value);
        if batch.bytes() >= BATCH {
            written = target.write(std::mem::replace(&mut batch, target.batch(group)));
        }
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written?;
    target.write(batch)?;
    Ok(read)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALL, COLUMNS, Rows, put, rows, sample};
    use std::os::unix::fs::FileExt;
    use tempfile::TempDir;

    /// What is done to one file of tables.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Harm {
        Flip,
        Cut,
        Delete,
        /// All files, and the list of them.
        Everything,
    }

    /// Three groups in files of their own, as after some compactions: that of the second is harmed.
    fn harmed(root: &TempDir, harm: Harm) -> [Rows; 3] {
        let groups = [1, 2, 3].map(|group| sample(group, 500, 100));
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        let db = StateDb::open(&dir, StateOptions::default(), &COLUMNS).unwrap();
        for (group, rows) in (1..).zip(&groups) {
            put(&db, group, rows);
            db.flush().unwrap();
            let range = [group.to_be_bytes(), (group + 1).to_be_bytes()];
            db.columns().for_each(|column| db.rocks().compact_range_cf(column, Some(range[0]), Some(range[1])));
        }
        let live = db.rocks().live_files().unwrap();
        let of_second = live.iter().find(|file| file.column_family_name == "blob" && starts_with(file, 2)).unwrap();
        let path = db.path().join(of_second.name.trim_start_matches('/'));
        let state = db.path().to_owned();
        drop(db);
        match harm {
            Harm::Flip => flip(&path, 5_000),
            Harm::Cut => File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap(),
            Harm::Delete => fs::remove_file(&path).unwrap(),
            Harm::Everything => fs::read_dir(&state).unwrap().for_each(|entry| {
                let path = entry.unwrap().path();
                if path.file_name().is_some_and(|name| name != "CURRENT") && path.is_file() {
                    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
                }
            }),
        }
        groups
    }

    fn starts_with(file: &rocksdb::LiveFile, group: u32) -> bool {
        file.start_key.as_ref().is_some_and(|key| key.starts_with(&group.to_be_bytes()))
    }

    fn flip(path: &Path, at: u64) {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }

    fn reopen(root: &TempDir, all: bool) -> Result<(StateDb, bool), StoreError> {
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        StateDb::open_or_salvage(&dir, StateOptions::default(), &COLUMNS, &[1, 2, 3], all)
    }

    #[test]
    fn what_can_be_read_is_in_the_new_database_and_a_group_that_can_not_is_gone_as_a_whole() {
        for harm in [Harm::Flip, Harm::Cut, Harm::Delete] {
            let root = tempfile::tempdir().unwrap();
            let groups = harmed(&root, harm);
            if harm == Harm::Flip {
                // That is only found when it is read.
                let (db, salvaged) = reopen(&root, false).unwrap();
                assert!(!salvaged && !db.is_damaged());
                let found = ALL.map(|column| db.verify(2, column, &mut |_| ControlFlow::Continue(())).is_err());
                assert_eq!((found, db.is_damaged()), ([false, false, false, false, true], true));
                assert!(ALL.iter().all(|c| db.verify(1, *c, &mut |_| ControlFlow::Continue(())).is_ok()));
            }
            let (db, salvaged) = reopen(&root, false).unwrap();
            assert!(salvaged && !db.is_damaged(), "{harm:?}");
            assert_eq!([1, 2, 3].map(|group| rows(&db, group)), [groups[0].clone(), Rows::new(), groups[2].clone()]);
            drop(db);
            assert!(!reopen(&root, false).unwrap().1, "it is done once");
        }
    }

    #[test]
    fn where_nothing_can_be_read_an_empty_database_is_made_only_if_that_is_wanted() {
        let root = tempfile::tempdir().unwrap();
        harmed(&root, Harm::Everything);
        let error = reopen(&root, false).err().unwrap();
        assert!(error.is_damage() && error.to_string().contains("let the node rejoin"), "{error}");
        let (db, salvaged) = reopen(&root, true).unwrap();
        assert!(salvaged && rows(&db, 1).is_empty());
        assert!(root.path().join(OLD).join("CURRENT").exists());
    }

    #[test]
    fn a_salvage_that_was_interrupted_begins_anew_or_goes_on() {
        for is_made in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let groups = harmed(&root, Harm::Delete);
            let at = |name| root.path().join(name);
            if is_made {
                drop(reopen(&root, false).unwrap());
                fs::rename(at(NAME), at(NEW)).unwrap();
            } else {
                fs::create_dir(at(NEW)).unwrap();
                fs::write(at(NEW).join("CURRENT"), "MANIFEST-").unwrap();
            }
            mark(root.path(), &StoreError::new(Fault::Damaged, root.path(), "a block"));
            let (db, salvaged) = reopen(&root, false).unwrap();
            assert!(salvaged);
            assert_eq!([1, 2, 3].map(|group| rows(&db, group)), [groups[0].clone(), Rows::new(), groups[2].clone()]);
            assert!(at(OLD).exists() && !at(NEW).exists() && !at(NOTE).exists());
        }
    }

    #[test]
    fn where_it_is_not_certain_which_files_there_were_nothing_is_read() {
        let harms: [fn(&Path); 4] = [
            |state| fs::remove_file(state.join("CURRENT")).unwrap(),
            |state| fs::write(state.join("CURRENT"), "MANIFEST-999999\n").unwrap(),
            |state| fs::remove_dir_all(state).unwrap(),
            |state| {
                let files = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
                let list = files.filter(|path| path.to_string_lossy().contains("MANIFEST")).max().unwrap();
                let bytes = fs::metadata(&list).unwrap().len();
                File::options().write(true).open(list).unwrap().set_len(bytes / 2).unwrap();
            },
        ];
        for harm in harms {
            let root = tempfile::tempdir().unwrap();
            let dir = DataDir::open(root.path(), 1, None).unwrap();
            let db = StateDb::open(&dir, StateOptions::default(), &COLUMNS).unwrap();
            put(&db, 1, &sample(1, 50, 100));
            drop((db, dir));
            harm(&root.path().join(NAME));
            let error = reopen(&root, false).err().unwrap();
            assert!(error.is_damage(), "{error}");
            let (db, salvaged) = reopen(&root, true).unwrap();
            assert!(salvaged && rows(&db, 1).is_empty());
            put(&db, 1, &sample(1, 50, 100));
            db.flush().unwrap();
            drop(db);
            let (db, salvaged) = reopen(&root, false).unwrap();
            assert!(!salvaged && rows(&db, 1) == sample(1, 50, 100));
        }
    }

    #[test]
    fn a_damaged_database_goes_on_taking_writes() {
        let root = tempfile::tempdir().unwrap();
        harmed(&root, Harm::Flip);
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        let options = StateOptions { hold_compactions: true, ..StateOptions::default() };
        let db = StateDb::open(&dir, options, &COLUMNS).unwrap();
        assert!(db.verify(2, ALL[4], &mut |_| ControlFlow::Continue(())).is_err());
        db.release_compactions().unwrap();
        let rows_of = sample(9, 50, 100);
        for _ in 0..12 {
            put(&db, 7, &rows_of);
            db.flush().unwrap();
        }
        // What can't be read can be removed all the same.
        let mut batch = db.batch(2);
        ALL.into_iter().for_each(|column| batch.clear(column));
        db.write(batch).unwrap();
        db.flush().unwrap();
        assert_eq!((rows(&db, 7), rows(&db, 2)), (rows_of, Rows::new()));
    }
}
