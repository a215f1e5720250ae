//! Due times met. The hot path: no reads; one cursor a decision, one chunk an entry and lane.

use crate::apply::LaneBatches;
use crate::entry::{Decision, Fire};
use crate::kv::Txn;
use crate::machine::Machine;
use crate::occurrence::{Key, NO_CHUNK, Record};
use crate::reply::{Applied, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, fire: &Fire) -> Applied {
    let mut firings = LaneBatches::default();
    let mut skips = Skips::default();
    let mut stale = Vec::new();
    for (index, decision) in fire.decisions.iter().enumerate() {
        match current(m, decision) {
            None => stale.push(index as u32),
            Some(slot) => decide(m, txn, at, decision, slot, &mut firings, &mut skips),
        }
    }
    m.counters.fired_through = m.counters.fired_through.max(fire.through);
    if !skips.records.is_empty() {
        m.put_skips(txn, at, skips.seq, skips.records);
    }
    Applied { chunks: firings.put(m, txn, at), outcome: Outcome::Fired { stale } }
}

/// The skipped occurrences of an entry and the chunk that they will be.
#[derive(Default)]
struct Skips {
    seq: u64,
    records: Vec<Record>,
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

fn decide(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    decision: &Decision,
    mut slot: Slot,
    firings: &mut LaneBatches,
    skips: &mut Skips,
) {
    let (records, seq) = if decision.skip.is_some() {
        if skips.seq == NO_CHUNK {
            skips.seq = m.next_chunk(txn, at);
        }
        slot.skipped = slot.skipped.saturating_add(decision.count);
        (&mut skips.records, skips.seq)
    } else {
        let batch = firings.of(m, txn, at, slot.lane.into());
        slot.fired = slot.fired.saturating_add(1);
        (&mut batch.records, batch.seq)
    };
    let key = Key::Time { nominal: decision.nominal, due: decision.due, count: decision.count };
    let previous = slot.chunk;
    records.push(Record { number: decision.number, version: slot.version, previous, key, skip: decision.skip });
    slot.chunk = seq;
    slot.last = decision.nominal;
    slot.next = decision.next;
    m.put_slot(txn, decision.number, slot);
}
