//! The cluster in the client's types: what is recorded and what was observed, put together.

use chrono::{DateTime, Utc};
use flintwheel_client as wire;
use flintwheel_client::{ClusterNode, ClusterSettings, ClusterShard, ClusterState, ShardMove, ShardReplica};
use flintwheel_cluster::Meta;
use flintwheel_cluster::rows::{Move, MoveStep, Node, NodeState, Reason, Role, Settings, Shard};
use flintwheel_model::Span;
use uuid::Uuid;

use super::seen::Observed;

pub(super) fn state(me: u64, meta: &Meta, observed: &Observed) -> ClusterState {
    let shards: Vec<ClusterShard> = meta.shards().map(|(number, row)| shard(number, row, observed)).collect();
    let mut moves: Vec<ShardMove> = shards.iter().filter_map(|shard| shard.moving).collect();
    moves.sort_by_key(|one| (one.started, one.shard));
    let part = meta.nodes().filter(|node| node.state != NodeState::Removed);
    ClusterState {
        cluster_id: meta.settings().map_or_else(String::new, |s| Uuid::from_bytes(s.cluster).to_string()),
        observed_by: me,
        observed_at: time(observed.seen.now),
        settings: settings(meta.settings()),
        nodes: part.map(|row| node(row, meta, observed)).collect(),
        shards,
        moves,
    }
}

fn settings(settings: Option<&Settings>) -> ClusterSettings {
    let span = |micros: i64| Span::from_micros(u64::try_from(micros).unwrap_or(0).min(Span::MAX.micros()));
    ClusterSettings {
        shards: settings.map_or(0, |s| s.shards),
        replication: settings.map_or(0, |s| s.replication),
        repair_after: settings.map_or(Span::ZERO, |s| span(s.repair_after)),
        most_moves: settings.map_or(0, |s| s.most_moves),
    }
}

fn node(row: &Node, meta: &Meta, observed: &Observed) -> ClusterNode {
    let seen = observed.seen.nodes.get(&row.id).copied();
    let leaders = observed.seen.shards.values().filter(|seen| seen.leader == Some(row.id)).count();
    ClusterNode {
        id: row.id,
        name: row.name.clone(),
        peer_address: row.addresses.peer.clone(),
        client_address: row.addresses.client.clone(),
        http_address: row.addresses.http.clone(),
        zone: row.zone.clone(),
        state: match row.state {
            NodeState::Joining => wire::NodeState::Joining,
            NodeState::Up => wire::NodeState::Up,
            NodeState::Draining => wire::NodeState::Draining,
            NodeState::Removed => wire::NodeState::Removed,
        },
        alive: seen.is_some_and(|seen| seen.gone_since.is_none()),
        gone_since: seen.and_then(|seen| seen.gone_since).map(time),
        epoch: row.epoch,
        program: row.program.clone(),
        replicas: count(meta.replicas_on(row.id)),
        leaders: count(leaders),
        bytes: seen.map_or(0, |seen| seen.bytes),
        free: seen.map_or(0, |seen| seen.free),
        capacity: row.capacity,
        clock_ahead_ms: seen.and_then(|seen| seen.clock_ahead).map(|micros| micros / 1000),
        disk_low: seen.is_some_and(|seen| seen.disk_low),
    }
}

fn shard(number: u32, row: &Shard, observed: &Observed) -> ClusterShard {
    let seen = observed.seen.shards.get(&number);
    let lag = |node: u64| seen.and_then(|seen| seen.lag.get(&node)).copied();
    let replica = |replica: &flintwheel_cluster::rows::Replica| ShardReplica {
        node: replica.node,
        role: match replica.role {
            Role::Voter => wire::ReplicaRole::Voter,
            Role::Learner => wire::ReplicaRole::Learner,
        },
        lag: lag(replica.node),
        damaged: observed.seen.damaged.contains(&(number, replica.node)),
    };
    ClusterShard {
        shard: number,
        replicas: row.replicas.iter().map(replica).collect(),
        leader: seen.and_then(|seen| seen.leader),
        term: observed.terms.get(&number).copied().unwrap_or(0),
        bytes: seen.map_or(0, |seen| seen.bytes),
        load: seen.map_or(0, |seen| seen.load),
        moving: row.pending.as_ref().map(|pending| moving(number, pending, pending.to.and_then(lag))),
    }
}

fn moving(shard: u32, pending: &Move, lag: Option<u64>) -> ShardMove {
    let step = match pending.step {
        MoveStep::AddLearner => wire::MoveStep::AddLearner,
        MoveStep::CatchUp => wire::MoveStep::CatchUp,
        MoveStep::Promote => wire::MoveStep::Promote,
        MoveStep::Remove => wire::MoveStep::Remove,
        MoveStep::Abandon => wire::MoveStep::Abandon,
    };
    let Move { from, to, started, .. } = *pending;
    ShardMove { shard, from, to, step, reason: reason(pending.reason), started: time(started), lag }
}

pub(super) fn reason(reason: Reason) -> wire::MoveReason {
    match reason {
        Reason::Repair => wire::MoveReason::Repair,
        Reason::Drain => wire::MoveReason::Drain,
        Reason::Zone => wire::MoveReason::Zones,
        Reason::Rebalance => wire::MoveReason::Rebalance,
        Reason::Command => wire::MoveReason::Command,
    }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
