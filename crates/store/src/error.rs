//! What can go wrong with a database that is open, told apart by what an operator has to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space is left on the device, or a quota is used up.
    DiskFull,
    /// Data on disk is not what was written.
    Damaged,
    /// The data was written by a newer version, or with other settings than now.
    Incompatible,
    /// Anything else: the device or the file system failed.
    Io,
}

/// A database operation failed. Retrying it is never right: the file system may have dropped what it could not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// The kind of failure.
    pub fault: Fault,
    /// Where the database is.
    pub path: PathBuf,
    /// What was attempted and what the database said.
    pub cause: String,
}

impl StoreError {
    /// A failure found by our own checks.
    pub fn new(fault: Fault, path: &Path, cause: impl Into<String>) -> Self {
        Self { fault, path: path.to_owned(), cause: cause.into() }
    }

    /// A failure reported by RocksDB while it did `action`.
    pub(crate) fn from_rocksdb(path: &Path, action: &str, error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        Self::new(fault_of(error.kind(), &text), path, format!("{action}: {text}"))
    }

    /// A failure reported by the file system while `action` was done.
    pub(crate) fn from_io(path: &Path, action: &str, error: &io::Error) -> Self {
        let fault = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::DiskFull,
            _ => Fault::Io,
        };
        Self::new(fault, path, format!("{action}: {error}"))
    }

    /// Whether what was written is not there any more as it was, or a file of it is missing.
    pub fn is_damage(&self) -> bool {
        self.fault == Fault::Damaged || (self.fault == Fault::Io && self.cause.contains("No such file or directory"))
    }

    /// Whether freeing disk space is what helps.
    pub fn is_disk_full(&self) -> bool {
        self.fault == Fault::DiskFull
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = match self.fault {
            Fault::DiskFull => ("the disk is full", "free space there and start again"),
            Fault::Damaged => (
                "data is damaged",
                "bring it back from a backup, or, where other nodes have its shards, let the node rejoin without it",
            ),
            Fault::Incompatible => ("data does not fit this program", "start the version or settings that wrote it"),
            Fault::Io => ("the disk failed", "look at the system's log for the device"),
        };
        write!(f, "{}: {what}: {} ({advice})", self.path.display(), self.cause)
    }
}

impl std::error::Error for StoreError {}

/// RocksDB tells a full disk only in its text.
fn fault_of(kind: rocksdb::ErrorKind, text: &str) -> Fault {
    const FULL: [&str; 3] = ["No space left on device", "NoSpace", "Disk quota exceeded"];
    if FULL.iter().any(|full| text.contains(full)) {
        return Fault::DiskFull;
    }
    match kind {
        rocksdb::ErrorKind::Corruption => Fault::Damaged,
        rocksdb::ErrorKind::InvalidArgument | rocksdb::ErrorKind::NotSupported => Fault::Incompatible,
        _ => Fault::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocksdb::ErrorKind;

    #[test]
    fn faults_are_told_apart_by_what_rocksdb_says() {
        let cases = [
            (
                ErrorKind::IOError,
                "IO error: No space left on device: While appending to file: /d/1.log",
                Fault::DiskFull,
            ),
            (ErrorKind::IOError, "IO error: Disk quota exceeded: While appending to file", Fault::DiskFull),
            (ErrorKind::IOError, "IO error: Input/output error: While fdatasync: /d/1.log", Fault::Io),
            (ErrorKind::Corruption, "Corruption: block checksum mismatch", Fault::Damaged),
            (ErrorKind::InvalidArgument, "Invalid argument: Column families not opened: x", Fault::Incompatible),
            (ErrorKind::Unknown, "what", Fault::Io),
        ];
        for (kind, text, fault) in cases {
            assert_eq!(fault_of(kind, text), fault, "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart_by_what_the_file_system_says() {
        let cases = [
            (io::ErrorKind::StorageFull, Fault::DiskFull),
            (io::ErrorKind::QuotaExceeded, Fault::DiskFull),
            (io::ErrorKind::NotFound, Fault::Io),
        ];
        for (kind, fault) in cases {
            let error = StoreError::from_io(Path::new("/d"), "sync it", &io::Error::from(kind));
            assert_eq!(error.fault, fault, "{error}");
            assert!(error.cause.starts_with("sync it: "), "{error}");
        }
    }

    #[test]
    fn the_message_names_path_cause_and_what_to_do() {
        let error = StoreError::new(Fault::DiskFull, Path::new("/data/log"), "write: No space left on device");
        assert_eq!(
            error.to_string(),
            "/data/log: the disk is full: write: No space left on device (free space there and start again)"
        );
        assert!(error.is_disk_full());
    }
}
