//! What became of requests, remembered among the dedupe keys: one that comes again is answered as before, and changes nothing.
//!
//! Only what was carried out is remembered. What was refused has changed nothing, and may be asked again.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::Request;
use crate::kv::{Read, ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::check_version;
use crate::reply::{Before, Change};
use crate::scan::corrupt;

const VERSION: u8 = 1;

/// `Dedupe`: a request that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// Of what was asked for.
    pub content: [u8; 16],
    /// What was answered.
    pub answer: Answer,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It defined something.
    Defined(Before),
    /// It deleted something.
    Deleted {
        /// Which had this version.
        version: u32,
    },
    /// It paused or resumed something.
    Paused {
        /// Which was not so before.
        changed: bool,
    },
}

impl Remembered {
    /// As it stands on disk. The time comes first, as with every dedupe key.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(48);
        e.i64(self.at);
        e.u8(VERSION);
        e.raw(&self.content);
        match self.answer {
            Answer::Defined(Before { change, version, next }) => {
                e.u8(code(change));
                e.u32(version);
                e.i64(next);
            }
            Answer::Deleted { version } => {
                e.u8(DELETED);
                e.u32(version);
            }
            Answer::Paused { changed } => e.u8(if changed { SWITCHED } else { SAME }),
        }
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let at = d.i64()?;
        check_version(d.u8()?, "request")?;
        let content = d.array()?;
        let answer = match d.u8()? {
            CREATED => defined(&mut d, Change::Created)?,
            CONFIGURED => defined(&mut d, Change::Configured)?,
            UNCHANGED => defined(&mut d, Change::Unchanged)?,
            DELETED => Answer::Deleted { version: d.u32()? },
            SWITCHED => Answer::Paused { changed: true },
            SAME => Answer::Paused { changed: false },
            other => return Err(DecodeError(format!("{other} is no answer to a request"))),
        };
        d.end()?;
        Ok(Self { at, content, answer })
    }
}

fn defined(d: &mut Decoder, change: Change) -> Result<Answer, DecodeError> {
    Ok(Answer::Defined(Before { change, version: d.u32()?, next: d.i64()? }))
}

/// On disk.
const CREATED: u8 = 1;
const CONFIGURED: u8 = 2;
const UNCHANGED: u8 = 3;
const DELETED: u8 = 4;
const SWITCHED: u8 = 5;
const SAME: u8 = 6;

fn code(change: Change) -> u8 {
    match change {
        Change::Created => CREATED,
        Change::Configured => CONFIGURED,
        Change::Unchanged => UNCHANGED,
    }
}

/// What is known of a request that comes.
pub(crate) enum Known {
    /// Nothing: it is to be carried out.
    New,
    /// It was carried out, and this is what was answered.
    Answered(Answer),
    /// Another one was carried out under its id.
    Other,
}

impl Machine {
    /// Whether a request, or another one under its id, has been carried out, as far as is applied.
    pub fn remembers(&self, state: &dyn Read, request: &Request) -> Result<bool, ReadError> {
        Ok(self.remembered(state, self.counters.clock, request)?.is_some())
    }

    pub(crate) fn known(&self, txn: &Txn<'_>, at: i64, request: Option<&Request>) -> Result<Known, ReadError> {
        let Some(request) = request else { return Ok(Known::New) };
        Ok(match self.remembered(txn, at, request)? {
            None => Known::New,
            Some(before) if before.content == request.content => Known::Answered(before.answer),
            Some(_) => Known::Other,
        })
    }

    /// Remembers a request that is carried out by the entry that is being applied.
    pub(crate) fn remember(&mut self, txn: &mut Txn<'_>, at: i64, request: Option<&Request>, answer: Answer) {
        let Some(Request { digest, content, window }) = request else { return };
        let value = Remembered { at, content: *content, answer }.encode();
        self.counters.dedupe.put(txn, at, digest, *window, value);
    }

    fn remembered(&self, state: &dyn Read, at: i64, request: &Request) -> Result<Option<Remembered>, ReadError> {
        let found = self.counters.dedupe.find(state, at, &request.digest, request.window, taken_at)?;
        found.map(|bytes| Remembered::decode(&bytes).map_err(corrupt)).transpose()
    }
}

/// What is too short for a time is looked at, and then found to be no record.
fn taken_at(value: &[u8]) -> i64 {
    Decoder::new(value).i64().unwrap_or(i64::MAX)
}
