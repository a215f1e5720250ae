//! Events matched: duplicates dropped, the rest written to account and outbox.

use bytes::Bytes;

use crate::apply::decided::{Decided, Payload};
use crate::entry::{Ingest, Match};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, Reason};
use crate::reply::{Applied, Ingested, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, ingest: Ingest) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let mut outcomes = Vec::with_capacity(ingest.matches.len());
    let mut touched = Vec::with_capacity(ingest.matches.len());
    for matched in ingest.matches {
        outcomes.push(match current(m, &matched) {
            None => Ingested::Stale,
            Some(_) if !m.counters.dedupe.insert(txn, at, &matched.digest, matched.window)? => Ingested::Duplicate,
            Some(slot) => {
                touched.push(matched.number);
                decide(m, txn, matched, slot, &ingest.events, &mut decided)
            }
        });
    }
    put_cursors(m, txn, touched);
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Ingested(outcomes) })
}

/// The slot, if what matched is what it is now.
fn current(m: &Machine, matched: &Match) -> Option<Slot> {
    m.slots.get(matched.number).copied().filter(|slot| slot.version == matched.version && slot.is_enabled())
}

fn decide(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    matched: Match,
    mut slot: Slot,
    events: &[Bytes],
    decided: &mut Decided,
) -> Ingested {
    let (number, key) = (matched.number, Key::Event(matched.key));
    let outcome = if slot.is_paused() {
        decided.skip(m, txn, (number, &mut slot), key, Reason::Paused);
        Ingested::Skipped
    } else {
        // An event is told apart by its key, not by when it comes: it neither waits for runs nor is one of them.
        decided.fire(m, txn, (number, &mut slot), key, Payload::Event(matched.event, events));
        Ingested::Fired
    };
    m.slots.set(number, slot);
    outcome
}

/// Writes the cursor of each definition once, however many of the entry's events it matched.
fn put_cursors(m: &mut Machine, txn: &mut Txn<'_>, mut numbers: Vec<u64>) {
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let slot = *m.slots.get(number).expect("it was touched just now");
        m.put_slot(txn, number, slot);
    }
}
