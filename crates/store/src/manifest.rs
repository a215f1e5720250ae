//! A small file beside a database that says how its list of files began when it was last looked at: so that a list that has lost its end, or in which a
//! bit has flipped, is told from one that never said more.
//!
//! RocksDB (whose list is called MANIFEST) can't tell all of it. A list whose end is cut, or one with a wrong length in it, looks to it as one that was
//! being written when the power went; columns that it does not name any more are made anew, empty; and where nothing says which list counts, a new
//! database is made, and files of the old one are removed. What the note says of a list was synced before; the note itself is not synced: so it may be behind, after a
//! loss of power, and is never ahead.

use crate::error::{Fault, StoreError};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// After the database's name.
const NOTE: &str = ".files";
/// Which list counts.
const CURRENT: &str = "CURRENT";
const LIST: &str = "MANIFEST-";
/// The list that a database begins with: it may be there before anything says that it counts.
const FIRST: u64 = 1;
/// Number of the list, bytes, their checksum, checksum of these.
const BYTES: usize = 4 * 8;

/// Of a database that is open.
pub(crate) struct Manifest {
    database: PathBuf,
    note: File,
    seen: Mutex<Seen>,
}

/// So much of a list.
struct Seen {
    number: u64,
    bytes: u64,
    sum: Xxh3Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Noted {
    number: u64,
    bytes: u64,
    sum: u64,
}

impl Manifest {
    /// Of the database `name` below `root`, which has been checked and opened. Notes how its list is now.
    pub(crate) fn of(root: &Path, name: &str) -> Result<Self, StoreError> {
        let (database, path) = (root.join(name), note_path(root, name));
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let note = opened.map_err(|e| StoreError::from_io(&path, "open", &e))?;
        let seen = Mutex::new(Seen { number: 0, bytes: 0, sum: Xxh3Default::new() });
        let manifest = Self { database, note, seen };
        manifest.note();
        Ok(manifest)
    }

    /// Notes how the list is now, if it has grown. Blocks.
    pub(crate) fn note(&self) {
        if let Err(error) = self.catch_up() {
            // Less of it is known then, and no more is lost by that.
            tracing::warn!(database = %self.database.display(), %error, "what the list of its files says could not be noted");
        }
    }

