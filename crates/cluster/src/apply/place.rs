//! The first replicas of shards, all of them or none.

use std::collections::BTreeSet;

use flintwheel_shard::Txn;

use super::{known_shard, node_up, range};
use crate::entry::Placement;
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Replica, Role, Shard};

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, items: &[Placement]) -> Result<Accepted, Refusal> {
    let mut seen = BTreeSet::new();
    for item in items {
        check(m, item)?;
        if !seen.insert(item.shard) {
            return Err(Refusal::AlreadyPlaced { shard: item.shard });
        }
    }
    for item in items {
        let voter = |node: &u64| Replica { node: *node, role: Role::Voter, since: 1 };
        let replicas = item.nodes.iter().map(voter).collect();
        m.put_shard(txn, item.shard, Shard { replicas, ..Shard::default() });
    }
    Ok(Accepted::Done)
}

fn check(m: &Meta, item: &Placement) -> Result<(), Refusal> {
    known_shard(m, item.shard)?;
    if m.shards.contains_key(&item.shard) {
        return Err(Refusal::AlreadyPlaced { shard: item.shard });
    }
    range("first replicas", item.nodes.len().try_into().unwrap_or(i64::MAX), 1, limits::REPLICATION.into())?;
    for (index, node) in item.nodes.iter().enumerate() {
        node_up(m, *node)?;
        if item.nodes[..index].contains(node) {
            return Err(Refusal::HoldsAlready { shard: item.shard, node: *node });
        }
    }
    Ok(())
}
