//! A new replica stands for no election until it has all that its group had committed when it came.
//!
//! Until then its log may end at any membership that the group ever had: also at one in which its node was a voter, and the only one. The replica
//! that node had then was removed or lost; a new one that took that membership for the present would elect itself, and decide alone.

use crate::group::Inner;
use crate::runtime::blocking;
use crate::state_machine::StateMachine;
use crate::types::{LogId, Types};
use flintwheel_shard::Replicated;
use openraft::Raft;
use openraft::raft::AppendEntriesRequest;

/// What a leader says is committed, if that counts: once it has committed an entry of its own term, nothing that was committed before lies beyond.
pub(crate) fn counts(request: &AppendEntriesRequest<Types>) -> Option<LogId> {
    request.leader_commit.filter(|commit| commit.committed_leader_id().term == request.vote.leader_id.term)
}

/// A replica follows a leader that has committed so much.
pub(crate) async fn heed<M: Replicated>(inner: &Inner<M>, raft: &Raft<Types, StateMachine<M>>, commit: Option<LogId>) {
    let Some(commit) = commit.filter(|_| inner.log.is_mute()) else { return };
    let applied = inner.machine.applied().last.map(|id| id.index());
    if !inner.log.has_heard(commit.index(), applied) {
        return;
    }
    let log = inner.log.clone();
    match blocking(move || log.speak()).await {
        Ok(Ok(())) => raft.runtime_config().elect(true),
        // It hears more soon.
        other => tracing::warn!(shard = inner.machine.group, ?other, "a new replica does not vote yet"),
    }
}