    fn catch_up(&self) -> io::Result<()> {
        // Nothing panics while it is held.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let number = current(&self.database)?.ok_or(io::ErrorKind::NotFound)?;
        let list = File::open(list_path(&self.database, number))?;
        let bytes = list.metadata()?.len();
        if (number, bytes) == (seen.number, seen.bytes) {
            return Ok(());
        }
        // Before it is noted: what is noted must outlast a loss of power.
        list.sync_all()?;
        if number != seen.number {
            *seen = Seen { number, bytes: 0, sum: Xxh3Default::new() };
        }
        let mut added = vec![0; usize::try_from(bytes.saturating_sub(seen.bytes)).map_err(io::Error::other)?];
        list.read_exact_at(&mut added, seen.bytes)?;
        seen.sum.update(&added);
        seen.bytes = bytes;
        self.note.write_all_at(&Noted { number, bytes, sum: seen.sum.digest() }.encode(), 0)
    }
}

/// With the last of a database: when it has been closed, and its list says all.
impl Drop for Manifest {
    fn drop(&mut self) {
        self.note();
    }
}

/// Whether the files of the database `name` below `root`, which is not open, can be as they were. One that is not there is.
pub(crate) fn check(root: &Path, name: &str) -> Result<(), StoreError> {
    let database = root.join(name);
    let damaged = |why: String| Err(StoreError::new(Fault::Damaged, &database, why));
    let failed = |error: io::Error| StoreError::from_io(&database, "read the list of its files", &error);
    let noted = noted(root, name);
    let number = match current(&database) {
        Ok(Some(number)) => number,
        Ok(None) if noted.is_none() && is_new(&database).map_err(failed)? => return Ok(()),
        Ok(None) => return damaged(format!("the file {CURRENT} is missing")),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return damaged(error.to_string()),
        Err(error) => return Err(failed(error)),
    };
    let Some(noted) = noted else { return Ok(()) };
    if number > noted.number {
        return Ok(());
    }
    if number < noted.number {
        return damaged(format!(
            "it goes by the list of files {number}, and has had {}: it is an older one",
            noted.number
        ));
    }
    let mut bytes = Vec::new();
    let list = File::open(list_path(&database, number)).and_then(|list| list.take(noted.bytes).read_to_end(&mut bytes));
    match list {
        Err(error) if error.kind() == io::ErrorKind::NotFound => damaged("the list of its files is missing".to_owned()),
        Err(error) => Err(failed(error)),
        Ok(found) if (found as u64) < noted.bytes => {
            damaged(format!("the list of its files ends after {found} of {} bytes", noted.bytes))
        }
        Ok(_) if xxh3_64(&bytes) != noted.sum => damaged("the list of its files is not what was written".to_owned()),
        Ok(_) => Ok(()),
    }
}

/// Another database takes the place of the one that was noted.
pub(crate) fn forget(root: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(note_path(root, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn noted(root: &Path, name: &str) -> Option<Noted> {
    let bytes = fs::read(note_path(root, name)).ok()?;
    Noted::decode(bytes.first_chunk()?)
}

/// The number of the list that counts.
fn current(database: &Path) -> io::Result<Option<u64>> {
    let bytes = match fs::read(database.join(CURRENT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let number = name.and_then(number_of);
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("the file {CURRENT} names no list of files"));
    number.map(Some).ok_or_else(wrong)
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(LIST)?.parse().ok()
}

/// Whether a database was at most about to be made there.
fn is_new(database: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let is_table_or_log = Path::new(&*name).extension().is_some_and(|end| end == "sst" || end == "log");
        if is_table_or_log || number_of(&name).is_some_and(|number| number > FIRST) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list_path(database: &Path, number: u64) -> PathBuf {
    database.join(format!("{LIST}{number:06}"))
}

fn note_path(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}{NOTE}"))
}

impl Noted {
    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.number, self.bytes, self.sum]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = xxh3_64(&bytes[..BYTES - 8]);
        bytes[BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// One that is damaged says nothing.
    fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let number = |at: usize| bytes[8 * at..].first_chunk().map(|number| u64::from_le_bytes(*number));
        let noted = Self { number: number(0)?, bytes: number(1)?, sum: number(2)? };
        (number(3)? == xxh3_64(&bytes[..BYTES - 8])).then_some(noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "db";

    /// A database of which one list counts, as RocksDB leaves it.
    fn database(number: u64, list: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(NAME)).unwrap();
        rewrite(root.path(), number, list);
        root
    }

    fn rewrite(root: &Path, number: u64, list: &str) {
        fs::write(list_path(&root.join(NAME), number), list).unwrap();
        fs::write(root.join(NAME).join(CURRENT), format!("{LIST}{number:06}\n")).unwrap();
    }

    fn why(root: &Path) -> String {
        let error = check(root, NAME).unwrap_err();
        assert!(error.is_damage(), "{error}");
        error.cause
    }

    #[test]
    fn what_a_list_has_said_once_it_has_to_say_again() {
        let root = database(12, "two tables");
        check(root.path(), NAME).unwrap();
        let manifest = Manifest::of(root.path(), NAME).unwrap();
        check(root.path(), NAME).unwrap();
        rewrite(root.path(), 12, "two tables, and a third");
        check(root.path(), NAME).unwrap();
        manifest.note();
        check(root.path(), NAME).unwrap();
        rewrite(root.path(), 12, "two tables, and a fourth and a fifth");
        assert_eq!(why(root.path()), "the list of its files is not what was written");
        rewrite(root.path(), 12, "two tables");
        assert_eq!(why(root.path()), "the list of its files ends after 10 of 23 bytes");
        fs::remove_file(list_path(&root.path().join(NAME), 12)).unwrap();
        assert_eq!(why(root.path()), "the list of its files is missing");
    }

    #[test]
    fn a_newer_list_counts_and_an_older_one_does_not() {
        let root = database(12, "two tables");
        let manifest = Manifest::of(root.path(), NAME).unwrap();
        rewrite(root.path(), 13, "three");
        check(root.path(), NAME).unwrap();
        manifest.note();
        rewrite(root.path(), 12, "two tables");
        assert_eq!(why(root.path()), "it goes by the list of files 12, and has had 13: it is an older one");
        forget(root.path(), NAME).unwrap();
        check(root.path(), NAME).unwrap();
    }

    #[test]
    fn where_nothing_says_which_list_counts_a_database_is_new_or_damaged() {
        let root = tempfile::tempdir().unwrap();
        let database = root.path().join(NAME);
        check(root.path(), NAME).unwrap();
        fs::create_dir(&database).unwrap();
        for name in ["LOCK", "IDENTITY", "LOG", "MANIFEST-000001"] {
            fs::write(database.join(name), "").unwrap();
            check(root.path(), NAME).unwrap();
        }
        for name in ["MANIFEST-000005", "000007.sst", "000009.log"] {
            fs::write(database.join(name), "").unwrap();
            assert_eq!(why(root.path()), "the file CURRENT is missing");
            fs::remove_file(database.join(name)).unwrap();
        }
        for text in ["", "MANIFEST-000005", "MANIFEST-00000x\n", "what\n"] {
            fs::write(database.join(CURRENT), text).unwrap();
            assert_eq!(why(root.path()), "the file CURRENT names no list of files");
        }
    }

    #[test]
    fn a_database_that_was_noted_and_is_gone_is_damaged() {
        let root = database(12, "two tables");
        Manifest::of(root.path(), NAME).unwrap();
        fs::remove_dir_all(root.path().join(NAME)).unwrap();
        assert_eq!(why(root.path()), "the file CURRENT is missing");
    }

    #[test]
    fn a_damaged_note_says_nothing() {
        let root = database(12, "two tables");
        Manifest::of(root.path(), NAME).unwrap();
        let whole = fs::read(note_path(root.path(), NAME)).unwrap();
        assert_eq!(whole.len(), BYTES);
        rewrite(root.path(), 12, "other");
        for at in 0..BYTES {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for bytes in [&flipped[..], &whole[..at]] {
                fs::write(note_path(root.path(), NAME), bytes).unwrap();
                check(root.path(), NAME).unwrap();
            }
        }
    }
}
