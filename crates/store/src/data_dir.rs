//! The data directory: found or made, checked to be ours, and locked for as long as anything of it is open.

use crate::identity::{self, FORMAT, Identity};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use uuid::Uuid;

const LOCK: &str = "lock";
/// How long the lock is tried for: a process that was killed keeps it until the system has cleared its memory away.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names that may stand in a directory that is not yet ours: what an interrupted first start leaves, and a mount point's own.
const HARMLESS: [&str; 6] = [LOCK, TOKEN, TOKEN_TEMPORARY, FOUNDING, identity::TEMPORARY, "lost+found"];
/// The random number by which a new node asks for its id: asked again after a crash, it is the same node.
const TOKEN: &str = "token";
const TOKEN_TEMPORARY: &str = "token.new";
/// Stands there from before a directory of the first node has an identity until its log is there: so that a first start that was interrupted is told
/// apart from a directory that has lost its log.
const FOUNDING: &str = "founding";
/// Who makes a cluster.
const FOUNDER: u64 = 1;

/// Why a data directory was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data directory {path} is in use by another process (pid {pid}); stop that one, or choose another directory"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What that process wrote of itself: its id, or `unknown`.
        pid: String,
    },
    /// A newer version of Flintwheel made it.
    #[error(
        "data directory {path} has format {found}, this program knows formats up to {known}: it was made by a newer version; start that one"
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// It has other things in it.
    #[error(
        "{path} is not a Flintwheel data directory: it has no file \"identity\", but holds {holds:?}; choose an empty or a new directory"
    )]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        holds: String,
    },
    /// A file of its own can't be read.
    #[error("data directory {path}: the file \"{file}\" is damaged: {reason}; restore it from a backup")]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Its file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It belongs to another node or another cluster.
    #[error("data directory {path} belongs to {field} {found}, this is {field} {wanted}; choose another directory")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// `node` or `cluster`.
        field: &'static str,
        /// The one on disk.
        found: String,
        /// The one configured.
        wanted: String,
    },
    /// The file system refused.
    #[error("data directory {path}: can't {action}: {source}")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// An open, locked data directory. Clones share the lock; it is released when the last one is dropped.
#[derive(Clone, Debug)]
pub struct DataDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    identity: Identity,
    /// Held for its lock only.
    _lock: File,
}

/// A data directory that is locked and checked, and may be new: which node's it will be is not known yet.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    identity: Option<Identity>,
    lock: File,
}

impl Reserved {
    /// Whose data it holds; `None` for a new one.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether databases were ever opened in it.
    pub fn is_used(&self) -> bool {
        self.path.join(crate::log_db::NAME).exists()
    }

    /// Whether the first start of the first node was interrupted before it had a log.
    pub fn is_founding(&self) -> bool {
        self.path.join(FOUNDING).exists()
    }

    /// The random number by which this directory's node is known before it has an id: made once, on disk before it is given.
    pub fn token(&self) -> Result<u128, OpenError> {
        token(&self.path)
    }

    /// Opens it for a node. A new directory joins `cluster`, or a new cluster if that is `None`; an existing one must belong to both.
    pub fn open(self, node: u64, cluster: Option<Uuid>) -> Result<DataDir, OpenError> {
        let Self { path, identity, lock } = self;
        let failed = |source| OpenError::Unusable { path: path.clone(), action: "write its identity", source };
        let identity = match identity {
            Some(identity) => identity,
            None => {
                let identity = Identity::new(cluster.unwrap_or_else(Uuid::new_v4), node);
                if node == FOUNDER {
                    begin_founding(&path).map_err(failed)?;
                }
                identity.write(&path).map_err(failed)?;
                identity
            }
        };
        check_same(&path, "node", identity.node, node)?;
        check_same(&path, "cluster", identity.cluster, cluster.unwrap_or(identity.cluster))?;
        Ok(DataDir { inner: Arc::new(Inner { path, identity, _lock: lock }) })
    }
}

