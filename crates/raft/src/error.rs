//! What callers are told when something can't be done.

use flintwheel_store::StoreError;
use std::io;
use std::sync::Arc;

/// Why the groups were not opened. Nothing was lost: mend the cause and start again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A database failed, or does not fit this program.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory was made for another number of shards.
    #[error(
        "this data directory has {found} shards, {wanted} are configured: the number is fixed when a cluster is made"
    )]
    Shards {
        /// As it was made.
        found: u64,
        /// As configured.
        wanted: u32,
    },
    /// A new directory, and nobody said.
    #[error("this data directory is new, and the number of shards is not given")]
    NoShards,
    /// An option is out of its range.
    #[error("{name} = {value}: allowed is {allowed}")]
    Option {
        /// The option.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// This node can't have a replica of such a shard.
    #[error("shard {shard}: {reason}")]
    Shard {
        /// The shard.
        shard: u32,
        /// Why not.
        reason: String,
    },
    /// The disk was rolled back or copied, and the cluster has said so.
    #[error("this data directory must not be used any more: {why}")]
    Expelled {
        /// What it said, and what to do.
        why: String,
    },
    /// The system gave no thread or no runtime.
    #[error("can't start threads: {0}")]
    Threads(#[from] io::Error),
}

/// A shard's replica stands still. The node and its other shards go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has stopped: {reason}")]
pub struct Stopped {
    /// Why.
    pub reason: Arc<str>,
    /// What helps.
    pub kind: StopKind,
}

/// What helps a replica that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    /// Nothing has to: it has left, or the node shuts down.
    Ended,
    /// A newer program: it has met what this one does not know. Its peers' state would be no easier to read.
    Newer,
    /// To be made anew from its peers: what it has on disk or in memory can't be trusted.
    Damaged,
}

impl Stopped {
    pub(crate) fn because(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), kind: StopKind::Ended }
    }

    pub(crate) fn newer(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), kind: StopKind::Newer }
    }

    pub(crate) fn damaged(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into(), kind: StopKind::Damaged }
    }

    /// Why the replica has to be made anew, if it has to.
    pub fn damage(&self) -> Option<&str> {
        (self.kind == StopKind::Damaged).then_some(&*self.reason)
    }
}

/// Why an entry was not applied, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead the shard, or can't at this moment. Not proposed: ask the leader, or try again shortly.
    #[error("this node does not lead the shard{}", leader.map(|id| format!("; node {id} does")).unwrap_or_default())]
    NotLeader {
        /// Who leads, if known. It may be this node: then try again shortly.
        leader: Option<u64>,
    },
    /// Too much is under way. Not proposed: try again when something has been answered.
    #[error("{in_flight} bytes are under way in the shard, {limit} are allowed")]
    Busy {
        /// Bytes under way.
        in_flight: usize,
        /// The limit.
        limit: usize,
    },
    /// The entry is too large. Not proposed: split it.
    #[error("the entry has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Leadership was lost meanwhile. Whether the entry will be applied is not known.
    #[error("leadership was lost while the entry was under way: it may or may not be applied")]
    Unknown,
    /// The shard stands still. Whether the entry will be applied after a restart is not known.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
