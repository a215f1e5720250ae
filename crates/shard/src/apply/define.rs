//! Definitions created or changed.

use crate::apply::decided::Decided;
use crate::apply::{find, overlap, retire, version_of};
use crate::calendars::UsedNames;
use crate::codec::Encoder;
use crate::entry::{AFTER, Define, NEVER};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::records::Version;
use crate::reply::{Applied, Before, Change, Defined, Definite, Outcome};
use crate::request::{Answer, Known};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Define>) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let mut defined = Vec::with_capacity(items.len());
    for mut item in items {
        if !item.enabled {
            item.next = NEVER;
            item.subscriptions.clear();
        }
        defined.push(match m.known(txn, at, item.request.as_ref())? {
            Known::New => define(m, txn, at, item, &mut decided)?,
            Known::Answered(Answer::Defined(before)) => Defined::Repeated(before),
            Known::Answered(_) | Known::Other => Defined::Reused,
        });
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Defined(defined) })
}

fn define(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    item: Define,
    decided: &mut Decided,
) -> Result<Defined, ReadError> {
    let (request, mut next) = (item.request, item.next);
    if item.calendars.as_ref().is_some_and(|uses| uses.revision != m.calendars.seen(&item.namespace)) {
        return Ok(Defined::Outdated);
    }
    let defined = match find(m, txn, &item.namespace, &item.id)? {
        Some((number, slot)) => configure(m, txn, at, item, number, slot)?,
        None => create(m, txn, at, item),
    };
    let (change, now) = match defined {
        Defined::Created(now) => (Change::Created, now),
        Defined::Configured(now) => {
            take_turns(m, txn, now.number, decided)?;
            (Change::Configured, now)
        }
        Defined::Unchanged(now) => (Change::Unchanged, now),
        refused => return Ok(refused),
    };
    if m.courses.is_used_up(now.number) {
        next = NEVER;
    }
    let before = Before { change, version: now.version, next };
    m.remember(txn, at, request.as_ref(), Answer::Defined(before));
    Ok(defined)
}

/// What waits may not have to, by the new policy.
fn take_turns(m: &mut Machine, txn: &mut Txn<'_>, number: u64, decided: &mut Decided) -> Result<(), ReadError> {
    if m.tracks.get(number).is_none_or(|track| track.waiting_len() == 0) {
        return Ok(());
    }
    let Some(mut slot) = m.slots.get(number).copied() else { return Ok(()) };
    overlap::change(m, txn, (number, &mut slot), decided)?;
    m.put_slot(txn, number, slot);
    Ok(())
}

fn create(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: Define) -> Defined {
    if item.expected_version.is_some_and(|expected| expected != 0) {
        return Defined::Conflict { actual: 0 };
    }
    let Some(lane) = m.lane(txn, &item.namespace) else { return Defined::TooManyNamespaces };
    let number = m.counters.next_number;
    m.counters.next_number += 1;
    let mut name = Encoder::default();
    name.u64(number);
    txn.put(Table::Names, keys::name(&item.namespace, &item.id), name.finish());
    let definite = put(m, txn, number, Slot::new(lane), version(&item, item.incarnation, at, at), item);
    Defined::Created(definite)
}

fn configure(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    item: Define,
    number: u64,
    slot: Slot,
) -> Result<Defined, ReadError> {
    let actual = slot.version;
    if item.expected_version.is_some_and(|expected| expected != actual) {
        return Ok(Defined::Conflict { actual });
    }
    let before = version_of(txn, number, actual)?;
    if before.document == item.document {
        return Ok(Defined::Unchanged(Definite { number, generation: slot.generation, version: actual }));
    }
    if item.next <= slot.last {
        return Ok(Defined::Behind { last: slot.last });
    }
    for event_type in &before.event_types {
        txn.delete(Table::Subscriptions, keys::subscription(&item.namespace, event_type, number));
    }
    retire(txn, at, number, actual);
    m.calendars.give_up(txn, number)?;
    let after = version(&item, before.incarnation, before.created, at);
    Ok(Defined::Configured(put(m, txn, number, slot, after, item)))
}

fn version(item: &Define, incarnation: u64, created: i64, updated: i64) -> Version {
    Version {
        namespace: item.namespace.clone(),
        id: item.id.clone(),
        incarnation,
        created,
        updated,
        event_types: item.subscriptions.iter().map(|(event_type, _)| event_type.clone()).collect(),
        document: item.document.clone(),
    }
}

fn put(m: &mut Machine, txn: &mut Txn<'_>, number: u64, mut slot: Slot, version: Version, item: Define) -> Definite {
    slot.generation += 1;
    slot.version += 1;
    slot.set_enabled(item.enabled);
    slot.next = item.next;
    if !item.subscriptions.iter().any(|(event_type, _)| event_type.starts_with(AFTER)) {
        // It comes after nothing any more.
        m.tracks.pass(txn, number, NEVER);
    }
    slot.next = m.tracks.soonest(number, slot.next);
    txn.put(Table::Definitions, keys::definition(number, slot.version), version.encode());
    for (event_type, matcher) in item.subscriptions {
        let mut value = Encoder::default();
        value.u32(slot.version);
        value.raw(&matcher);
        txn.put(Table::Subscriptions, keys::subscription(&item.namespace, &event_type, number), value.finish());
    }
    m.tracks.set(txn, number, slot.lane, item.tracking);
    m.courses.set(txn, number, item.bounds);
    if m.courses.is_used_up(number) {
        slot.next = NEVER;
    }
    if let Some(uses) = item.calendars {
        m.calendars.take_up(txn, number, UsedNames { namespace: item.namespace, names: uses.names });
    }
    m.put_slot(txn, number, slot);
    Definite { number, generation: slot.generation, version: slot.version }
}
