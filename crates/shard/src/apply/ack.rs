//! What the sink answered. An answer that is known already (the same Ack, proposed again by the next leader) changes nothing.

use crate::entry::{Ack, AckEnd};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{End, encode_ends};
use crate::outbox::Open;
use crate::query;
use crate::records::DeadLetter;

/// `Misses`: the code under which chunks with refused firings stand, beyond those of the reasons to skip.
pub const REFUSED: u8 = 0xF0;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, items: Vec<Ack>) -> Result<(), ReadError> {
    for Ack { lane, seq, ends } in items {
        let Some(mut open) = m.outbox.take(lane, seq) else { continue };
        let ended = note(&mut open, ends);
        if !ended.is_empty() {
            txn.put(Table::Account, keys::account_ends(seq), encode_ends(&open.ends));
            bury(m, txn, (lane, seq), &open, &ended)?;
        }
        if open.left == 0 {
            txn.delete(Table::Outbox, keys::outbox(lane, seq));
        } else {
            m.outbox.insert(lane, seq, open);
        }
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
