//! What the nodes of a cluster say to each other about one group, and its bytes. Only the group's Raft and its snapshots: knows nothing
//! of connections, of other groups or of who is allowed to speak.
//!
//! A message is sealed as values on disk are: version, checksum seeded with the group, kind, body. One that was cut, changed, or sent to
//! the wrong group is no message.

use crate::codec::{
    Applied, DecodeError, Decoded, decode_entry_body, place, put_entry_body, put_leader, put_number, put_option,
    sealed, take_leader, take_number, take_option, unsealed,
};
use crate::membership_codec::{put_membership, take_membership};
use crate::types::{Entry, LogId, StoredMembership, Types, Vote};
use bytes::Bytes;
use flintwheel_store::ExportedFile;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, VoteRequest, VoteResponse};

/// More files than this in one snapshot, or more bytes in a name, are no snapshot of ours.
const MOST_FILES: u64 = 100_000;
const MOST_NAME: u64 = 255;
/// More entries than this in one request were not sent by us.
const MOST_ENTRIES: u64 = 100_000;

/// What one node asks of another's replica.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    /// The leader asks the receiver to stand for election at once.
    TakeLead {
        from: Vote,
        to: u64,
        last: Option<LogId>,
    },
    /// A snapshot is about to come.
    Offer(Offer),
    /// Bytes of one of its files.
    Piece {
        offer: u64,
        file: u32,
        offset: u64,
        bytes: Bytes,
    },
    /// All files were sent: install them.
    Install {
        offer: u64,
        vote: Vote,
    },
    /// The leader by this vote, whose log ends there, asks the receiver to sleep with it.
    Sleep {
        token: u64,
        vote: Vote,
        last: LogId,
    },
}

/// A snapshot: what it stands for, and the files that it consists of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) vote: Vote,
    pub(crate) applied: Applied,
    pub(crate) files: Vec<ExportedFile>,
}

/// What the other replica says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    TakeLead(Result<(), TransferLeaderError<Types>>),
    /// Bytes of each file of the offer that are there already.
    Wanted {
        offer: u64,
        have: Vec<u64>,
    },
    /// The piece is written.
    Taken,
    /// The receiver's vote after the snapshot was installed, or refused because that vote is higher.
    Installed {
        vote: Vote,
    },
    /// It sleeps, in this start of its program.
    Slept {
        boot: u64,
    },
    /// It can't be done here and now; for people.
    Failed(String),
}

const APPEND: u8 = 16;
const VOTE: u8 = 17;
const PRE_VOTE: u8 = 18;
const TAKE_LEAD: u8 = 19;
const OFFER: u8 = 20;
const PIECE: u8 = 21;
const INSTALL: u8 = 22;
const SLEEP: u8 = 23;

const APPENDED: u8 = 32;
const VOTED: u8 = 33;
const LED: u8 = 34;
const WANTED: u8 = 35;
const TAKEN: u8 = 36;
const INSTALLED: u8 = 37;
const FAILED: u8 = 38;
const SLEPT: u8 = 39;

/// Where messages of a group are "stored", as the seed of their checksums.
fn seed(group: u32) -> u64 {
    place(group, u64::MAX)
}

impl Request {
    pub(crate) fn encode(&self, group: u32) -> Bytes {
        let mut into = Vec::new();
        sealed(&mut into, seed(group), self.kind(), |into| self.put(into));
        into.into()
    }

    pub(crate) fn decode(group: u32, bytes: &Bytes) -> Decoded<Self> {
        let (kind, mut body) = unsealed(seed(group), bytes)?;
        let from = &mut body;
        let request = match kind {
            APPEND => Self::Append(take_append(from)?),
            VOTE => Self::Vote(take_vote_request(from)?),
            PRE_VOTE => Self::PreVote(take_vote_request(from)?),
            TAKE_LEAD => Self::TakeLead { from: take_vote(from)?, to: take_number(from)?, last: take_option(from)? },
            OFFER => Self::Offer(take_offer(from)?),
            PIECE => {
                let (offer, file, offset) = (take_number(from)?, take_u32(from)?, take_number(from)?);
                let piece = bytes.slice_ref(std::mem::take(from));
                Self::Piece { offer, file, offset, bytes: piece }
            }
            INSTALL => Self::Install { offer: take_number(from)?, vote: take_vote(from)? },
            SLEEP => Self::Sleep {
                token: take_number(from)?,
                vote: take_vote(from)?,
                last: take_option(from)?.ok_or(DecodeError::Malformed)?,
            },
            _ => return Err(DecodeError::Malformed),
        };
        if from.is_empty() { Ok(request) } else { Err(DecodeError::Malformed) }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Append(_) => APPEND,
            Self::Vote(_) => VOTE,
            Self::PreVote(_) => PRE_VOTE,
            Self::TakeLead { .. } => TAKE_LEAD,
            Self::Offer(_) => OFFER,
            Self::Piece { .. } => PIECE,
            Self::Install { .. } => INSTALL,
            Self::Sleep { .. } => SLEEP,
        }
    }

    fn put(&self, into: &mut Vec<u8>) {
        match self {
            Self::Append(append) => put_append(into, append),
            Self::Vote(vote) | Self::PreVote(vote) => {
                put_vote(into, &vote.vote);
                put_option(into, vote.last_log_id.as_ref());
                into.push(vote.leadership_transfer.into());
            }
            Self::TakeLead { from, to, last } => {
                put_vote(into, from);
                put_number(into, *to);
                put_option(into, last.as_ref());
            }
            Self::Offer(offer) => offer.put(into),
            Self::Piece { offer, file, offset, bytes } => {
                [*offer, u64::from(*file), *offset].into_iter().for_each(|number| put_number(into, number));
                into.extend_from_slice(bytes);
            }
            Self::Install { offer, vote } => {
                put_number(into, *offer);
                put_vote(into, vote);
            }
            Self::Sleep { token, vote, last } => {
                put_number(into, *token);
                put_vote(into, vote);
                put_option(into, Some(last));
            }
        }
    }
}