impl DataDir {
    /// Takes `path` for this process, making it if there is nothing.
    pub fn reserve(path: &Path) -> Result<Reserved, OpenError> {
        let failed = |action| move |source| OpenError::Unusable { path: path.to_owned(), action, source };
        fs::create_dir_all(path).map_err(failed("make it"))?;
        let path = path.canonicalize().map_err(failed("find it"))?;
        refuse_foreign_files(&path)?;
        let lock = lock(&path)?;
        let identity = read_identity(&path)?;
        Ok(Reserved { path, identity, lock })
    }

    /// Opens `path` for `node`, making it if there is nothing. A new directory joins `cluster`, or a new cluster if that is `None`;
    /// an existing one must belong to both.
    pub fn open(path: &Path, node: u64, cluster: Option<Uuid>) -> Result<Self, OpenError> {
        Self::reserve(path)?.open(node, cluster)
    }

    /// Its log is there: without it, the directory can't begin anew by itself any more.
    pub fn founded(&self) -> Result<(), OpenError> {
        let path = self.path();
        let failed = |source| OpenError::Unusable { path: path.to_owned(), action: "end its founding", source };
        match fs::remove_file(path.join(FOUNDING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            // Lost by a crash it is harmless: what counts then is that the log is there.
            _ => Ok(()),
        }
    }

    /// As [`Reserved::token`].
    pub fn token(&self) -> Result<u128, OpenError> {
        token(self.path())
    }

    /// The directory itself, absolute.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Whose data it holds.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }
}

/// A directory without identity must be empty: nobody wants a database between their documents.
fn refuse_foreign_files(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Unusable { path: path.to_owned(), action: "read it", source };
    if path.join(identity::FILE).try_exists().map_err(failed)? {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Err(OpenError::NotOurs { path: path.to_owned(), holds: name.to_string_lossy().into_owned() });
        }
    }
    Ok(())
}

/// Takes the lock, and leaves our process id for whoever comes later.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Unusable { path: path.to_owned(), action: "write to it", source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK)).map_err(failed)?;
    match try_lock_for(&file, PATIENCE) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
            let pid = if read { pid.trim().to_owned() } else { "unknown".to_owned() };
            return Err(OpenError::InUse { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn try_lock_for(file: &File, patience: Duration) -> Result<(), TryLockError> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

/// Reads the directory's token, or makes it.
fn token(path: &Path) -> Result<u128, OpenError> {
    let failed = |action| move |source| OpenError::Unusable { path: path.to_owned(), action, source };
    match fs::read_to_string(path.join(TOKEN)) {
        Ok(text) => u128::from_str_radix(text.trim(), 16).map_err(|_| OpenError::Damaged {
            path: path.to_owned(),
            file: TOKEN,
            reason: format!("{:?} is not a number of base 16", text.chars().take(40).collect::<String>()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = Uuid::new_v4().as_u128();
            write_token(path, token).map_err(failed("write its token"))?;
            Ok(token)
        }
        Err(source) => Err(failed("read its token")(source)),
    }
}

/// On disk before there is an identity.
fn begin_founding(path: &Path) -> io::Result<()> {
    File::create(path.join(FOUNDING))?.sync_all()?;
    File::open(path)?.sync_all()
}

/// So that after a crash there is either none or a whole one.
fn write_token(path: &Path, token: u128) -> io::Result<()> {
    let temporary = path.join(TOKEN_TEMPORARY);
    let mut file = File::create(&temporary)?;
    writeln!(file, "{token:032x}")?;
    file.sync_all()?;
    fs::rename(&temporary, path.join(TOKEN))?;
    File::open(path)?.sync_all()
}

fn read_identity(path: &Path) -> Result<Option<Identity>, OpenError> {
    let text = match fs::read_to_string(path.join(identity::FILE)) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Unusable { path: path.to_owned(), action: "read its identity", source }),
    };
    let identity = Identity::parse(&text).map_err(|reason| OpenError::Damaged {
        path: path.to_owned(),
        file: identity::FILE,
        reason,
    })?;
    match identity.format {
        found if found > FORMAT => Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }),
        _ => Ok(Some(identity)),
    }
}

