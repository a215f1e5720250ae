//! Snapshots of a group: for openraft a position that the state's files have reached, for a replica that lags the files of the state.
//!
//! openraft purges the log only below a snapshot, and takes one whenever `maintain` has flushed: that one is a mark without data. Files
//! are written only when a replica needs them, of the state as it is then.

use crate::codec::Applied;
use crate::group_log::GroupLog;
use crate::machine::Machine;
use crate::receive_snapshot::Staged;
use crate::runtime::{Moment, blocking, sleep_until};
use crate::types::{LogId, SnapshotMeta, Types};
use flintwheel_shard::Replicated;
use flintwheel_store::ExportedFile;
use openraft::alias::SnapshotOf;
use openraft::{RaftSnapshotBuilder, Snapshot};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// Snapshots that a node sends at a time. Each reads and sends at the full rate that is allowed; more would only make all of them late.
const TURNS: usize = 2;
/// How long the files of one stay after they were used last, for a replica that was interrupted, or the next one.
const KEEP: Duration = Duration::from_secs(120);

/// What openraft passes around as a snapshot.
#[derive(Debug)]
pub(crate) enum Data {
    /// A position only. `empty`: there was no state at all then, so this is all of it.
    Mark { empty: bool },
    /// Files that another replica sent.
    Staged(Staged),
}

/// Makes the mark for what `build_snapshot` is asked for.
pub(crate) struct MarkBuilder<M> {
    pub(crate) machine: Arc<Machine<M>>,
    /// Whether to flush first, so that the mark stands at what is applied now; else it stands at the last flush.
    pub(crate) flush: bool,
}

impl<M: Replicated> RaftSnapshotBuilder<Types> for MarkBuilder<M> {
    type SnapshotData = Data;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Data>, io::Error> {
        let (machine, flush) = (self.machine.clone(), self.flush);
        let build = move || {
            if flush {
                let applied = machine.applied();
                machine.db().flush().map_err(io::Error::other)?;
                machine.set_flushed(applied);
            }
            mark(&machine)
        };
        blocking(build).await.map_err(io::Error::other)?
    }
}

/// The mark at the last flush. Blocks.
pub(crate) fn mark<M: Replicated>(machine: &Machine<M>) -> io::Result<SnapshotOf<Types, Data>> {
    let Applied { last, membership } = machine.flushed();
    let empty = machine.is_empty().map_err(io::Error::other)?;
    Ok(Snapshot {
        meta: SnapshotMeta { last_log_id: last, last_membership: membership },
        snapshot: Data::Mark { empty },
    })
}

/// The files of one group's state at one instant. They are removed when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) applied: Applied,
    pub(crate) files: Vec<ExportedFile>,
    dir: PathBuf,
}

impl Export {
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

/// Removes a directory of ours. What can't be removed is tried again at the next start.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(dir = %dir.display(), %error, "files of a snapshot were not removed");
    }
}

/// What a node sends: where the files are written, how many groups at a time, how fast.
pub(crate) struct Outgoing {
    root: PathBuf,
    turns: Semaphore,
    bytes_per_second: u64,
    /// When what was sent so far will have been sent at that rate.
    paced_until: Mutex<Moment>,
    next: AtomicU64,
}

impl Outgoing {
    /// Begins with an empty directory: files of an earlier process are nobody's. Blocks.
    pub(crate) fn open(root: PathBuf, bytes_per_second: u64) -> io::Result<Self> {
        remove(&root);
        fs::create_dir_all(&root)?;
        let (turns, paced_until) = (Semaphore::new(TURNS), Mutex::new(Moment::now()));
        Ok(Self { root, turns, bytes_per_second, paced_until, next: AtomicU64::new(0) })
    }

    /// How long so many bytes take at the rate that is allowed.
    fn takes(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.bytes_per_second.max(1))
    }
}

/// What one group sends.
pub(crate) struct Exports {
    node: Arc<Outgoing>,
    log: Arc<GroupLog>,
    last: Mutex<Option<(Arc<Export>, Moment)>>,
}

impl Exports {
    pub(crate) fn new(node: Arc<Outgoing>, log: Arc<GroupLog>) -> Self {
        Self { node, log, last: Mutex::new(None) }
    }

    /// Waits until this group may send.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        self.node.turns.acquire().await.expect("the semaphore is never closed")
    }

    /// Waits until `bytes` more may be sent.
    pub(crate) async fn pace(&self, bytes: u64) {
        let takes = self.node.takes(bytes);
        let mut until = self.node.paced_until.lock().await;
        *until = (*until).max(Moment::now()) + takes;
        let mine = *until;
        drop(until);
        sleep_until(mine).await;
    }

    /// The position of the files that are there, if the log still goes on from them: a replica that was interrupted shall be sent the same
    /// again.
    /// Does not wait: applying would wait behind files that are being written.
    pub(crate) fn standing(&self) -> Option<Applied> {
        let last = self.last.try_lock().ok()?;
        let export = last.as_ref().filter(|(export, used)| self.is_of_use(export, *used));
        export.map(|(export, _)| export.applied.clone())
    }

    fn is_of_use(&self, export: &Export, used: Moment) -> bool {
        export.applied.last >= self.log.purged() && used.elapsed() < KEEP
    }

    /// The files to send, of a state that has at least all up to `least`: openraft counts the replica as having that when it has them, so
    /// older files would lose entries. The last ones, if they are of use, or new ones.
    pub(crate) async fn current<M: Replicated>(
        &self,
        machine: &Arc<Machine<M>>,
        least: Option<LogId>,
    ) -> io::Result<Arc<Export>> {
        let mut last = self.last.lock().await;
        if let Some((export, used)) = &mut *last
            && export.applied.last >= least
            && self.is_of_use(export, *used)
        {
            *used = Moment::now();
            return Ok(export.clone());
        }
        *last = None;
        let number = self.node.next.fetch_add(1, Ordering::Relaxed);
        let dir = self.node.root.join(format!("{}-{number}", machine.group));
        let (machine, node) = (machine.clone(), self.node.clone());
        let made = blocking(move || export(&machine, dir, &node)).await.map_err(io::Error::other)??;
        assert!(made.applied.last >= least, "what was flushed is applied");
        let made = Arc::new(made);
        *last = Some((made.clone(), Moment::now()));
        Ok(made)
    }

    /// Lets go of files that nobody has asked for in a while.
    pub(crate) fn expire(&self) {
        if let Ok(mut last) = self.last.try_lock()
            && last.as_ref().is_some_and(|(_, used)| used.elapsed() >= KEEP)
        {
            *last = None;
        }
    }
}

fn export<M: Replicated>(machine: &Machine<M>, dir: PathBuf, node: &Outgoing) -> io::Result<Export> {
    // As slowly as it will be sent: written at once, it would take a processor from what decides.
    let mut pace = |bytes| std::thread::sleep(node.takes(bytes));
    let made = machine.export(&dir, &mut pace).map_err(io::Error::other);
    if made.is_err() {
        remove(&dir);
    }
    let (applied, files) = made?;
    Ok(Export { applied, files, dir })
}
