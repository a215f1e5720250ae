//! The cluster in words: states, steps, reasons, and where something goes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::{
    ClusterNode, ClusterState, META_SHARD, MoveReason, MoveStep, NodeState, ReplicaRole, ShardMove, ShardReplica,
};

use crate::output::{compact, grouped};

/// `node 3 (c)`.
pub fn titled(node: &ClusterNode) -> String {
    if node.name.is_empty() { format!("node {}", node.id) } else { format!("node {} ({})", node.id, node.name) }
}

/// The same of an id, whose node may be gone.
pub fn titled_id(state: &ClusterState, id: u64) -> String {
    state.node(id).map_or_else(|| format!("node {id}"), titled)
}

/// `shard 3`, `the meta group`.
pub fn shard_title(shard: u32) -> String {
    if shard == META_SHARD { "the meta group".to_owned() } else { format!("shard {shard}") }
}

/// `up`, `draining`, `up, gone 3m12s`, `up, clock 1m35s ahead`, `up, disk low`.
pub fn standing(node: &ClusterNode, now: DateTime<Utc>) -> String {
    let state = match node.state {
        NodeState::Joining => "joining",
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Removed => "removed",
    };
    if let Some(ahead) = node.clock_ahead_ms.filter(|_| node.alive) {
        let (by, to) =
            (compact(Duration::from_millis(ahead.unsigned_abs())), if ahead < 0 { "behind" } else { "ahead" });
        return format!("{state}, clock {by} {to}");
    }
    if node.disk_low && node.alive {
        return format!("{state}, disk low");
    }
    // Who has never started is not missed.
    if node.alive || matches!(node.state, NodeState::Joining | NodeState::Removed) {
        return state.to_owned();
    }
    let gone = node.gone_since.and_then(|since| (now - since).to_std().ok());
    gone.map_or_else(|| format!("{state}, gone"), |gone| format!("{state}, gone {}", compact(gone)))
}

/// `c`, `d (learner)`, `b (gone)`, `c (damaged)`.
pub fn replica(state: &ClusterState, replica: &ShardReplica) -> String {
    let learner = (replica.role == ReplicaRole::Learner).then_some("learner");
    let gone = state.node(replica.node).is_none_or(|node| !node.alive).then_some("gone");
    let damaged = replica.damaged.then_some("damaged");
    let notes: Vec<&str> = [learner, gone, damaged].into_iter().flatten().collect();
    let name = state.node_name(replica.node);
    if notes.is_empty() { name } else { format!("{name} ({})", notes.join(", ")) }
}

/// `c -> d`, `-> d` where one is added, `c ->` where one is taken away.
pub fn route(state: &ClusterState, one: &ShardMove) -> String {
    let name = |node: Option<u64>| node.map(|id| state.node_name(id)).unwrap_or_default();
    format!("{} -> {}", name(one.from), name(one.to)).trim().to_owned()
}

/// `c -> d, catching up, 1,204 behind`.
pub fn under_way(state: &ClusterState, one: &ShardMove) -> String {
    let behind = one.lag.map(|lag| format!(", {} behind", grouped(lag))).unwrap_or_default();
    format!("{}, {}{behind}", route(state, one), step(one.step))
}

/// What is being done.
pub fn step(step: MoveStep) -> &'static str {
    match step {
        MoveStep::AddLearner => "adding",
        MoveStep::CatchUp => "catching up",
        MoveStep::Promote => "becoming a voter",
        MoveStep::Remove => "removing the old one",
        MoveStep::Abandon => "being given up",
    }
}

/// Why it is done.
pub fn reason(reason: MoveReason) -> &'static str {
    match reason {
        MoveReason::Repair => "repair",
        MoveReason::Drain => "drain",
        MoveReason::Zones => "zones",
        MoveReason::Rebalance => "rebalance",
        MoveReason::Command => "command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::cluster::sample;

    #[test]
    fn a_node_stands_in_words() {
        let state = sample::state();
        let [up, gone] = [0, 1].map(|index| state.nodes[index].clone());
        let cases = [
            ("up", up.clone()),
            ("up, gone 3m12s", gone.clone()),
            ("up, clock 1m35s ahead", ClusterNode { clock_ahead_ms: Some(95_000), ..up.clone() }),
            ("up, clock 6s behind", ClusterNode { clock_ahead_ms: Some(-6_000), ..up.clone() }),
            ("up, disk low", ClusterNode { disk_low: true, ..up.clone() }),
            ("draining, disk low", ClusterNode { disk_low: true, state: NodeState::Draining, ..up }),
            ("up, gone 3m12s", ClusterNode { disk_low: true, ..gone }),
        ];
        let now = "2026-11-23T08:00:00Z".parse().expect("a time");
        for (words, node) in cases {
            assert_eq!(standing(&node, now), words);
        }
    }
}