fn check_same<T: PartialEq + ToString>(path: &Path, field: &'static str, found: T, wanted: T) -> Result<(), OpenError> {
    if found == wanted {
        return Ok(());
    }
    Err(OpenError::Foreign { path: path.to_owned(), field, found: found.to_string(), wanted: wanted.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<DataDir, OpenError> {
        DataDir::open(path, 1, None)
    }

    #[test]
    fn a_new_directory_gets_an_identity_that_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let first = open(&path).unwrap().identity().clone();
        assert_eq!((first.format, first.node), (FORMAT, 1));
        assert_eq!(open(&path).unwrap().identity(), &first);
        assert_eq!(DataDir::open(&path, 1, Some(first.cluster)).unwrap().identity(), &first);
    }

    #[test]
    fn a_new_node_asks_with_one_token_also_after_a_crash() {
        let root = tempfile::tempdir().unwrap();
        let reserved = DataDir::reserve(root.path()).unwrap();
        assert_eq!(reserved.identity(), None);
        let token = reserved.token().unwrap();
        drop(reserved);
        let reserved = DataDir::reserve(root.path()).unwrap();
        assert_eq!(reserved.token().unwrap(), token);
        assert_eq!(reserved.open(7, None).unwrap().token().unwrap(), token);
        fs::write(root.path().join(TOKEN), "mine").unwrap();
        let error = DataDir::reserve(root.path()).unwrap().token().unwrap_err().to_string();
        assert!(error.contains("the file \"token\" is damaged: \"mine\""), "{error}");
    }

    #[test]
    fn only_the_first_node_is_founding_and_only_until_its_log_is_there() {
        for (node, founding) in [(FOUNDER, true), (2, false)] {
            let root = tempfile::tempdir().unwrap();
            let is = || DataDir::reserve(root.path()).unwrap().is_founding();
            drop(DataDir::open(root.path(), node, None).unwrap());
            assert_eq!(is(), founding, "node {node}");
            DataDir::open(root.path(), node, None).unwrap().founded().unwrap();
            assert!(!is());
            DataDir::open(root.path(), node, None).unwrap().founded().expect("again it is nothing");
        }
    }

    #[test]
    fn a_given_cluster_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(root.path(), 3, Some(Uuid::from_u128(5))).unwrap();
        assert_eq!((dir.identity().node, dir.identity().cluster), (3, Uuid::from_u128(5)));
    }

    #[test]
    fn a_second_open_is_refused_until_the_last_clone_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path()).unwrap();
        let clone = first.clone();
        drop(first);
        let error = open(root.path()).unwrap_err();
        assert!(matches!(&error, OpenError::InUse { pid, .. } if *pid == std::process::id().to_string()), "{error}");
        assert!(error.to_string().contains(&root.path().canonicalize().unwrap().display().to_string()), "{error}");
        drop(clone);
        open(root.path()).unwrap();
    }

    #[test]
    fn what_an_interrupted_first_start_leaves_is_no_obstacle() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(LOCK), "123").unwrap();
        fs::write(root.path().join(FOUNDING), "").unwrap();
        fs::write(root.path().join(identity::TEMPORARY), "format = ").unwrap();
        open(root.path()).unwrap();
    }

    #[test]
    fn unfit_directories_are_refused_with_a_reason() {
        let good = Identity::new(Uuid::from_u128(1), 1).to_string();
        let newer = format!("format = {}", FORMAT + 1);
        let cases: [(&str, &str, &str); 4] = [
            (
                "notes.txt",
                "mine",
                "is not a Flintwheel data directory: it has no file \"identity\", but holds \"notes.txt\"",
            ),
            ("identity", &newer, "has format 2, this program knows formats up to 1"),
            ("identity", "format = 1", "the file \"identity\" is damaged: it has no line \"cluster = ...\""),
            ("identity", &good.replace("node = 1", "node = 2"), "belongs to node 2, this is node 1"),
        ];
        for (name, content, want) in cases {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join(name), content).unwrap();
            let error = open(root.path()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), content);
        }
    }

    #[test]
    fn another_cluster_is_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(DataDir::open(root.path(), 1, Some(Uuid::from_u128(1))).unwrap());
        let error = DataDir::open(root.path(), 1, Some(Uuid::from_u128(2))).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { field: "cluster", .. }), "{error}");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("data directory {}: can't make it", path.display())), "{error}");
    }
}
