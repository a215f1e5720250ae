//! What the planner looks at: what the meta group has recorded, and what its leader has observed.

use std::collections::{BTreeMap, BTreeSet};

use super::RESTART;
use crate::machine::Meta;

/// Recorded and observed.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is recorded.
    pub meta: &'a Meta,
    /// What is observed.
    pub seen: &'a Seen,
}

/// What is observed, at one time. What is missing is not known: nothing is moved there or away for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When, in microseconds since the epoch.
    pub now: i64,
    /// By node.
    pub nodes: BTreeMap<u64, NodeSeen>,
    /// By shard, the meta group included.
    pub shards: BTreeMap<u32, ShardSeen>,
    /// Shards and nodes of which the replica there says that what it has can't be trusted: it is fenced.
    pub damaged: BTreeSet<(u32, u64)>,
}

/// A node as it is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSeen {
    /// Since when it does not answer, in microseconds since the epoch; none where it does.
    pub gone_since: Option<i64>,
    /// Bytes in use by all that it holds.
    pub bytes: u64,
    /// Bytes free on its disk.
    pub free: u64,
    /// Where a majority of the nodes contradicts its clock: microseconds that it is ahead of theirs, or behind where negative.
    pub clock_ahead: Option<i64>,
    /// Its disk has less free than its reserve: what it leads takes nothing new in.
    pub disk_low: bool,
}

impl NodeSeen {
    /// It has not answered for less than a restart may take.
    pub(super) fn may_restart(&self, now: i64) -> bool {
        self.gone_since.is_some_and(|since| now.saturating_sub(since) < RESTART)
    }
}

/// A shard as it is observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSeen {
    /// Who leads it.
    pub leader: Option<u64>,
    /// Bytes of one replica.
    pub bytes: u64,
    /// Decisions a second.
    pub load: u64,
    /// By node that holds a replica: log entries that it is behind the leader.
    pub lag: BTreeMap<u64, u64>,
}
