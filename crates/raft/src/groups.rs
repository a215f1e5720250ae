//! The groups of a node: opened together, given and taken one at a time, shut down together.

use crate::distrust;
use crate::error::OpenError;
use crate::group::Group;
use crate::group_log::{GroupLog, HOST_GUEST, tag};
use crate::host::Host;
use crate::inbound::Receiver;
use crate::log_writer::Commit;
use crate::machine::Machine;
use crate::maintain::Maintenance;
use crate::open::{OpenOptions, Shared, open_group, put_host};
use crate::runtime::{Tasks, blocking};
use flintwheel_shard::Replicated;
use flintwheel_store::{LogDb, LogStats, StateStats, StoreError};
use openraft::Raft;
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// How long shutting down waits for entries under way to be applied. What is not applied then is in the log.
const DRAIN: Duration = Duration::from_secs(10);
/// The replicas that a node has, by shard.
pub(crate) struct Replicas<M: Replicated> {
    by_shard: RwLock<BTreeMap<u32, Group<M>>>,
    /// Told when one comes or goes.
    changed: watch::Sender<()>,
}

impl<M: Replicated> Replicas<M> {
    pub(crate) fn find(&self, shard: u32) -> Option<Group<M>> {
        self.by_shard.read().get(&shard).cloned()
    }

    fn all(&self) -> Vec<Group<M>> {
        self.by_shard.read().values().cloned().collect()
    }

    fn insert(&self, group: Group<M>) {
        self.by_shard.write().insert(group.shard(), group);
        self.changed.send_replace(());
    }

    fn remove(&self, shard: u32) -> Option<Group<M>> {
        let removed = self.by_shard.write().remove(&shard);
        self.changed.send_replace(());
        removed
    }
}

/// The groups of a node that are driven by machines of one type: all shards, or the meta group.
pub struct Groups<M: Replicated> {
    replicas: Arc<Replicas<M>>,
    /// The numbers that they may have.
    numbers: Range<u32>,
    pub(crate) shared: Shared,
    pub(crate) maintenance: Maintenance,
    /// Held while a replica comes or goes.
    hosting: Mutex<()>,
    /// Groups whose replica was removed here because it was damaged.
    pub(crate) remade: parking_lot::Mutex<BTreeSet<u32>>,
    tasks: Tasks,
    /// Closed with the groups, where nobody else shares it.
    host: Option<Host>,
}

