//! A node is removed for good. Its row stays as a tombstone, and so does its id.

use flintwheel_shard::Txn;

use super::settings_of;
use crate::entry::Remove;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{NodeState, Shard, majority};

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, Remove { node: id, force }: Remove) -> Result<Accepted, Refusal> {
    settings_of(m)?;
    let node = m.nodes.get(&id).ok_or(Refusal::UnknownNode { node: id })?;
    if node.state == NodeState::Removed {
        return Ok(Accepted::Same);
    }
    check(m, id, force)?;
    let mut node = node.clone();
    (node.state, node.since) = (NodeState::Removed, m.counters.clock);
    m.put_node(txn, node);
    Ok(Accepted::Done)
}

/// Whether the cluster can do without this node, as far as its rows show.
pub(crate) fn check(m: &Meta, id: u64, force: bool) -> Result<(), Refusal> {
    let is_up = m.nodes.get(&id).is_some_and(|node| node.state == NodeState::Up);
    if is_up && m.nodes_up() == 1 {
        return Err(Refusal::LastNode { node: id });
    }
    for (shard, row) in m.shards() {
        if !row.voters().any(|voter| voter == id) {
            continue;
        }
        let voters = row.voters().count();
        if voters == 1 {
            return Err(Refusal::LastVoter { node: id, shard });
        }
        if staying(m, row, id) < majority(voters) {
            return Err(Refusal::NoMajority { node: id, shard });
        }
    }
    match m.replicas_on(id) {
        replicas if replicas > 0 && !force => Err(Refusal::HoldsReplicas { node: id, replicas }),
        _ => Ok(()),
    }
}

/// Voters on nodes that are part of the cluster, without this one.
fn staying(m: &Meta, row: &Shard, without: u64) -> usize {
    let stays = |node: &u64| m.nodes.get(node).is_some_and(|node| node.state != NodeState::Removed);
    row.voters().filter(|voter| *voter != without).filter(stays).count()
}
