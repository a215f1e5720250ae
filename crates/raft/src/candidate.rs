//! Who stands for election or leads, and in which term: what a vote is for.
//!
//! In one term a node votes for one candidate only, so a term has one leader at most, and tells it from all others: the leases of the subscription
//! index and who looks for a shard's leader rely on that. (openraft's own order of term and node lets a later candidate of the same term win over
//! an earlier one, whom the same nodes had elected.) On disk and on the wire, and in the ids of entries, it is as it is there.

use crate::types::LeaderId;
use openraft::vote::RaftLeaderId;
use std::cmp::Ordering;
use std::fmt;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) term: u64,
    pub(crate) node_id: u64,
}

impl Candidate {
    /// As a majority has elected it.
    pub(crate) fn elected(self) -> LeaderId {
        LeaderId { term: self.term, node_id: self.node_id }
    }
}

impl From<LeaderId> for Candidate {
    fn from(LeaderId { term, node_id }: LeaderId) -> Self {
        Self { term, node_id }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.elected().fmt(f)
    }
}

/// Of two candidates of one term, none comes before the other: who has voted for one does not vote for the other.
impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.term.cmp(&other.term) {
            Ordering::Equal if self.node_id != other.node_id => None,
            order => Some(order),
        }
    }
}

impl PartialEq<LeaderId> for Candidate {
    fn eq(&self, other: &LeaderId) -> bool {
        self.elected() == *other
    }
}

impl PartialOrd<LeaderId> for Candidate {
    fn partial_cmp(&self, other: &LeaderId) -> Option<Ordering> {
        self.elected().partial_cmp(other)
    }
}

impl RaftLeaderId for Candidate {
    type Term = u64;
    type NodeId = u64;
    type Committed = LeaderId;

    fn new(term: u64, node_id: u64) -> Self {
        Self { term, node_id }
    }

    fn term(&self) -> u64 {
        self.term
    }

    fn node_id(&self) -> &u64 {
        &self.node_id
    }

    fn to_committed(&self) -> LeaderId {
        self.elected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Vote;

    #[test]
    fn who_has_voted_in_a_term_votes_for_nobody_else_in_it() {
        let vote = |term, node_id, committed| Vote { leader_id: Candidate { term, node_id }, committed };
        let cases = [
            (vote(3, 1, false), vote(3, 2, false), None),
            (vote(3, 1, false), vote(3, 1, false), Some(Ordering::Equal)),
            (vote(3, 1, false), vote(3, 1, true), Some(Ordering::Less)),
            (vote(3, 9, false), vote(4, 1, false), Some(Ordering::Less)),
            (vote(3, 9, true), vote(4, 1, false), Some(Ordering::Less)),
            // Whoever a majority has elected is followed.
            (vote(3, 9, false), vote(3, 1, true), Some(Ordering::Less)),
        ];
        for (one, other, want) in cases {
            assert_eq!(one.partial_cmp(&other), want, "{one} {other}");
        }
    }
}
