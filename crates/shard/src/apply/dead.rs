//! Dead letters retried or dropped by an operator.

use bytes::Bytes;

use crate::codec::count;
use crate::entry::DeadAction;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{End, Key, Record, encode_ends};
use crate::outbox::{Open, Payloads};
use crate::query;
use crate::records::DeadLetter;
use crate::reply::{Applied, OutboxRef, Outcome};
use crate::scan::corrupt;
use crate::tracks::{Run, Wish};

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
            let opened = retry(m, txn, at, letter)?;
            if !chunks.contains(&opened) {
                chunks.push(opened);
            }
        } else {
            let end = End::Dropped { at, reason: letter.reason.clone() };
            set_end(m, txn, &letter, end)?;
        }
        txn.delete(Table::Dead, keys::dead(item.seq));
        m.counters.dead -= 1;
        found.push(true);
    }
    Ok(Applied { chunks, outcome: Outcome::Dead(found) })
}

/// Opens the letter's chunk again, for this one firing: its occurrence is pending once more.
fn retry(m: &mut Machine, txn: &mut Txn<'_>, at: i64, letter: DeadLetter) -> Result<OutboxRef, ReadError> {
    set_end(m, txn, &letter, End::Pending)?;
    let DeadLetter { chunk: seq, record, records, lane, payload, .. } = letter;
    let mut payloads = match txn.get(Table::Outbox, &keys::outbox(lane, seq))? {
        Some(bytes) => Payloads::decode(&bytes).map_err(corrupt)?.1,
        None => Payloads::default(),
    };
    if let Some(payload) = payload {
        attach(&mut payloads, records, record, payload);
    }
    txn.put(Table::Outbox, keys::outbox(lane, seq), payloads.encode(records));
    if let Some(chunk) = query::chunk(txn, seq)? {
        m.count_failed(txn, &chunk, record, false);
        let asked = |again: &Record| match again.key {
            Key::Event(_) => m.tracks.is_followed(again.number),
            _ => m.tracks.is_asked(again.number),
        };
        let runs = |again: &&Record| asked(again);
        if let Some(again) = chunk.records.get(record as usize).filter(runs) {
            // Whoever sends it again wants it to run, whatever is open.
            let place = Some((seq, record));
            m.tracks.open_run(txn, again.number, Run { key: again.key.clone(), since: at, wish: Wish::None, place });
        }
    }
    Ok(OutboxRef { lane, seq, records })
}

/// Gives a record its payload again; the chunk keeps each once, as it did at first.
fn attach(payloads: &mut Payloads, records: u32, record: u32, payload: Bytes) {
    let known = payloads.blobs.iter().position(|blob| *blob == payload);
    let blob = known.unwrap_or_else(|| {
        payloads.blobs.push(payload);
        payloads.blobs.len() - 1
    });
    payloads.by_record.resize(records as usize, None);
    payloads.by_record[record as usize] = Some(count(blob));
}

/// Sets how the letter's firing ended, in the account and, while anything of its chunk is pending, in the outbox.
fn set_end(m: &mut Machine, txn: &mut Txn<'_>, letter: &DeadLetter, end: End) -> Result<(), ReadError> {
    let DeadLetter { chunk: seq, record, records, lane, .. } = *letter;
    let mut ends = query::ends(txn, seq)?;
    if ends.len() != records as usize || record >= records {
        let known = ends.len();
        return Err(ReadError(format!("record {record} of {records} in chunk {seq} is dead, and {known} have ended")));
    }
    ends[record as usize] = end;
    txn.put(Table::Account, keys::account_ends(seq), encode_ends(&ends));
    m.outbox.take(lane, seq);
    let open = Open::with_ends(records, ends);
    if open.left > 0 {
        m.outbox.insert(lane, seq, open);
    }
    Ok(())
}
