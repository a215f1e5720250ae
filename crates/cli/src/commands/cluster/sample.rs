//! A cluster for tests: four nodes, of which one is gone, one is drained and one has just joined; three shards and the meta group.

use chrono::{DateTime, Utc};
use flintwheel_client::{
    ClusterNode, ClusterSettings, ClusterShard, ClusterState, META_SHARD, MoveReason, MoveStep, NodeState, ReplicaRole,
    ShardMove, ShardReplica,
};
use flintwheel_model::Span;

/// When it is looked at.
pub fn now() -> DateTime<Utc> {
    at("2026-11-23T08:00:00Z")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn node(id: u64, name: &str, state: NodeState, leaders: u32) -> ClusterNode {
    let started = state != NodeState::Joining;
    ClusterNode {
        id,
        name: name.into(),
        peer_address: format!("{name}:7735"),
        client_address: format!("{name}:7733"),
        http_address: format!("{name}:7734"),
        zone: started.then(|| format!("z{id}")),
        state,
        alive: true,
        gone_since: None,
        epoch: 7,
        program: "0.1.0".into(),
        replicas: if started { 3 } else { 1 },
        leaders,
        bytes: if started { 1 << 30 } else { 0 },
        free: if started { 20 << 30 } else { 0 },
        capacity: started.then_some(30 << 30),
        clock_ahead_ms: None,
        disk_low: false,
    }
}

fn voter(node: u64, lag: Option<u64>) -> ShardReplica {
    ShardReplica { node, role: ReplicaRole::Voter, lag, damaged: false }
}

fn shard(shard: u32, leader: Option<u64>, replicas: Vec<ShardReplica>, bytes: u64, load: u64) -> ClusterShard {
    ClusterShard { shard, replicas, leader, term: 9, bytes, load, moving: None }
}

/// Shard 1 moves from c to d.
pub fn moving() -> ShardMove {
    ShardMove {
        shard: 1,
        from: Some(3),
        to: Some(4),
        step: MoveStep::CatchUp,
        reason: MoveReason::Drain,
        started: at("2026-11-23T07:59:48Z"),
        lag: Some(1204),
    }
}

/// See the module.
pub fn state() -> ClusterState {
    let mut away = node(2, "b", NodeState::Up, 0);
    (away.alive, away.gone_since) = (false, Some(at("2026-11-23T07:56:48Z")));
    let learner = ShardReplica { node: 4, role: ReplicaRole::Learner, lag: Some(1204), damaged: false };
    let mut one = shard(1, Some(3), vec![voter(1, Some(0)), voter(3, Some(0)), learner], 64 << 20, 340);
    one.moving = Some(moving());
    ClusterState {
        cluster_id: "7d2f".into(),
        observed_by: 1,
        observed_at: at("2026-11-23T07:59:59Z"),
        settings: ClusterSettings {
            shards: 3,
            replication: 3,
            repair_after: Span::from_micros(300_000_000),
            most_moves: 4,
        },
        nodes: vec![
            node(1, "a", NodeState::Up, 2),
            away,
            node(3, "c", NodeState::Draining, 1),
            node(4, "d", NodeState::Joining, 0),
        ],
        shards: vec![
            shard(0, Some(1), vec![voter(1, Some(0)), voter(2, None), voter(3, Some(12))], 64 << 20, 340),
            one,
            shard(2, None, vec![voter(1, None), voter(2, None)], 0, 0),
            shard(META_SHARD, Some(1), vec![voter(1, Some(0)), voter(2, Some(0)), voter(3, Some(0))], 1 << 20, 3),
        ],
        moves: vec![moving()],
    }
}
