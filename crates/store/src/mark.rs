//! A small file beside the log database that says how much of it was on disk: so that a log that has lost its end is told from one that never had more.
//!
//! RocksDB can't tell: a write-ahead log whose end is damaged, cut or gone looks to it as one that was being written. The file is written after
//! each sync and is not synced itself: so it may be behind, after a loss of power, and is never ahead. It also keeps a few numbers that its user can't do
//! without when the log is lost.

use crate::error::{Fault, StoreError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "synced";
/// Numbers that are kept for the user.
pub(crate) const WORDS: usize = 5;
/// Writes, words, checksum.
const BYTES: usize = 8 * (WORDS + 2);

/// The file, open.
pub(crate) struct Mark {
    path: PathBuf,
    file: File,
    now: Mutex<Now>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Now {
    written: u64,
    words: [u64; WORDS],
}

impl Mark {
    /// Of the data directory `root`. One that is not there, or is damaged, says nothing.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(NAME);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|e| StoreError::from_io(&path, "open", &e))?;
        let mut bytes = [0; BYTES];
        let now = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Now::decode(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Now::default(),
            Err(error) => return Err(StoreError::from_io(&path, "read", &error)),
        };
        Ok(Self { path, file, now: Mutex::new(now) })
    }

    /// So many writes were on disk.
    pub(crate) fn written(&self) -> u64 {
        self.now().written
    }

    /// So many are. It goes back only with [`Mark::restart`].
    pub(crate) fn advance(&self, written: u64) -> Result<(), StoreError> {
        let mut now = self.lock();
        now.written = now.written.max(written);
        self.write(*now)
    }

    /// The database has begun anew, or has lost its end, and it is known: so many are on disk.
    pub(crate) fn restart(&self, written: u64) -> Result<(), StoreError> {
        let mut now = self.lock();
        now.written = written;
        self.write(*now)?;
        self.sync()
    }

    /// The user's numbers; zeros where there were none.
    pub(crate) fn words(&self) -> [u64; WORDS] {
        self.now().words
    }

    /// Keeps the user's numbers, on disk when this returns.
    pub(crate) fn set_words(&self, words: [u64; WORDS]) -> Result<(), StoreError> {
        let mut now = self.lock();
        now.words = words;
        self.write(*now)?;
        self.sync()
    }

    fn now(&self) -> Now {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        // Nothing panics while it is held.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, now: Now) -> Result<(), StoreError> {
        self.file.write_all_at(&now.encode(), 0).map_err(|e| self.failed("write", &e))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(|e| self.failed("sync", &e))
    }

    fn failed(&self, action: &str, error: &io::Error) -> StoreError {
        StoreError::from_io(&self.path, action, error)
    }

    /// What it means that only so many are there.
    pub(crate) fn loss(&self, found: u64) -> Option<StoreError> {
        let written = self.written();
        let text =
            || format!("{found} of {written} writes are there: the end of the log is lost, though it was on disk");
        (found < written).then(|| StoreError::new(Fault::Damaged, &self.path, text()))
    }
}

impl Now {
    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let numbers = std::iter::once(self.written).chain(self.words);
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = xxh3_64(&bytes[..BYTES - 8]);
        bytes[BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let number = |at: usize| bytes[8 * at..].first_chunk().map(|number| u64::from_le_bytes(*number));
        if number(WORDS + 1)? != xxh3_64(&bytes[..BYTES - 8]) {
            return None;
        }
        let mut words = [0; WORDS];
        for (place, word) in words.iter_mut().enumerate() {
            *word = number(place + 1)?;
        }
        Some(Self { written: number(0)?, words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_there_after_reopening_and_does_not_go_back_by_itself() {
        let root = tempfile::tempdir().unwrap();
        let mark = Mark::open(root.path()).unwrap();
        assert_eq!((mark.written(), mark.words()), (0, [0; WORDS]));
        mark.advance(7).unwrap();
        mark.set_words([1, 2, 3, 4, 5]).unwrap();
        mark.advance(5).unwrap();
        let mark = Mark::open(root.path()).unwrap();
        assert_eq!((mark.written(), mark.words()), (7, [1, 2, 3, 4, 5]));
        assert_eq!((mark.loss(7), mark.loss(8)), (None, None));
        let loss = mark.loss(6).unwrap();
        assert!(loss.is_damage() && loss.to_string().contains("6 of 7 writes are there"), "{loss}");
        mark.restart(2).unwrap();
        assert_eq!(Mark::open(root.path()).unwrap().written(), 2);
    }

    #[test]
    fn a_damaged_mark_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        Mark::open(root.path()).unwrap().advance(7).unwrap();
        let whole = std::fs::read(root.path().join(NAME)).unwrap();
        assert_eq!(whole.len(), BYTES);
        for at in 0..BYTES {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for bytes in [&flipped[..], &whole[..at]] {
                std::fs::write(root.path().join(NAME), bytes).unwrap();
                assert_eq!(Mark::open(root.path()).unwrap().written(), 0, "{at}");
            }
        }
    }
}
