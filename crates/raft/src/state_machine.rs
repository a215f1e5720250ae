//! openraft's view of a group's machine: it streams committed entries in and gets positions and snapshots out.

use crate::apply_pool::{ApplyPool, NotDone};
use crate::codec::Applied;
use crate::error::Stopped;
use crate::group_log::GroupLog;
use crate::log_writer::LogWriter;
use crate::machine::Machine;
use crate::receive_snapshot::{Incoming, Staged};
use crate::snapshot::{Data, Exports, MarkBuilder, mark};
use crate::tail::weight;
use crate::types::{LogId, SnapshotMeta, StoredMembership, Types};
use flintwheel_shard::Replicated;
use futures::{Stream, StreamExt};
use openraft::alias::SnapshotOf;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, Snapshot};
use std::io;
use std::sync::Arc;

/// Entries of about this many bytes are applied in one write: enough that its fixed costs vanish, little enough that nobody waits long.
const BATCH: usize = 1 << 20;

/// One group's machine and the threads that drive it.
pub(crate) struct StateMachine<M> {
    pub(crate) machine: Arc<Machine<M>>,
    pub(crate) pool: ApplyPool,
    pub(crate) exports: Arc<Exports>,
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) log: Arc<GroupLog>,
    pub(crate) writer: LogWriter,
}

impl<M: Replicated> StateMachine<M> {
    async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Machine<M>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let machine = self.machine.clone();
        let done = self.pool.run(move || job(&machine)).await;
        done.unwrap_or_else(|not_done: NotDone| {
            self.machine.stop(Stopped::damaged(format!("applying was not finished: {not_done}")));
            Err(io::Error::other(not_done))
        })
    }

    /// Each step leaves something that the next start goes on from: until the name is given, nothing has happened; from then on
    /// [`crate::open`] installs it again, until the log begins where the snapshot ends.
    async fn install(&self, staged: Staged) -> io::Result<()> {
        let _installing = self.machine.installing.lock().await;
        // Nothing may come to what a replica that has left had.
        if let Some(stopped) = self.machine.stopped() {
            return Err(io::Error::other(stopped));
        }
        let (incoming, group) = (self.incoming.clone(), self.machine.group);
        let staged = self.on_pool(move |_| incoming.stage(group, staged)).await?;
        let Applied { last, membership } = staged.offer.applied.clone();
        let files = staged.clone();
        self.on_pool(move |machine| {
            let installed = machine.install(Applied { last, membership }, files.dir(), &files.offer.files);
            installed.map_err(|error| {
                machine.stop(Stopped::damaged(format!("a snapshot was not installed: {error}")));
                io::Error::other(error)
            })
        })
        .await?;
        if let Some(upto) = last {
            let indexes = self.log.purge(upto);
            self.writer.purge_durably(group, indexes, upto).await?;
        }
        let incoming = self.incoming.clone();
        self.on_pool(move |_| incoming.installed(&staged)).await
    }

    async fn apply_batch(&self, entries: Vec<EntryResponder<Types>>) -> io::Result<()> {
        self.on_pool(|machine| machine.apply(entries).map_err(io::Error::other)).await
    }
}

impl<M: Replicated> RaftStateMachine<Types> for StateMachine<M> {
    type SnapshotData = Data;
    type SnapshotBuilder = MarkBuilder<M>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.machine.applied();
        Ok((applied.last, applied.membership))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            bytes += weight(&entry.0);
            batch.push(entry);
            if bytes >= BATCH {
                self.apply_batch(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.apply_batch(batch).await }
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<MarkBuilder<M>> {
        Some(MarkBuilder { machine: self.machine.clone(), flush: force })
    }

    async fn get_snapshot_builder(&mut self) -> MarkBuilder<M> {
        MarkBuilder { machine: self.machine.clone(), flush: true }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Data) -> Result<(), io::Error> {
        match snapshot {
            Data::Staged(staged) => self.install(staged).await,
            Data::Mark { empty: true } => {
                let applied = Applied { last: meta.last_log_id, membership: meta.last_membership.clone() };
                self.on_pool(move |machine| machine.reset(applied).map_err(io::Error::other)).await
            }
            Data::Mark { empty: false } => Err(io::Error::other("a mark carries no state that could be taken over")),
        }
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, Data>>, io::Error> {
        if let Some(Applied { last, membership }) = self.exports.standing() {
            let meta = SnapshotMeta { last_log_id: last, last_membership: membership };
            return Ok(Some(Snapshot { meta, snapshot: Data::Mark { empty: false } }));
        }
        if self.machine.flushed().last.is_none() {
            return Ok(None);
        }
        self.on_pool(|machine| mark(machine)).await.map(Some)
    }
}
