//! Who takes part in a group, and changing it: one step at a time, by the leader. Which step is wanted is not known here.

use crate::group::Group;
use crate::transport::Peer;
use crate::types::Types;
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, Fatal, LinearizableReadError, RaftError};
use openraft::{BasicNode, ChangeMembers, Raft, ReadPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use crate::error::Stopped;
use crate::state_machine::StateMachine;

/// Who takes part in a group, as this node has it: a leader's view is current.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Nodes that elect and whose disks count. Two sets are joined while it changes.
    pub voters: BTreeSet<u64>,
    /// Nodes that only follow, so far.
    pub learners: BTreeSet<u64>,
    /// Where each of them is.
    pub addresses: BTreeMap<u64, String>,
    /// Whether the change to these is not complete: repeat it.
    pub changing: bool,
}

/// Why a change of members was not made, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// This node does not lead the shard, or can't at this moment: ask the leader, or try again shortly.
    #[error("this node does not lead the shard{}", leader.map(|id| format!("; node {id} does")).unwrap_or_default())]
    NotLeader {
        /// Who leads, if known.
        leader: Option<u64>,
    },
    /// Another change is under way, or the leader is new: try again shortly.
    #[error("another change of its members is under way; try again shortly")]
    Changing,
    /// It can't be done.
    #[error("{0}")]
    Refused(String),
    /// Leadership was lost meanwhile: look at the members, and repeat it if need be.
    #[error("leadership was lost while the change was under way: it may or may not be made")]
    Unknown,
    /// The shard stands still.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl<M: Replicated> Group<M> {
    /// Who takes part.
    pub fn members(&self) -> Members {
        let Some(raft) = &self.inner.raft else { return Members::default() };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let learners = membership.learner_ids().collect();
        let addresses = membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect();
        Members { voters, learners, addresses, changing: membership.get_joint_config().len() > 1 }
    }

    /// Lets a node that has a replica follow. Its log is brought up from now on, by snapshot if need be. Safe to repeat.
    pub async fn add_learner(&self, peer: &Peer) -> Result<(), ChangeError> {
        let node = BasicNode::new(peer.address.as_ref());
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(peer.node, node)])), true).await
    }

    /// Makes a node that follows a voter. Do it when it has caught up ([`Group::replication`]): until it has, it is missing in majorities.
    /// Safe to repeat.
    pub async fn promote(&self, node: u64) -> Result<(), ChangeError> {
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node])), true).await
    }

    /// Removes a node. A leader that removes itself leads until that is done, and then no more. Safe to repeat; the last voter stays.
    pub async fn remove(&self, node: u64) -> Result<(), ChangeError> {
        let members = self.members();
        if members.voters.contains(&node) {
            if members.voters.len() == 1 {
                let why = format!("node {node} is the last voter of the shard: give the shard another one first");
                return Err(ChangeError::Refused(why));
            }
            return self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node])), false).await;
        }
        if members.learners.contains(&node) {
            return self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])), false).await;
        }
        // One that was replaced as the leader may just not have heard of it, and the node must not be told that it can go.
        self.confirm().await?;
        if self.is_settled_without(node)? { Ok(()) } else { Err(ChangeError::Changing) }
    }

    /// Whether the members, as they were last committed, are without a node.
    fn is_settled_without(&self, node: u64) -> Result<bool, Stopped> {
        let metrics = self.raft()?.metrics();
        let metrics = metrics.borrow_watched();
        let members = &metrics.membership_config;
        let is_committed = *members.log_id() <= metrics.last_applied;
        Ok(is_committed && members.membership().get_node(&node).is_none())
    }

    /// Tells another voter to lead from now on. It does as soon as it has all entries; watch [`Group::watch_leader`].
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ChangeError> {
        if !self.members().voters.contains(&to) {
            return Err(ChangeError::Refused(format!("node {to} is no voter of the shard: it can't lead it")));
        }
        let raft = self.raft()?;
        self.inner.awake_to_give_away();
        raft.trigger().transfer_leader(to).await.map_err(|fatal| self.ended(&fatal))
    }

    /// Confirms with a majority that this node leads, and waits until its machine has all that was committed before the call. What
    /// [`Group::read`] shows after that is linearizable.
    pub fn confirm(&self) -> impl Future<Output = Result<(), ChangeError>> + Send + use<M> {
        let group = self.clone();
        async move {
            // It would keep whoever still hears it from electing.
            if group.inner.is_hushed() {
                return Err(ChangeError::NotLeader { leader: None });
            }
            match group.raft()?.ensure_linearizable(ReadPolicy::ReadIndex).await {
                Ok(_) => Ok(()),
                Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                    Err(ChangeError::NotLeader { leader: forward.leader_id })
                }
                Err(RaftError::APIError(_)) => Err(ChangeError::NotLeader { leader: None }),
                Err(RaftError::Fatal(fatal)) => Err(group.ended(&fatal)),
            }
        }
    }

    /// For a leader: the last entry that each member is known to have, by node. Empty for others.
    pub fn replication(&self) -> BTreeMap<u64, Option<u64>> {
        let Some(raft) = &self.inner.raft else { return BTreeMap::new() };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let of = |(node, last): (&u64, &Option<_>)| (*node, last.as_ref().map(crate::types::LogId::index));
        metrics.replication.iter().flatten().map(of).collect()
    }

    async fn change(&self, members: ChangeMembers<u64, BasicNode>, retain: bool) -> Result<(), ChangeError> {
        let raft = self.raft()?;
        self.inner.awake().await;
        match raft.change_membership(members, retain).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => Err(refused(error)),
            Err(RaftError::Fatal(fatal)) => Err(self.ended(&fatal)),
        }
    }

    /// The group's Raft, unless it has ended: openraft asserts that nobody asks a core that is just ending.
    fn raft(&self) -> Result<&Raft<Types, StateMachine<M>>, Stopped> {
        match (self.inner.machine.stopped(), &self.inner.raft) {
            (None, Some(raft)) => Ok(raft),
            (stopped, _) => Err(stopped.unwrap_or_else(|| Stopped::because("its Raft group has ended"))),
        }
    }

    fn ended(&self, fatal: &Fatal<Types>) -> ChangeError {
        self.inner.machine.stopped().unwrap_or_else(|| Stopped::because(fatal.to_string())).into()
    }
}

fn refused(error: ClientWriteError<Types>) -> ChangeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => ChangeError::NotLeader { leader: forward.leader_id },
        ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
        ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        ) => ChangeError::Changing,
        other => ChangeError::Refused(other.to_string()),
    }
}
