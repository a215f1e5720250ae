//! Events matched: duplicates dropped, the rest written to account and outbox.

use crate::apply::LaneBatches;
use crate::entry::{Ingest, Match};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, NO_CHUNK, Reason, Record};
use crate::reply::{Applied, Ingested, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, ingest: Ingest) -> Result<Applied, ReadError> {
    let mut state = State { firings: LaneBatches::default(), skip_seq: NO_CHUNK, skips: Vec::new() };
    let mut outcomes = Vec::with_capacity(ingest.matches.len());
    for matched in ingest.matches {
        let Some(slot) = m.slots.get(matched.number).copied().filter(|slot| slot.version == matched.version) else {
            outcomes.push(Ingested::Stale);
            continue;
        };
        if !m.counters.dedupe.insert(txn, at, &matched.digest, matched.window)? {
            outcomes.push(Ingested::Duplicate);
            continue;
        }
        outcomes.push(state.decide(m, txn, at, matched, slot, &ingest.events));
    }
    if !state.skips.is_empty() {
        m.put_skips(txn, at, state.skip_seq, state.skips);
    }
    Ok(Applied { chunks: state.firings.put(m, txn, at), outcome: Outcome::Ingested(outcomes) })
}

struct State {
    firings: LaneBatches,
    skip_seq: u64,
    skips: Vec<Record>,
}

impl State {
    fn decide(
        &mut self,
        m: &mut Machine,
        txn: &mut Txn<'_>,
        at: i64,
        matched: Match,
        mut slot: Slot,
        events: &[bytes::Bytes],
    ) -> Ingested {
        let skip = slot.is_paused().then_some(Reason::Paused);
        let (version, previous) = (slot.version, slot.chunk);
        let record = Record { number: matched.number, version, previous, key: Key::Event(matched.key), skip };
        let outcome = if skip.is_some() {
            if self.skip_seq == NO_CHUNK {
                self.skip_seq = m.next_chunk(txn, at);
            }
            slot.chunk = self.skip_seq;
            slot.skipped = slot.skipped.saturating_add(1);
            self.skips.push(record);
            Ingested::Skipped
        } else {
            let batch = self.firings.of(m, txn, at, slot.lane.into());
            batch.push(record, matched.event, events);
            slot.chunk = batch.seq;
            slot.fired = slot.fired.saturating_add(1);
            Ingested::Fired
        };
        m.put_slot(txn, matched.number, slot);
        outcome
    }
}
