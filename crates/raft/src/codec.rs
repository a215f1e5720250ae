//! The bytes of log entries and positions on disk; messages (`message`) are sealed alike.
//!
//! A value is: format version (1 byte), checksum (xxh3 64, little endian, over what follows, seeded with where it is stored), kind
//! (1 byte), body. Numbers in bodies are LEB128. The seed makes a value that turns up under another key an error too.

use crate::membership_codec::{put_membership, take_membership};
use crate::types::{Command, Entry, LeaderId, LogId, StoredMembership, Vote};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that is written, and the newest that is read.
const VERSION: u8 = 1;
const HEADER: usize = 9;

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
const VOTE: u8 = 3;
const POSITION: u8 = 4;
const APPLIED: u8 = 5;
const NUMBER: u8 = 6;

/// Why bytes from disk are no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("its format is {0}, this program knows formats up to {VERSION}: a newer version wrote it")]
    Newer(u8),
    #[error("its checksum does not match: the disk or memory changed it")]
    Checksum,
    #[error("it ends early or has an unknown kind")]
    Malformed,
}

pub(crate) type Decoded<T> = Result<T, DecodeError>;

/// What is applied: the last entry and the last membership at or before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Applied {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

/// Where a value is stored, as the seed of its checksum.
pub(crate) fn place(group: u32, position: u64) -> u64 {
    u64::from(group).rotate_left(32) ^ position
}

pub(crate) fn encode_entry(into: &mut Vec<u8>, place: u64, entry: &Entry) {
    sealed(into, place, entry_kind(entry), |into| put_entry(into, entry));
}

/// Decodes the entry at `index`, which is not part of the value: it is in the key.
pub(crate) fn decode_entry(place: u64, index: u64, bytes: &[u8]) -> Decoded<Entry> {
    let (kind, body) = unsealed(place, bytes)?;
    decode_entry_body(index, kind, body)
}

/// An entry inside of something else that is sealed, without its index. Returns its kind.
pub(crate) fn put_entry_body(into: &mut Vec<u8>, entry: &Entry) -> u8 {
    put_entry(into, entry);
    entry_kind(entry)
}

pub(crate) fn decode_entry_body(index: u64, kind: u8, mut body: &[u8]) -> Decoded<Entry> {
    let id = LogId::new(take_leader(&mut body)?, index);
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMAND => EntryPayload::Normal(Command(Bytes::copy_from_slice(body))),
        MEMBERSHIP => EntryPayload::Membership(take_membership(&mut body)?),
        _ => return Err(DecodeError::Malformed),
    };
    Ok(Entry::new(id, payload))
}

fn entry_kind(entry: &Entry) -> u8 {
    match &entry.payload {
        EntryPayload::Blank => BLANK,
        EntryPayload::Normal(_) => COMMAND,
        EntryPayload::Membership(_) => MEMBERSHIP,
    }
}

fn put_entry(into: &mut Vec<u8>, entry: &Entry) {
    put_leader(into, entry.log_id.committed_leader_id());
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(command) => into.extend_from_slice(&command.0),
        EntryPayload::Membership(membership) => put_membership(into, membership),
    }
}

pub(crate) fn encode_vote(place: u64, vote: &Vote) -> Vec<u8> {
    let mut into = Vec::new();
    sealed(&mut into, place, VOTE, |into| {
        put_leader(into, &vote.leader_id.elected());
        into.push(vote.committed.into());
    });
    into
}

pub(crate) fn decode_vote(place: u64, bytes: &[u8]) -> Decoded<Vote> {
    let mut body = of_kind(VOTE, place, bytes)?;
    let leader_id = take_leader(&mut body)?.into();
    match body {
        [committed @ (0 | 1)] => Ok(Vote { leader_id, committed: *committed == 1 }),
        _ => Err(DecodeError::Malformed),
    }
}

pub(crate) fn encode_position(place: u64, id: &LogId) -> Vec<u8> {
    let mut into = Vec::new();
    sealed(&mut into, place, POSITION, |into| put_log_id(into, id));
    into
}

