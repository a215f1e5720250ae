//! Why the engine did not do what it was asked, or did not start. Never a fault in the user's definition or event: those are `Violations`.

use std::fmt::Display;

use flintwheel_raft::{ProposeError, Stopped};
use flintwheel_shard::ReadError;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EngineError {
    /// The shard's actor is being restarted; try again shortly.
    #[error("shard {shard} is restarting")]
    Restarting {
        /// Which one.
        shard: u32,
    },
    /// The node is shutting down.
    #[error("this node is stopping")]
    Stopping,
    /// The shard has no leader right now; try again shortly.
    #[error("the shard has no leader right now")]
    NotLed,
    /// The nodes that could answer for the shard did not; try again shortly.
    #[error("shard {shard} could not be asked: {why}")]
    NotReached {
        /// Which one.
        shard: u32,
        /// What the last one that was tried said, or did not.
        why: String,
    },
    /// A backup is being brought in.
    #[error("a backup is being restored into shard {shard}: nothing else is done there until all of it is")]
    Restoring {
        /// Which one.
        shard: u32,
    },
    /// A calendar's change is not in all shards yet.
    #[error("the change of calendar {calendar} is stored, and not all shards have it yet: ask again to wait for that")]
    Spreading {
        /// Which one.
        calendar: String,
    },
    /// The shard can't go on here: its log holds what this program does not know, or its disk failed.
    #[error("the shard has stopped: {0}")]
    ShardStopped(String),
    /// The state could not be read.
    #[error("{0}")]
    Read(String),
    /// Too few of the shard's replicas have room on their disks; nothing new is taken in until there is.
    #[error(
        "shard {shard} takes nothing new: the disk of {} has less free than its reserve (disk_reserve); what the shard holds goes on firing. Make room there",
        node_names(nodes)
    )]
    DiskLow {
        /// Which one.
        shard: u32,
        /// Nodes whose disks are low.
        nodes: Vec<u64>,
    },
    /// The work was not admitted in time.
    #[error("too much work is waiting")]
    Busy,
}

fn node_names(nodes: &[u64]) -> String {
    nodes.iter().map(|node| format!("node {node}")).collect::<Vec<_>>().join(", and of ")
}

impl EngineError {
    /// Whether the same request may succeed shortly.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Restarting { .. } | Self::NotLed | Self::NotReached { .. } | Self::Busy => true,
            Self::Stopping | Self::Restoring { .. } | Self::Spreading { .. } => true,
            Self::ShardStopped(_) | Self::Read(_) | Self::DiskLow { .. } => false,
        }
    }
}

impl From<ReadError> for EngineError {
    fn from(error: ReadError) -> Self {
        Self::Read(error.0)
    }
}

impl From<Stopped> for EngineError {
    fn from(error: Stopped) -> Self {
        Self::ShardStopped(error.reason.to_string())
    }
}

impl From<ProposeError> for EngineError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } | ProposeError::Unknown => Self::NotLed,
            ProposeError::Busy { .. } => Self::Busy,
            // Every batch is cut far below the limit, so this is a mistake of ours: say it, and let the shard's actor fail.
            ProposeError::TooLarge { .. } => Self::ShardStopped(error.to_string()),
            ProposeError::Stopped(stopped) => stopped.into(),
        }
    }
}

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub(crate) String);

impl From<flintwheel_store::OpenError> for RunError {
    fn from(error: flintwheel_store::OpenError) -> Self {
        failed("data_dir", &error)
    }
}

pub(crate) fn failed(what: &str, why: &dyn Display) -> RunError {
    RunError(format!("{what}: {why}"))
}
