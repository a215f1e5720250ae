//! The bytes of a membership: who votes (one set, or two while it changes) and where each node is.

use crate::codec::{DecodeError, put_number, take_number};
use crate::types::Membership;
use openraft::BasicNode;
use std::collections::{BTreeMap, BTreeSet};

/// More nodes, sets or bytes of an address than this are damage, not data: they bound what a damaged length can allocate.
const MOST: u64 = 4096;

pub(crate) fn put_membership(into: &mut Vec<u8>, membership: &Membership) {
    let sets = membership.get_joint_config();
    put_number(into, sets.len() as u64);
    for voters in sets {
        put_number(into, voters.len() as u64);
        voters.iter().for_each(|node| put_number(into, *node));
    }
    put_number(into, membership.nodes().count() as u64);
    for (id, node) in membership.nodes() {
        put_number(into, *id);
        put_number(into, node.addr.len() as u64);
        into.extend_from_slice(node.addr.as_bytes());
    }
}

pub(crate) fn take_membership(from: &mut &[u8]) -> Result<Membership, DecodeError> {
    let mut sets = Vec::new();
    for _ in 0..take_count(from)? {
        let voters: Result<BTreeSet<_>, _> = (0..take_count(from)?).map(|_| take_number(from)).collect();
        sets.push(voters?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..take_count(from)? {
        nodes.insert(take_number(from)?, take_node(from)?);
    }
    if sets.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(sets, nodes).map_err(|_| DecodeError::Malformed)
}

fn take_node(from: &mut &[u8]) -> Result<BasicNode, DecodeError> {
    let length = take_count(from)? as usize;
    let (addr, rest) = from.split_at_checked(length).ok_or(DecodeError::Malformed)?;
    *from = rest;
    let addr = str::from_utf8(addr).map_err(|_| DecodeError::Malformed)?;
    Ok(BasicNode::new(addr))
}

fn take_count(from: &mut &[u8]) -> Result<u64, DecodeError> {
    take_number(from).and_then(|count| if count <= MOST { Ok(count) } else { Err(DecodeError::Malformed) })
}
