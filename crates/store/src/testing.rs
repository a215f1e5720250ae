//! For the tests of export and import: a database with a column of each purpose, filled, read as a whole, and as it would be found
//! after a loss of power.

use crate::{Column, ColumnSpec, DataDir, Purpose, StateDb, StateOptions};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) const COLUMNS: [ColumnSpec; 5] = [
    ColumnSpec { name: "hot", purpose: Purpose::Hot },
    ColumnSpec { name: "point", purpose: Purpose::Point },
    ColumnSpec { name: "absent", purpose: Purpose::Absent },
    ColumnSpec { name: "sequence", purpose: Purpose::Sequence },
    ColumnSpec { name: "blob", purpose: Purpose::Blob },
];
pub(crate) const POINT: Column = Column(1);
pub(crate) const ABSENT: Column = Column(2);
pub(crate) const SEQUENCE: Column = Column(3);
pub(crate) const BLOB: Column = Column(4);
pub(crate) const ALL: [Column; 5] = [Column(0), POINT, ABSENT, SEQUENCE, BLOB];

/// Values of a group by column and key.
pub(crate) type Rows = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

pub(crate) fn open(root: &TempDir) -> StateDb {
    StateDb::open(&DataDir::open(root.path(), 1, None).unwrap(), StateOptions::default(), &COLUMNS).unwrap()
}

/// `count` rows in each column, below the keys `0..count` as four bytes and below the empty key, with values of `length` bytes that
/// no compression makes shorter.
pub(crate) fn sample(seed: u64, count: u32, length: usize) -> Rows {
    let value = |place: usize, n: u32| -> Vec<u8> {
        let word =
            |i: usize| xxh3_64_with_seed(&[place as u64, n.into(), i as u64].map(u64::to_be_bytes).concat(), seed);
        (0..length.div_ceil(8)).flat_map(|i| word(i).to_be_bytes()).take(length).collect()
    };
    let keys = |n: u32| if n == 0 { Vec::new() } else { n.to_be_bytes().to_vec() };
    let column = |place: usize| (0..count).map(move |n| ((place, keys(n)), value(place, n)));
    (0..ALL.len()).flat_map(column).collect()
}

pub(crate) fn put(db: &StateDb, group: u32, rows: &Rows) {
    let mut batch = db.batch(group);
    rows.iter().for_each(|((place, key), value)| batch.put(Column(*place), key, value));
    db.write(batch).unwrap();
}

pub(crate) fn rows(db: &StateDb, group: u32) -> Rows {
    let mut found = Rows::new();
    for column in ALL {
        let visit = &mut |key: &[u8], value: &[u8]| {
            found.insert((column.0, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        db.scan(group, column, &[], &[0xff; 40], visit).unwrap();
    }
    found
}

/// What is found on disk if power is lost now: closing a database writes out what is in memory, so the files of an open one are copied.
pub(crate) fn after_power_loss(db: &StateDb) -> (TempDir, StateDb) {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("state");
    drop(open(&root));
    fs::remove_dir_all(&to).unwrap();
    fs::create_dir(&to).unwrap();
    db.rocks().disable_file_deletions().unwrap();
    // What was noted before what it speaks of.
    copy(db.path().parent().unwrap(), root.path(), |path| path.ends_with("state.files"));
    let ends = |path: &Path, with: &str| path.extension().is_some_and(|end| end == with);
    // The list of tables first, the tables then: those that are listed are all there. A file that is about to get its name is none yet.
    copy(db.path(), &to, |path| !ends(path, "sst") && !ends(path, "dbtmp"));
    copy(db.path(), &to, |path| ends(path, "sst"));
    db.rocks().enable_file_deletions().unwrap();
    let copy = open(&root);
    (root, copy)
}

fn copy(from: &Path, to: &Path, which: impl Fn(&Path) -> bool) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if which(&path) {
            match fs::copy(&path, to.join(path.file_name().unwrap())) {
                // Options of before, replaced meanwhile. What the copy can't do without is missed when it is opened.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => _ = copied.unwrap(),
            }
        }
    }
}
