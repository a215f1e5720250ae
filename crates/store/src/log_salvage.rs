//! Makes a log database anew from what can be read of a damaged one: so that a flipped bit takes only those groups with it whose part can't be read.
//!
//! As with the state, a damaged block can't be removed from a database. Unlike there, nothing may be missing that was on disk: so this is only done where the old one
//! opens with all its writes. Knows nothing of Raft: what has to be kept of a group that is lost, its user says.

use crate::data_dir::DataDir;
use crate::error::StoreError;
use crate::log_batch::LogBatch;
use crate::log_db::{LogDb, NAME, OLD};
use crate::manifest;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;

/// Where the new one is made.
pub(crate) const NEW: &str = "log.new";
/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// Says what is to be known of a group that can't be read.
pub(crate) type Lost<'a> = &'a dyn Fn(&mut LogBatch<'_>, u32, &StoreError);

/// Brings all groups that can be read into a new database, which is `NEW` when it is complete. An error means that none can be made.
pub(crate) fn salvage(dir: &DataDir, old: &LogDb, essential: u32, lost: Lost<'_>) -> Result<(), StoreError> {
    let path = dir.path().join(NEW);
    remove(dir, NEW)?;
    let new = LogDb::open_at(dir, path)?;
    for group in old.groups()? {
        match copy(old, &new, group)? {
            Ok(()) => {}
            Err(error) if group == essential => return Err(error),
            Err(error) => {
                tracing::error!(group, %error, "the log of a group can't be read");
                let mut batch = new.batch();
                batch.remove_group(group);
                lost(&mut batch, group, &error);
                new.commit(batch)?;
            }
        }
    }
    Ok(())
}

/// The inner error is the old one's, the outer one the new one's.
fn copy(old: &LogDb, new: &LogDb, group: u32) -> Result<Result<(), StoreError>, StoreError> {
    let (mut batch, mut written) = (new.batch(), Ok(()));
    let read = old.metas(group, |tag, value| batch.put_meta(group, tag, value)).and_then(|()| {
        old.entries(group, 0..u64::MAX, |index, bytes| {
            batch.put_entry(group, index, bytes);
            if batch.bytes() >= BATCH {
                written = new.commit(std::mem::replace(&mut batch, new.batch()));
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    });
    written?;
    if read.is_ok() {
        new.commit(batch)?;
    }
    Ok(read)
}

/// Puts the database aside. Its place gets the new one, where that is complete.
pub(crate) fn replace(dir: &DataDir, with_new: bool) -> Result<(), StoreError> {
    if !with_new {
        remove(dir, NEW)?;
    }
    remove(dir, OLD)?;
    there(fs::rename(dir.path().join(NAME), dir.path().join(OLD))).map_err(|error| failed(dir, &error))?;
    if with_new { resume(dir) } else { forget(dir) }
}

/// Goes on where an earlier process was interrupted between the two names: then the new one is complete.
pub(crate) fn resume(dir: &DataDir) -> Result<(), StoreError> {
    let [path, new, old] = [NAME, NEW, OLD].map(|name| dir.path().join(name));
    if path.exists() || !new.exists() || !old.exists() {
        return Ok(());
    }
    forget(dir)?;
    fs::rename(new, path).and_then(|()| File::open(dir.path())?.sync_all()).map_err(|error| failed(dir, &error))
}

fn forget(dir: &DataDir) -> Result<(), StoreError> {
    manifest::forget(dir.path(), NAME).map_err(|error| failed(dir, &error))
}

fn failed(dir: &DataDir, error: &io::Error) -> StoreError {
    StoreError::from_io(&dir.path().join(NAME), "put the damaged log aside", error)
}

fn remove(dir: &DataDir, name: &str) -> Result<(), StoreError> {
    let path = dir.path().join(name);
    there(fs::remove_dir_all(&path)).map_err(|error| StoreError::from_io(&path, "remove it", &error))
}

fn there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