impl<M: Replicated> Groups<M> {
    /// Opens a host and its shards, makes those of a new node, and returns when each leads or has stopped. On an error, everything is
    /// closed again. A replica that can't be read is no error: it is fenced ([`Group::damage`]).
    pub async fn open(options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, LogDb::commit).await
    }

    /// As [`Groups::open`], with the given way to make batches durable.
    pub(crate) async fn open_with(options: OpenOptions, commit: Commit) -> Result<Self, OpenError> {
        let host = Host::open_with(options, commit).await?;
        match host.shards().await {
            Ok(groups) => Ok(Self { host: Some(host), ..groups }),
            Err(error) => {
                host.close().await;
                Err(error)
            }
        }
    }

    /// Opens those of a host that have these numbers.
    pub(crate) async fn open_on(shared: Shared, tasks: Tasks, numbers: Range<u32>) -> Result<Self, OpenError> {
        let replicas = Arc::new(Replicas { by_shard: RwLock::default(), changed: watch::Sender::new(()) });
        let (maintenance, hosting, remade) = Default::default();
        let groups = Self { replicas, numbers, shared, maintenance, hosting, remade, tasks, host: None };
        match groups.open_replicas().await {
            Ok(()) => Ok(groups),
            Err(error) => {
                groups.close().await;
                Err(error)
            }
        }
    }

    async fn open_replicas(&self) -> Result<(), OpenError> {
        let (shared, numbers) = (self.shared.clone(), self.numbers.clone());
        let found = blocking(move || shared.replicas::<M>(&numbers)).await.map_err(task_failed)??;
        let opening = found.into_iter().map(|shard| self.tasks.spawn(open_group(self.shared.clone(), shard)));
        let mut failed = Ok(());
        for group in futures::future::join_all(opening).await {
            match group.map_err(task_failed) {
                Ok(group) => self.replicas.insert(group),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    /// Gives the node a replica of a shard, empty and without a voice: the shard's leader brings it up when it makes it a member
    /// ([`Group::add_learner`]). Does nothing if it has one.
    pub async fn host(&self, shard: u32) -> Result<(), OpenError> {
        if !self.numbers.contains(&shard) {
            let reason = format!("shards have the numbers {} to {}", self.numbers.start, self.numbers.end - 1);
            return Err(OpenError::Shard { shard, reason });
        }
        let _alone = self.hosting.lock().await;
        if self.replicas.find(shard).is_some() {
            return Ok(());
        }
        let log = self.shared.log.clone();
        let recorded = blocking(move || {
            let mut batch = log.batch();
            put_host(&mut batch, shard, HOST_GUEST);
            batch.put_meta(shard, tag::MUTE, &[]);
            log.commit(batch)
        });
        recorded.await.map_err(task_failed)??;
        let opening = self.tasks.spawn(open_group(self.shared.clone(), shard));
        let group = opening.await.map_err(task_failed)?;
        self.check_new(&group);
        self.replicas.insert(group);
        Ok(())
    }

    /// Ends this node's replica of a shard and removes what it has of it, whether or not that can be read. Only for one that is no member any more: the others count on
    /// what a member has. Does nothing if there is none. A crash on the way is harmless: the next start goes on.
    pub async fn retire(&self, shard: u32) -> Result<(), OpenError> {
        let _alone = self.hosting.lock().await;
        let Some(group) = self.replicas.remove(shard) else { return Ok(()) };
        self.note_relapse(&group);
        group.inner.in_flight.close();
        group.inner.depart();
        let machine = group.inner.machine.clone();
        machine.fence().leave();
        if let Some(raft) = &group.inner.raft
            && let Err(error) = raft.shutdown().await
        {
            tracing::warn!(shard, %error, "a Raft group did not end well");
        }
        drop(group);
        // What is still being installed must not come after what is erased.
        drop(machine.installing.lock().await);
        let shared = self.shared.clone();
        let erased = blocking(move || {
            let mut batch = shared.log.batch();
            GroupLog::leave(&shared.log, &mut batch, shard);
            distrust::clear(&shared.log, &mut batch, shard)?;
            shared.log.commit(batch)?;
            // What was being applied is over then, and nothing is any more.
            machine.rest();
            shared.incoming.forget(shard);
            Machine::<M>::erase(&shared.state, shard)
        });
        erased.await.map_err(task_failed)??;
        // By the writer: what is still queued of the group must not come after it.
        Ok(self.shared.writer.erase(shard).await?)
    }

    /// The group of a shard. Panics if this node has no replica of it.
    pub fn group(&self, shard: u32) -> Group<M> {
        self.find(shard).unwrap_or_else(|| panic!("this node has no replica of shard {shard}"))
    }

    /// The group of a shard, if this node has a replica of it.
    pub fn find(&self, shard: u32) -> Option<Group<M>> {
        self.replicas.find(shard)
    }

    /// All groups of which this node has a replica, by shard.
    pub fn iter(&self) -> impl Iterator<Item = Group<M>> + use<M> {
        self.replicas.all().into_iter()
    }

    /// Looks at all groups of which this node has a replica, by shard. Be short: none comes or goes meanwhile.
    pub fn each(&self, look: impl FnMut(&Group<M>)) {
        self.replicas.by_shard.read().values().for_each(look);
    }

    /// Looks at the groups of some shards, with what comes with each, as far as this node has replicas of them. Be short, as above.
    pub fn each_of<T>(&self, shards: impl IntoIterator<Item = (u32, T)>, mut look: impl FnMut(T, &Group<M>)) {
        let groups = self.replicas.by_shard.read();
        for (shard, with) in shards {
            if let Some(group) = groups.get(&shard) {
                look(with, group);
            }
        }
    }

    /// Whether none of them has anything to do.
    pub fn all_asleep(&self) -> bool {
        self.replicas.by_shard.read().values().all(Group::is_asleep)
    }

    /// Changes when a replica has come or gone.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.replicas.changed.subscribe()
    }

    /// What answers the messages of other nodes.
    pub fn receiver(&self) -> Receiver<M> {
        let (incoming, sleepers) = (self.shared.incoming.clone(), self.shared.sleepers.clone());
        Receiver { replicas: self.replicas.clone(), incoming, sleepers }
    }

    /// The number of shards of the cluster.
    pub fn shards(&self) -> u32 {
        self.shared.shards
    }

    /// Bytes of a shard's state in files here, about. Blocks on the disk, for a moment.
    pub fn bytes(&self, shard: u32) -> u64 {
        self.shared.state.bytes(shard)
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
    /// ends the groups. A host of their own is closed too (its databases when all clones of groups are dropped).
    pub async fn shutdown(self) -> Result<(), StoreError> {
        self.iter().for_each(|group| group.inner.in_flight.close());
        let groups: Vec<_> = self.iter().collect();
        futures::future::join_all(groups.iter().map(drain)).await;
        drop(groups);
        let flushed = self.flush().await;
        self.close().await;
        flushed.map(drop)
    }

    /// Ends groups, threads and tasks, flushing nothing of our own accord.
    pub(crate) async fn close(mut self) {
        let groups = std::mem::take(&mut *self.replicas.by_shard.write());
        let ending = groups.values().filter_map(|group| group.inner.raft.as_ref()).map(Raft::shutdown);
        for ended in futures::future::join_all(ending).await {
            if let Err(error) = ended {
                tracing::warn!(%error, "a Raft group did not end well");
            }
        }
        drop(groups);
        let host = self.host.take();
        drop(self);
        if let Some(host) = host {
            host.close().await;
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

pub(crate) fn task_failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OpenError {
    OpenError::Threads(std::io::Error::other(error))
}
