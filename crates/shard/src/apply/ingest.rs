//! Events matched: duplicates dropped, the rest written to account and outbox. An end of another definition's run is one that makes due.

use bytes::Bytes;

use crate::apply::decided::{Decided, Payload};
use crate::entry::{Ingest, Match, NEVER};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, Reason};
use crate::reply::{Applied, Ingested, Outcome};
use crate::slots::Slot;
use crate::tracks::{MOST_COMING, Run, Wish};

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
                match matched.due {
                    Some(due) => come(m, txn, (matched, slot), due, &ingest.events, &mut decided),
                    None => decide(m, txn, matched, slot, &ingest.events, &mut decided),
                }
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
        let followed = m.tracks.is_followed(number).then(|| key.clone());
        let place = decided.fire(m, txn, (number, &mut slot), key, Payload::Event(matched.event, events));
        if let Some(key) = followed {
            let run = Run { key, since: decided.at(), wish: Wish::None, place: Some(place) };
            m.tracks.open_run(txn, number, run);
        }
        Ingested::Fired
    };
    m.slots.set(number, slot);
    outcome
}

/// A run of another definition has ended, and makes this one due: paused or not, as any other due time. What stood in its cursor was computed
/// without it, and so was what is under way: it has a new generation.
fn come(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (matched, mut slot): (Match, Slot),
    due: i64,
    events: &[Bytes],
    decided: &mut Decided,
) -> Ingested {
    let number = matched.number;
    if due == NEVER {
        return Ingested::Skipped;
    }
    // What has been decided is over: nothing is due before it, or at it.
    let due = due.max(slot.last.saturating_add(1)).max(0);
    let full = m.tracks.get(number).is_some_and(|track| track.coming_len() >= MOST_COMING);
    let reason = if m.courses.is_used_up(number) { Some(Reason::UsedUp) } else { full.then_some(Reason::BufferFull) };
    let outcome = match reason {
        Some(reason) => {
            decided.skip(m, txn, (number, &mut slot), Key::Time { nominal: due, due, count: 1 }, reason);
            Ingested::Skipped
        }
        None => {
            m.tracks.make(txn, number, slot.lane);
            let nominal = m.tracks.come(txn, number, due, events[matched.event as usize].clone());
            slot.generation += 1;
            slot.next = nominal.map_or(slot.next, |nominal| slot.next.min(nominal));
            Ingested::Fired
        }
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
