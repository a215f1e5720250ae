//! How the cluster stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_model::Span;
use serde::{Deserialize, Serialize, Serializer};

/// One page for operators.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// Made when the cluster was.
    pub cluster_id: String,
    /// In order of id.
    pub nodes: Vec<NodeStatus>,
    /// Groups of definitions.
    pub shards: ShardCounts,
    /// Stored, in all namespaces.
    pub definitions: u64,
    /// Of those, paused.
    pub paused: u64,
    /// Of those, armed.
    pub armed: u64,
    /// Firings not yet acknowledged by the sink, for each namespace that has some.
    pub outboxes: Vec<NamespaceOutbox>,
    /// Firings that the sink refused for good.
    pub dead_letters: u64,
    /// Over the last ten seconds.
    pub rates: Rates,
    /// How long the oldest undecided due time has been due.
    #[serde(serialize_with = "as_span")]
    pub oldest_overdue: Duration,
    /// In order of name.
    pub temporal_targets: Vec<TemporalTarget>,
    /// Of the answering node.
    pub version: String,
    /// Of the time-zone data that schedules are read with.
    pub tzdata_version: String,
    /// The answering node's clock.
    pub now: DateTime<Utc>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Of the node, in the cluster.
    pub id: u64,
    /// Where it is reached.
    pub address: String,
    /// Whether its peers hear it.
    pub alive: bool,
    /// Shards that it leads.
    pub leads: u32,
    /// Of the process.
    pub started_at: DateTime<Utc>,
    /// Of the process, in bytes.
    pub resident_bytes: u64,
    /// What its data directory takes, in bytes.
    pub disk_bytes: u64,
}

/// Shards and how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    /// In all.
    pub total: u32,
    /// Have a leader that works.
    pub led: u32,
}

/// What waits for the sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceOutbox {
    /// Whose.
    pub namespace: String,
    /// How many.
    pub pending: u64,
    /// How long the oldest one has waited.
    #[serde(serialize_with = "as_span")]
    pub oldest: Duration,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Firings decided.
    pub fired: f64,
    /// Firings acknowledged by the sink.
    pub started: f64,
    /// Events accepted.
    pub events: f64,
}

/// One Temporal cluster that firings go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemporalTarget {
    /// As the configuration names it.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// Whether it answered last time.
    pub healthy: bool,
    /// How long the last answer took.
    #[serde(serialize_with = "as_span")]
    pub latency: Duration,
    /// Why it is not healthy; empty otherwise.
    pub detail: String,
}

/// As users write lengths of time: `1h30m`.
fn as_span<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).min(Span::MAX.micros());
    Span::from_micros(micros).serialize(serializer)
}
