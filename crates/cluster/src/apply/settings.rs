//! What an operator may change.

use flintwheel_shard::Txn;

use super::{range, settings_of};
use crate::entry::Change;
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::Settings;

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, change: Change) -> Result<Accepted, Refusal> {
    let before = settings_of(m)?;
    let after = Settings {
        replication: change.replication.unwrap_or(before.replication),
        repair_after: change.repair_after.unwrap_or(before.repair_after),
        most_moves: change.most_moves.unwrap_or(before.most_moves),
        ..before.clone()
    };
    if after == *before {
        return Ok(Accepted::Same);
    }
    check(&after)?;
    if after.replication > before.replication {
        check_replication(m, after.replication)?;
    }
    m.put_settings(txn, after);
    Ok(Accepted::Done)
}

/// A cluster that is made has one node; what it wants by then may be more than it has. Later it may not.
pub(crate) fn check_replication(m: &Meta, wanted: u32) -> Result<(), Refusal> {
    let nodes = m.nodes_up();
    if wanted as usize > nodes { Err(Refusal::ReplicationAboveNodes { wanted, nodes }) } else { Ok(()) }
}

pub(crate) fn check(settings: &Settings) -> Result<(), Refusal> {
    range("shards", settings.shards.into(), 1, limits::SHARDS.into())?;
    range("replication factor", settings.replication.into(), 1, limits::REPLICATION.into())?;
    if !(1..=limits::REPAIR_AFTER).contains(&settings.repair_after) {
        return Err(Refusal::RepairAfter { value: settings.repair_after });
    }
    range("most moves at once", settings.most_moves.into(), 1, limits::MOVES.into())
}
