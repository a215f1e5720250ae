//! Dead letters retried or dropped by an operator.

use crate::entry::DeadAction;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::{Machine, corrupt};
use crate::occurrence::{End, decode_ends, encode_ends};
use crate::outbox::{Open, Payloads};
use crate::records::DeadLetter;
use crate::reply::{Applied, OutboxRef, Outcome};

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: &[DeadAction]) -> Result<Applied, ReadError> {
    let mut chunks = Vec::new();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let Some(bytes) = txn.get(Table::Dead, &keys::dead(item.seq))? else {
            found.push(false);
            continue;
        };
        let letter = DeadLetter::decode(&bytes).map_err(corrupt)?;
        if item.retry {
            chunks.push(retry(m, txn, letter)?);
        } else {
            let DeadLetter { chunk, record, reason, .. } = letter;
            set_end(txn, chunk, record, End::Dropped { at, reason })?;
        }
        txn.delete(Table::Dead, keys::dead(item.seq));
        m.counters.dead -= 1;
        found.push(true);
    }
    Ok(Applied { chunks, outcome: Outcome::Dead(found) })
}

/// Opens the letter's chunk again, for this one firing: its occurrence is pending once more.
fn retry(m: &mut Machine, txn: &mut Txn<'_>, letter: DeadLetter) -> Result<OutboxRef, ReadError> {
    let DeadLetter { chunk: seq, record, records, lane, payload, .. } = letter;
    let ends = set_end(txn, seq, record, End::Pending)?;
    m.outbox.take(lane, seq);
    let payloads = merge(txn, lane, seq, records, record, payload)?;
    txn.put(Table::Outbox, keys::outbox(lane, seq), payloads.encode(records));
    m.outbox.insert(lane, seq, Open::with_ends(records, ends));
    Ok(OutboxRef { lane, seq, records })
}

/// The payloads of the chunk as they are (if it is open for other firings), with this one's.
fn merge(
    txn: &Txn<'_>,
    lane: u32,
    seq: u64,
    records: u32,
    record: u32,
    payload: Option<bytes::Bytes>,
) -> Result<Payloads, ReadError> {
    let known = txn.get(Table::Outbox, &keys::outbox(lane, seq))?;
    let mut payloads = match known {
        Some(bytes) => Payloads::decode(&bytes).map_err(corrupt)?.1,
        None => Payloads::default(),
    };
    if let Some(payload) = payload {
        payloads.by_record.resize(records as usize, None);
        payloads.by_record[record as usize] = Some(crate::codec::count(payloads.blobs.len()));
        payloads.blobs.push(payload);
    }
    Ok(payloads)
}

fn set_end(txn: &mut Txn<'_>, seq: u64, record: u32, end: End) -> Result<Vec<End>, ReadError> {
    let bytes = txn.get(Table::Account, &keys::account_ends(seq))?;
    let bytes = bytes.ok_or_else(|| ReadError(format!("the account of chunk {seq} is gone before its dead letter")))?;
    let mut ends = decode_ends(&bytes).map_err(corrupt)?;
    let place =
        ends.get_mut(record as usize).ok_or_else(|| ReadError(format!("chunk {seq} has no record {record}")))?;
    *place = end;
    txn.put(Table::Account, keys::account_ends(seq), encode_ends(&ends));
    Ok(ends)
}
