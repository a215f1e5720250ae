//! One entry kind or group of kinds, one file: each borrows the machine and writes through the transaction. All checks come first:
//! what is refused has changed nothing.

mod drain;
mod init;
mod join;
mod moves;
mod place;
mod register;
pub(crate) mod remove;
pub(crate) mod settings;

use flintwheel_shard::Txn;

use crate::META;
use crate::entry::Body;
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Addresses, Node, NodeState, Settings, Shard};

pub(crate) fn apply(m: &mut Meta, txn: &mut Txn<'_>, body: Body) -> Result<Accepted, Refusal> {
    match body {
        Body::Init(init) => init::apply(m, txn, init),
        Body::Join(join) => join::apply(m, txn, join),
        Body::Register(register) => register::apply(m, txn, register),
        Body::Drain(drain) => drain::apply(m, txn, drain),
        Body::Remove(remove) => remove::apply(m, txn, remove),
        Body::SetSettings(change) => settings::apply(m, txn, change),
        Body::BeginMove(begin) => moves::begin(m, txn, begin),
        Body::StepMove(step) => moves::step(m, txn, step),
        Body::EndMove(end) => moves::end(m, txn, end),
        Body::SetReplicas(items) => place::apply(m, txn, &items),
    }
}

fn settings_of(m: &Meta) -> Result<&Settings, Refusal> {
    m.settings.as_ref().ok_or(Refusal::NotInitialised)
}

/// A node that is part of the cluster.
fn node_of(m: &Meta, id: u64) -> Result<&Node, Refusal> {
    settings_of(m)?;
    match m.nodes.get(&id) {
        None => Err(Refusal::UnknownNode { node: id }),
        Some(Node { state: NodeState::Removed, .. }) => Err(Refusal::Removed { node: id }),
        Some(node) => Ok(node),
    }
}

/// A node that may get replicas.
fn node_up(m: &Meta, id: u64) -> Result<(), Refusal> {
    let node = node_of(m, id)?;
    if node.state == NodeState::Up { Ok(()) } else { Err(Refusal::NotUp { node: id, is: node.state }) }
}

/// A shard that has replicas, as it was when the change was computed.
fn shard_of(m: &Meta, shard: u32, generation: u64) -> Result<&Shard, Refusal> {
    known_shard(m, shard)?;
    let row = m.shards.get(&shard).ok_or(Refusal::NotPlaced { shard })?;
    if row.generation == generation { Ok(row) } else { Err(Refusal::Stale { shard, generation: row.generation }) }
}

fn known_shard(m: &Meta, shard: u32) -> Result<(), Refusal> {
    let shards = settings_of(m)?.shards;
    if shard < shards || shard == META { Ok(()) } else { Err(Refusal::UnknownShard { shard, shards }) }
}

fn text(field: &'static str, value: &str, most: usize) -> Result<(), Refusal> {
    let len = value.len();
    if (1..=most).contains(&len) { Ok(()) } else { Err(Refusal::Length { field, len, most }) }
}

fn range(field: &'static str, value: i64, least: i64, most: i64) -> Result<(), Refusal> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(Refusal::Range { field, value, least, most }) }
}

fn addresses(addresses: &Addresses) -> Result<(), Refusal> {
    text("peer address", &addresses.peer, limits::ADDRESS)?;
    text("client address", &addresses.client, limits::ADDRESS)?;
    text("http address", &addresses.http, limits::ADDRESS)
}

fn zone(zone: Option<&str>) -> Result<(), Refusal> {
    zone.map_or(Ok(()), |zone| text("zone", zone, limits::NAME))
}

/// Nobody else who is to stay has this name or peer address. A node that is drained or removed may be replaced under both.
fn not_taken(m: &Meta, id: Option<u64>, name: &str, address: &str) -> Result<(), Refusal> {
    let stays = |node: &&Node| Some(node.id) != id && matches!(node.state, NodeState::Joining | NodeState::Up);
    for node in m.nodes.values().filter(stays) {
        if node.name == name {
            return Err(Refusal::NameTaken { name: name.to_owned(), node: node.id });
        }
        if node.addresses.peer == address {
            return Err(Refusal::AddressTaken { address: address.to_owned(), node: node.id });
        }
    }
    Ok(())
}
