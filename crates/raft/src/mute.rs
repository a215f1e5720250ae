//! A new replica stands for no election until it has all that its group had committed when it came, and elects nobody who has not.
//!
//! Until then its log may end at any membership that the group ever had: also at one in which its node was a voter, and the only one. The replica
//! that node had then was removed or lost; a new one that took that membership for the present would elect itself, and decide alone.
//!
//! Nor does it know what the replica had acknowledged that its node had before, and that others count on: that its members were replaced, say. To
//! an empty log every candidate's is new enough; one that has not heard of the new members, and goes by the old ones, would be elected beside
//! their leader. Whoever has what a leader had committed when this replica first heard one, has all of that too, and may have its vote: a group must
//! not stand still because a voter is not yet done with its snapshot.

use crate::candidate::Candidate;
use crate::group::Inner;
use crate::group_log::GroupLog;
use crate::runtime::blocking;
use crate::state_machine::StateMachine;
use crate::types::{LogId, Types, Vote};
use flintwheel_shard::Replicated;
use openraft::Raft;
use openraft::raft::{AppendEntriesRequest, VoteRequest, VoteResponse};

/// What a leader says is committed, if that counts: once it has committed an entry of its own term, nothing that was committed before lies beyond.
pub(crate) fn counts(request: &AppendEntriesRequest<Types>) -> Option<LogId> {
    request.leader_commit.filter(|commit| commit.committed_leader_id().term == request.vote.leader_id.term)
}

/// A replica follows a leader that has committed so much.
pub(crate) async fn heed<M: Replicated>(inner: &Inner<M>, raft: &Raft<Types, StateMachine<M>>, commit: Option<LogId>) {
    let Some(commit) = commit.filter(|_| inner.log.is_mute()) else { return };
    let (log, applied) = (inner.log.clone(), inner.machine.applied().last.map(|id| id.index()));
    let heard = blocking(move || {
        log.hear(commit)?;
        let speaks = log.has_caught_up(applied);
        if speaks { log.speak().map(|()| true) } else { Ok(false) }
    });
    match heard.await {
        Ok(Ok(true)) => raft.runtime_config().elect(true),
        Ok(Ok(false)) => {}
        // It hears more soon.
        other => tracing::warn!(shard = inner.machine.group, ?other, "a new replica does not vote yet"),
    }
}

/// What a candidate is answered that must not be elected.
pub(crate) fn refusal(log: &GroupLog, request: &VoteRequest<Types>) -> Option<VoteResponse<Types>> {
    if log.may_elect(request.last_log_id) {
        return None;
    }
    // (Of a node that never had a vote, the least there is: it makes nobody go back.)
    let least = Vote { leader_id: Candidate { term: 0, node_id: request.vote.leader_id.node_id }, committed: false };
    Some(VoteResponse { vote: log.vote().unwrap_or(least), last_log_id: log.last(), vote_granted: false })
}