impl Offer {
    /// What tells it from another one: the same for the same files of the same state, whoever leads.
    pub(crate) fn id(&self, group: u32) -> u64 {
        let mut into = Vec::new();
        self.put_content(&mut into);
        xxhash_rust::xxh3::xxh3_64_with_seed(&into, seed(group))
    }

    pub(crate) fn put(&self, into: &mut Vec<u8>) {
        put_vote(into, &self.vote);
        self.put_content(into);
    }

    fn put_content(&self, into: &mut Vec<u8>) {
        put_option(into, self.applied.last.as_ref());
        put_option(into, self.applied.membership.log_id().as_ref());
        put_membership(into, self.applied.membership.membership());
        put_number(into, self.files.len() as u64);
        for file in &self.files {
            put_text(into, &file.name);
            put_text(into, &file.column);
            put_number(into, file.bytes);
            put_number(into, file.checksum);
        }
    }
}

pub(crate) fn take_offer(from: &mut &[u8]) -> Decoded<Offer> {
    let vote = take_vote(from)?;
    let last = take_option(from)?;
    let membership = StoredMembership::new(take_option(from)?, take_membership(from)?);
    let files = (0..take_count(from, MOST_FILES)?).map(|_| take_file(from)).collect::<Decoded<_>>()?;
    Ok(Offer { vote, applied: Applied { last, membership }, files })
}

fn take_file(from: &mut &[u8]) -> Decoded<ExportedFile> {
    let (name, column) = (take_text(from, MOST_NAME)?, take_text(from, MOST_NAME)?);
    Ok(ExportedFile { name, column, bytes: take_number(from)?, checksum: take_number(from)? })
}

impl Answer {
    pub(crate) fn encode(&self, group: u32) -> Bytes {
        let mut into = Vec::new();
        sealed(&mut into, seed(group), self.kind(), |into| self.put(into));
        into.into()
    }

    pub(crate) fn decode(group: u32, bytes: &[u8]) -> Decoded<Self> {
        let (kind, mut body) = unsealed(seed(group), bytes)?;
        let from = &mut body;
        let answer = match kind {
            APPENDED => Self::Append(take_appended(from)?),
            VOTED => Self::Vote(VoteResponse {
                vote: take_vote(from)?,
                last_log_id: take_option(from)?,
                vote_granted: take_bool(from)?,
            }),
            LED => Self::TakeLead(take_led(from)?),
            WANTED => {
                let offer = take_number(from)?;
                let have = (0..take_count(from, MOST_FILES)?).map(|_| take_number(from)).collect::<Decoded<_>>()?;
                Self::Wanted { offer, have }
            }
            TAKEN => Self::Taken,
            INSTALLED => Self::Installed { vote: take_vote(from)? },
            SLEPT => Self::Slept { boot: take_number(from)? },
            FAILED => Self::Failed(take_text(from, u64::MAX)?),
            _ => return Err(DecodeError::Malformed),
        };
        if from.is_empty() { Ok(answer) } else { Err(DecodeError::Malformed) }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Append(_) => APPENDED,
            Self::Vote(_) => VOTED,
            Self::TakeLead(_) => LED,
            Self::Wanted { .. } => WANTED,
            Self::Taken => TAKEN,
            Self::Installed { .. } => INSTALLED,
            Self::Slept { .. } => SLEPT,
            Self::Failed(_) => FAILED,
        }
    }

    fn put(&self, into: &mut Vec<u8>) {
        match self {
            Self::Append(appended) => put_appended(into, appended),
            Self::Vote(voted) => {
                put_vote(into, &voted.vote);
                put_option(into, voted.last_log_id.as_ref());
                into.push(voted.vote_granted.into());
            }
            Self::TakeLead(led) => put_led(into, led),
            Self::Wanted { offer, have } => {
                put_number(into, *offer);
                put_number(into, have.len() as u64);
                have.iter().for_each(|bytes| put_number(into, *bytes));
            }
            Self::Taken => {}
            Self::Installed { vote } => put_vote(into, vote),
            Self::Slept { boot } => put_number(into, *boot),
            Self::Failed(why) => put_text(into, why),
        }
    }
}

