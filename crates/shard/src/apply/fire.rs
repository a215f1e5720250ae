//! Due times met. The hot path: no reads; one cursor a decision, one chunk an entry and lane.

use crate::apply::decided::{Decided, Payload};
use crate::entry::{Decision, Fire};
use crate::kv::Txn;
use crate::machine::Machine;
use crate::occurrence::Key;
use crate::reply::{Applied, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, fire: &Fire) -> Applied {
    let mut decided = Decided::new(at);
    let mut stale = Vec::new();
    for (index, decision) in fire.decisions.iter().enumerate() {
        match current(m, decision) {
            None => stale.push(index as u32),
            Some(slot) => decide(m, txn, decision, slot, &mut decided),
        }
    }
    m.counters.fired_through = m.counters.fired_through.max(fire.through);
    Applied { chunks: decided.put(m, txn), outcome: Outcome::Fired { stale } }
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

fn decide(m: &mut Machine, txn: &mut Txn<'_>, decision: &Decision, mut slot: Slot, decided: &mut Decided) {
    let Decision { number, nominal, due, next, skip, count, .. } = *decision;
    let key = Key::Time { nominal, due, count };
    match skip {
        None => decided.fire(m, txn, (number, &mut slot), key, Payload::None),
        Some(reason) => decided.skip(m, txn, (number, &mut slot), key, reason),
    }
    slot.last = nominal;
    slot.next = next;
    m.put_slot(txn, number, slot);
}
