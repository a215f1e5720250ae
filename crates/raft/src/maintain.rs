//! Flushing the state and shortening the log: once for all groups, when enough has gathered.
//!
//! The state has no write-ahead log; what it has in memory, a crash takes back and the Raft log gives again. So the log is removed only
//! below what a flush has made durable.

use crate::codec::Applied;
use crate::group::Group;
use crate::groups::Groups;
use crate::runtime::{Moment, blocking};
use flintwheel_shard::Replicated;
use flintwheel_store::StoreError;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinError;

/// What [`Groups::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Whether the state was flushed.
    pub flushed: bool,
    /// How long that took.
    pub took: Duration,
    /// Bytes of log that a crash would have made the node apply again.
    pub log_bytes: u64,
}

/// When the state was flushed last.
#[derive(Default)]
pub(crate) struct Maintenance {
    last: Mutex<LastFlush>,
}

#[derive(Default)]
struct LastFlush {
    /// Not yet since the start: then what a crash left in the log is flushed first, so that crashes don't make it grow.
    at: Option<Moment>,
    log_bytes: u64,
}

impl<M: Replicated> Groups<M> {
    /// Flushes the state and removes log below it, if enough log has gathered, or if anything has changed and the last
    /// time is long ago or before the start. Call it about once a second. An error is final: the database takes no more writes, and the next apply ends the process.
    pub async fn maintain(&self) -> Result<Maintained, StoreError> {
        self.iter().for_each(|group| group.inner.exports.expire());
        let shared = self.shared.clone();
        // An error means that the runtime ends: databases note their files when they are closed too.
        let _ = blocking(move || (shared.log.note_files(), shared.state.note_files())).await;
        let last = self.maintenance.last.lock().await;
        let log_bytes = self.shared.writer.bytes_written().saturating_sub(last.log_bytes);
        let limits = &self.shared.limits;
        let is_time = last.at.is_none_or(|at| at.elapsed() >= limits.flush_interval);
        let due = log_bytes >= limits.replay_bytes || (is_time && self.has_changed());
        drop(last);
        if due { self.flush().await } else { Ok(Maintained { log_bytes, ..Maintained::default() }) }
    }

    /// Flushes the state now and removes log below it.
    pub async fn flush(&self) -> Result<Maintained, StoreError> {
        let mut last = self.maintenance.last.lock().await;
        let written = self.shared.writer.bytes_written();
        let applied: Vec<_> = self.iter().map(|group| (group.inner.machine.applied(), group)).collect();
        let started = Moment::now();
        let state = self.shared.state.clone();
        match blocking(move || state.flush()).await.map_err(JoinError::try_into_panic) {
            Ok(flushed) => flushed?,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and took the task before it began. What is not flushed stands in the log.
            Err(Err(_)) => return Ok(Maintained::default()),
        }
        let took = started.elapsed();
        futures::future::join_all(applied.iter().map(|(applied, group)| mark(group, applied.clone()))).await;
        let log_bytes = written.saturating_sub(last.log_bytes);
        *last = LastFlush { at: Some(Moment::now()), log_bytes: written };
        tracing::debug!(?took, log_bytes, "the state was flushed");
        Ok(Maintained { flushed: true, took, log_bytes })
    }

    fn has_changed(&self) -> bool {
        self.iter().any(|group| group.inner.machine.has_unflushed())
    }
}

/// Tells the group that `applied` is durable; openraft then takes its mark as a snapshot and removes the log below.
async fn mark<M: Replicated>(group: &Group<M>, applied: Applied) {
    let upto = applied.last;
    group.inner.machine.set_flushed(applied);
    let Some(raft) = &group.inner.raft else { return };
    let mut metrics = raft.metrics();
    if metrics.borrow_watched().snapshot >= upto || raft.trigger().snapshot().await.is_err() {
        return;
    }
    // A group that ends meanwhile closes its metrics or says that it is not running.
    while metrics.borrow_and_update().snapshot < upto && metrics.borrow_watched().running_state.is_ok() {
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
