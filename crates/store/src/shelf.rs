//! What the two databases stand on in a simulation, instead of RocksDB: maps of bytes in columns, whose writes a crash can take back.
//!
//! Only the seam, and files of a group on such maps: what is kept, and what a crash takes back, is the simulation's.

use crate::error::{Fault, StoreError};
use crate::exported::ExportedFile;
use crate::keys::group_end;
use crate::state_db::Visit;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// One change of a map; the column by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(usize, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(usize, Vec<u8>),
    /// Removes all keys in `[from, to)`.
    DeleteRange(usize, Vec<u8>, Vec<u8>),
}

impl Change {
    /// Bytes of its keys and its value.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(_, key, value) => key.len() + value.len(),
            Self::Delete(_, key) => key.len(),
            Self::DeleteRange(_, from, to) => from.len() + to.len(),
        }
    }
}

/// A database's maps. Keys have their group in front, as on disk. Nothing here fails: a disk that does ends the process, which a simulation
/// does by itself.
pub trait Shelf: Send + Sync + 'static {
    /// Makes all changes at once, in order; a crash takes back all of them or none. `sync`: the caller relies on them when they are on disk.
    fn write(&self, changes: Vec<Change>, sync: bool);

    /// The value of a key.
    fn get(&self, column: usize, key: &[u8]) -> Option<Vec<u8>>;

    /// Visits the keys in `[from, to)` in ascending order until `visit` breaks.
    fn scan(&self, column: usize, from: &[u8], to: &[u8], visit: &mut Visit<'_>);

    /// The last key in `[from, to)` and its value.
    fn last(&self, column: usize, from: &[u8], to: &[u8]) -> Option<(Vec<u8>, Vec<u8>)>;

    /// Brings all that was written to disk, without a sync for each.
    fn flush(&self);
}

/// Writes a group's keys as files, one a column. `columns`: number and name.
pub(crate) fn export(
    shelf: &Arc<dyn Shelf>,
    group: u32,
    columns: &[(usize, &str)],
    dir: &Path,
    pinned: impl FnOnce(),
) -> Result<Vec<ExportedFile>, StoreError> {
    let contents: Vec<_> = columns.iter().map(|(column, name)| (*name, pairs(shelf, group, *column))).collect();
    pinned();
    let failed = |e| StoreError::from_io(dir, "export", &e);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut files = Vec::new();
    for (name, bytes) in contents.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        fs::write(dir.join(ExportedFile::name(name, 0)), bytes).map_err(failed)?;
        files.push(ExportedFile::read(dir, name, 0).map_err(failed)?);
    }
    Ok(files)
}

fn pairs(shelf: &Arc<dyn Shelf>, group: u32, column: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    shelf.scan(column, &group.to_be_bytes(), &group_end(group), &mut |key, value| {
        for part in [key, value] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        ControlFlow::Continue(())
    });
    bytes
}

/// Takes such a file in.
pub(crate) fn ingest(shelf: &Arc<dyn Shelf>, column: usize, path: &Path) -> Result<(), StoreError> {
    let bytes = fs::read(path).map_err(|e| StoreError::from_io(path, "take it in", &e))?;
    let cut = || StoreError::new(Fault::Damaged, path, "it ends within a key or value");
    let (mut rest, mut changes) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let key = take(&mut rest).ok_or_else(cut)?;
        let value = take(&mut rest).ok_or_else(cut)?;
        changes.push(Change::Put(column, key, value));
    }
    shelf.write(changes, true);
    Ok(())
}

fn take(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, after) = rest.split_first_chunk()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(part.to_vec())
}
