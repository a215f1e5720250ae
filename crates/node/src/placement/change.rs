//! Changes of a group's members, where the group is led: asked by the leader of the meta group, which goes through the steps of moves.
//!
//! Each names the generation of the shard's row that it was made from. A change that comes late (a call that failed may still arrive) finds
//! another generation, and is not made.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::META;
use flintwheel_raft::{ChangeError, Group, Peer};
use flintwheel_shard::Replicated;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Placement, backoff};
use crate::peers::Subject;

/// How long another change under way, and the next leader, are waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for who is asked for a change; more than it takes in the worst case.
const WITHIN: Duration = Duration::from_secs(12);
/// How long the next leader may take to fetch what it lacks before it is told to lead all the same: nothing is proposed from then until it has it.
const FETCH: Duration = Duration::from_secs(2);

/// A change of one group, as JSON on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) shard: u32,
    /// Of the shard's row.
    pub(super) generation: u64,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// By the leader: let this node follow.
    AddLearner { node: u64 },
    /// By the leader: let this node vote.
    Promote { node: u64 },
    /// By the leader: take this node out.
    Remove { node: u64 },
    /// By the leader: hand over to this node.
    TransferLeader { to: u64 },
    /// By the node that is to follow: hold a replica.
    Host,
}

/// Why it was not done; for people. The next plan says the same, or what follows.
#[derive(Debug)]
pub(super) struct Fault(pub(super) String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Placement {
    /// Asks a node for a change, and waits until it is made.
    pub(super) async fn ask_change(&self, node: u64, change: Change) -> Result<(), Fault> {
        let json = serde_json::to_vec(&change).map_err(|e| Fault(e.to_string()))?;
        let made = self.peers.call(node, Subject::Change, json.into(), WITHIN).await;
        made.map(drop).map_err(|e| Fault(format!("node {node}: {e}")))
    }

    pub(super) async fn answer_change(&self, request: &[u8]) -> Result<Bytes, String> {
        let change: Change = serde_json::from_slice(request).map_err(|e| format!("the change can't be read: {e}"))?;
        self.make_change(change).await.map(|()| Bytes::new()).map_err(|fault| fault.0)
    }

    async fn make_change(&self, change: Change) -> Result<(), Fault> {
        let Change { shard, generation, action } = change;
        if action == Action::Host {
            return self.ensure_hosted(shard, generation).await;
        }
        let now = self.row_reaches(shard, generation).await?;
        if now != generation {
            return Err(Fault(format!("the shard is at generation {now} by now, this was made from {generation}")));
        }
        let none = || Fault("this node has no replica of the shard".to_owned());
        if shard == META {
            self.change_members(&self.meta.find(META).ok_or_else(none)?, change).await
        } else {
            self.change_members(&self.shards.find(shard).ok_or_else(none)?, change).await
        }
    }

    async fn change_members<M: Replicated>(&self, group: &Group<M>, change: Change) -> Result<(), Fault> {
        let peer = match change.action {
            Action::AddLearner { node } => {
                let address = self.peers.directory().address(node);
                let address = address.ok_or_else(|| Fault(format!("the address of node {node} is not known")))?;
                if !group.members().learners.contains(&node) {
                    Box::pin(self.ask_change(node, Change { action: Action::Host, ..change })).await?;
                }
                Peer { node, address }
            }
            _ => Peer { node: 0, address: "".into() },
        };
        let until = Instant::now() + PATIENCE;
        for attempt in 0.. {
            match once(group, change.action, &peer).await {
                Err(ChangeError::Changing) if Instant::now() < until => tokio::time::sleep(backoff(attempt)).await,
                Err(error) => return Err(Fault(error.to_string())),
                Ok(()) => break,
            }
        }
        match change.action {
            Action::TransferLeader { to } => handed_over(group, to).await,
            _ => Ok(()),
        }
    }
}

async fn once<M: Replicated>(group: &Group<M>, action: Action, peer: &Peer) -> Result<(), ChangeError> {
    match action {
        Action::AddLearner { .. } => group.add_learner(peer).await,
        Action::Promote { node } => group.promote(node).await,
        Action::Remove { node } => group.remove(node).await,
        Action::TransferLeader { to } if group.status().leadership.is_leader() => {
            if !group.is_near(to, FETCH).await {
                tracing::info!(shard = group.shard(), to, within = ?FETCH, "the next leader lacks more of the log than usual");
            }
            group.transfer_leader(to).await
        }
        Action::TransferLeader { .. } => Err(ChangeError::NotLeader { leader: None }),
        Action::Host => Ok(()),
    }
}

/// Waits until the group is led by another node.
async fn handed_over<M: Replicated>(group: &Group<M>, to: u64) -> Result<(), Fault> {
    let mut leadership = group.watch_leader();
    let gone = leadership.wait_for(|now| !now.is_leader());
    match tokio::time::timeout(PATIENCE, gone).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault(format!("node {to} has not taken the leadership over in {PATIENCE:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_this_form() {
        let cases = [
            (Action::AddLearner { node: 4 }, r#"{"add_learner":{"node":4}}"#),
            (Action::Promote { node: 4 }, r#"{"promote":{"node":4}}"#),
            (Action::Remove { node: 4 }, r#"{"remove":{"node":4}}"#),
            (Action::TransferLeader { to: 4 }, r#"{"transfer_leader":{"to":4}}"#),
            (Action::Host, r#""host""#),
        ];
        for (action, json) in cases {
            let change = Change { shard: 3, generation: 9, action };
            let whole = format!(r#"{{"shard":3,"generation":9,"action":{json}}}"#);
            assert_eq!(serde_json::to_string(&change).unwrap(), whole);
            assert_eq!(serde_json::from_str::<Change>(&whole).unwrap(), change);
        }
    }
}
