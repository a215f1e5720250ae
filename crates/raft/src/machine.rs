//! One group's machine with its state: entries go in, one batch of writes comes out, with the position that it stands for.
//!
//! Knows openraft's entries but not its traits. Everything here blocks: it runs on the threads of `apply_pool`.

use crate::codec::{Applied, DecodeError, decode_applied, encode_applied, place};
use crate::error::Stopped;
use crate::fatal::FatalHook;
use crate::fence::Fence;
use crate::state::{GroupState, RAFT, put_writes, table_columns};
use crate::types::{Entry, Reply, StoredMembership, Types};
use flintwheel_shard::{ApplyError, ReadError, Replicated, Txn};
use flintwheel_store::{ExportedFile, StateBatch, StateDb, StoreError};
use openraft::EntryPayload;
use openraft::storage::EntryResponder;
use parking_lot::{Mutex, RwLock};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// The one key of Raft's own column.
pub(crate) const APPLIED: &[u8] = b"applied";

/// One group's machine, shared by who applies, who reads and who flushes.
pub(crate) struct Machine<M> {
    pub(crate) group: u32,
    state: Arc<StateDb>,
    /// Written to while entries are applied, until their writes are in the state: a reader never sees one without the other. None where the state
    /// could not be read: then the replica is fenced.
    machine: RwLock<Option<M>>,
    applied: Mutex<Applied>,
    /// What the files of the state database have for sure.
    flushed: Mutex<Applied>,
    fence: Arc<Fence>,
    fatal: FatalHook,
    /// Held while a snapshot is being installed, which goes on when Raft has ended: a replica that leaves waits for its end.
    pub(crate) installing: tokio::sync::Mutex<()>,
}

/// Why a group's machine was not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("what is applied of group {group} can't be read from the state: {source}")]
    Decode { group: u32, source: DecodeError },
}

impl From<MachineError> for Stopped {
    fn from(error: MachineError) -> Self {
        match error {
            MachineError::Decode { source: DecodeError::Newer(_), .. } => Self::newer(error.to_string()),
            _ => Self::damaged(error.to_string()),
        }
    }
}

impl<M: Replicated> Machine<M> {
    /// Builds the machine from the state as it is.
    pub(crate) fn open(state: Arc<StateDb>, fence: Arc<Fence>, fatal: FatalHook) -> Result<Self, MachineError> {
        let applied = applied_in(&state, fence.group)?;
        let machine = M::open(&GroupState::new(state.clone(), fence.clone()))?;
        Ok(Self::with(state, fence, fatal, applied, Some(machine)))
    }

    /// Of a replica that is fenced because it can't be read.
    pub(crate) fn unreadable(state: Arc<StateDb>, fence: Arc<Fence>, fatal: FatalHook) -> Self {
        Self::with(state, fence, fatal, Applied::default(), None)
    }

    fn with(state: Arc<StateDb>, fence: Arc<Fence>, fatal: FatalHook, applied: Applied, machine: Option<M>) -> Self {
        // Without a write-ahead log, all that is found when a database is opened comes from its files.
        let flushed = Mutex::new(applied.clone());
        let (machine, applied) = (RwLock::new(machine), Mutex::new(applied));
        let installing = tokio::sync::Mutex::new(());
        Self { group: fence.group, state, machine, applied, flushed, fence, fatal, installing }
    }

    /// What is applied.
    pub(crate) fn applied(&self) -> Applied {
        self.applied.lock().clone()
    }

    /// Whether anything is applied that a crash without the log would take back.
    pub(crate) fn has_unflushed(&self) -> bool {
        let applied = self.applied.lock().last;
        applied != self.flushed.lock().last
    }

    /// What is applied and would survive a crash without the log.
    pub(crate) fn flushed(&self) -> Applied {
        self.flushed.lock().clone()
    }

    /// The state was flushed after `applied` had been read.
    pub(crate) fn set_flushed(&self, applied: Applied) {
        let mut flushed = self.flushed.lock();
        if applied.last > flushed.last {
            *flushed = applied;
        }
    }

