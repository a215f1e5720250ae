//! Firings by hand. They act on paused and disabled definitions too: that is what a hand is for.

use crate::apply::{LaneBatches, number_of, version_of};
use crate::entry::Trigger;
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, Record};
use crate::reply::{Applied, Outcome, Triggered};

/// For how long a request id is remembered, in seconds: a client that tries again does so within a day.
const WINDOW: u32 = 86_400;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Trigger>) -> Result<Applied, ReadError> {
    let mut firings = LaneBatches::default();
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        outcomes.push(trigger(m, txn, at, item, &mut firings)?);
    }
    Ok(Applied { chunks: firings.put(m, txn, at), outcome: Outcome::Triggered(outcomes) })
}

fn trigger(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    item: Trigger,
    firings: &mut LaneBatches,
) -> Result<Triggered, ReadError> {
    let Some(number) = number_of(txn, &item.namespace, &item.id)? else { return Ok(Triggered::NotFound) };
    let Some(mut slot) = m.slots.get(number).copied() else { return Ok(Triggered::NotFound) };
    let incarnation = version_of(txn, number, slot.version)?.incarnation;
    if !m.counters.dedupe.insert(txn, at, &item.digest, WINDOW)? {
        return Ok(Triggered::Duplicate { incarnation });
    }
    let batch = firings.of(m, txn, at, slot.lane.into());
    let (version, previous) = (slot.version, slot.chunk);
    let record = Record { number, version, previous, key: Key::Manual(item.request_id), skip: None };
    slot.chunk = batch.seq;
    slot.fired = slot.fired.saturating_add(1);
    batch.push_own(record, item.input);
    m.put_slot(txn, number, slot);
    Ok(Triggered::Fired { version, incarnation })
}
