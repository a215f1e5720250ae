//! Due times met. The hot path: no reads; one cursor a decision, one chunk an entry and lane. A definition whose runs are tracked costs more.

use bytes::Bytes;

use crate::apply::decided::{Decided, Payload};
use crate::apply::overlap::{self, Verdict};
use crate::entry::{Decision, Fire, NEVER};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::Key;
use crate::reply::{Applied, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, fire: &Fire) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let (mut stale, mut overlapped) = (Vec::new(), 0);
    for (index, decision) in fire.decisions.iter().enumerate() {
        match current(m, decision) {
            None => stale.push(index as u32),
            Some(slot) => overlapped += u32::from(decide(m, txn, decision, slot, &mut decided)?),
        }
    }
    m.counters.fired_through = m.counters.fired_through.max(fire.through);
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Fired { stale, overlapped } })
}

/// The slot, if the decision was computed from what it is now.
fn current(m: &Machine, decision: &Decision) -> Option<Slot> {
    let slot = m.slots.get(decision.number)?;
    let fresh = slot.generation == decision.generation
        && slot.is_armed()
        && decision.nominal == slot.next
        && decision.nominal > slot.last
        && decision.next > decision.nominal;
    fresh.then_some(*slot)
}

/// Says whether an open run was in the way.
fn decide(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    decision: &Decision,
    mut slot: Slot,
    decided: &mut Decided,
) -> Result<bool, ReadError> {
    let Decision { number, nominal, due, next, skip, count, .. } = *decision;
    let key = Key::Time { nominal, due, count };
    let mut overlapped = false;
    match skip {
        None if m.tracks.is_asked(number) => {
            let verdict = overlap::arrive(m, txn, (number, &mut slot), (key, None, Bytes::new()), decided)?;
            overlapped = matches!(verdict, Verdict::Skip(_));
        }
        None => {
            decided.fire(m, txn, (number, &mut slot), key, Payload::None);
            m.courses.count(txn, number);
        }
        Some(reason) => decided.skip(m, txn, (number, &mut slot), key, reason),
    }
    slot.last = nominal;
    slot.next = if m.courses.is_used_up(number) { NEVER } else { next };
    m.put_slot(txn, number, slot);
    Ok(overlapped)
}
