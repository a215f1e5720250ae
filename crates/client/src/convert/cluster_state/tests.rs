//! What is written is read back the same, and what is not understood is told by its field.

use chrono::{DateTime, Utc};
use flintwheel_model::Span;
use prost_types::Duration;

use super::*;
use crate::types::META_SHARD;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn node(id: u64, state: NodeState) -> ClusterNode {
    ClusterNode {
        id,
        name: format!("n{id}"),
        peer_address: "10.0.0.1:7735".into(),
        client_address: "10.0.0.1:7733".into(),
        http_address: "10.0.0.1:7734".into(),
        zone: Some("eu-1".into()).filter(|_| id.is_multiple_of(2)),
        state,
        alive: state == NodeState::Up,
        gone_since: Some(at("2026-11-23T08:00:00.000001Z")).filter(|_| state != NodeState::Up),
        epoch: 7,
        program: "0.1.0".into(),
        replicas: 12,
        leaders: 4,
        bytes: 1 << 40,
        free: u64::MAX,
        capacity: Some(0).filter(|_| id.is_multiple_of(2)),
        clock_ahead_ms: Some(-95_000).filter(|_| id.is_multiple_of(2)),
        disk_low: !id.is_multiple_of(2),
    }
}

fn moving(shard: u32, step: MoveStep, reason: MoveReason) -> ShardMove {
    let started = at("2026-11-23T08:00:00Z");
    let replaces = step != MoveStep::Abandon;
    ShardMove { shard, from: Some(1).filter(|_| replaces), to: Some(3), step, reason, started, lag: Some(0) }
}

fn state() -> ClusterState {
    let steps = [MoveStep::AddLearner, MoveStep::CatchUp, MoveStep::Promote, MoveStep::Remove, MoveStep::Abandon];
    let reasons =
        [MoveReason::Repair, MoveReason::Drain, MoveReason::Zones, MoveReason::Rebalance, MoveReason::Command];
    let moves: Vec<ShardMove> = (0..).zip(steps).zip(reasons).map(|((i, step), why)| moving(i, step, why)).collect();
    let voter = ShardReplica { node: 1, role: ReplicaRole::Voter, lag: Some(0), damaged: false };
    let learner = ShardReplica { node: 3, role: ReplicaRole::Learner, lag: None, damaged: true };
    let shard = |shard, leader, moving| ClusterShard {
        shard,
        replicas: vec![voter, learner],
        leader,
        term: 9,
        bytes: 1 << 30,
        load: 340,
        moving,
    };
    let states = [NodeState::Joining, NodeState::Up, NodeState::Draining, NodeState::Removed];
    ClusterState {
        cluster_id: "7d2f".into(),
        observed_by: 2,
        observed_at: at("2026-11-23T08:00:01.5Z"),
        settings: ClusterSettings {
            shards: 64,
            replication: 3,
            repair_after: Span::from_micros(300_000_001),
            most_moves: 4,
        },
        nodes: (1..).zip(states).map(|(id, state)| node(id, state)).collect(),
        shards: vec![shard(0, Some(1), Some(moves[1])), shard(META_SHARD, None, None)],
        moves,
    }
}

#[test]
fn the_cluster_is_read_as_it_was_written() {
    assert_eq!(from_proto(Some(to_proto(&state()))), Ok(state()));
}

#[test]
fn wishes_and_what_became_of_them_are_read_as_they_were_written() {
    let granted = Granted { changed: true, description: "node 3 (c) is being drained".into() };
    assert_eq!(granted_from_proto(Some(granted_to_proto(granted.clone()))), Ok(granted));
    let step = PlannedStep { shard: 3, reason: MoveReason::Zones, description: "shard 3: ...".into() };
    assert_eq!(steps_from_proto(vec![step_to_proto(&step)]), Ok(vec![step]));
    for change in [
        SettingsChange::default(),
        SettingsChange { replication: Some(0), ..SettingsChange::default() },
        SettingsChange { replication: Some(5), repair_after: Some(Span::from_micros(1)), most_moves: Some(2) },
    ] {
        assert_eq!(change_from_proto(change_to_proto(&change)), Ok(change));
    }
    for init in [InitRequest::default(), InitRequest { shards: Some(64), replication: Some(3) }] {
        assert_eq!(init_from_proto(init_to_proto(&init)), init);
    }
}

#[test]
fn what_is_not_understood_is_told_by_its_field() {
    type Spoil = fn(&mut v1::ClusterState);
    let cases: [(Spoil, &str); 6] = [
        (|state| state.observed_at = None, "state.observed_at: is required"),
        (|state| state.settings = None, "state.settings: is required"),
        (|state| state.nodes[1].state = 99, "state.nodes[1].state: 99 is not a value"),
        (|state| state.nodes[0].state = 0, "state.nodes[0].state: is required"),
        (|state| state.shards[1].replicas[1].role = 7, "state.shards[1].replicas[1].role: 7 is not a value"),
        (|state| state.moves[2].step = 42, "state.moves[2].step: 42 is not a value"),
    ];
    for (spoil, told) in cases {
        let mut proto = to_proto(&state());
        spoil(&mut proto);
        let faults = from_proto(Some(proto)).expect_err(told).to_string();
        assert!(faults.contains(told), "{told}: {faults}");
    }
    assert!(from_proto(None).is_err_and(|faults| faults.to_string().contains("state: is required")));
    assert!(granted_from_proto(None).is_err());
    let odd = Some(Duration { seconds: -1, nanos: 0 });
    let change = v1::UpdateClusterSettingsRequest { repair_after: odd, ..Default::default() };
    assert!(change_from_proto(change).is_err_and(|faults| faults.to_string().starts_with("repair_after: ")));
}
