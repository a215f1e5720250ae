//! Old time buckets dropped: dedupe keys beyond every window, account chunks and retired versions beyond what is kept.

use crate::apply::ack::REFUSED;
use crate::codec::Decoder;
use crate::entry::Expire;
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::machine::{Machine, hour_of};
use crate::occurrence::Reason;
use crate::query;
use crate::records::DeadLetter;
use crate::scan::{self, corrupt};

/// Versions removed by one entry: the rest wait for the next, so that apply stays short.
const VERSIONS: usize = 10_000;

/// Whether an entry proposed at that time would drop anything. A shard with nothing to drop need not be woken for it.
pub(crate) fn is_due(m: &Machine, state: &dyn Read, at: i64, expire: Expire) -> Result<bool, ReadError> {
    if m.counters.dedupe.has_expired(at) {
        return Ok(true);
    }
    let held = held_since(m, state)?;
    let end = hour_of(expire.versions_before.min(held)).to_be_bytes();
    Ok(account_floor(m, state, expire.account_before.min(held))?.is_some()
        || !scan::first(state, Table::Retired, (&[], &end), 1, |_, _| Ok(()))?.is_empty())
}

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, expire: Expire) -> Result<(), ReadError> {
    m.counters.dedupe.expire(txn, at);
    let held = held_since(m, txn)?;
    expire_account(m, txn, expire.account_before.min(held))?;
    expire_versions(m, txn, at, Expire { versions_before: expire.versions_before.min(held), ..expire })
}

/// When the oldest chunk was decided that has a firing in the outbox, or that a dead letter may open again. It is kept, with all that came
/// after it, and so are the versions that it fires: those were not superseded before.
fn held_since(m: &Machine, state: &dyn Read) -> Result<i64, ReadError> {
    let letters = scan::all(state, Table::Dead, |_, value| DeadLetter::chunk_of(value))?;
    let Some(seq) = m.outbox.oldest().into_iter().chain(letters).min() else { return Ok(i64::MAX) };
    let chunk =
        query::chunk(state, seq)?.ok_or_else(|| ReadError(format!("chunk {seq} is held and has no account")))?;
    Ok(chunk.at)
}

/// The first account chunk to be kept, if that is one more than are kept now.
fn account_floor(m: &Machine, state: &dyn Read, before: i64) -> Result<Option<u64>, ReadError> {
    let hour = hour_of(before);
    // A shard that has decided nothing since then keeps nothing.
    let all_go = hour > m.counters.account_hour;
    let floor = if all_go { Some(m.counters.next_chunk) } else { first_chunk_from(state, hour)? };
    Ok(floor.filter(|floor| *floor > m.counters.account_floor))
}

/// Drops whole hours.
fn expire_account(m: &mut Machine, txn: &mut Txn<'_>, before: i64) -> Result<(), ReadError> {
    let Some(floor) = account_floor(m, txn, before)? else { return Ok(()) };
    let (hour, newest_hour, known) = (hour_of(before), m.counters.account_hour, m.counters.account_floor);
    txn.delete_range(Table::Account, keys::account(known), keys::account(floor));
    for reason in Reason::ALL.map(Reason::code).into_iter().chain([REFUSED]) {
        txn.delete_range(Table::Misses, keys::miss(reason, known), keys::miss(reason, floor));
    }
    // The newest hour's index stays: what else it decides is found by it.
    txn.delete_range(Table::Meta, keys::account_hour(0), keys::account_hour(hour.min(newest_hour)));
    m.counters.account_floor = floor;
    Ok(())
}

/// The first account chunk of this hour or of the next one that has any.
fn first_chunk_from(state: &dyn Read, hour: u32) -> Result<Option<u64>, ReadError> {
    let hours = (keys::account_hour(hour), keys::account_hour(u32::MAX));
    let first = |_: &[u8], value: &[u8]| Decoder::new(value).array().map(u64::from_be_bytes);
    Ok(scan::first(state, Table::Meta, (&hours.0, &hours.1), 1, first)?.pop())
}

/// Drops versions that were superseded in whole hours before, but for the newest ones of a definition.
fn expire_versions(m: &Machine, txn: &mut Txn<'_>, at: i64, expire: Expire) -> Result<(), ReadError> {
    let end = hour_of(expire.versions_before);
    for key in scan::first(txn, Table::Retired, (&[], &end.to_be_bytes()), VERSIONS, |key, _| Ok(key.to_vec()))? {
        let (number, version) = keys::parse_retired(&key).map_err(corrupt)?;
        txn.delete(Table::Retired, key);
        if is_history(m, number, version, expire.keep) {
            // Looked at again when as much time has gone by as until now: so nothing has to be noted when a newer version is made.
            txn.put(Table::Retired, keys::retired(hour_of(at).max(end), number, version), Vec::new());
        } else {
            txn.delete(Table::Definitions, keys::definition(number, version));
        }
    }
    Ok(())
}

/// Whether a version is among the newest ones of a definition that is there.
fn is_history(m: &Machine, number: u64, version: u32, keep: u32) -> bool {
    m.slots.get(number).is_some_and(|slot| slot.version.saturating_sub(version) < keep)
}
