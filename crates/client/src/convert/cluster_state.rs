//! Of what the cluster is made, what moves in it, and wishes about it.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::{read_instant, read_optional};
use super::time::{read_span, timestamp, write_span};
use super::{known, required};
use crate::types::{
    ClusterNode, ClusterSettings, ClusterShard, ClusterState, Granted, InitRequest, MoveReason, MoveStep, NodeState,
    PlannedStep, ReplicaRole, SettingsChange, ShardMove, ShardReplica,
};

#[cfg(test)]
mod tests;

/// To the wire.
pub fn to_proto(state: &ClusterState) -> v1::ClusterState {
    v1::ClusterState {
        cluster_id: state.cluster_id.clone(),
        observed_by: state.observed_by,
        observed_at: Some(timestamp(state.observed_at)),
        settings: Some(write_settings(state.settings)),
        nodes: state.nodes.iter().map(write_node).collect(),
        shards: state.shards.iter().map(write_shard).collect(),
        moves: state.moves.iter().map(write_move).collect(),
    }
}

/// From the wire.
pub fn from_proto(proto: Option<v1::ClusterState>) -> Result<ClusterState, Violations> {
    let mut faults = Violations::default();
    let root = At::root("state");
    let proto = required(proto, root, &mut faults).unwrap_or_default();
    let (nodes, shards, moves) = (root.field("nodes"), root.field("shards"), root.field("moves"));
    let state = ClusterState {
        cluster_id: proto.cluster_id,
        observed_by: proto.observed_by,
        observed_at: read_instant(proto.observed_at, root.field("observed_at"), &mut faults),
        settings: read_settings(proto.settings, root.field("settings"), &mut faults),
        nodes: each(proto.nodes, |i, node| read_node(node, nodes.index(i), &mut faults)),
        shards: each(proto.shards, |i, shard| read_shard(shard, shards.index(i), &mut faults)),
        moves: each(proto.moves, |i, one| read_move(one, moves.index(i), &mut faults)),
    };
    faults.into_result().map(|()| state)
}

/// To the wire.
pub fn granted_to_proto(granted: Granted) -> v1::Granted {
    let Granted { changed, description } = granted;
    v1::Granted { changed, description }
}

/// From the wire.
pub fn granted_from_proto(proto: Option<v1::Granted>) -> Result<Granted, Violations> {
    let mut faults = Violations::default();
    let granted = required(proto, At::root("granted"), &mut faults);
    let v1::Granted { changed, description } = granted.unwrap_or_default();
    faults.into_result().map(|()| Granted { changed, description })
}

/// To the wire.
pub fn step_to_proto(step: &PlannedStep) -> v1::PlannedStep {
    let PlannedStep { shard, reason, description } = step;
    v1::PlannedStep { shard: *shard, reason: write_reason(*reason).into(), description: description.clone() }
}

/// From the wire.
pub fn steps_from_proto(steps: Vec<v1::PlannedStep>) -> Result<Vec<PlannedStep>, Violations> {
    let mut faults = Violations::default();
    let root = At::root("steps");
    let steps = each(steps, |i, step| {
        let at = root.index(i);
        let reason = read_reason(step.reason, at.field("reason"), &mut faults);
        PlannedStep { shard: step.shard, reason, description: step.description }
    });
    faults.into_result().map(|()| steps)
}

/// To the wire.
pub fn change_to_proto(change: &SettingsChange) -> v1::UpdateClusterSettingsRequest {
    let SettingsChange { replication, repair_after, most_moves } = *change;
    v1::UpdateClusterSettingsRequest { replication, repair_after: repair_after.map(write_span), most_moves }
}

/// From the wire.
pub fn change_from_proto(proto: v1::UpdateClusterSettingsRequest) -> Result<SettingsChange, Violations> {
    let mut faults = Violations::default();
    let v1::UpdateClusterSettingsRequest { replication, repair_after, most_moves } = proto;
    let repair_after = repair_after.map(|span| read_span(span, At::root("repair_after"), &mut faults));
    faults.into_result().map(|()| SettingsChange { replication, repair_after, most_moves })
}

