//! One file of an exported group: its name, length and checksum, and whether it still is what was written.
//!
//! Knows no database: whoever receives such files checks them with this too.

use crate::error::{Fault, StoreError};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// How much of a file is read at once.
const BUFFER: usize = 128 << 10;

/// One file of an exported group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFile {
    /// Its name in the directory of the export: `<column>-<n>.sst`, where `n` counts from 0 in each column.
    pub name: String,
    /// The name of the column that its keys belong to.
    pub column: String,
    /// Its length.
    pub bytes: u64,
    /// xxh3, 64 bits, over the whole file.
    pub checksum: u64,
}

impl ExportedFile {
    /// Describes the file that was written to `dir` as the `n`th of `column`.
    pub(crate) fn read(dir: &Path, column: &str, n: u32) -> io::Result<Self> {
        let name = Self::name(column, n);
        let (bytes, checksum) = digest(&dir.join(&name))?;
        Ok(Self { name, column: column.to_owned(), bytes, checksum })
    }

    /// The name of the `n`th file of `column`.
    pub(crate) fn name(column: &str, n: u32) -> String {
        format!("{column}-{n}.sst")
    }

    /// Whether the name is one that an export gives. Name and column may come from another node, and must not lead out of the directory.
    fn has_its_name(&self) -> bool {
        let number = || self.name.strip_prefix(&self.column)?.strip_prefix('-')?.strip_suffix(".sst")?.parse().ok();
        !self.name.contains(['/', '\\', '\0']) && number().is_some_and(|n| Self::name(&self.column, n) == self.name)
    }
}

/// Checks that `file` is in `dir`, under a name that an export gives, with its length and checksum. An error is [`Fault::Damaged`],
/// or the disk's. Reads all of it.
pub fn verify(dir: &Path, file: &ExportedFile) -> Result<(), StoreError> {
    if !file.has_its_name() {
        let cause = format!(
            "{:?} is not the name of a file of column {:?}; it must be <column>-<n>.sst",
            file.name, file.column
        );
        return Err(StoreError::new(Fault::Damaged, dir, cause));
    }
    let path = dir.join(&file.name);
    let damaged = |cause: String| Err(StoreError::new(Fault::Damaged, &path, cause));
    // A link is not followed: it is no file that an export writes.
    let found = fs::symlink_metadata(&path).map_err(|e| unreadable(&path, &e))?;
    if !found.is_file() {
        return damaged("it is not a plain file".to_owned());
    }
    if found.len() != file.bytes {
        return damaged(format!("it has {} bytes, {} were written", found.len(), file.bytes));
    }
    let (bytes, checksum) = digest(&path).map_err(|e| unreadable(&path, &e))?;
    if (bytes, checksum) != (file.bytes, file.checksum) {
        return damaged(format!("its checksum is {checksum:016x}, written was {:016x}", file.checksum));
    }
    Ok(())
}

/// A file that is not there is damage, not a failure of the disk.
fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::new(Fault::Damaged, path, "it is missing"),
        _ => StoreError::from_io(path, "read it", error),
    }
}

/// Length and checksum of a file.
fn digest(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let (mut bytes, mut hash, mut buffer) = (0, Xxh3::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hash.digest())),
            Ok(read) => {
                bytes += read as u64;
                hash.update(&buffer[..read]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    /// A file longer than what is read at once.
    fn written(dir: &Path) -> ExportedFile {
        let content: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        fs::write(dir.join("blob-3.sst"), &content).unwrap();
        let file = ExportedFile::read(dir, "blob", 3).unwrap();
        assert_eq!((file.bytes, file.checksum), (300_000, xxh3_64(&content)));
        file
    }

    fn refused(dir: &Path, file: &ExportedFile, want: &str) {
        let error = verify(dir, file).unwrap_err();
        assert_eq!(error.fault, Fault::Damaged, "{error}");
        assert!(error.to_string().contains(want), "{error}");
    }

    #[test]
    fn a_file_as_it_was_written_passes() {
        let dir = tempfile::tempdir().unwrap();
        verify(dir.path(), &written(dir.path())).unwrap();
    }

    #[test]
    fn a_file_that_is_not_what_was_written_is_refused() {
        type Damage = fn(&Path);
        let cases: [(&str, Damage); 6] = [
            ("it is missing", |path| fs::remove_file(path).unwrap()),
            ("it has 299999 bytes, 300000 were written", |path| {
                File::options().write(true).open(path).unwrap().set_len(299_999).unwrap();
            }),
            ("it has 300001 bytes", |path| File::options().write(true).open(path).unwrap().set_len(300_001).unwrap()),
            ("its checksum is", |path| {
                let mut content = fs::read(path).unwrap();
                content[299_999] ^= 1;
                fs::write(path, content).unwrap();
            }),
            ("it is not a plain file", |path| {
                fs::rename(path, path.with_extension("moved")).unwrap();
                std::os::unix::fs::symlink(path.with_extension("moved"), path).unwrap();
            }),
            ("it is not a plain file", |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ];
        for (want, damage) in cases {
            let dir = tempfile::tempdir().unwrap();
            let file = written(dir.path());
            damage(&dir.path().join(&file.name));
            refused(dir.path(), &file, want);
        }
    }

    #[test]
    fn a_name_that_no_export_gives_is_refused_before_anything_is_read() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("inside");
        fs::create_dir(&dir).unwrap();
        let good = written(&dir);
        fs::copy(dir.join(&good.name), root.path().join("blob-3.sst")).unwrap();
        let cases = [
            ("../blob-3.sst", "blob"),
            ("../blob-3.sst", "../blob"),
            ("x/blob-3.sst", "x/blob"),
            ("x\\blob-3.sst", "x\\blob"),
            ("blob-3.sst", "point"),
            ("blob-03.sst", "blob"),
            ("blob-+3.sst", "blob"),
            ("blob-.sst", "blob"),
            ("blob-4294967296.sst", "blob"),
            ("blob-3.sst.tmp", "blob"),
            ("blob3.sst", "blob"),
            ("", ""),
        ];
        for (name, column) in cases {
            let file = ExportedFile { name: name.to_owned(), column: column.to_owned(), ..good.clone() };
            refused(&dir, &file, "is not the name of a file of column");
        }
    }
}
