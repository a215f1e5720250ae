//! Which files are meant by `-f`, and their text.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fault::Fault;

/// One file may have so many bytes; a directory of 100,000 definitions has more, but not in one file.
const FILE_BYTES: u64 = 512 * 1024 * 1024;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Files, directories and standard input.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// A file, a directory (its .yaml, .yml and .json files), or - for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    pub filename: Vec<PathBuf>,
    /// Also read the directories below the given ones
    #[arg(short = 'R', long, requires = "filename")]
    pub recursive: bool,
}

/// A text and what it is called.
#[derive(Clone, Debug)]
pub struct Source {
    /// As it is shown: the path, or `standard input`.
    pub name: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Reads one file, or standard input where it is `-`.
    pub fn open(path: &Path) -> Result<Self, Box<Fault>> {
        if path.as_os_str() == "-" { read_text(io::stdin().lock(), "standard input") } else { read_file(path) }
    }
}

impl Files {
    /// Reads what can be read, in the order given, directories in order of names.
    pub(super) fn load(&self) -> (Vec<Source>, Vec<Fault>) {
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for path in &self.filename {
            let loaded = match path.as_os_str() == "-" {
                true => Source::open(path).map(|source| vec![source]),
                false => self.load_path(path),
            };
            match loaded {
                Ok(loaded) => sources.extend(loaded),
                Err(fault) => faults.push(*fault),
            }
        }
        (sources, faults)
    }

    fn load_path(&self, path: &Path) -> Result<Vec<Source>, Box<Fault>> {
        let unreadable = |error| unreadable(path, &error);
        if !fs::metadata(path).map_err(unreadable)?.is_dir() {
            return Ok(vec![read_file(path)?]);
        }
        let mut files = Vec::new();
        collect(path, self.recursive, &mut files).map_err(unreadable)?;
        if files.is_empty() {
            let message = format!("{} holds no .yaml, .yml or .json file{}", path.display(), self.hint());
            return Err(Box::new(Fault::new("", &message)));
        }
        files.iter().map(|file| read_file(file)).collect()
    }

    fn hint(&self) -> &'static str {
        if self.recursive { "" } else { " (-R looks below it too)" }
    }
}

fn collect(directory: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a directory is not followed: it may lead back.
        if entry.file_type()?.is_dir() {
            if recursive {
                collect(&path, recursive, files)?;
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| ENDINGS.contains(&e)) {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Source, Box<Fault>> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    read_text(file, &path.display().to_string())
}

fn read_text(reader: impl Read, name: &str) -> Result<Source, Box<Fault>> {
    let mut bytes = Vec::new();
    let read = reader.take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(Path::new(name), &error))?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("{name} has more than {FILE_BYTES} bytes; split it");
        return Err(Box::new(Fault::new("", &message)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name: name.to_owned(), text }),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            Err(Box::new(Fault::new("", &format!("{name}:{line}: the text is not UTF-8"))))
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Box<Fault> {
    Box::new(Fault::new("", &format!("{} can't be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(directory: &Path, recursive: bool) -> (Vec<String>, Vec<String>) {
        let files = Files { filename: vec![directory.to_owned()], recursive };
        let (sources, faults) = files.load();
        let names =
            sources.iter().map(|s| s.name.strip_prefix(&format!("{}/", directory.display())).unwrap_or(&s.name));
        (names.map(str::to_owned).collect(), faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn a_directory_is_read_in_order_and_below_only_when_asked() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("below")).expect("created");
        for name in ["b.yml", "a.yaml", "c.json", "d.txt", "below/e.yaml"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        assert_eq!(load(directory.path(), false), (["a.yaml", "b.yml", "c.json"].map(str::to_owned).into(), vec![]));
        let all = ["a.yaml", "b.yml", "below/e.yaml", "c.json"].map(str::to_owned);
        assert_eq!(load(directory.path(), true), (all.into(), vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let bad = directory.path().join("bad.yaml");
        fs::write(&bad, b"a: 1\nb: \xff").expect("written");
        assert_eq!(load(&bad, false).1, [format!("{}:2: the text is not UTF-8", bad.display())]);
        let empty = directory.path().join("empty");
        fs::create_dir(&empty).expect("created");
        assert!(load(&empty, false).1[0].ends_with("holds no .yaml, .yml or .json file (-R looks below it too)"));
        assert!(load(&directory.path().join("none"), false).1[0].contains("none can't be read: No such file"));
    }
}
