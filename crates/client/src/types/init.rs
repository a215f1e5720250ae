//! The making of a cluster.

use serde::{Deserialize, Serialize};

/// What a new cluster is to be; what is not set is as the node's configuration has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitRequest {
    /// Partitions of the definitions, fixed from then on.
    pub shards: Option<u32>,
    /// Replicas wanted of each shard.
    pub replication: Option<u32>,
}

/// A cluster that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitReply {
    /// Made with it.
    pub cluster_id: String,
    /// The id of the node that was asked, its first one.
    pub node: u64,
}
