//! Definitions removed. What they have fired is still dispatched; their last version stays until it is old enough to go.

use crate::apply::decided::Decided;
use crate::apply::{find, overlap, retire, version_of};
use crate::entry::Delete;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::records::Version;
use crate::reply::{Deleted, Outcome};
use crate::request::{Answer, Known};
use crate::slots::Slot;

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
    let Some((number, slot)) = find(m, txn, &item.namespace, &item.id)? else { return Ok(Deleted::NotFound) };
    let (stored, version) = (version_of(txn, number, slot.version)?, slot.version);
    if item.incarnation.is_some_and(|wanted| wanted != stored.incarnation) {
        return Ok(Deleted::NotFound);
    }
    if item.expected_version.is_some_and(|expected| expected != version) {
        return Ok(Deleted::Conflict { actual: version });
    }
    let mut decided = Decided::new(at);
    remove(m, txn, (number, slot), stored, &mut decided)?;
    decided.put(m, txn);
    m.remember(txn, at, item.request.as_ref(), Answer::Deleted { version });
    Ok(Deleted::Gone { number, version })
}

/// Takes a definition away, with all that belongs to it and to nobody else.
pub(crate) fn remove(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, mut slot): (u64, Slot),
    stored: Version,
    decided: &mut Decided,
) -> Result<(), ReadError> {
    let Version { namespace, id, event_types, .. } = stored;
    for event_type in event_types {
        txn.delete(Table::Subscriptions, keys::subscription(&namespace, &event_type, number));
    }
    retire(txn, decided.at(), number, slot.version);
    txn.delete(Table::Names, keys::name(&namespace, &id));
    m.forget_pause_note(txn, number);
    m.forget_origin(txn, number);
    m.backfills.forget(txn, number);
    m.calendars.give_up(txn, number)?;
    overlap::abandon(m, txn, (number, &mut slot), decided);
    m.courses.remove(txn, number);
    m.remove_slot(txn, number);
    Ok(())
}
