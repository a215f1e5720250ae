//! Who leads a shard, as this node sees it.

use crate::error::Stopped;
use crate::machine::Machine;
use crate::state_machine::StateMachine;
use crate::types::Types;
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
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
    /// Its shard stands still until the node is restarted.
    Stopped(Stopped),
}

impl Leadership {
    /// Whether this node leads the shard.
    pub fn is_leader(&self) -> bool {
        matches!(self, Self::Leader { .. })
    }

    fn seen<M: Replicated>(metrics: &RaftMetrics<Types>, machine: &Machine<M>) -> Self {
        if let Err(fatal) = &metrics.running_state {
            return Self::Stopped(machine.stopped().unwrap_or_else(|| Stopped::because(fatal.to_string())));
        }
        // A leader's first entry is a blank one of its own term: when that is applied, so is all that was committed before.
        let applied = metrics.last_applied.as_ref().map(|id| *id.committed_leader_id());
        if metrics.state == ServerState::Leader && applied == Some(metrics.vote.leader_id) {
            return Self::Leader { term: metrics.current_term };
        }
        Self::Follower { leader: metrics.current_leader.filter(|leader| *leader != metrics.id) }
    }
}

/// Keeps `leadership` as the group's metrics say, until the group ends.
pub(crate) async fn follow<M: Replicated>(
    raft: Raft<Types, StateMachine<M>>,
    machine: Arc<Machine<M>>,
    leadership: watch::Sender<Leadership>,
) {
    let mut metrics = raft.metrics();
    loop {
        let now = Leadership::seen(&metrics.borrow_and_update(), &machine);
        let ended = matches!(now, Leadership::Stopped(_));
        leadership.send_if_modified(|seen| std::mem::replace(seen, now.clone()) != now);
        if ended {
            return;
        }
        if metrics.changed().await.is_err() {
            let stopped = machine.stopped().unwrap_or_else(|| Stopped::because("its Raft group panicked"));
            leadership.send_replace(Leadership::Stopped(stopped));
            return;
        }
    }
}
