//! All groups of a node: opened together, kept, shut down together.

use crate::error::OpenError;
use crate::group::Group;
use crate::log_writer::Commit;
use crate::maintain::Maintenance;
use crate::open::{OpenOptions, Shared, Threads, open_group};
use flintwheel_shard::Replicated;
use flintwheel_store::{LogDb, LogStats, StateStats, StoreError};
use openraft::Raft;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;

/// Threads that carry ticks, elections and replication. Nothing that they do blocks, so a few serve hundreds of groups.
const TASK_THREADS: usize = 2;
/// How long shutting down waits for entries under way to be applied. What is not applied then is in the log.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it waits for tasks that don't end by themselves.
const TASKS: Duration = Duration::from_secs(5);

/// The groups of a node. They live on threads of their own: nothing that blocks elsewhere delays their ticks and elections.
pub struct Groups<M: Replicated> {
    groups: Vec<Group<M>>,
    pub(crate) shared: Shared,
    pub(crate) maintenance: Maintenance,
    runtime: Option<Runtime>,
    threads: Threads,
}

impl<M: Replicated> Groups<M> {
    /// Opens all groups, makes those of a new node, and returns when each leads or has stopped. On an error, everything is closed again.
    pub async fn open(options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, LogDb::commit).await
    }

    /// As [`Groups::open`], with the given way to make batches durable.
    pub(crate) async fn open_with(options: OpenOptions, commit: Commit) -> Result<Self, OpenError> {
        options.check()?;
        let opened = tokio::task::spawn_blocking(move || Shared::open(&options, commit)).await;
        let (shared, threads) = opened.map_err(task_failed)??;
        let runtime =
            Builder::new_multi_thread().worker_threads(TASK_THREADS).thread_name("raft").enable_all().build()?;
        let opening: Vec<_> =
            (0..shared.shards).map(|shard| runtime.spawn(open_group(shared.clone(), shard))).collect();
        let maintenance = Maintenance::default();
        let mut groups = Self { groups: Vec::new(), shared, maintenance, runtime: Some(runtime), threads };
        let mut failed = None;
        for group in futures::future::join_all(opening).await {
            match group.map_err(task_failed).flatten() {
                Ok(group) => groups.groups.push(group),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => {
                groups.close().await;
                Err(error)
            }
            None => Ok(groups),
        }
    }

    /// The group of a shard. Panics if there is no such shard.
    pub fn group(&self, shard: u32) -> &Group<M> {
        &self.groups[shard as usize]
    }

    /// All groups, by shard.
    pub fn iter(&self) -> impl Iterator<Item = &Group<M>> {
        self.groups.iter()
    }

    /// The number of shards.
    pub fn shards(&self) -> u32 {
        self.shared.shards
    }

    /// Sizes of the log database.
    pub fn log_stats(&self) -> LogStats {
        self.shared.log.stats()
    }

    /// Sizes of the state database.
    pub fn state_stats(&self) -> StateStats {
        self.shared.state.stats()
    }

    /// Takes no more proposals, lets those under way be applied, flushes the state so that a restart has nothing to apply again, and
    /// closes the databases (when all clones of groups are dropped too).
    pub async fn shutdown(self) -> Result<(), StoreError> {
        self.iter().for_each(|group| group.inner.in_flight.close());
        futures::future::join_all(self.iter().map(drain)).await;
        let flushed = self.flush().await;
        self.close().await;
        flushed.map(drop)
    }

    /// Ends groups, threads and tasks, flushing nothing of our own accord.
    pub(crate) async fn close(mut self) {
        let groups = std::mem::take(&mut self.groups);
        let ending = groups.iter().filter_map(|group| group.inner.raft.as_ref()).map(Raft::shutdown);
        for ended in futures::future::join_all(ending).await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a Raft group did not end well");
            }
        }
        drop(groups);
        let (runtime, threads) = (self.runtime.take(), std::mem::take(&mut self.threads));
        drop(self);
        let end = move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(TASKS);
            }
            // A panic in one of them was reported when it happened.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        };
        let _ = tokio::task::spawn_blocking(end).await;
    }
}

impl<M: Replicated> Drop for Groups<M> {
    /// Without [`Groups::shutdown`], tasks end where they are: as in a crash, but without blocking the caller.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until everything in the group's log is applied, or for [`DRAIN`].
async fn drain<M: Replicated>(group: &Group<M>) {
    let last = group.status().last_log;
    if let Some(raft) = &group.inner.raft
        && group.status().leadership.is_leader()
        && let Err(error) = raft.wait(Some(DRAIN)).applied_index_at_least(last, "drain").await
    {
        tracing::warn!(shard = group.shard(), %error, "entries under way were not applied before the shutdown");
    }
}

fn task_failed(error: JoinError) -> OpenError {
    OpenError::Threads(std::io::Error::other(error))
}