pub(crate) fn decode_position(place: u64, bytes: &[u8]) -> Decoded<LogId> {
    take_log_id(&mut of_kind(POSITION, place, bytes)?)
}

pub(crate) fn encode_number(place: u64, number: u64) -> Vec<u8> {
    let mut into = Vec::new();
    sealed(&mut into, place, NUMBER, |into| put_number(into, number));
    into
}

pub(crate) fn decode_number(place: u64, bytes: &[u8]) -> Decoded<u64> {
    take_number(&mut of_kind(NUMBER, place, bytes)?)
}

pub(crate) fn encode_applied(place: u64, applied: &Applied) -> Vec<u8> {
    let mut into = Vec::new();
    sealed(&mut into, place, APPLIED, |into| {
        put_option(into, applied.last.as_ref());
        put_option(into, applied.membership.log_id().as_ref());
        put_membership(into, applied.membership.membership());
    });
    into
}

pub(crate) fn decode_applied(place: u64, bytes: &[u8]) -> Decoded<Applied> {
    let mut body = of_kind(APPLIED, place, bytes)?;
    let last = take_option(&mut body)?;
    let membership = StoredMembership::new(take_option(&mut body)?, take_membership(&mut body)?);
    Ok(Applied { last, membership })
}

pub(crate) fn sealed(into: &mut Vec<u8>, place: u64, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    into.clear();
    into.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0, 0, kind]);
    body(into);
    let checksum = xxh3_64_with_seed(&into[HEADER..], place);
    into[1..HEADER].copy_from_slice(&checksum.to_le_bytes());
}

pub(crate) fn unsealed(place: u64, bytes: &[u8]) -> Decoded<(u8, &[u8])> {
    let (&version, rest) = bytes.split_first().ok_or(DecodeError::Malformed)?;
    match version {
        VERSION => {}
        0 => return Err(DecodeError::Malformed),
        newer => return Err(DecodeError::Newer(newer)),
    }
    let (checksum, content) = rest.split_first_chunk().ok_or(DecodeError::Malformed)?;
    if xxh3_64_with_seed(content, place) != u64::from_le_bytes(*checksum) {
        return Err(DecodeError::Checksum);
    }
    content.split_first().map(|(&kind, body)| (kind, body)).ok_or(DecodeError::Malformed)
}

fn of_kind(wanted: u8, place: u64, bytes: &[u8]) -> Decoded<&[u8]> {
    match unsealed(place, bytes)? {
        (kind, body) if kind == wanted => Ok(body),
        _ => Err(DecodeError::Malformed),
    }
}

pub(crate) fn put_leader(into: &mut Vec<u8>, leader: &LeaderId) {
    put_number(into, leader.term);
    put_number(into, leader.node_id);
}

pub(crate) fn take_leader(from: &mut &[u8]) -> Decoded<LeaderId> {
    Ok(LeaderId { term: take_number(from)?, node_id: take_number(from)? })
}

fn put_log_id(into: &mut Vec<u8>, id: &LogId) {
    put_leader(into, id.committed_leader_id());
    put_number(into, id.index());
}

fn take_log_id(from: &mut &[u8]) -> Decoded<LogId> {
    Ok(LogId::new(take_leader(from)?, take_number(from)?))
}

pub(crate) fn put_option(into: &mut Vec<u8>, id: Option<&LogId>) {
    into.push(id.is_some().into());
    if let Some(id) = id {
        put_log_id(into, id);
    }
}

pub(crate) fn take_option(from: &mut &[u8]) -> Decoded<Option<LogId>> {
    match take_number(from)? {
        0 => Ok(None),
        1 => take_log_id(from).map(Some),
        _ => Err(DecodeError::Malformed),
    }
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
pub(crate) fn put_number(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(crate) fn take_number(from: &mut &[u8]) -> Decoded<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first().ok_or(DecodeError::Malformed)?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(DecodeError::Malformed)
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