/// To the wire.
pub fn init_to_proto(init: &InitRequest) -> v1::InitClusterRequest {
    let InitRequest { shards, replication } = *init;
    v1::InitClusterRequest { shards, replication }
}

/// From the wire.
pub fn init_from_proto(proto: v1::InitClusterRequest) -> InitRequest {
    let v1::InitClusterRequest { shards, replication } = proto;
    InitRequest { shards, replication }
}

fn each<P, T>(items: Vec<P>, mut read: impl FnMut(usize, P) -> T) -> Vec<T> {
    items.into_iter().enumerate().map(|(i, item)| read(i, item)).collect()
}

fn write_settings(settings: ClusterSettings) -> v1::ClusterSettings {
    let ClusterSettings { shards, replication, repair_after, most_moves } = settings;
    v1::ClusterSettings { shards, replication, repair_after: Some(write_span(repair_after)), most_moves }
}

fn read_settings(proto: Option<v1::ClusterSettings>, at: At<'_>, faults: &mut Violations) -> ClusterSettings {
    let proto = required(proto, at, faults).unwrap_or_default();
    let v1::ClusterSettings { shards, replication, repair_after, most_moves } = proto;
    let at = at.field("repair_after");
    let repair_after = required(repair_after, at, faults).map(|span| read_span(span, at, faults)).unwrap_or_default();
    ClusterSettings { shards, replication, repair_after, most_moves }
}

fn write_node(node: &ClusterNode) -> v1::ClusterNode {
    v1::ClusterNode {
        id: node.id,
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        client_address: node.client_address.clone(),
        http_address: node.http_address.clone(),
        zone: node.zone.clone(),
        state: write_state(node.state).into(),
        alive: node.alive,
        gone_since: node.gone_since.map(timestamp),
        epoch: node.epoch,
        program: node.program.clone(),
        replicas: node.replicas,
        leaders: node.leaders,
        bytes: node.bytes,
        free: node.free,
        capacity: node.capacity,
        clock_ahead_ms: node.clock_ahead_ms,
        disk_low: node.disk_low,
    }
}

fn read_node(proto: v1::ClusterNode, at: At<'_>, faults: &mut Violations) -> ClusterNode {
    ClusterNode {
        state: read_state(proto.state, at.field("state"), faults),
        gone_since: read_optional(proto.gone_since, at.field("gone_since"), faults),
        id: proto.id,
        name: proto.name,
        peer_address: proto.peer_address,
        client_address: proto.client_address,
        http_address: proto.http_address,
        zone: proto.zone,
        alive: proto.alive,
        epoch: proto.epoch,
        program: proto.program,
        replicas: proto.replicas,
        leaders: proto.leaders,
        bytes: proto.bytes,
        free: proto.free,
        capacity: proto.capacity,
        clock_ahead_ms: proto.clock_ahead_ms,
        disk_low: proto.disk_low,
    }
}

fn write_shard(shard: &ClusterShard) -> v1::ClusterShard {
    v1::ClusterShard {
        shard: shard.shard,
        replicas: shard.replicas.iter().map(write_replica).collect(),
        leader: shard.leader,
        term: shard.term,
        bytes: shard.bytes,
        load: shard.load,
        moving: shard.moving.as_ref().map(write_move),
    }
}

fn read_shard(proto: v1::ClusterShard, at: At<'_>, faults: &mut Violations) -> ClusterShard {
    let v1::ClusterShard { shard, replicas, leader, term, bytes, load, moving } = proto;
    let list = at.field("replicas");
    let replicas = each(replicas, |i, replica| read_replica(replica, list.index(i), faults));
    let moving = moving.map(|one| read_move(one, at.field("moving"), faults));
    ClusterShard { shard, replicas, leader, term, bytes, load, moving }
}

fn write_replica(replica: &ShardReplica) -> v1::ShardReplica {
    let role = match replica.role {
        ReplicaRole::Voter => v1::ReplicaRole::Voter,
        ReplicaRole::Learner => v1::ReplicaRole::Learner,
    };
    v1::ShardReplica { node: replica.node, role: role.into(), lag: replica.lag, damaged: replica.damaged }
}

