//! A directory: files are synced before the manifest is written, the manifest comes under another name first.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::UNFINISHED;
use crate::error::BackupError;

/// See the module.
#[derive(Clone, Debug)]
pub struct Dir(PathBuf);

/// A directory that a new backup has claimed.
pub struct NewDir {
    dir: Dir,
    /// It was made for this backup.
    made: bool,
}

/// A file of it.
pub struct DirFile {
    path: PathBuf,
    file: File,
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    let file = path.display().to_string();
    move |error| BackupError::Failed { file, action, why: error.to_string() }
}

/// For directories: what stands in it survives a loss of power.
fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed(path, "written"))
}

impl Dir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn size(&self, file: &str) -> Result<Option<u64>, BackupError> {
        let path = self.0.join(file);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(BackupError::damaged(&path.display().to_string(), "it is no file")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(failed(&path, "read")(error)),
        }
    }

    pub fn read(&self, file: &str, from: u64, length: u64) -> Result<Bytes, BackupError> {
        let path = self.0.join(file);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, from));
        read.map_err(failed(&path, "read"))?;
        Ok(bytes.into())
    }

    pub fn claim(&self) -> Result<NewDir, BackupError> {
        let made = match fs::create_dir(&self.0) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.check_empty()?;
                false
            }
            Err(error) => return Err(failed(&self.0, "written")(error)),
        };
        let mark = self.0.join(UNFINISHED);
        match OpenOptions::new().write(true).create_new(true).open(&mark) {
            Ok(_) => Ok(NewDir { dir: self.clone(), made }),
            // Somebody else came between.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(self.taken(UNFINISHED)),
            Err(error) => Err(failed(&mark, "written")(error)),
        }
    }

    fn check_empty(&self) -> Result<(), BackupError> {
        let mut there = fs::read_dir(&self.0).map_err(failed(&self.0, "read"))?;
        match there.next() {
            None => Ok(()),
            Some(Ok(_)) if self.0.join(UNFINISHED).exists() => Err(self.taken(UNFINISHED)),
            Some(Ok(entry)) => Err(self.taken(&entry.file_name().to_string_lossy())),
            Some(Err(error)) => Err(failed(&self.0, "read")(error)),
        }
    }

    fn taken(&self, what: &str) -> BackupError {
        let why = if what == UNFINISHED {
            "holds a backup that is being written, or was not finished: wait, or remove it, or name another place"
                .to_owned()
        } else {
            format!("is not empty: there is {what}; name a directory that is empty, or that is not there yet")
        };
        BackupError::Taken { place: self.to_string(), why }
    }
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl NewDir {
    pub fn file(&self, name: &str) -> Result<DirFile, BackupError> {
        let path = self.dir.0.join(name);
        let file = File::create(&path).map_err(failed(&path, "written"))?;
        Ok(DirFile { path, file })
    }

    pub fn finish(&self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let dir = &self.dir.0;
        let before = dir.join(format!("{name}.new"));
        let mut file = self.file(&format!("{name}.new"))?;
        file.write(bytes)?;
        file.finish()?;
        sync(dir)?;
        fs::rename(&before, dir.join(name)).map_err(failed(&before, "written"))?;
        let mark = dir.join(UNFINISHED);
        fs::remove_file(&mark).map_err(failed(&mark, "written"))?;
        sync(dir)?;
        // The directory's own entry, where it is new.
        match dir.parent().filter(|parent| self.made && !parent.as_os_str().is_empty()) {
            Some(parent) => sync(parent),
            None => Ok(()),
        }
    }

    /// The directory was empty, or not there, so all in it is ours.
    pub fn discard(&self) -> Result<(), BackupError> {
        let dir = &self.dir.0;
        for entry in fs::read_dir(dir).map_err(failed(dir, "read"))? {
            let path = entry.map_err(failed(dir, "read"))?.path();
            fs::remove_file(&path).map_err(failed(&path, "removed"))?;
        }
        if self.made {
            fs::remove_dir(dir).map_err(failed(dir, "removed"))?;
        }
        Ok(())
    }
}

impl DirFile {
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes).map_err(failed(&self.path, "written"))
    }

    pub fn finish(self) -> Result<(), BackupError> {
        self.file.sync_all().map_err(failed(&self.path, "written"))
    }
}
