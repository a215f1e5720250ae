//! Old time buckets dropped: dedupe keys beyond every window, account chunks and retired versions beyond what is kept.

use std::ops::ControlFlow;

use crate::entry::Expire;
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::machine::{Machine, corrupt, hour_of};
use crate::records::DeadLetter;

/// Versions removed by one entry: the rest wait for the next, so that apply stays short.
const VERSIONS: usize = 10_000;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, expire: Expire) -> Result<(), ReadError> {
    m.counters.dedupe.expire(txn, at);
    expire_account(m, txn, expire.account_before)?;
    expire_versions(txn, expire.versions_before)
}

/// Drops whole hours, but nothing that is open in the outbox or that a dead letter points at.
fn expire_account(m: &mut Machine, txn: &mut Txn<'_>, before: i64) -> Result<(), ReadError> {
    let Some(mut floor) = first_chunk_from(txn.committed(), hour_of(before))? else { return Ok(()) };
    if let Some(open) = m.outbox.oldest() {
        floor = floor.min(open);
    }
    if let Some(dead) = oldest_dead_chunk(txn.committed())? {
        floor = floor.min(dead);
    }
    if floor <= m.counters.account_floor {
        return Ok(());
    }
    txn.delete_range(Table::Account, keys::account(m.counters.account_floor), keys::account(floor));
    for reason in crate::occurrence::Reason::ALL.map(|r| r.code()).into_iter().chain([super::ack::REFUSED]) {
        txn.delete_range(Table::Misses, keys::miss(reason, m.counters.account_floor), keys::miss(reason, floor));
    }
    txn.delete_range(Table::Meta, keys::account_hour(0), keys::account_hour(hour_of(before)));
    m.counters.account_floor = floor;
    Ok(())
}

/// The first account chunk of this hour or of the next one that has any.
fn first_chunk_from(state: &dyn Read, hour: u32) -> Result<Option<u64>, ReadError> {
    let mut found = None;
    state.scan(Table::Meta, &keys::account_hour(hour), &keys::account_hour(u32::MAX), &mut |_, value| {
        found = value.try_into().ok().map(u64::from_be_bytes);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn oldest_dead_chunk(state: &dyn Read) -> Result<Option<u64>, ReadError> {
    let (mut oldest, mut fault) = (None::<u64>, None);
    state.scan(Table::Dead, &[], &keys::after(&[]), &mut |_, value| match DeadLetter::decode(value) {
        Ok(letter) => {
            oldest = Some(oldest.map_or(letter.chunk, |o| o.min(letter.chunk)));
            ControlFlow::Continue(())
        }
        Err(error) => {
            fault = Some(corrupt(error));
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(oldest), Err)
}

fn expire_versions(txn: &mut Txn<'_>, before: i64) -> Result<(), ReadError> {
    let mut old = Vec::new();
    txn.committed().scan(Table::Retired, &[], &hour_of(before).to_be_bytes(), &mut |key, _| {
        old.push(key.to_vec());
        if old.len() < VERSIONS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for key in old {
        let (number, version) = keys::parse_retired(&key).map_err(corrupt)?;
        txn.delete(Table::Definitions, keys::definition(number, version));
        txn.delete(Table::Retired, key);
    }
    Ok(())
}
