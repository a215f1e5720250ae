//! How much room the file system of a path has, so that a node can refuse new work before the disk is full.

use std::io;
use std::path::Path;

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// What an ordinary process may still write.
    pub available: u64,
    /// The size of the file system.
    pub total: u64,
}

/// Asks the file system that holds `path`.
pub fn free_space(path: &Path) -> io::Result<FreeSpace> {
    let stat = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(FreeSpace { available: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_room_within_its_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let space = free_space(dir.path()).unwrap();
        assert!(space.available > 0 && space.available <= space.total, "{space:?}");
    }

    #[test]
    fn a_missing_path_is_an_error() {
        assert_eq!(free_space(Path::new("/no/such/path")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
