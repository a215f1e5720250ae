//! Definitions removed. What they have fired is still dispatched; their last version stays until it is old enough to go.

use crate::apply::{find, retire, version_of};
use crate::entry::Delete;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::reply::Outcome;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: &[Delete]) -> Result<Outcome, ReadError> {
    let deleted: Result<Vec<Option<u64>>, _> = items.iter().map(|item| delete(m, txn, at, item)).collect();
    deleted.map(Outcome::Deleted)
}

fn delete(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Delete) -> Result<Option<u64>, ReadError> {
    let Some((number, slot)) = find(m, txn, &item.namespace, &item.id)? else { return Ok(None) };
    for event_type in version_of(txn, number, slot.version)?.event_types {
        txn.delete(Table::Subscriptions, keys::subscription(&item.namespace, &event_type, number));
    }
    retire(txn, at, number, slot.version);
    txn.delete(Table::Names, keys::name(&item.namespace, &item.id));
    txn.delete(Table::Meta, keys::pause_note(number));
    m.remove_slot(txn, number);
    Ok(Some(number))
}
