//! What the groups of a node share: the two databases, the threads, the way to other nodes. Knows no machine: whoever opens groups on it
//! says which.

use crate::error::OpenError;
use crate::groups::{Groups, task_failed};
use crate::log_writer::Commit;
use crate::open::{META, OpenOptions, Shared, Threads};
use crate::runtime::{Tasks, blocking};
use crate::starts::Starts;
use crate::world;
use flintwheel_shard::Replicated;
use flintwheel_store::LogDb;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Threads that carry ticks, elections and replication. Nothing that they do blocks, so a few serve hundreds of groups.
const TASK_THREADS: usize = 2;
/// How long it waits for tasks that don't end by themselves.
const TASKS: Duration = Duration::from_secs(5);

/// A node's databases, open, and threads for its groups: nothing that blocks elsewhere delays their ticks and elections.
pub struct Host {
    shared: Shared,
    /// None in a simulated world, which runs the tasks itself.
    runtime: Option<Runtime>,
    threads: Threads,
}

impl Host {
    /// Opens the databases of a data directory and starts the threads. No group is open yet.
    pub async fn open(options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, LogDb::commit).await
    }

    /// As [`Host::open`], with the given way to make batches durable.
    pub(crate) async fn open_with(options: OpenOptions, commit: Commit) -> Result<Self, OpenError> {
        options.check()?;
        let opened = blocking(move || Shared::open(&options, commit)).await;
        let (shared, threads) = opened.map_err(task_failed)??;
        if world::current().is_some() {
            shared.sleepers.start(&Tasks::World, shared.writer.clone());
            return Ok(Self { shared, runtime: None, threads });
        }
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(TASK_THREADS).thread_name("raft").enable_all().build()?;
        shared.sleepers.start(&Tasks::Threads(runtime.handle().clone()), shared.writer.clone());
        Ok(Self { shared, runtime: Some(runtime), threads })
    }

    /// Opens the replicas of shards that the node has, and returns when each leads or has stopped where this node is the only voter.
    pub async fn shards<M: Replicated>(&self) -> Result<Groups<M>, OpenError> {
        Groups::open_on(self.shared.clone(), self.tasks(), 0..self.shared.shards).await
    }

    /// The same for the meta group: the one group that is not a shard. Its number is [`META`].
    pub async fn meta<M: Replicated>(&self) -> Result<Groups<M>, OpenError> {
        Groups::open_on(self.shared.clone(), self.tasks(), META..META + 1).await
    }

    /// Shards of the cluster.
    pub fn shard_count(&self) -> u32 {
        self.shared.shards
    }

    /// What the node's disk knows of the starts of its program.
    pub fn starts(&self) -> Starts {
        Starts::of(&self.shared.log)
    }

    /// Ends tasks and threads and closes the databases, when all clones of groups are dropped too. Shut the groups down before.
    pub async fn close(mut self) {
        let (runtime, threads) = (self.runtime.take(), std::mem::take(&mut self.threads));
        drop(self);
        let end = move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(TASKS);
            }
            // A panic in one of them was reported when it happened.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        };
        let _ = blocking(end).await;
    }

    fn tasks(&self) -> Tasks {
        self.runtime.as_ref().map_or(Tasks::World, |runtime| Tasks::Threads(runtime.handle().clone()))
    }
}

impl Drop for Host {
    /// Without [`Host::close`], tasks end where they are: as in a crash, but without blocking the caller.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
