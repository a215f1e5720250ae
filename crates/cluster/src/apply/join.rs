//! A node asks for an id. It takes part when it has registered.

use flintwheel_shard::Txn;

use super::{addresses, not_taken, settings_of, text, zone};
use crate::entry::Join;
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Formats, Node, NodeState};

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, join: Join) -> Result<Accepted, Refusal> {
    settings_of(m)?;
    match m.nodes.values().find(|node| node.token == join.token) {
        Some(Node { id, state: NodeState::Removed, .. }) => return Err(Refusal::Removed { node: *id }),
        Some(node) => return Ok(Accepted::Node(node.id)),
        None => check(m, &join)?,
    }
    Ok(Accepted::Node(create(m, txn, join)))
}

pub(super) fn check(m: &Meta, join: &Join) -> Result<(), Refusal> {
    text("name", &join.name, limits::NAME)?;
    addresses(&join.addresses)?;
    zone(join.zone.as_deref())?;
    not_taken(m, None, &join.name, &join.addresses.peer)?;
    if m.nodes.len() < limits::NODES { Ok(()) } else { Err(Refusal::TooManyNodes { most: limits::NODES }) }
}

pub(super) fn create(m: &mut Meta, txn: &mut Txn<'_>, join: Join) -> u64 {
    let id = m.counters.next_node;
    m.counters.next_node += 1;
    let node = Node {
        id,
        name: join.name,
        addresses: join.addresses,
        zone: join.zone,
        capacity: join.capacity,
        token: join.token,
        state: NodeState::Joining,
        since: m.counters.clock,
        epoch: 0,
        incarnation: 0,
        program: String::new(),
        formats: Formats::default(),
    };
    m.put_node(txn, node);
    id
}
