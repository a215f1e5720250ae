//! How the cluster stands.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::read_instant;
use super::time::{duration, length, timestamp};
use crate::types::{ClusterStatus, NamespaceOutbox, NodeStatus, Rates, ShardCounts, TemporalTarget};

/// To the wire.
pub fn to_proto(status: &ClusterStatus) -> v1::GetStatusResponse {
    let Rates { fired, started, events } = status.rates;
    let ShardCounts { total, led } = status.shards;
    v1::GetStatusResponse {
        cluster_id: status.cluster_id.clone(),
        nodes: status.nodes.iter().map(write_node).collect(),
        shards: Some(v1::ShardCounts { total, led }),
        definitions: status.definitions,
        paused: status.paused,
        armed: status.armed,
        outboxes: status.outboxes.iter().map(write_outbox).collect(),
        dead_letters: status.dead_letters,
        rates: Some(v1::Rates { fired, started, events }),
        oldest_overdue: Some(duration(status.oldest_overdue)),
        temporal_targets: status.temporal_targets.iter().map(write_target).collect(),
        version: status.version.clone(),
        tzdata_version: status.tzdata_version.clone(),
        now: Some(timestamp(status.now)),
    }
}

/// From the wire.
pub fn from_proto(proto: v1::GetStatusResponse) -> Result<ClusterStatus, Violations> {
    let mut faults = Violations::default();
    let v1::Rates { fired, started, events } = proto.rates.unwrap_or_default();
    let v1::ShardCounts { total, led } = proto.shards.unwrap_or_default();
    let at = At::root("nodes");
    let nodes = proto.nodes.into_iter().enumerate();
    let status = ClusterStatus {
        cluster_id: proto.cluster_id,
        nodes: nodes.map(|(i, node)| read_node(node, at.index(i), &mut faults)).collect(),
        shards: ShardCounts { total, led },
        definitions: proto.definitions,
        paused: proto.paused,
        armed: proto.armed,
        outboxes: proto.outboxes.into_iter().map(read_outbox).collect(),
        dead_letters: proto.dead_letters,
        rates: Rates { fired, started, events },
        oldest_overdue: proto.oldest_overdue.map(length).unwrap_or_default(),
        temporal_targets: proto.temporal_targets.into_iter().map(read_target).collect(),
        version: proto.version,
        tzdata_version: proto.tzdata_version,
        now: read_instant(proto.now, At::root("now"), &mut faults),
    };
    faults.into_result().map(|()| status)
}

fn write_node(node: &NodeStatus) -> v1::NodeStatus {
    v1::NodeStatus {
        id: node.id,
        address: node.address.clone(),
        alive: node.alive,
        leads: node.leads,
        started_at: Some(timestamp(node.started_at)),
        resident_bytes: node.resident_bytes,
        disk_bytes: node.disk_bytes,
    }
}

fn read_node(proto: v1::NodeStatus, at: At<'_>, faults: &mut Violations) -> NodeStatus {
    let started_at = read_instant(proto.started_at, at.field("started_at"), faults);
    let v1::NodeStatus { id, address, alive, leads, resident_bytes, disk_bytes, .. } = proto;
    NodeStatus { id, address, alive, leads, started_at, resident_bytes, disk_bytes }
}

fn write_outbox(outbox: &NamespaceOutbox) -> v1::NamespaceOutbox {
    let oldest = Some(duration(outbox.oldest));
    v1::NamespaceOutbox { namespace: outbox.namespace.clone(), pending: outbox.pending, oldest }
}

fn read_outbox(proto: v1::NamespaceOutbox) -> NamespaceOutbox {
    let oldest = proto.oldest.map(length).unwrap_or_default();
    NamespaceOutbox { namespace: proto.namespace, pending: proto.pending, oldest }
}

fn write_target(target: &TemporalTarget) -> v1::TemporalTarget {
    let TemporalTarget { name, address, healthy, latency, detail } = target.clone();
    v1::TemporalTarget { name, address, healthy, latency: Some(duration(latency)), detail }
}

fn read_target(proto: v1::TemporalTarget) -> TemporalTarget {
    let v1::TemporalTarget { name, address, healthy, latency, detail } = proto;
    TemporalTarget { name, address, healthy, latency: latency.map(length).unwrap_or_default(), detail }
}
