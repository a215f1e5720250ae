//! One build folder a checkout, outside of it, and dependencies that are compiled once for all checkouts.
//!
//! Cargo takes the packages of two checkouts for the same ones where they share a build folder, and links the code of one into the
//! programs of the other. So each has its own (`.cargo/config.toml`), and a new one begins with what the last one has compiled of
//! others' packages: hard links and copies, seconds instead of the quarter of an hour that RocksDB and its kin take.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use crate::shell::{self, say};
use crate::{Result, place};

/// The folder that holds the build folders of all checkouts, as `.cargo/config.toml` names it.
const FAMILY: &str = "flintwheel-build";
/// Says whose build folder it is; written when it has been prepared.
const MARK: &str = "checkout";
/// Written when all programs were built in it: its time says how new that is.
const BUILT: &str = "built";

/// Fills this checkout's build folder from the one that was built last, once. Removes those whose checkout is gone.
pub fn prepare() -> Result<()> {
    let own = build_dir()?;
    let Some(family) = family(&own) else { return Ok(()) };
    if own.join(MARK).is_file() {
        return Ok(());
    }
    let siblings = siblings(family, &own);
    if let Some(newest) = siblings.iter().max_by_key(|dir| last_use(dir)) {
        say(&format!("taking compiled dependencies from {}", newest.display()));
        seed(newest, &own).map_err(|error| format!("copy {} to {}: {error}", newest.display(), own.display()))?;
    }
    let checkout = place::checkout();
    let mark = own.join(MARK);
    fs::write(&mark, checkout.to_string_lossy().as_bytes()).map_err(|error| format!("{}: {error}", mark.display()))?;
    siblings.iter().filter(|dir| is_orphan(dir)).for_each(|dir| remove(dir));
    Ok(())
}

/// Notes that everything has been built: others may begin with what is here.
pub fn note_built() -> Result<()> {
    let file = build_dir()?.join(BUILT);
    fs::write(&file, "").map_err(|error| format!("{}: {error}", file.display()))
}

fn build_dir() -> Result<PathBuf> {
    let text = shell::read(shell::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let dir = metadata["build_directory"]
        .as_str()
        .ok_or("this Cargo doesn't tell its build directory: 1.91 or later is needed")?;
    Ok(PathBuf::from(dir))
}

/// `FAMILY/ab/cdef0123...`: two levels up, unless someone has chosen another folder.
fn family(own: &Path) -> Option<&Path> {
    own.ancestors().nth(2).filter(|dir| dir.file_name().is_some_and(|name| name == FAMILY))
}

fn siblings(family: &Path, own: &Path) -> Vec<PathBuf> {
    let dirs = |dir: &Path| fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    dirs(family)
        .flat_map(|half| dirs(&half).collect::<Vec<_>>())
        .filter(|dir| dir != own && dir.join(MARK).is_file())
        .collect()
}

/// One in which a build was broken off holds old and new side by side: whole ones come first.
fn last_use(dir: &Path) -> (SystemTime, SystemTime) {
    let changed = |path: &str| fs::metadata(dir.join(path)).and_then(|meta| meta.modified());
    (changed(BUILT).unwrap_or(SystemTime::UNIX_EPOCH), changed("debug/.fingerprint").unwrap_or(SystemTime::UNIX_EPOCH))
}

fn is_orphan(dir: &Path) -> bool {
    fs::read_to_string(dir.join(MARK)).is_ok_and(|checkout| !Path::new(&checkout).is_dir())
}

/// Without the lock a sibling of ours may be copying from it; then it goes another time.
fn remove(dir: &Path) {
    let unused = File::open(dir.join("debug/.cargo-lock")).is_ok_and(|lock| lock.try_lock().is_ok());
    if unused && fs::remove_dir_all(dir).is_ok() {
        say(&format!("removed {}: its checkout is gone", dir.display()));
    }
}

/// What is in the fingerprints counts for Cargo, so they come last: an interrupted copy is merely compiled again.
fn seed(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.join("debug"), to.join("debug"));
    fs::create_dir_all(&to)?;
    let theirs = File::open(from.join(".cargo-lock"))?;
    theirs.lock_shared()?;
    let ours = File::options().write(true).create(true).truncate(false).open(to.join(".cargo-lock"))?;
    ours.lock()?;
    // Rust replaces these files and never writes into them, so two folders can share them.
    for_others(&from.join("deps"), &to.join("deps"), is_library, |from, to| {
        fs::hard_link(from, to).or_else(|_| copy(from, to))
    })?;
    for part in ["build", ".fingerprint"] {
        for_others(&from.join(part), &to.join(part), |_| true, copy)?;
    }
    Ok(())
}

fn is_library(name: &str) -> bool {
    [".rlib", ".rmeta", ".so", ".d"].iter().any(|end| name.ends_with(end))
}

/// Calls `take` for each entry that isn't one of our own packages'.
///
/// What is there already goes: the few packages that this program was built from are newer here than what stands on them there, and Cargo
/// would compile half of the dependencies again for it.
fn for_others(
    from: &Path,
    to: &Path,
    wanted: impl Fn(&str) -> bool,
    take: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry: DirEntry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let target = to.join(&*name);
        if wanted(&name) && !is_ours(&name) {
            clear(&target)?;
            take(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn clear(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix("lib").unwrap_or(name);
    name.starts_with("flintwheel") || name.starts_with("xtask")
}

/// A file or a folder, with the times of change that Cargo compares.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_dir() {
        return for_others_inside(from, to);
    }
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

fn for_others_inside(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agreed_layout_is_touched() {
        let cases = [
            ("/home/a/.cargo/flintwheel-build/ab/cdef", Some("/home/a/.cargo/flintwheel-build")),
            ("/home/a/checkout/target", None),
            ("/tmp/flintwheel-build", None),
        ];
        for (own, expected) in cases {
            assert_eq!(family(Path::new(own)), expected.map(Path::new), "{own}");
        }
    }

    #[test]
    fn packages_of_the_workspace_are_never_taken_over() {
        for ours in ["libflintwheel_model-12.rlib", "flintwheel-model-12", "xtask-1", "flintwheel-1"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in ["liblibrocksdb_sys-12.rlib", "rocksdb-12", "libserde-1.rmeta"] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }
}
