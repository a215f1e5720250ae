//! What the sink answered. An answer that is known already (the same Ack, proposed again by the next leader) changes nothing.

use crate::entry::{Ack, AckEnd};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::{Machine, corrupt};
use crate::occurrence::{Chunk, End, encode_ends};
use crate::outbox::{Open, Payloads};
use crate::records::DeadLetter;

/// `Misses`: the code under which chunks with refused firings stand, beyond those of the reasons to skip.
pub const REFUSED: u8 = 0xF0;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, items: Vec<Ack>) -> Result<(), ReadError> {
    for item in items {
        if let Some(open) = m.outbox.take(item.lane, item.seq) {
            acknowledge(m, txn, item, open)?;
        }
    }
    Ok(())
}

fn acknowledge(m: &mut Machine, txn: &mut Txn<'_>, item: Ack, mut open: Open) -> Result<(), ReadError> {
    let (lane, seq) = (item.lane, item.seq);
    for end in item.ends {
        let AckEnd { record, at, refused, note } = end;
        match refused {
            None => {
                open.end(record, End::Started { at, note });
            }
            Some(reason) => {
                if open.end(record, End::Failed { at, reason: reason.clone() }) {
                    let letter =
                        DeadLetter { chunk: seq, record, records: open.records, lane, at, reason, payload: None };
                    bury(m, txn, letter)?;
                }
            }
        }
    }
    if !open.ends.is_empty() {
        txn.put(Table::Account, keys::account_ends(seq), encode_ends(&open.ends));
    }
    if open.left == 0 {
        txn.delete(Table::Outbox, keys::outbox(lane, seq));
    } else {
        m.outbox.insert(lane, seq, open);
    }
    Ok(())
}

/// Keeps a refused firing, complete, among the dead letters.
fn bury(m: &mut Machine, txn: &mut Txn<'_>, mut letter: DeadLetter) -> Result<(), ReadError> {
    let outbox = txn.get(Table::Outbox, &keys::outbox(letter.lane, letter.chunk))?;
    let outbox = outbox.ok_or_else(|| ReadError(format!("open chunk {} has no outbox value", letter.chunk)))?;
    letter.payload = Payloads::decode(&outbox).map_err(corrupt)?.1.of(letter.record).cloned();
    let chunk = txn.get(Table::Account, &keys::account(letter.chunk))?;
    let chunk = chunk.ok_or_else(|| ReadError(format!("open chunk {} has no account", letter.chunk)))?;
    let number = Chunk::decode(&chunk).map_err(corrupt)?.records.get(letter.record as usize).map(|r| r.number);
    if let Some((number, mut slot)) = number.and_then(|n| m.slots.get(n).map(|slot| (n, *slot))) {
        slot.failed = slot.failed.saturating_add(1);
        m.put_slot(txn, number, slot);
    }
    txn.put(Table::Misses, keys::miss(REFUSED, letter.chunk), Vec::new());
    txn.put(Table::Dead, keys::dead(m.counters.next_dead), letter.encode());
    m.counters.next_dead += 1;
    m.counters.dead += 1;
    Ok(())
}
