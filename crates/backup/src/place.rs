//! Where backups are kept: a directory, or an object store. A new one claims its place, and leaves nothing behind if it is given up.

mod dir;
mod name;
mod pace;
mod said;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dir::{Dir, DirFile, NewDir};
use object_store::ObjectStore;
use pace::Pace;
use store::{NewStore, Store, Upload};

use crate::error::BackupError;
use crate::manifest::MANIFEST;

/// Stands in a place as long as a backup is being written there.
const UNFINISHED: &str = "unfinished";

/// Where a backup is, or shall be.
#[derive(Clone, Debug)]
pub struct Place {
    at: At,
    pace: Arc<Pace>,
}

#[derive(Clone, Debug)]
enum At {
    Dir(Dir),
    Store(Arc<Store>),
}

/// How a place is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes a second at most, over all files; none for as many as there can be.
    pub rate: Option<u64>,
    /// For how long a request to an object store is tried again.
    pub retry_for: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { rate: None, retry_for: Duration::from_secs(180) }
    }
}

/// A backup on its way to its place.
pub struct New {
    place: Place,
    claim: Claim,
}

enum Claim {
    Dir(NewDir),
    Store(NewStore),
}

/// A file of a new backup.
pub(crate) struct Sink {
    to: To,
    pace: Arc<Pace>,
}

enum To {
    File(DirFile),
    Object(Box<Upload>),
}

impl Place {
    /// As people write it: a path, or `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`,
    /// `abfss://container@account.dfs.core.windows.net/prefix`. What an object store needs beside comes from the environment.
    pub fn parse(text: &str, access: Access) -> Result<Self, BackupError> {
        let at = match name::parse(text)? {
            name::Name::Path(path) => At::Dir(Dir::new(path)),
            name::Name::Store(name) => At::Store(Arc::new(name.open(access.retry_for)?)),
        };
        Ok(Self { at, pace: Arc::new(Pace::new(access.rate)) })
    }

    /// Below a prefix of any object store. `name` is shown in errors.
    pub fn over(store: Arc<dyn ObjectStore>, name: &str, prefix: &str) -> Result<Self, BackupError> {
        let wrong = |why: String| BackupError::Name { place: name.to_owned(), why };
        let prefix = name::prefix(prefix).map_err(wrong)?;
        let store = Store::new(store, name.to_owned(), prefix, said::Secrets::default());
        Ok(Self { at: At::Store(Arc::new(store)), pace: Arc::new(Pace::new(None)) })
    }

    /// The length of a file, if it is there.
    pub(crate) async fn size(&self, file: &str) -> Result<Option<u64>, BackupError> {
        match &self.at {
            At::Dir(dir) => dir.size(file),
            At::Store(store) => store.size(file).await,
        }
    }

    /// Some bytes of a file that is there.
    pub(crate) async fn read(&self, file: &str, from: u64, length: u64) -> Result<Bytes, BackupError> {
        self.pace.pass(length).await;
        match &self.at {
            At::Dir(dir) => dir.read(file, from, length),
            At::Store(store) => store.read(file, from, length).await,
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

    /// That what holds the place is there, for one in which nothing was found.
    pub(crate) async fn check(&self) -> Result<(), BackupError> {
        match &self.at {
            // Errors of the system tell that already.
            At::Dir(_) => Ok(()),
            At::Store(store) => store.first().await.map(drop),
        }
    }

    /// Claims the place for a new backup: nothing may be there, and nobody else may claim it.
    pub async fn claim(&self) -> Result<New, BackupError> {
        let claim = match &self.at {
            At::Dir(dir) => Claim::Dir(dir.claim()?),
            At::Store(store) => Claim::Store(store.claim().await?),
        };
        Ok(New { place: self.clone(), claim })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Dir(dir) => dir.fmt(f),
            At::Store(store) => store.fmt(f),
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
        let to = match &self.claim {
            Claim::Dir(dir) => To::File(dir.file(name)?),
            Claim::Store(store) => To::Object(Box::new(store.file(name).await)),
        };
        Ok(Sink { to, pace: Arc::clone(&self.place.pace) })
    }

    /// Writes the manifest: from now on it is a backup.
    pub async fn finish(&self, manifest: &[u8]) -> Result<(), BackupError> {
        match &self.claim {
            Claim::Dir(dir) => dir.finish(MANIFEST, manifest),
            Claim::Store(store) => store.finish(MANIFEST, manifest).await,
        }
    }

    /// Takes away all that was written.
    pub async fn discard(self) -> Result<(), BackupError> {
        match self.claim {
            Claim::Dir(dir) => dir.discard(),
            Claim::Store(store) => store.discard(MANIFEST).await,
        }
    }
}

impl Sink {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.pace.pass(bytes.len() as u64).await;
        match &mut self.to {
            To::File(file) => file.write(&bytes),
            To::Object(upload) => upload.write(&bytes).await,
        }
    }

    /// All of it is there for good.
    pub(crate) async fn finish(self) -> Result<(), BackupError> {
        match self.to {
            To::File(file) => file.finish(),
            To::Object(upload) => upload.finish().await,
        }
    }
}
