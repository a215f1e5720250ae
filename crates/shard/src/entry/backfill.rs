//! Entries about backfills: due times of the past, decided in parts, at a pace that the leader keeps.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::tracks::Policy;

/// One step of a backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackfillStep {
    /// Begins one.
    Begin(BeginBackfill),
    /// Decides its next due times.
    Advance(AdvanceBackfill),
    /// Ends one before its time. What it has decided stays.
    Stop {
        /// The definition's namespace.
        namespace: String,
        /// The definition's id.
        id: String,
        /// Which one.
        backfill: String,
    },
}

/// A backfill to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeginBackfill {
    /// The definition's namespace.
    pub namespace: String,
    /// The definition's id.
    pub id: String,
    /// Which one: part of its firings' keys. The same again changes nothing.
    pub backfill: String,
    /// What is asked for.
    pub range: Range,
    /// Its first due time in its order, or [`NEVER`](super::NEVER).
    pub next: i64,
    /// How many due times it has, as far as they were counted.
    pub total: u64,
}

/// What a backfill covers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first nominal time, in microseconds since the epoch.
    pub from: i64,
    /// The last nominal time; it belongs to the range.
    pub to: i64,
    /// The newest due time first.
    pub newest_first: bool,
    /// Due times a second, at most.
    pub rate: u32,
    /// What becomes of its due times while a run is open; else what the definition says.
    pub policy: Option<Policy>,
}

/// The next due times of a backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvanceBackfill {
    /// Which definition.
    pub number: u64,
    /// Which of its backfills.
    pub backfill: String,
    /// The definition's version that the due times are of; another one makes them stale.
    pub version: u32,
    /// Nominal times in the backfill's order. The first one must be where the backfill stands.
    pub times: Vec<i64>,
    /// Where it stands after them, or [`NEVER`](super::NEVER) where they are the last ones.
    pub next: i64,
}

impl BackfillStep {
    pub(super) fn encode(e: &mut Encoder, step: &Self) {
        match step {
            Self::Begin(begin) => {
                e.u8(1);
                e.text(&begin.namespace);
                e.text(&begin.id);
                e.text(&begin.backfill);
                begin.range.encode(e);
                e.i64(begin.next);
                e.u64(begin.total);
            }
            Self::Advance(advance) => {
                e.u8(2);
                e.u64(advance.number);
                e.text(&advance.backfill);
                e.u32(advance.version);
                e.list(&advance.times, |e, time| e.i64(*time));
                e.i64(advance.next);
            }
            Self::Stop { namespace, id, backfill } => {
                e.u8(3);
                e.text(namespace);
                e.text(id);
                e.text(backfill);
            }
        }
    }

    pub(super) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            1 => Self::Begin(BeginBackfill {
                namespace: d.text()?,
                id: d.text()?,
                backfill: d.text()?,
                range: Range::decode(d)?,
                next: d.i64()?,
                total: d.u64()?,
            }),
            2 => Self::Advance(AdvanceBackfill {
                number: d.u64()?,
                backfill: d.text()?,
                version: d.u32()?,
                times: d.list(Decoder::i64)?,
                next: d.i64()?,
            }),
            3 => Self::Stop { namespace: d.text()?, id: d.text()?, backfill: d.text()? },
            other => return Err(DecodeError(format!("step {other} of a backfill is not known to this program"))),
        })
    }
}

impl Range {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        e.i64(self.from);
        e.i64(self.to);
        e.u8(self.newest_first.into());
        e.u32(self.rate);
        e.option(self.policy.as_ref(), |e, policy| Policy::encode(e, *policy));
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            from: d.i64()?,
            to: d.i64()?,
            newest_first: d.flag()?,
            rate: d.u32()?,
            policy: d.option(Policy::decode)?,
        })
    }
}
