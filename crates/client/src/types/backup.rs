//! Backups: where one comes from, what a shard gives, how far a restore is.

use chrono::{DateTime, Utc};
use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Where a backup comes from, or would be restored into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSource {
    /// Of the cluster.
    pub cluster_id: String,
    /// Partitions of its definitions.
    pub shards: u32,
    /// Every workflow id begins with it.
    pub workflow_id_prefix: String,
    /// Of the answering node's program.
    pub version: String,
    /// By the answering node's clock.
    pub now: DateTime<Utc>,
}

/// At which instant a shard is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportBegun {
    /// The last entry of its log that is in it.
    pub applied: u64,
    /// The latest time that it has seen.
    pub clock: DateTime<Utc>,
    /// All due times up to here had been decided; none where there were none.
    pub fired_through: Option<DateTime<Utc>>,
}

/// Some rows of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportedRows {
    /// Each with its length.
    pub rows: Bytes,
    /// How many.
    pub count: u32,
    /// Nothing follows.
    pub last: bool,
}

/// How a restore begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreBegun {
    /// As it was begun first: nothing that was due before this fires.
    pub skip_before: Option<DateTime<Utc>>,
    /// In order of shard.
    pub shards: Vec<ShardRestore>,
}

/// How far a restore is in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRestore {
    /// Rows that are there.
    pub rows: u64,
    /// Whether all is there.
    pub finished: bool,
}