fn read_replica(proto: v1::ShardReplica, at: At<'_>, faults: &mut Violations) -> ShardReplica {
    let at = at.field("role");
    let role = match required(known(proto.role, at, faults), at, faults) {
        Some(v1::ReplicaRole::Voter) => ReplicaRole::Voter,
        // Told as a fault already, where it is none of them.
        Some(v1::ReplicaRole::Learner | v1::ReplicaRole::Unspecified) | None => ReplicaRole::Learner,
    };
    ShardReplica { node: proto.node, role, lag: proto.lag, damaged: proto.damaged }
}

fn write_move(one: &ShardMove) -> v1::ShardMove {
    v1::ShardMove {
        shard: one.shard,
        from_node: one.from,
        to_node: one.to,
        step: write_step(one.step).into(),
        reason: write_reason(one.reason).into(),
        started_at: Some(timestamp(one.started)),
        lag: one.lag,
    }
}

fn read_move(proto: v1::ShardMove, at: At<'_>, faults: &mut Violations) -> ShardMove {
    ShardMove {
        shard: proto.shard,
        from: proto.from_node,
        to: proto.to_node,
        step: read_step(proto.step, at.field("step"), faults),
        reason: read_reason(proto.reason, at.field("reason"), faults),
        started: read_instant(proto.started_at, at.field("started_at"), faults),
        lag: proto.lag,
    }
}

fn write_state(state: NodeState) -> v1::NodeState {
    match state {
        NodeState::Joining => v1::NodeState::Joining,
        NodeState::Up => v1::NodeState::Up,
        NodeState::Draining => v1::NodeState::Draining,
        NodeState::Removed => v1::NodeState::Removed,
    }
}

fn read_state(number: i32, at: At<'_>, faults: &mut Violations) -> NodeState {
    match required(known(number, at, faults), at, faults) {
        Some(v1::NodeState::Up) => NodeState::Up,
        Some(v1::NodeState::Draining) => NodeState::Draining,
        Some(v1::NodeState::Removed) => NodeState::Removed,
        Some(v1::NodeState::Joining | v1::NodeState::Unspecified) | None => NodeState::Joining,
    }
}

fn write_step(step: MoveStep) -> v1::MoveStep {
    match step {
        MoveStep::AddLearner => v1::MoveStep::AddLearner,
        MoveStep::CatchUp => v1::MoveStep::CatchUp,
        MoveStep::Promote => v1::MoveStep::Promote,
        MoveStep::Remove => v1::MoveStep::Remove,
        MoveStep::Abandon => v1::MoveStep::Abandon,
    }
}

fn read_step(number: i32, at: At<'_>, faults: &mut Violations) -> MoveStep {
    match required(known(number, at, faults), at, faults) {
        Some(v1::MoveStep::CatchUp) => MoveStep::CatchUp,
        Some(v1::MoveStep::Promote) => MoveStep::Promote,
        Some(v1::MoveStep::Remove) => MoveStep::Remove,
        Some(v1::MoveStep::Abandon) => MoveStep::Abandon,
        Some(v1::MoveStep::AddLearner | v1::MoveStep::Unspecified) | None => MoveStep::AddLearner,
    }
}

fn write_reason(reason: MoveReason) -> v1::MoveReason {
    match reason {
        MoveReason::Repair => v1::MoveReason::Repair,
        MoveReason::Drain => v1::MoveReason::Drain,
        MoveReason::Zones => v1::MoveReason::Zones,
        MoveReason::Rebalance => v1::MoveReason::Rebalance,
        MoveReason::Command => v1::MoveReason::Command,
    }
}

fn read_reason(number: i32, at: At<'_>, faults: &mut Violations) -> MoveReason {
    match required(known(number, at, faults), at, faults) {
        Some(v1::MoveReason::Repair) => MoveReason::Repair,
        Some(v1::MoveReason::Drain) => MoveReason::Drain,
        Some(v1::MoveReason::Zones) => MoveReason::Zones,
        Some(v1::MoveReason::Rebalance) => MoveReason::Rebalance,
        Some(v1::MoveReason::Command | v1::MoveReason::Unspecified) | None => MoveReason::Command,
    }
}
