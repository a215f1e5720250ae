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
    /// Log and state of a shard don't fit together.
    #[error(
        "shard {shard}: {reason}; restore both databases from one backup, or let the node rejoin with an empty directory"
    )]
    Inconsistent {
        /// The shard.
        shard: u32,
        /// What does not fit.
        reason: String,
    },
    /// A shard's data could not be read, or its group did not start.
    #[error("shard {shard} did not start: {reason}")]
    Shard {
        /// The shard.
        shard: u32,
        /// Why not.
        reason: String,
    },
    /// The system gave no thread or no runtime.
    #[error("can't start threads: {0}")]
    Threads(#[from] io::Error),
}

/// A shard stands still: its machine met an entry that it does not understand, or its group failed. The node and its other shards go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has stopped: {reason}")]
pub struct Stopped {
    /// Why.
    pub reason: Arc<str>,
}

impl Stopped {
    pub(crate) fn because(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into() }
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
