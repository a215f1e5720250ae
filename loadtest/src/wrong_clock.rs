//! A wall clock for one process that can be set: it shows another time than the machine's. Needs a C compiler, as RocksDB does.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::run_tool;

/// What stands between the process and its clock.
const SOURCE: &str = include_str!("wrong_clock.c");

/// The clock of a process that runs [`Self::within`] it.
pub struct WrongClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl WrongClock {
    /// One that is right; `dir` is where its files go.
    pub fn make(dir: &Path, number: usize) -> Result<Self> {
        let (source, library) = (dir.join("wrong_clock.c"), dir.join("wrong_clock.so"));
        if !library.is_file() {
            fs::write(&source, SOURCE).with_context(|| format!("write {}", source.display()))?;
            let [source, library] = [&source, &library].map(|path| path.to_string_lossy());
            run_tool("cc", "gcc", &["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", &library, &source])?;
        }
        let path = dir.join(format!("clock-{number}"));
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let clock = Self { library, path, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// The words before the program's own.
    pub fn within(&self) -> Vec<String> {
        let (library, path) = (self.library.display(), self.path.display());
        vec!["env".to_owned(), format!("LD_PRELOAD={library}"), format!("WRONG_CLOCK={path}")]
    }

    /// Shows so many seconds more than the machine's clock from now on, or less.
    pub fn set(&self, seconds: i64) -> Result<()> {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).with_context(|| format!("write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_process_within_it_sees_the_time_that_was_set() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = WrongClock::make(dir.path(), 1).expect("a C compiler");
        for seconds in [0, 300, -86_400] {
            clock.set(seconds).expect("a file");
            let words = clock.within();
            let output = Command::new(&words[0]).args(&words[1..]).args(["date", "+%s"]).output().expect("it runs");
            let shown: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
            assert!((shown - now - seconds).abs() <= 5, "{seconds}: {shown} at {now}");
        }
    }
}
