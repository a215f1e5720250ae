//! Reading a shard's state: definitions by name and in order, what an outbox chunk holds, the occurrences of a definition, dead letters.
//!
//! Over committed state, or through a transaction; nothing here changes anything.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::codec::{DecodeError, Decoder};
use crate::keys;
use crate::kv::{Read, ReadError, Table};
use crate::occurrence::{Chunk, End, NO_CHUNK, Record, decode_ends};
use crate::outbox::Payloads;
use crate::records::{Counters, DeadLetter, PauseNote, Version};
use crate::scan::{self, corrupt};

/// The number of the definition of this name.
pub fn number(state: &dyn Read, namespace: &str, id: &str) -> Result<Option<u64>, ReadError> {
    let value = state.get(Table::Names, &keys::name(namespace, id))?;
    value.map(|bytes| Decoder::new(&bytes).u64().map_err(corrupt)).transpose()
}

/// One version of a definition, if it is still kept.
pub fn version(state: &dyn Read, number: u64, version: u32) -> Result<Option<Version>, ReadError> {
    let value = state.get(Table::Definitions, &keys::definition(number, version))?;
    value.map(|bytes| Version::decode(&bytes).map_err(corrupt)).transpose()
}

/// The newest versions of a definition that are kept, from before one on, the newest first.
pub fn versions(state: &dyn Read, number: u64, before: Option<u32>, limit: usize) -> Result<Vec<u32>, ReadError> {
    let (from, to) = (keys::definition(number, 0), keys::definition(number, before.unwrap_or(u32::MAX)));
    let mut found = VecDeque::with_capacity(limit.min(1024));
    scan::each(state, Table::Definitions, (&from, &to), |key, _| {
        found.push_back(keys::parse_definition(key)?.1);
        if found.len() > limit {
            found.pop_front();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found.into_iter().rev().collect())
}

/// Why a definition is paused, if it is.
pub fn pause_note(state: &dyn Read, number: u64) -> Result<Option<PauseNote>, ReadError> {
    let value = state.get(Table::Meta, &keys::pause_note(number))?;
    value.map(|bytes| PauseNote::decode(&bytes).map_err(corrupt)).transpose()
}

/// A definition's name and number.
pub type Named = (String, String, u64);

/// Names in order, from after `after` (namespace, id), of one namespace or of all, at most `limit`.
pub fn names(
    state: &dyn Read,
    namespace: Option<&str>,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Result<Vec<Named>, ReadError> {
    let prefix = namespace.map(keys::namespace_prefix).unwrap_or_default();
    // The successor of a name is the name and a zero byte.
    let from = after.map_or_else(|| prefix.clone(), |(namespace, id)| [keys::name(namespace, id), vec![0]].concat());
    let (from, to) = (from.max(prefix.clone()), keys::after(&prefix));
    scan::first(state, Table::Names, (&from, &to), limit, |key, value| {
        let (namespace, id) = keys::parse_name(key)?;
        Ok((namespace.to_owned(), id.to_owned(), Decoder::new(value).u64()?))
    })
}

/// A subscription as the ingress needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The definition's namespace.
    pub namespace: String,
    /// The event type.
    pub event_type: String,
    /// The definition.
    pub number: u64,
    /// The version that listens.
    pub version: u32,
    /// How to match; opaque here.
    pub matcher: Vec<u8>,
}

/// All subscriptions of the shard.
pub fn subscriptions(state: &dyn Read) -> Result<Vec<Subscribed>, ReadError> {
    scan::all(state, Table::Subscriptions, subscribed)
}

/// Subscriptions of the shard in the order of their keys, beginning at `from` (empty for the first) and ending when they have about `bytes`
/// bytes; and where to go on, if there are more.
pub fn subscriptions_page(
    state: &dyn Read,
    from: &[u8],
    bytes: usize,
) -> Result<(Vec<Subscribed>, Option<Vec<u8>>), ReadError> {
    let (mut found, mut taken, mut next) = (Vec::new(), 0, None);
    scan::each(state, Table::Subscriptions, (from, &keys::after(&[])), |key, value| {
        if taken >= bytes {
            next = Some(key.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        taken += key.len() + value.len();
        found.push(subscribed(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((found, next))
}

fn subscribed(key: &[u8], value: &[u8]) -> Result<Subscribed, DecodeError> {
    let (namespace, event_type, number) = keys::parse_subscription(key)?;
    let mut d = Decoder::new(value);
    let version = d.u32()?;
    let (namespace, event_type) = (namespace.to_owned(), event_type.to_owned());
    Ok(Subscribed { namespace, event_type, number, version, matcher: value[4..].to_vec() })
}

/// An outbox chunk: its account records and their payloads. `None` if it is not open.
pub fn outbox_chunk(state: &dyn Read, lane: u32, seq: u64) -> Result<Option<(Chunk, Payloads)>, ReadError> {
    let Some(outbox) = state.get(Table::Outbox, &keys::outbox(lane, seq))? else { return Ok(None) };
    let chunk = chunk(state, seq)?.ok_or_else(|| ReadError(format!("open chunk {seq} has no account")))?;
    Ok(Some((chunk, Payloads::decode(&outbox).map_err(corrupt)?.1)))
}

/// An account chunk, if it is still kept.
pub fn chunk(state: &dyn Read, seq: u64) -> Result<Option<Chunk>, ReadError> {
    let value = state.get(Table::Account, &keys::account(seq))?;
    value.map(|bytes| Chunk::decode(&bytes).map_err(corrupt)).transpose()
}

/// How the firings of a chunk ended, as far as they have.
pub fn ends(state: &dyn Read, seq: u64) -> Result<Vec<End>, ReadError> {
    let value = state.get(Table::Account, &keys::account_ends(seq))?;
    value.map_or(Ok(Vec::new()), |bytes| decode_ends(&bytes).map_err(corrupt))
}

/// One occurrence as it stands in the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Its chunk.
    pub chunk: u64,
    /// Its index there.
    pub record: u32,
    /// When it was decided, in microseconds since the epoch.
    pub decided: i64,
    /// What was decided.
    pub what: Record,
    /// How it ended.
    pub end: End,
}

/// Occurrences of one definition, newest first, beginning with chunk `from` (a cursor's chunk, or where an earlier page stopped). Returns at
/// least `limit` of them if there are as many, and the chunk to go on from, or [`NO_CHUNK`].
pub fn occurrences(
    state: &dyn Read,
    number: u64,
    from: u64,
    limit: usize,
) -> Result<(Vec<Occurrence>, u64), ReadError> {
    let (mut found, mut seq) = (Vec::new(), from);
    while seq != NO_CHUNK && found.len() < limit {
        // A chunk that has been dropped for its age ends the chain.
        let Some(chunk) = chunk(state, seq)? else { return Ok((found, NO_CHUNK)) };
        let mut of_chunk = of_records(state, seq, chunk, |record| record.number == number)?;
        let before = of_chunk.iter().map(|o| o.what.previous).min().unwrap_or(NO_CHUNK);
        of_chunk.reverse();
        found.append(&mut of_chunk);
        if before >= seq {
            let fault =
                format!("the occurrences of definition {number} go from chunk {seq} to {before}, which is not older");
            return Err(ReadError(fault));
        }
        seq = before;
    }
    Ok((found, seq))
}

/// All occurrences of a chunk, the last first; none where there is no such chunk, or no more.
pub fn of_chunk(state: &dyn Read, seq: u64) -> Result<Vec<Occurrence>, ReadError> {
    let Some(chunk) = chunk(state, seq)? else { return Ok(Vec::new()) };
    let mut found = of_records(state, seq, chunk, |_| true)?;
    found.reverse();
    Ok(found)
}

/// The newest chunk before `before` that holds an occurrence, of any definition, that did not fire for this reason code.
pub fn miss_before(state: &dyn Read, reason: u8, before: u64) -> Result<Option<u64>, ReadError> {
    // Keys can be read forward only: ever larger parts of what lies before. What is read in vain is less than twice the way back.
    let (mut end, mut width) = (before.min(next_chunk(state)?), 1_u64);
    while end > 0 {
        let begin = end.saturating_sub(width);
        let mut newest = None;
        scan::each(state, Table::Misses, (&keys::miss(reason, begin), &keys::miss(reason, end)), |key, _| {
            newest = Some(keys::parse_miss(key)?);
            Ok(ControlFlow::Continue(()))
        })?;
        if newest.is_some() {
            return Ok(newest);
        }
        (end, width) = (begin, width.saturating_mul(2));
    }
    Ok(None)
}

/// Occurrences of any definition that did not fire for this reason code, newest first, from before chunk `before`. Returns at least
/// `limit` of them if there are as many; to go on, ask from before the last one's chunk.
pub fn misses(state: &dyn Read, reason: u8, mut before: u64, limit: usize) -> Result<Vec<Occurrence>, ReadError> {
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(seq) = miss_before(state, reason, before)?
    {
        found.extend(of_chunk(state, seq)?.into_iter().filter(|o| is_missed(o, reason)));
        before = seq;
    }
    Ok(found)
}

fn next_chunk(state: &dyn Read) -> Result<u64, ReadError> {
    let counters = state.get(Table::Meta, keys::COUNTERS)?;
    counters.map_or(Ok(0), |bytes| Counters::decode(&bytes).map(|counters| counters.next_chunk).map_err(corrupt))
}

fn is_missed(occurrence: &Occurrence, reason: u8) -> bool {
    match (&occurrence.end, occurrence.what.skip) {
        (_, Some(skip)) => skip.code() == reason,
        (End::Failed { .. } | End::Dropped { .. }, None) => reason == crate::REFUSED,
        _ => false,
    }
}

fn of_records(
    state: &dyn Read,
    seq: u64,
    chunk: Chunk,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Occurrence>, ReadError> {
    let ends = ends(state, seq)?;
    let decided = chunk.at;
    let numbered = chunk.records.into_iter().enumerate();
    let found = numbered.filter(|(_, record)| wanted(record)).map(|(index, what)| {
        let end = match ends.get(index) {
            Some(end) => end.clone(),
            None if what.skip.is_some() => End::Skipped,
            None => End::Pending,
        };
        Occurrence { chunk: seq, record: index as u32, decided, what, end }
    });
    Ok(found.collect())
}

/// Dead letters in order, from a sequence on, at most `limit`.
pub fn dead_letters(state: &dyn Read, from: u64, limit: usize) -> Result<Vec<(u64, DeadLetter)>, ReadError> {
    let read = |key: &[u8], value: &[u8]| Ok((keys::parse_cursor(key)?, DeadLetter::decode(value)?));
    scan::first(state, Table::Dead, (&keys::dead(from), &keys::after(&[])), limit, read)
}
