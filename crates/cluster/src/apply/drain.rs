//! A node is drained, or takes part again.

use flintwheel_shard::Txn;

use super::{node_of, not_taken};
use crate::entry::Drain;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::NodeState;

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, Drain { node: id, drain }: Drain) -> Result<Accepted, Refusal> {
    let node = node_of(m, id)?;
    let state = match (node.state, drain) {
        (NodeState::Draining, true) | (NodeState::Up, false) => return Ok(Accepted::Same),
        (NodeState::Up, true) if m.nodes_up() == 1 => return Err(Refusal::LastNode { node: id }),
        (NodeState::Up, true) => NodeState::Draining,
        (NodeState::Draining, false) => {
            not_taken(m, Some(id), &node.name, &node.addresses.peer)?;
            NodeState::Up
        }
        (is, _) => return Err(Refusal::NotUp { node: id, is }),
    };
    let mut node = node.clone();
    (node.state, node.since) = (state, m.counters.clock);
    m.put_node(txn, node);
    Ok(Accepted::Done)
}
