//! One group's machine with its state: entries go in, one batch of writes comes out, with the position that it stands for.
//!
//! Knows openraft's entries but not its traits. Everything here blocks: it runs on the threads of `apply_pool`.

use crate::codec::{Applied, DecodeError, decode_applied, encode_applied, place};
use crate::error::Stopped;
use crate::fatal::FatalHook;
use crate::state::{GroupState, RAFT, put_writes, table_columns};
use crate::types::{Entry, Reply, StoredMembership, Types};
use flintwheel_shard::{ReadError, Replicated, Txn};
use flintwheel_store::{ExportedFile, StateDb, StoreError};
use openraft::EntryPayload;
use openraft::storage::EntryResponder;
use parking_lot::{Mutex, RwLock};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The one key of Raft's own column.
pub(crate) const APPLIED: &[u8] = b"applied";

/// One group's machine, shared by who applies, who reads and who flushes.
pub(crate) struct Machine<M> {
    pub(crate) group: u32,
    state: Arc<StateDb>,
    /// Written to while entries are applied, until their writes are in the state: a reader never sees one without the other.
    machine: RwLock<M>,
    applied: Mutex<Applied>,
    /// What the files of the state database have for sure.
    flushed: Mutex<Applied>,
    stopped: OnceLock<Stopped>,
    fatal: FatalHook,
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

impl<M: Replicated> Machine<M> {
    /// Builds the machine from the state as it is.
    pub(crate) fn open(state: Arc<StateDb>, group: u32, fatal: FatalHook) -> Result<Self, MachineError> {
        let applied = match state.get(group, RAFT, APPLIED)? {
            Some(bytes) => {
                decode_applied(place(group, 0), &bytes).map_err(|source| MachineError::Decode { group, source })?
            }
            None => Applied::default(),
        };
        let machine = M::open(&GroupState::new(state.clone(), group))?;
        Ok(Self {
            group,
            state,
            machine: RwLock::new(machine),
            // Without a write-ahead log, all that is found when a database is opened comes from its files.
            flushed: Mutex::new(applied.clone()),
            applied: Mutex::new(applied),
            stopped: OnceLock::new(),
            fatal,
        })
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

    /// Why the machine stands still, if it does.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stopped.get().cloned()
    }

    /// The committed state.
    pub(crate) fn state(&self) -> GroupState {
        GroupState::new(self.state.clone(), self.group)
    }

    /// The database that holds it.
    pub(crate) fn db(&self) -> &Arc<StateDb> {
        &self.state
    }

    /// Looks at the machine and the state between two applies.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&M, &GroupState) -> R) -> R {
        let machine = self.machine.read();
        look(&machine, &self.state())
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
            .unwrap_or_else(|_| Err(Stopped::because("applying an entry panicked")))
            .inspect_err(|stopped| self.stop(stopped.clone()))?;
        for (responder, reply) in responders.into_iter().zip(replies) {
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    /// Lets the machine stand still. The first reason is kept.
    pub(crate) fn stop(&self, stopped: Stopped) {
        if self.stopped.set(stopped.clone()).is_ok() {
            tracing::error!(shard = self.group, reason = %stopped.reason, "the shard stopped; the others go on");
        }
    }

    /// Applies nothing any more: the replica leaves this node.
    pub(crate) fn leave(&self) {
        let _ = self.stopped.set(Stopped::because("the shard's replica has left this node"));
    }

    fn apply_and_write(&self, entries: &[Entry]) -> Result<Vec<Reply>, Stopped> {
        let mut applied = self.applied();
        let mut machine = self.machine.write();
        let state = self.state();
        let mut txn = Txn::new(&state);
        let mut replies = Vec::with_capacity(entries.len());
        for entry in entries {
            replies.push(apply_one(&mut *machine, &mut txn, entry, &mut applied)?);
        }
        let mut batch = self.state.batch(self.group);
        put_writes(&mut batch, txn.into_writes());
        batch.put(RAFT, APPLIED, &encode_applied(place(self.group, 0), &applied));
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
        self.state.write(batch)?;
        self.stand_for(&mut machine, applied)
    }

    /// The state as it is stands for `applied`: makes that durable, and the machine anew.
    fn stand_for(&self, machine: &mut M, applied: Applied) -> Result<(), MachineError> {
        let mut batch = self.state.batch(self.group);
        batch.put(RAFT, APPLIED, &encode_applied(place(self.group, 0), &applied));
        self.state.write(batch)?;
        self.state.flush()?;
        *machine = M::open(&self.state())?;
        *self.applied.lock() = applied.clone();
        *self.flushed.lock() = applied;
        Ok(())
    }

    /// Writes the state as it is now as files into `dir`, and says what it stands for. Applying waits only until the instant is fixed.
    pub(crate) fn export(&self, dir: &Path) -> Result<(Applied, Vec<ExportedFile>), StoreError> {
        let guard = self.machine.read();
        let applied = self.applied();
        let columns: Vec<_> = table_columns().collect();
        let files = self.state.export(self.group, &columns, dir, || drop(guard), &mut |_| ControlFlow::Continue(()))?;
        Ok((applied, files.expect("nothing breaks it off")))
    }

    /// Replaces the state by the files in `dir`, standing for `applied`; durable when it returns. A failure or a crash on the way leaves a
    /// state that stands for nothing: the group must not be read before this was done again.
    pub(crate) fn install(&self, applied: Applied, dir: &Path, files: &[ExportedFile]) -> Result<(), MachineError> {
        let mut machine = self.machine.write();
        let columns: Vec<_> = table_columns().collect();
        self.state.import(self.group, &columns, dir, files)?;
        self.stand_for(&mut machine, applied)
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
            if !self.state.is_empty(self.group, column)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
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
            let stopped = |error| Stopped::because(format!("entry {}: {error}", entry.log_id.index()));
            Reply::of(reply.map_err(stopped)?)
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
