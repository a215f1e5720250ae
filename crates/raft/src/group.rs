//! One shard's group, as its actor sees it: propose, read, watch.

use crate::error::{ProposeError, Stopped};
use crate::group_log::GroupLog;
use crate::leadership::{Leadership, Told};
use crate::machine::Machine;
use crate::propose::{InFlight, propose};
use crate::runtime::Moment;
use crate::sleep::Doze;
use crate::snapshot::Exports;
use crate::state::GroupState;
use crate::state_machine::StateMachine;
use crate::types::{LogId, Types};
use bytes::Bytes;
use flintwheel_shard::{Read, Replicated};
use openraft::async_runtime::WatchReceiver;
use openraft::{Raft, ServerState};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// A shard's group on this node. Clones are the same group; drop them before the databases are to be closed.
pub struct Group<M: Replicated> {
    pub(crate) inner: Arc<Inner<M>>,
}

pub(crate) struct Inner<M: Replicated> {
    /// None if its replica was fenced before it could start.
    pub(crate) raft: Option<Raft<Types, StateMachine<M>>>,
    pub(crate) machine: Arc<Machine<M>>,
    pub(crate) log: Arc<GroupLog>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) in_flight: InFlight,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) told: Arc<Told>,
    pub(crate) doze: Doze<M>,
}

/// Where a group stands. Positions are indexes of log entries, `None` before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// This node's part in it.
    pub leadership: Leadership,
    /// The last entry in the log.
    pub last_log: Option<u64>,
    /// The last entry that the machine has applied.
    pub applied: Option<u64>,
    /// The last entry whose effects are in the state's files: after a crash, what comes after it is applied again.
    pub flushed: Option<u64>,
    /// The last entry that was removed from the log.
    pub purged: Option<u64>,
    /// Bytes proposed and not yet answered.
    pub in_flight: usize,
}

impl<M: Replicated> Clone for Group<M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<M: Replicated> Group<M> {
    /// The shard's number.
    pub fn shard(&self) -> u32 {
        self.inner.machine.group
    }

    /// Proposes an entry. When the future yields the machine's reply, the entry is durable and applied. Several may be under way: they
    /// are applied in the order of the calls, whether or not anybody waits for the futures.
    pub fn propose(&self, entry: Bytes) -> impl Future<Output = Result<M::Reply, ProposeError>> + Send + use<M> {
        propose(&self.inner, entry)
    }

    /// Looks at the machine and the committed state, which fit together: no entry is applied meanwhile. Be short: applying waits for
    /// `look`, and `look` for an apply under way; walk over much with [`Group::state`] instead. Only a leader's view is current.
    pub fn read<R>(&self, look: impl FnOnce(&M, &dyn Read) -> R) -> Result<R, Stopped> {
        self.inner.machine.read(|machine, state| look(machine, state))
    }

    /// The committed state, to read from without holding anything up. Each call sees what is committed by then. Calls block on the disk.
    pub fn state(&self) -> GroupState {
        self.inner.machine.state()
    }

    /// This node's part in the shard now.
    pub fn leadership(&self) -> Leadership {
        self.inner.leadership.borrow().clone()
    }

    /// Whether this node leads the shard, as far as it knows.
    pub fn leads(&self) -> bool {
        self.inner.leadership.borrow().is_leader()
    }

    /// This node's part in the shard, as it changes.
    pub fn watch_leader(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// An instant at which nobody had yet been elected after this node, which leads in `term`: when it last asked a majority that then
    /// said that it leads. `None` where it does not lead in that term, or nobody has answered yet. It is of the clock that stands still
    /// while the machine is suspended.
    pub fn quorum_seen(&self, term: u64) -> Option<Instant> {
        // Before the look: what is true of the look is true of an earlier instant.
        let now = Moment::now();
        let acked = self.majority_asked(term, now)?;
        // Where it sleeps, what the nodes have answered each other counts for it. (Not under the lock of the metrics: whoever looks after a sleeping
        // group reads them.)
        acked.max(self.inner.sleeping_majority(term)).map(Moment::into_std)
    }

    /// When it last asked a majority itself, if it leads in that term.
    fn majority_asked(&self, term: u64, now: Moment) -> Option<Option<Moment>> {
        let metrics = self.inner.raft.as_ref()?.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.running_state.is_ok() && metrics.state == ServerState::Leader;
        if self.inner.machine.stopped().is_some() || !leads || metrics.current_term != term {
            return None;
        }
        // The only voter asks nobody.
        if metrics.membership_config.membership().voter_ids().all(|voter| voter == metrics.id) {
            return Some(Some(now));
        }
        Some(metrics.last_quorum_acked.map(|seen| seen.into_inner()))
    }

    /// Whether it has had nothing to do for a while, and costs nothing until it has.
    pub fn is_asleep(&self) -> bool {
        self.inner.sleeps()
    }

    /// Why this node's replica has to be made anew from its peers, if it has to. It is fenced: it does not vote, lead, follow or answer.
    pub fn damage(&self) -> Option<String> {
        self.inner.machine.stopped()?.damage().map(str::to_owned)
    }

    /// Whether what its machine shows is no older than what this node had before: it votes, and has applied what its log held when it was opened. One that
    /// is made anew, from a snapshot or from the log, shows less until then.
    pub fn is_complete(&self) -> bool {
        let Some(raft) = self.inner.raft.as_ref().filter(|_| self.inner.machine.stopped().is_none()) else {
            return false;
        };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let votes = metrics.membership_config.membership().voter_ids().any(|voter| voter == metrics.id);
        let has_all = self.inner.machine.applied().last >= self.inner.log.opened();
        votes && has_all && !self.inner.log.is_mute()
    }

    /// Where the group stands now.
    pub fn status(&self) -> GroupStatus {
        let index = |id: Option<LogId>| id.map(|id| id.index());
        GroupStatus {
            leadership: self.leadership(),
            last_log: index(self.inner.log.last()),
            applied: index(self.inner.machine.applied().last),
            flushed: index(self.inner.machine.flushed().last),
            purged: index(self.inner.log.purged()),
            in_flight: self.inner.in_flight.bytes(),
        }
    }
}
