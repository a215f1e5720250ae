//! A node's program has started: where it is reached now, what it speaks, and whether its disk is the one that it had.

use flintwheel_shard::Txn;

use super::{addresses, node_of, not_taken, text, zone};
use crate::entry::Register;
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Node, NodeState};

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, register: Register) -> Result<Accepted, Refusal> {
    let before = node_of(m, register.node)?;
    check_epoch(before, &register)?;
    check(m, before, &register)?;
    let mut node = before.clone();
    if node.state == NodeState::Joining {
        (node.state, node.since) = (NodeState::Up, m.counters.clock);
    }
    let epoch = register.epoch;
    (node.epoch, node.incarnation) = (epoch, register.incarnation);
    (node.addresses, node.zone, node.capacity) = (register.addresses, register.zone, register.capacity);
    (node.program, node.formats) = (register.program, register.formats);
    m.put_node(txn, node);
    Ok(Accepted::Registered { epoch })
}

/// The node wrote its epoch to disk before it came. So one that is not newer is an older disk, but for the same program asking twice.
fn check_epoch(node: &Node, register: &Register) -> Result<(), Refusal> {
    let again = register.epoch == node.epoch && register.incarnation == node.incarnation;
    if register.epoch > node.epoch || (again && node.epoch > 0) {
        return Ok(());
    }
    Err(Refusal::RolledBack { node: node.id, recorded: node.epoch, given: register.epoch })
}

fn check(m: &Meta, node: &Node, register: &Register) -> Result<(), Refusal> {
    addresses(&register.addresses)?;
    zone(register.zone.as_deref())?;
    text("program", &register.program, limits::PROGRAM)?;
    if node.state != NodeState::Draining {
        not_taken(m, Some(node.id), &node.name, &register.addresses.peer)?;
    }
    let mine = register.formats;
    super::range("oldest format", mine.least.into(), 0, mine.most.into())?;
    let others = m.nodes.values().filter(|other| {
        other.id != node.id && other.epoch > 0 && matches!(other.state, NodeState::Up | NodeState::Draining)
    });
    for other in others {
        let theirs = other.formats;
        if mine.least > theirs.most || theirs.least > mine.most {
            return Err(Refusal::Formats { node: node.id, mine, other: other.id, theirs });
        }
    }
    Ok(())
}