fn put_append(into: &mut Vec<u8>, append: &AppendEntriesRequest<Types>) {
    put_vote(into, &append.vote);
    put_option(into, append.prev_log_id.as_ref());
    put_option(into, append.leader_commit.as_ref());
    put_number(into, append.entries.len() as u64);
    let mut body = Vec::new();
    for entry in &append.entries {
        body.clear();
        let kind = put_entry_body(&mut body, entry);
        put_number(into, entry.log_id.index());
        into.push(kind);
        put_number(into, body.len() as u64);
        into.extend_from_slice(&body);
    }
}

fn take_append(from: &mut &[u8]) -> Decoded<AppendEntriesRequest<Types>> {
    let (vote, prev_log_id, leader_commit) = (take_vote(from)?, take_option(from)?, take_option(from)?);
    let count = take_count(from, MOST_ENTRIES)?;
    let entries = (0..count).map(|_| take_entry(from)).collect::<Decoded<_>>()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn take_entry(from: &mut &[u8]) -> Decoded<Entry> {
    let (index, kind) = (take_number(from)?, take_byte(from)?);
    let body = take_bytes(from, u64::MAX)?;
    decode_entry_body(index, kind, body)
}

fn take_vote_request(from: &mut &[u8]) -> Decoded<VoteRequest<Types>> {
    let mut request = VoteRequest::new(take_vote(from)?, take_option(from)?);
    request.leadership_transfer = take_bool(from)?;
    Ok(request)
}

fn put_appended(into: &mut Vec<u8>, appended: &AppendEntriesResponse<Types>) {
    match appended {
        AppendEntriesResponse::Success => into.push(0),
        AppendEntriesResponse::PartialSuccess(upto) => {
            into.push(1);
            put_option(into, upto.as_ref());
        }
        AppendEntriesResponse::Conflict => into.push(2),
        AppendEntriesResponse::HigherVote(vote) => {
            into.push(3);
            put_vote(into, vote);
        }
    }
}

fn take_appended(from: &mut &[u8]) -> Decoded<AppendEntriesResponse<Types>> {
    Ok(match take_byte(from)? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(take_option(from)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(take_vote(from)?),
        _ => return Err(DecodeError::Malformed),
    })
}

fn put_led(into: &mut Vec<u8>, led: &Result<(), TransferLeaderError<Types>>) {
    match led {
        Ok(()) => into.push(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            into.push(1);
            put_vote(into, expected);
            put_vote(into, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            into.push(2);
            put_option(into, expected.as_ref());
            put_option(into, actual.as_ref());
        }
    }
}

fn take_led(from: &mut &[u8]) -> Decoded<Result<(), TransferLeaderError<Types>>> {
    Ok(match take_byte(from)? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged { expected: take_vote(from)?, actual: take_vote(from)? }),
        2 => Err(TransferLeaderError::LogNotFlushed { expected: take_option(from)?, actual: take_option(from)? }),
        _ => return Err(DecodeError::Malformed),
    })
}

fn put_vote(into: &mut Vec<u8>, vote: &Vote) {
    put_leader(into, &vote.leader_id.elected());
    into.push(vote.committed.into());
}

fn take_vote(from: &mut &[u8]) -> Decoded<Vote> {
    Ok(Vote { leader_id: take_leader(from)?.into(), committed: take_bool(from)? })
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    put_number(into, text.len() as u64);
    into.extend_from_slice(text.as_bytes());
}

fn take_text(from: &mut &[u8], most: u64) -> Decoded<String> {
    let bytes = take_bytes(from, most)?;
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::Malformed)
}

fn take_bytes<'a>(from: &mut &'a [u8], most: u64) -> Decoded<&'a [u8]> {
    let length = take_count(from, most)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
    let (bytes, rest) = from.split_at_checked(length).ok_or(DecodeError::Malformed)?;
    *from = rest;
    Ok(bytes)
}

/// A number of things that follow. Nothing is allocated for them before they are there, so a lie costs nothing.
fn take_count(from: &mut &[u8], most: u64) -> Decoded<u64> {
    take_number(from).and_then(|count| if count <= most { Ok(count) } else { Err(DecodeError::Malformed) })
}

fn take_u32(from: &mut &[u8]) -> Decoded<u32> {
    take_number(from)?.try_into().map_err(|_| DecodeError::Malformed)
}

fn take_byte(from: &mut &[u8]) -> Decoded<u8> {
    let (&byte, rest) = from.split_first().ok_or(DecodeError::Malformed)?;
    *from = rest;
    Ok(byte)
}

fn take_bool(from: &mut &[u8]) -> Decoded<bool> {
    match take_byte(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
