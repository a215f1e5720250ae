//! Definitions removed. What they have fired is still dispatched; their last version stays until it is old enough to go.

use crate::apply::decided::Decided;
use crate::apply::{find, overlap, retire, version_of};
use crate::entry::Delete;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::reply::{Deleted, Outcome};
use crate::request::{Answer, Known};

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: &[Delete]) -> Result<Outcome, ReadError> {
    let deleted: Result<Vec<Deleted>, _> = items.iter().map(|item| once(m, txn, at, item)).collect();
    deleted.map(Outcome::Deleted)
}

fn once(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Delete) -> Result<Deleted, ReadError> {
    match m.known(txn, at, item.request.as_ref())? {
        Known::New => delete(m, txn, at, item),
        Known::Answered(Answer::Deleted { version }) => Ok(Deleted::Repeated { version }),
        Known::Answered(_) | Known::Other => Ok(Deleted::Reused),
    }
}

fn delete(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Delete) -> Result<Deleted, ReadError> {
    let Some((number, mut slot)) = find(m, txn, &item.namespace, &item.id)? else { return Ok(Deleted::NotFound) };
    let (stored, version) = (version_of(txn, number, slot.version)?, slot.version);
    if item.incarnation.is_some_and(|wanted| wanted != stored.incarnation) {
        return Ok(Deleted::NotFound);
    }
    if item.expected_version.is_some_and(|expected| expected != version) {
        return Ok(Deleted::Conflict { actual: version });
    }
    for event_type in stored.event_types {
        txn.delete(Table::Subscriptions, keys::subscription(&item.namespace, &event_type, number));
    }
    retire(txn, at, number, version);
    txn.delete(Table::Names, keys::name(&item.namespace, &item.id));
    txn.delete(Table::Meta, keys::pause_note(number));
    m.forget_origin(txn, number);
    let mut decided = Decided::new(at);
    overlap::abandon(m, txn, (number, &mut slot), &mut decided);
    decided.put(m, txn);
    m.remove_slot(txn, number);
    m.remember(txn, at, item.request.as_ref(), Answer::Deleted { version });
    Ok(Deleted::Gone { number, version })
}
