//! Of what the cluster is made: nodes, shards, where their replicas are, and what is moving. (How its work goes is `ClusterStatus`.)

use chrono::{DateTime, Utc};
use flintwheel_model::Span;
use serde::{Deserialize, Serialize};

/// The meta group's number: it is listed among the shards, as the last one.
pub const META_SHARD: u32 = u32::MAX - 1;

/// The cluster as the leader of its meta group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Made when the cluster was.
    pub cluster_id: String,
    /// The node that has observed this: the leader of the meta group.
    pub observed_by: u64,
    /// When it was observed last.
    pub observed_at: DateTime<Utc>,
    /// What an operator may change.
    pub settings: ClusterSettings,
    /// All that are part of the cluster, in order of id; those that were removed are not listed.
    pub nodes: Vec<ClusterNode>,
    /// In order of number; the meta group ([`META_SHARD`]) is the last.
    pub shards: Vec<ClusterShard>,
    /// Under way, the oldest first.
    pub moves: Vec<ShardMove>,
}

/// What is fixed when a cluster is made (`shards`), and what an operator may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSettings {
    /// Shards, without the meta group.
    pub shards: u32,
    /// Replicas wanted of each.
    pub replication: u32,
    /// How long a node may be gone before its replicas are replaced.
    pub repair_after: Span,
    /// Moves at once, at most.
    pub most_moves: u32,
}

/// Settings that change; the others stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    /// Replicas wanted of each shard.
    pub replication: Option<u32>,
    /// How long a node may be gone before its replicas are replaced.
    pub repair_after: Option<Span>,
    /// Moves at once, at most.
    pub most_moves: Option<u32>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// Its number, never used again for another one.
    pub id: u64,
    /// For people.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where clients reach it, over gRPC.
    pub client_address: String,
    /// Where clients reach it, over HTTP.
    pub http_address: String,
    /// Rack or zone.
    pub zone: Option<String>,
    /// Whether it takes part.
    pub state: NodeState,
    /// Whether it answers.
    pub alive: bool,
    /// Since when it does not.
    pub gone_since: Option<DateTime<Utc>>,
    /// Grows each time that its program starts.
    pub epoch: u64,
    /// The version of its program; empty until it has started for the first time.
    pub program: String,
    /// Replicas that it holds, those that are coming and going included.
    pub replicas: u32,
    /// Of them, those that lead their shard.
    pub leaders: u32,
    /// Bytes that its data takes.
    pub bytes: u64,
    /// Bytes free on its disk.
    pub free: u64,
    /// Bytes that it offers, where that is limited.
    pub capacity: Option<u64>,
    /// Where a majority of the nodes contradicts its clock: milliseconds that it is ahead of theirs, or behind where negative.
    #[serde(default)]
    pub clock_ahead_ms: Option<i64>,
    /// Its disk has less free than its reserve: what it leads takes nothing new in.
    #[serde(default)]
    pub disk_low: bool,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It has an id and has not started yet.
    Joining,
    /// It takes part.
    Up,
    /// What it holds goes elsewhere.
    Draining,
    /// It is no longer part of the cluster.
    Removed,
}

/// One shard, or the meta group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterShard {
    /// Its number; [`META_SHARD`] is the meta group.
    pub shard: u32,
    /// In the order in which they came.
    pub replicas: Vec<ShardReplica>,
    /// Who leads it, where somebody does.
    pub leader: Option<u64>,
    /// Grows with each change of leader; 0 where it is not known.
    pub term: u64,
    /// Of one replica.
    pub bytes: u64,
    /// Entries of its log a second.
    pub load: u64,
    /// What is being changed.
    pub moving: Option<ShardMove>,
}

/// A shard's copy on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReplica {
    /// Where it is.
    pub node: u64,
    /// Whether it votes.
    pub role: ReplicaRole,
    /// Log entries that it is behind the leader; none where that is not known.
    pub lag: Option<u64>,
    /// What it has can't be trusted: it does nothing, and is made anew from the others where they are a majority.
    #[serde(default)]
    pub damaged: bool,
}

/// Whether a replica votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaRole {
    /// It votes.
    Voter,
    /// It follows, and does not vote yet.
    Learner,
}

/// A replica that comes, goes, or replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMove {
    /// Of which shard.
    pub shard: u32,
    /// The node that loses its replica, at the end.
    pub from: Option<u64>,
    /// The node that gets one.
    pub to: Option<u64>,
    /// What is being done now.
    pub step: MoveStep,
    /// Why.
    pub reason: MoveReason,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Log entries that the new replica is behind the leader; none where that is not known (yet), or where none comes.
    pub lag: Option<u64>,
}

/// What is being done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// The shard's group is told of the new replica.
    AddLearner,
    /// The new replica gets the state and the log.
    CatchUp,
    /// It is made a voter.
    Promote,
    /// The old one is taken out.
    Remove,
    /// The move is given up: the new one is taken out again.
    Abandon,
}

/// Why something is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveReason {
    /// A replica is missing, or on a node that is gone.
    Repair,
    /// Its node is drained.
    Drain,
    /// Two replicas share a zone.
    Zones,
    /// Nodes are evened out.
    Rebalance,
    /// Somebody said so.
    Command,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Of which shard.
    pub shard: u32,
    /// Why.
    pub reason: MoveReason,
    /// What is to be done, in words: one line, with the shard and the reason.
    pub description: String,
}

/// What an operator has asked for is being done, or is so already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Whether something has changed, or will. Asked for again, it has not.
    pub changed: bool,
    /// What, in words: one line.
    pub description: String,
}