    /// Why the replica stands still, if it does.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.fence.stopped()
    }

    /// What lets it stand still.
    pub(crate) fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// The committed state.
    pub(crate) fn state(&self) -> GroupState {
        GroupState::new(self.state.clone(), self.fence.clone())
    }

    /// The database that holds it.
    pub(crate) fn db(&self) -> &Arc<StateDb> {
        &self.state
    }

    /// Looks at the machine and the state between two applies, unless it stands still.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&M, &GroupState) -> R) -> Result<R, Stopped> {
        let machine = self.machine.read();
        match (self.stopped(), &*machine) {
            (None, Some(machine)) => Ok(look(machine, &self.state())),
            (stopped, _) => Err(stopped.unwrap_or_else(|| Stopped::because("its state is not there"))),
        }
    }

    /// Waits until an apply under way is over.
    pub(crate) fn rest(&self) {
        drop(self.machine.read());
    }

    /// Applies entries in order and answers their proposers. On an error nothing of them was written and nobody was answered, and the
    /// machine stands still from then on: what it has in memory is not to be used.
    pub(crate) fn apply(&self, entries: Vec<EntryResponder<Types>>) -> Result<(), Stopped> {
        if let Some(stopped) = self.stopped() {
            return Err(stopped);
        }
        let (entries, responders): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        // Whoever is answered by a closed channel must find the reason: so it is set before the responders are dropped.
        let replies = catch_unwind(AssertUnwindSafe(|| self.apply_and_write(&entries)))
            .unwrap_or_else(|_| Err(Stopped::damaged("applying an entry panicked")))
            .inspect_err(|stopped| self.stop(stopped.clone()))?;
        for (responder, reply) in responders.into_iter().zip(replies) {
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    /// Lets the replica stand still. The first reason is kept.
    pub(crate) fn stop(&self, stopped: Stopped) {
        self.fence.raise(stopped);
    }

    fn apply_and_write(&self, entries: &[Entry]) -> Result<Vec<Reply>, Stopped> {
        let mut applied = self.applied();
        let mut machine = self.machine.write();
        let Some(machine) = &mut *machine else { return Err(Stopped::because("its state is not there")) };
        let state = self.state();
        let mut txn = Txn::new(&state);
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            replies.push(apply_one(machine, &mut txn, entry, &mut applied)?);
        }
        let mut batch = self.state.batch(self.group);
        put_writes(&mut batch, txn.into_writes());
        stand_for(&mut batch, self.group, &applied);
        if let Err(error) = self.state.write(batch) {
            self.fatal.call(&error);
            return Err(Stopped::because(error.to_string()));
        }
        *self.applied.lock() = applied;
        Ok(replies)
    }

    /// Replaces the state by none at all, standing for `applied`. Only for a peer whose machine has no state either.
    pub(crate) fn reset(&self, applied: Applied) -> Result<(), MachineError> {
        let mut machine = self.machine.write();
        let mut batch = self.state.batch(self.group);
        table_columns().for_each(|column| batch.clear(column));
        stand_for(&mut batch, self.group, &applied);
        self.state.write(batch)?;
        self.state.flush()?;
        self.begin_anew(&mut machine, applied)
    }

    /// Makes the machine anew from the state, which durably stands for `applied`.
    fn begin_anew(&self, machine: &mut Option<M>, applied: Applied) -> Result<(), MachineError> {
        *machine = Some(M::open(&self.state())?);
        *self.applied.lock() = applied.clone();
        *self.flushed.lock() = applied;
        Ok(())
    }

    /// Writes the state as it is now as files into `dir`, and says what it stands for. Applying waits only until the instant is fixed. `pace`
    /// is told how many bytes were written since it was called last, and may sleep.
    pub(crate) fn export(
        &self,
        dir: &Path,
        pace: &mut dyn FnMut(u64),
    ) -> Result<(Applied, Vec<ExportedFile>), StoreError> {
        let guard = self.machine.read();
        let applied = self.applied();
        let columns: Vec<_> = table_columns().collect();
        let mut pace = |bytes| {
            pace(bytes);
            ControlFlow::Continue(())
        };
        let files = self.state.export(self.group, &columns, dir, || drop(guard), &mut pace);
        let files = files.inspect_err(|error| self.check(error))?;
        Ok((applied, files.expect("nothing breaks it off")))
    }

    /// Reads all that the state has of the group, so that what is damaged is found; `pace` is told how many bytes were read, and may break it off.
    pub(crate) fn verify(&self, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<(), StoreError> {
        let mut columns = table_columns().chain([RAFT]);
        columns.try_for_each(|column| self.state.verify(self.group, column, pace)).inspect_err(|error| self.fail(error))
    }

    /// What can't be read fences the replica; that a disk is full does not.
    fn check(&self, error: &StoreError) {
        if error.is_damage() {
            self.fail(error);
        }
    }

    fn fail(&self, error: &StoreError) {
        self.stop(Stopped::damaged(error.to_string()));
    }

    /// Replaces the state by the files in `dir`, standing for `applied`; durable when it returns. A failure or a crash on the way leaves a
    /// state that stands for nothing: the group must not be read before this was done again.
    pub(crate) fn install(&self, applied: Applied, dir: &Path, files: &[ExportedFile]) -> Result<(), MachineError> {
        let mut machine = self.machine.write();
        replace(&self.state, self.group, &applied, dir, files)?;
        self.begin_anew(&mut machine, applied)
    }

    /// Removes a group's state: its replica has left this node.
    pub(crate) fn erase(state: &StateDb, group: u32) -> Result<(), StoreError> {
        let mut batch = state.batch(group);
        table_columns().chain([RAFT]).for_each(|column| batch.clear(column));
        state.write(batch)?;
        state.flush()
    }

    /// Whether the group has no key in any table.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        for column in table_columns() {
            if !self.state.is_empty(self.group, column).inspect_err(|error| self.fail(error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a group's state says that it has applied.
pub(crate) fn applied_in(state: &StateDb, group: u32) -> Result<Applied, MachineError> {
    let bytes = state.get(group, RAFT, APPLIED)?;
    let applied = bytes.map(|bytes| decode_applied(place(group, 0), &bytes)).transpose();
    applied.map(Option::unwrap_or_default).map_err(|source| MachineError::Decode { group, source })
}

/// Replaces a group's state by the files in `dir`, standing for `applied`; durable when it returns. Reads nothing of what is there.
pub(crate) fn replace(
    state: &StateDb,
    group: u32,
    applied: &Applied,
    dir: &Path,
    files: &[ExportedFile],
) -> Result<(), MachineError> {
    let columns: Vec<_> = table_columns().collect();
    Ok(state.import(group, &columns, dir, files, |batch| stand_for(batch, group, applied))?)
}

fn stand_for(batch: &mut StateBatch<'_>, group: u32, applied: &Applied) {
    batch.put(RAFT, APPLIED, &encode_applied(place(group, 0), applied));
}

fn apply_one<M: Replicated>(
    machine: &mut M,
    txn: &mut Txn<'_>,
    entry: &Entry,
    applied: &mut Applied,
) -> Result<Reply, Stopped> {
    let reply = match &entry.payload {
        EntryPayload::Normal(command) => {
            let reply = machine.apply(txn, &command.0);
            let place = entry.log_id.index();
            Reply::of(reply.map_err(|error| match error {
                ApplyError::Unknown(_) => Stopped::newer(format!("entry {place}: {error}")),
                ApplyError::Read(_) => Stopped::damaged(format!("entry {place}: {error}")),
            })?)
        }
        EntryPayload::Membership(membership) => {
            applied.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
            Reply::none()
        }
        EntryPayload::Blank => Reply::none(),
    };
    applied.last = Some(entry.log_id);
    Ok(reply)
}
