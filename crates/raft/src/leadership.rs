//! Who leads a shard, as this node sees it.

use crate::error::Stopped;
use crate::machine::Machine;
use crate::state_machine::StateMachine;
use crate::types::Types;
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{Raft, RaftMetrics, ServerState};
use std::sync::Arc;
use tokio::sync::watch;

/// This node's part in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It leads, and its machine has everything that earlier leaders committed: decisions can be made from it.
    Leader {
        /// Grows with each change of leader.
        term: u64,
    },
    /// It does not lead.
    Follower {
        /// The other node that leads, if known.
        leader: Option<u64>,
    },
    /// Its replica stands still.
    Stopped(Stopped),
}

impl Leadership {
    /// Whether this node leads the shard.
    pub fn is_leader(&self) -> bool {
        matches!(self, Self::Leader { .. })
    }

    /// A follower whom no leader has `told` anything yet knows from its disk who led before it was opened, which says nothing of now.
    fn seen<M: Replicated>(metrics: &RaftMetrics<Types>, machine: &Machine<M>, told: bool) -> Self {
        if let (Some(stopped), _) | (None, Err(stopped)) = (machine.stopped(), ended(metrics)) {
            return Self::Stopped(stopped);
        }
        // A leader's first entry is a blank one of its own term: when that is applied, so is all that was committed before.
        let applied = metrics.last_applied.as_ref().map(|id| *id.committed_leader_id());
        if metrics.state == ServerState::Leader && applied == Some(metrics.vote.leader_id.elected()) {
            return Self::Leader { term: metrics.current_term };
        }
        Self::Follower { leader: metrics.current_leader.filter(|leader| told && *leader != metrics.id) }
    }
}

/// Whether a leader has told this replica anything since it was opened.
pub(crate) struct Told(watch::Sender<bool>);

impl Told {
    pub(crate) fn nothing() -> Self {
        Self(watch::Sender::new(false))
    }

    /// A leader has, whom the replica follows.
    pub(crate) fn set(&self) {
        self.0.send_if_modified(|told| !std::mem::replace(told, true));
    }
}

/// Whether the group's Raft has ended by itself, and why: the node has not shut it down.
fn ended(metrics: &RaftMetrics<Types>) -> Result<(), Stopped> {
    match &metrics.running_state {
        Ok(_) => Ok(()),
        Err(Fatal::Stopped) => Err(Stopped::because("its Raft group has ended")),
        Err(fatal) => Err(Stopped::damaged(format!("its Raft group failed: {fatal}"))),
    }
}

/// Keeps `leadership` as the group's metrics say, until the group ends; ends it when its replica is fenced.
pub(crate) async fn follow<M: Replicated>(
    raft: Raft<Types, StateMachine<M>>,
    machine: Arc<Machine<M>>,
    told: Arc<Told>,
    leadership: watch::Sender<Leadership>,
) {
    let (mut metrics, mut news) = (raft.metrics(), told.0.subscribe());
    let stopped = loop {
        let now = Leadership::seen(&metrics.borrow_and_update(), &machine, *news.borrow_and_update());
        leadership.send_if_modified(|seen| std::mem::replace(seen, now.clone()) != now);
        if let Leadership::Stopped(stopped) = now {
            break stopped;
        }
        tokio::select! {
            // (Which comes first does not matter, but chance has no part in it.)
            biased;
            changed = metrics.changed() => if changed.is_err() {
                break Stopped::damaged("its Raft group panicked");
            },
            () = machine.fence().raised() => {}
            Ok(()) = news.changed() => {}
        }
    };
    if stopped.damage().is_some() {
        machine.stop(stopped.clone());
    }
    leadership.send_replace(Leadership::Stopped(machine.stopped().unwrap_or(stopped)));
    // Who can't be trusted does not go on voting. (A group that has ended has nothing left to end.)
    let _ = raft.shutdown().await;
}
