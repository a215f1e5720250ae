//! What the sink answered. An answer that is known already (the same Ack, proposed again by the next leader) changes nothing.
//! A run that is tracked is open since it was decided; here it is told that the sink has it, or that it will never be.

use crate::apply::decided::Decided;
use crate::apply::overlap;
use crate::entry::{Ack, AckEnd};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{End, encode_ends};
use crate::outbox::Open;
use crate::query;
use crate::records::DeadLetter;
use crate::reply::{Applied, Outcome};

/// `Misses`: the code under which chunks with refused firings stand, beyond those of the reasons to skip.
pub const REFUSED: u8 = 0xF0;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Ack>) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    for Ack { lane, seq, ends } in items {
        let Some(mut open) = m.outbox.take(lane, seq) else { continue };
        let ended = note(&mut open, ends);
        if !ended.is_empty() {
            txn.put(Table::Account, keys::account_ends(seq), encode_ends(&open.ends));
            bury(m, txn, (lane, seq), &open, &ended)?;
            if m.tracks.has_pending(seq) {
                track(m, txn, seq, &open, &ended, &mut decided)?;
            }
        }
        if open.left == 0 {
            txn.delete(Table::Outbox, keys::outbox(lane, seq));
        } else {
            m.outbox.insert(lane, seq, open);
        }
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Done })
}

/// Notes which tracked runs have begun; one that was refused leaves its place to what waits.
fn track(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    chunk: u64,
    open: &Open,
    ended: &[u32],
    decided: &mut Decided,
) -> Result<(), ReadError> {
    for record in ended {
        let Some((number, run)) = m.tracks.pending(chunk, *record) else { continue };
        if matches!(open.ends[*record as usize], End::Started { .. }) {
            m.tracks.start_run(txn, number, run);
            continue;
        }
        m.tracks.close_run(txn, number, run);
        let Some(mut slot) = m.slots.get(number).copied() else { continue };
        overlap::settle(m, txn, (number, &mut slot), decided)?;
        m.put_slot(txn, number, slot);
    }
    Ok(())
}

/// Notes the answers; tells which firings have ended by them.
fn note(open: &mut Open, ends: Vec<AckEnd>) -> Vec<u32> {
    let ended = ends.into_iter().filter_map(|AckEnd { record, at, refused, note }| {
        let end = match refused {
            None => End::Started { at, note },
            Some(reason) => End::Failed { at, reason },
        };
        open.end(record, end).then_some(record)
    });
    ended.collect()
}

/// Keeps those that were refused, complete, among the dead letters.
fn bury(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (lane, seq): (u32, u64),
    open: &Open,
    ended: &[u32],
) -> Result<(), ReadError> {
    let refused = |record: &u32| match &open.ends[*record as usize] {
        End::Failed { at, reason } => Some((*record, *at, reason.clone())),
        _ => None,
    };
    let refused: Vec<_> = ended.iter().filter_map(refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let found = query::outbox_chunk(txn, lane, seq)?;
    let (chunk, payloads) = found.ok_or_else(|| ReadError(format!("open chunk {seq} has no outbox value")))?;
    txn.put(Table::Misses, keys::miss(REFUSED, seq), Vec::new());
    for (record, at, reason) in refused {
        let payload = payloads.of(record).cloned();
        let letter = DeadLetter { chunk: seq, record, records: open.records, lane, at, reason, payload };
        txn.put(Table::Dead, keys::dead(m.counters.next_dead), letter.encode());
        m.counters.next_dead += 1;
        m.counters.dead += 1;
        m.count_failed(txn, &chunk, record, true);
    }
    Ok(())
}
