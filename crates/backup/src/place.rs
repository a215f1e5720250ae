//! Where backups are kept: a directory, or an object store. A new one claims its place, and leaves nothing behind if it is given up.

mod dir;

use std::fmt;

use bytes::Bytes;
use dir::{DirFile, NewDir};

use crate::error::BackupError;
use crate::manifest::MANIFEST;

/// Stands in a place as long as a backup is being written there.
const UNFINISHED: &str = "unfinished";

/// Where a backup is, or shall be.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory.
    Dir(dir::Dir),
}

/// A backup on its way to its place.
pub struct New {
    place: Place,
    dir: NewDir,
}

/// A file of a new backup.
pub(crate) enum Sink {
    File(DirFile),
}

impl Place {
    /// As people write it: a path.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        let wrong = |why: &str| BackupError::Name { place: text.to_owned(), why: why.to_owned() };
        if text.is_empty() {
            return Err(wrong("is no name of a place: give the path of a directory"));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            let why = format!("begins with {scheme}://, and places are paths of directories");
            return Err(wrong(&why));
        }
        Ok(Self::Dir(dir::Dir::new(text)))
    }

    /// The length of a file, if it is there.
    pub(crate) async fn size(&self, file: &str) -> Result<Option<u64>, BackupError> {
        match self {
            Self::Dir(dir) => dir.size(file),
        }
    }

    /// Some bytes of a file that is there.
    pub(crate) async fn read(&self, file: &str, from: u64, length: u64) -> Result<Bytes, BackupError> {
        match self {
            Self::Dir(dir) => dir.read(file, from, length),
        }
    }

    /// All of a file, if it is there, and not longer than this.
    pub(crate) async fn read_all(&self, file: &str, most: u64) -> Result<Option<Bytes>, BackupError> {
        match self.size(file).await? {
            None => Ok(None),
            Some(size) if size > most => {
                Err(BackupError::damaged(&format!("{self}/{file}"), format!("it has {size} bytes; at most {most}")))
            }
            Some(size) => self.read(file, 0, size).await.map(Some),
        }
    }

    /// Claims the place for a new backup: nothing may be there, and nobody else may claim it.
    pub async fn claim(&self) -> Result<New, BackupError> {
        let Self::Dir(dir) = self;
        Ok(New { place: self.clone(), dir: dir.claim()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(dir) => dir.fmt(f),
        }
    }
}

impl New {
    /// Where it goes.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A file of it, empty.
    pub(crate) async fn file(&self, name: &str) -> Result<Sink, BackupError> {
        self.dir.file(name).map(Sink::File)
    }

    /// Writes the manifest: from now on it is a backup.
    pub async fn finish(&self, manifest: &[u8]) -> Result<(), BackupError> {
        self.dir.finish(MANIFEST, manifest)
    }

    /// Takes away all that was written.
    pub async fn discard(self) -> Result<(), BackupError> {
        self.dir.discard()
    }
}

impl Sink {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        match self {
            Self::File(file) => file.write(&bytes),
        }
    }

    /// All of it is there for good.
    pub(crate) async fn finish(self) -> Result<(), BackupError> {
        match self {
            Self::File(file) => file.finish(),
        }
    }
}
