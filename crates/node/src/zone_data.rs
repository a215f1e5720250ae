//! Time-zone data from files: a folder as `zic` makes it and systems have it in `/usr/share/zoneinfo`, read once when the node starts.

use std::fs;
use std::path::Path;

use flintwheel_schedule::load_zones;
use flintwheel_shard::zones::VERSION_LEN;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{RunError, failed};

/// Files of one database; the real one has some six hundred names, and as many again of links.
const FILES: usize = 4_096;
/// Bytes of one file; real ones have four thousand at most.
const FILE_BYTES: u64 = 256 << 10;
/// Folders within folders: `America/Argentina/Ushuaia` is two.
const DEPTH: usize = 3;
/// What each file of a zone begins with.
const MAGIC: &[u8] = b"TZif";
/// Copies of all zones by another reckoning: with leap seconds, for one. Their names are no zones.
const OTHER_RECKONINGS: [&str; 2] = ["right", "posix"];
/// Where the version stands: the first line of the one, all of the other.
const SOURCE: &str = "tzdata.zi";
const PLUS_VERSION: &str = "+VERSION";

/// Loads the zones of a folder, for all schedules of this process.
///
/// # Errors
/// The folder or a file that can't be read; or that there is no zone in it.
pub fn load(dir: &Path) -> Result<(), RunError> {
    let mut files = Vec::new();
    collect(dir, "", DEPTH, &mut files)?;
    if files.is_empty() {
        return Err(RunError(format!("timezone_data: {} holds no file of a time zone (TZif)", dir.display())));
    }
    files.sort_unstable();
    let version = version(dir).unwrap_or_else(|| digest(&files));
    load_zones(&version, &files).map_err(|fault| RunError(format!("timezone_data: {}: {fault}", dir.display())))?;
    tracing::info!(%version, zones = files.len(), dir = %dir.display(), "time-zone data was read from files");
    Ok(())
}

fn collect(dir: &Path, prefix: &str, depth: usize, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), RunError> {
    let unreadable = |error: std::io::Error| failed(&format!("timezone_data: {}", dir.display()), &error);
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // What is no text is no name of a zone.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let (path, zone) = (entry.path(), format!("{prefix}{name}"));
        let meta =
            fs::metadata(&path).map_err(|error| failed(&format!("timezone_data: {}", path.display()), &error))?;
        if meta.is_dir() {
            if depth > 1 && !OTHER_RECKONINGS.contains(&zone.as_str()) {
                collect(&path, &format!("{zone}/"), depth - 1, files)?;
            }
            continue;
        }
        if meta.len() > FILE_BYTES {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| failed(&format!("timezone_data: {}", path.display()), &error))?;
        if !bytes.starts_with(MAGIC) {
            continue;
        }
        if files.len() == FILES {
            return Err(RunError(format!("timezone_data: more than {FILES} zones below {}", dir.display())));
        }
        files.push((zone, bytes));
    }
    Ok(())
}

/// `# version 2026b`, or `2026b`.
fn version(dir: &Path) -> Option<String> {
    let source = fs::read_to_string(dir.join(SOURCE)).ok();
    let of_source = source.as_deref().and_then(|text| text.lines().next()?.strip_prefix("# version "));
    let plus = fs::read_to_string(dir.join(PLUS_VERSION)).ok();
    let version = of_source.or(plus.as_deref())?.trim();
    Some(version.to_owned()).filter(|version| !version.is_empty() && version.len() <= VERSION_LEN)
}

/// Where no version is told: two databases that differ have different ones.
fn digest(files: &[(String, Vec<u8>)]) -> String {
    let mut sum = Xxh3::new();
    for (name, bytes) in files {
        sum.update(name.as_bytes());
        sum.update(&[0]);
        sum.update(bytes);
    }
    format!("files-{:016x}", sum.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut files = Vec::new();
        collect(dir, "", DEPTH, &mut files).expect("reads");
        files.sort_unstable();
        files.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn zones_are_found_by_their_names_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, bytes) in [
            ("UTC", &b"TZif2"[..]),
            ("Europe/Berlin", b"TZif2"),
            ("America/Argentina/Ushuaia", b"TZif2"),
            ("a/b/c/TooDeep", b"TZif2"),
            ("right/Europe/Berlin", b"TZif2"),
            ("tzdata.zi", b"# version 2026c\nR d"),
            ("zone.tab", b"# none"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("written");
        }
        assert_eq!(names(dir.path()), ["America/Argentina/Ushuaia", "Europe/Berlin", "UTC"]);
        assert_eq!(version(dir.path()).as_deref(), Some("2026c"));
        fs::write(dir.path().join(SOURCE), "nothing").expect("written");
        assert_eq!(version(dir.path()), None);
        fs::write(dir.path().join(PLUS_VERSION), "2026d\n").expect("written");
        assert_eq!(version(dir.path()).as_deref(), Some("2026d"));
    }

    #[test]
    fn a_folder_without_zones_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for (dir, why) in [(dir.path().to_owned(), "holds no file of a time zone"), (dir.path().join("none"), "none")] {
            let error = load(&dir).expect_err("refused").to_string();
            assert!(error.starts_with("timezone_data: ") && error.contains(why), "{error}");
        }
    }

    #[test]
    fn files_without_a_version_have_one_of_their_own() {
        let file = |name: &str, bytes: &str| (name.to_owned(), bytes.as_bytes().to_vec());
        let one = digest(&[file("a", "b")]);
        assert!(one.starts_with("files-") && one.len() <= VERSION_LEN);
        assert_ne!(one, digest(&[file("a", "c")]));
        assert_ne!(one, digest(&[file("ab", "")]));
    }
}
