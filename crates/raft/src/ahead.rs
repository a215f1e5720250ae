//! A state that is ahead of its log, as a loss of power can leave it: when that is no damage, and where the log goes on.
//!
//! A majority commits without a node whose own disk is still busy, and the node applies what it has only in memory; the state may be written out
//! before the log is. Knows no machine: only what it has applied.

use crate::codec::Applied;
use crate::group_log::{GroupLog, LogError};
use crate::types::next_index;

/// Lets the log go on from the state, where the state has what the log lacks, or has another entry there than the log. What is applied is committed,
/// so a majority has it; and nothing that the log lacks was acknowledged by this node. It is not so, and the log is left alone for others to refuse,
/// where no majority is possible without this node, or where not even the vote is of the term that the state has seen: the vote is on disk before
/// any entry of its term is taken. Then the log has lost what was synced.
pub(crate) fn go_on_from_the_state(log: &GroupLog, applied: &Applied, node: u64) -> Result<(), LogError> {
    let (Some(last), Some(vote)) = (applied.last, log.vote()) else { return Ok(()) };
    if last.index() < next_index(log.purged().as_ref()) || log.has(last)? {
        return Ok(());
    }
    let voters = || applied.membership.membership().voter_ids();
    let others = voters().filter(|voter| *voter != node).count();
    if others * 2 > voters().count() && vote.leader_id >= *last.committed_leader_id() {
        tracing::info!(
            shard = log.group,
            applied = last.index(),
            "the log goes on from the state, which is ahead of it"
        );
        log.stand_at(last, vote)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Candidate;
    use crate::codec::{encode_entry, encode_vote, place};
    use crate::group_log::tag;
    use crate::types::{Entry, LeaderId, LogId, StoredMembership, Vote};
    use flintwheel_store::{DataDir, LogDb};
    use openraft::entry::RaftEntry;
    use openraft::{BasicNode, EntryPayload, Membership};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use tempfile::TempDir;

    const NODE: u64 = 1;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(LeaderId { term, node_id: 2 }, index)
    }

    /// A log of entries 0 to 9 of term 1, and of these after that.
    fn log(vote: u64, more: &[LogId]) -> (TempDir, Arc<LogDb>) {
        let root = tempfile::tempdir().unwrap();
        let db = Arc::new(LogDb::open(&DataDir::open(root.path(), NODE, None).unwrap()).unwrap());
        let mut batch = db.batch();
        for log_id in (0..10).map(|index| id(1, index)).chain(more.iter().copied()) {
            let mut bytes = Vec::new();
            encode_entry(&mut bytes, place(0, log_id.index()), &Entry::new(log_id, EntryPayload::Blank));
            batch.put_entry(0, log_id.index(), &bytes);
        }
        let vote = Vote { leader_id: Candidate { term: vote, node_id: 2 }, committed: true };
        batch.put_meta(0, tag::VOTE, &encode_vote(place(0, tag::VOTE.into()), &vote));
        db.commit(batch).unwrap();
        (root, db)
    }

    fn applied(voters: &[u64], last: LogId) -> Applied {
        let nodes: BTreeMap<u64, BasicNode> = voters.iter().map(|voter| (*voter, BasicNode::new("a:1"))).collect();
        let membership = Membership::new(vec![nodes.keys().copied().collect::<BTreeSet<_>>()], nodes).unwrap();
        Applied { last: Some(last), membership: StoredMembership::new(Some(id(1, 0)), membership) }
    }

    #[test]
    fn a_log_goes_on_from_the_state_where_nothing_synced_is_lost() {
        /// Term of the vote, what the log has beyond entry 9, voters, what is applied, and whether the log then goes on from there.
        type Case<'a> = (u64, &'a [LogId], &'a [u64], LogId, bool);
        let three: &[u64] = &[1, 2, 3];
        let (beyond, other) = ([id(1, 10), id(1, 11)], [id(2, 10), id(2, 11), id(2, 12)]);
        let cases: [Case; 11] = [
            (3, &[], three, id(1, 9), false),
            (3, &beyond, three, id(1, 9), false),
            (3, &[], three, id(1, 10), true),
            (3, &[], three, id(1, 20), true),
            (3, &[], three, id(3, 20), true),
            (3, &[], three, id(4, 20), false),
            (3, &other, three, id(3, 11), true),
            (3, &[], &[2, 3], id(1, 10), true),
            (3, &[], &[2], id(1, 10), true),
            (3, &[], &[1], id(1, 10), false),
            (3, &[], &[1, 2], id(1, 10), false),
        ];
        for (vote, more, voters, last, goes_on) in cases {
            let (_root, db) = log(vote, more);
            go_on_from_the_state(&GroupLog::open(db.clone(), 0, 100).unwrap(), &applied(voters, last), NODE).unwrap();
            let log = GroupLog::open(db, 0, 100).unwrap();
            let stands = (log.purged(), log.last(), log.vote().map(|vote| vote.leader_id.term));
            let end = more.last().copied().unwrap_or(id(1, 9));
            let want = if goes_on { (Some(last), Some(last)) } else { (None, Some(end)) };
            assert_eq!(stands, (want.0, want.1, Some(vote)), "{more:?} {voters:?} {last}");
        }
    }

    #[test]
    fn a_state_that_is_behind_the_log_is_left_to_others() {
        let (_root, db) = log(3, &[]);
        let log = GroupLog::open(db, 0, 100).unwrap();
        log.stand_at(id(1, 5), log.vote().unwrap()).unwrap();
        go_on_from_the_state(&log, &applied(&[1, 2, 3], id(1, 4)), NODE).unwrap();
        assert_eq!((log.purged(), log.last()), (Some(id(1, 5)), Some(id(1, 9))));
    }
}
