//! What stands in a shard's log. One entry is a batch of decisions that its leader took; apply only writes them down.
//!
//! The format is versioned: an entry of a newer kind stops the shard on a node that doesn't know it, never the node.

mod backfill;
mod follow;
mod ingest;
mod pause;
mod restore;

use bytes::Bytes;

use crate::calendar_entry::{CalendarStep, Uses, plain_name};
use crate::codec::{DecodeError, Decoder, Encoder, decode_entry, encode_entry};
use crate::courses::Bounds;
use crate::occurrence::Reason;
use crate::tracks::{Policy, Tracking};
use crate::zones::Rezone;

pub use backfill::{AdvanceBackfill, BackfillStep, BeginBackfill, Range};
pub use follow::FollowStep;
pub use ingest::{Ingest, Match};
pub use pause::{Computed, Pause};
pub use restore::Restore;

/// Of the whole encoding; the first byte of each entry.
const VERSION: u8 = 1;
/// What a definition listens to whose name begins so is no type of events, but the ends of another one's runs.
pub const AFTER: char = '\u{1}';
/// "No further due time", in `next` fields.
pub const NEVER: i64 = i64::MAX;
/// The cluster's format from which on entries may carry requests, and conditions on a delete: nodes that only know the one before stop at such
/// an entry.
pub const REQUESTS_SINCE: u32 = 2;
/// The cluster's format from which on a backup may be brought in: it may hold all that is known since.
pub const RESTORES_SINCE: u32 = 4;
/// The cluster's format from which on entries may speak of overlapping runs.
pub const TRACKING_SINCE: u32 = 3;
/// The cluster's format from which on entries may bound the number of firings, say what becomes of a definition in the end, and want what was
/// missed in a pause.
pub const BOUNDS_SINCE: u32 = 4;
/// The cluster's format from which on entries may speak of pauses that end by themselves, of the generation that a resume is of, of backfills,
/// and of a history that is kept.
pub const OPERATIONS_SINCE: u32 = 4;
/// The cluster's format from which on who leads a shard knows that an apply may begin with due times that have passed: one that does not
/// would leave them out and say nothing.
pub const DUE_AFTER_SINCE: u32 = 4;

/// The cluster's format from which on runs of one definition make others due.
pub const AFTER_SINCE: u32 = 4;
/// The cluster's format from which on nodes read definitions whose workflow has search attributes, a retry policy, a header, or what is for people,
/// for queues or for versions.
pub const START_OPTIONS_SINCE: u32 = 4;

/// One log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The leader's clock when it proposed, in microseconds since the epoch. The latest that a shard has seen is the only time that apply
    /// knows: where a leader's clock is behind, it stands still.
    pub at: i64,
    /// The decisions.
    pub body: Body,
}

/// The decisions of an entry, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Definitions created or changed.
    Define(Vec<Define>),
    /// Definitions removed.
    Delete(Vec<Delete>),
    /// Definitions paused or resumed.
    Pause(Vec<Pause>),
    /// Due times met.
    Fire(Fire),
    /// Events matched.
    Ingest(Ingest),
    /// Firings by hand.
    Trigger(Vec<Trigger>),
    /// What the sink answered.
    Ack(Vec<Ack>),
    /// Runs that have ended.
    Closed(Vec<Closed>),
    /// Definitions whose schedule is over.
    Conclude(Vec<Conclude>),
    /// Dead letters retried or dropped.
    Dead(Vec<DeadAction>),
    /// Old time buckets dropped.
    Expire(Expire),
    /// A backup brought in.
    Restore(Restore),
    /// Due times of the past begun, gone on with, or stopped.
    Backfill(Vec<BackfillStep>),
    /// A named calendar, at its home or in a shard that has its days.
    Calendar(CalendarStep),
    /// Definitions due by other time-zone data.
    Rezone(Rezone),
    /// Definitions whose runs others wait for, and who has been told of their ends.
    Follow(Vec<FollowStep>),
}

/// A definition as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Define {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// The definition as given, in canonical JSON; opaque here.
    pub document: Bytes,
    /// Whether its triggers act at all; where not, it is never due and listens to nothing.
    pub enabled: bool,
    /// The first nominal due time after now, or [`NEVER`].
    pub next: i64,
    /// Event types that it listens to, each with what the ingress needs to match (opaque here).
    pub subscriptions: Vec<(String, Bytes)>,
    /// Chosen at random by the leader; used if the definition is created.
    pub incarnation: u64,
    /// Compare and set: 0 means "must not exist", `None` means "whatever it is".
    pub expected_version: Option<u32>,
    /// What it asks for about its runs.
    pub tracking: Option<Tracking>,
    /// What it asks for about the end of its schedule.
    pub bounds: Option<Bounds>,
    /// The calendars that it names, if it names any.
    pub calendars: Option<Uses>,
    /// Whose it is, if that is to be remembered.
    pub request: Option<Request>,
}

/// A definition to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Only this one of those that ever had the name.
    pub incarnation: Option<u64>,
    /// Only if it has this version.
    pub expected_version: Option<u32>,
    /// Whose it is, if that is to be remembered.
    pub request: Option<Request>,
}

/// A request that is carried out once, however often it comes: its answer is remembered with the change that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of definition and request id; no firing key has the same.
    pub digest: [u8; 16],
    /// Of what is asked for: with other content, it is another request that was given the same id.
    pub content: [u8; 16],
    /// For how long it is remembered, in seconds.
    pub window: u32,
}

/// Due times met, of many definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// All due times up to this instant have been decided by this shard; never moves back.
    pub through: i64,
    /// In order of due time.
    pub decisions: Vec<Decision>,
}

/// What becomes of one due time, or of a range of missed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which definition.
    pub number: u64,
    /// The generation that it was computed from; a later one makes the decision stale.
    pub generation: u32,
    /// The nominal due time: must be the cursor's next one.
    pub nominal: i64,
    /// When it was due: nominal and jitter.
    pub due: i64,
    /// The cursor's next nominal time from here on, or [`NEVER`].
    pub next: i64,
    /// Fire, or skip with a reason.
    pub skip: Option<Reason>,
    /// How many due times it stands for; 1 unless a range is skipped.
    pub count: u32,
}

/// A firing by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Makes the firing one of its kind.
    pub request_id: String,
    /// Of definition and request id.
    pub digest: [u8; 16],
    /// JSON for the run's `input`, or empty.
    pub input: Bytes,
    /// What becomes of it while a run is open; else what the definition says.
    pub policy: Option<Policy>,
}

/// What the sink answered to firings of one outbox chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The chunk's lane.
    pub lane: u32,
    /// The chunk.
    pub seq: u64,
    /// By record of the chunk.
    pub ends: Vec<AckEnd>,
}

/// How one firing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckEnd {
    /// Index in the chunk.
    pub record: u32,
    /// When the start call was made that ended it, in microseconds since the epoch.
    pub at: i64,
    /// Started, or refused for good with this reason.
    pub refused: Option<String>,
    /// Why it was late, where the sink made it wait.
    pub note: String,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Of which definition.
    pub number: u64,
    /// Which of its open runs.
    pub run: u64,
    /// How.
    pub end: RunEnd,
    /// Its result where it ended well, its failure where it failed; where the definition asks for that and it is not too large.
    pub left: Option<Bytes>,
    /// Why the definition is paused, if it is paused by that.
    pub note: String,
    /// When it has ended by the sink's clock, in microseconds since the epoch; only where others wait for that.
    pub at: Option<i64>,
}

/// A definition whose schedule is over, and that asks for something to become of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conclude {
    /// Which definition.
    pub number: u64,
    /// Its generation: where it has changed since, nothing is done.
    pub generation: u32,
}

/// How a run ended, after all its retries and continuations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RunEnd {
    /// Well.
    Completed = 1,
    /// It failed.
    Failed = 2,
    /// By its timeout.
    TimedOut = 3,
    /// After a request to cancel.
    Canceled = 4,
    /// By force.
    Terminated = 5,
    /// Nobody knows: the sink has no such run any more.
    Gone = 6,
}

impl RunEnd {
    const ALL: [Self; 6] =
        [Self::Completed, Self::Failed, Self::TimedOut, Self::Canceled, Self::Terminated, Self::Gone];

    pub(crate) fn of(code: u8) -> Result<Self, DecodeError> {
        let found = Self::ALL.into_iter().find(|end| *end as u8 == code);
        found.ok_or_else(|| DecodeError(format!("end {code} of a run is not known")))
    }
}

/// What to do with one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadAction {
    /// The dead letter.
    pub seq: u64,
    /// Send it again; else drop it.
    pub retry: bool,
}

/// Old data to drop, by time, in microseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expire {
    /// Account chunks decided before this.
    pub account_before: i64,
    /// Definition versions superseded before this.
    pub versions_before: i64,
    /// So many of the newest versions of a definition that is there are kept, however old they are.
    pub keep: u32,
}

impl Entry {
    /// As it stands in the log.
    pub fn encode(&self) -> Bytes {
        encode_entry(VERSION, self.body.kind(), self.at, self.size_hint(), |e| self.body.encode(e)).into()
    }

    fn size_hint(&self) -> usize {
        match &self.body {
            Body::Fire(fire) => 32 + fire.decisions.len() * 48,
            Body::Ingest(ingest) => 32 + ingest.events.iter().map(|e| e.len() + 128).sum::<usize>(),
            _ => 256,
        }
    }

    /// From the log.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (at, body) = decode_entry(VERSION, bytes, Body::decode)?;
        Ok(Self { at, body })
    }
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Define(items) if items.iter().any(|item| item.calendars.is_some()) => 24,
            Self::Define(items) if items.iter().any(|item| item.bounds.is_some()) => 16,
            Self::Pause(items) if items.iter().any(|item| item.computed.is_some()) => 33,
            Self::Pause(items) if items.iter().any(|item| item.wanted_through.or(item.until).is_some()) => 18,
            Self::Conclude(_) => 17,
            Self::Define(items) if items.iter().any(|item| item.tracking.is_some()) => 13,
            Self::Trigger(items) if items.iter().any(|item| item.policy.is_some()) => 14,
            Self::Closed(items) if items.iter().any(|item| item.at.is_some()) => 32,
            Self::Closed(_) => 15,
            Self::Ingest(ingest) if ingest.has_due() => 31,
            Self::Follow(_) => 30,
            Self::Backfill(_) => 28,
            Self::Expire(expire) if expire.keep > 0 => 29,
            Self::Define(_) if self.has_requests() => 10,
            Self::Delete(_) if self.has_requests() => 11,
            Self::Pause(_) if self.has_requests() => 12,
            Self::Define(_) => 1,
            Self::Delete(_) => 2,
            Self::Pause(_) => 3,
            Self::Fire(_) => 4,
            Self::Ingest(_) => 5,
            Self::Trigger(_) => 6,
            Self::Ack(_) => 7,
            Self::Dead(_) => 8,
            Self::Expire(_) => 9,
            Self::Restore(_) => 20,
            Self::Calendar(_) => 25,
            Self::Rezone(_) => 26,
        }
    }

    /// Needs a kind that nodes know since [`REQUESTS_SINCE`]. Any other entry is written as it ever was.
    fn has_requests(&self) -> bool {
        match self {
            Self::Define(items) => items.iter().any(|item| item.request.is_some()),
            Self::Delete(items) => items.iter().any(Delete::has_conditions),
            Self::Pause(items) => items.iter().any(|item| item.request.is_some()),
            _ => false,
        }
    }

    /// Each entry has one form: without a request it has the older kind.
    fn with_requests(self) -> Result<Self, DecodeError> {
        if self.has_requests() { Ok(self) } else { Err(DecodeError("an entry with requests has none".into())) }
    }

    /// Each entry has one form: one of a kind that brings more brings it.
    fn of_kind(self, kind: u8) -> Result<Self, DecodeError> {
        let own = self.kind();
        if own == kind { Ok(self) } else { Err(DecodeError(format!("an entry of kind {kind} is one of kind {own}"))) }
    }

    fn encode(&self, e: &mut Encoder) {
        let kind = self.kind();
        let (requests, tracking) = (self.has_requests(), matches!(kind, 13 | 14 | 16 | 24));
        let (bounds, calendars) = (matches!(kind, 16 | 18 | 24 | 33), kind == 24);
        match self {
            Self::Define(items) => e.list(items, |e, item| {
                Define::encode(e, item, requests || tracking);
                if tracking {
                    e.option(item.tracking.as_ref(), Tracking::encode);
                }
                if bounds {
                    e.option(item.bounds.as_ref(), Bounds::encode);
                }
                if calendars {
                    Uses::encode(e, item.calendars.as_ref());
                }
            }),
            Self::Delete(items) => e.list(items, |e, item| Delete::encode(e, item, requests)),
            Self::Pause(items) => e.list(items, |e, item| Pause::encode(e, item, (requests, bounds, kind == 33))),
            Self::Conclude(items) => e.list(items, |e, item| {
                e.u64(item.number);
                e.u32(item.generation);
            }),
            Self::Fire(fire) => {
                e.i64(fire.through);
                e.list(&fire.decisions, Decision::encode);
            }
            Self::Ingest(ingest) => Ingest::encode(e, ingest),
            Self::Trigger(items) => e.list(items, |e, item| {
                Trigger::encode(e, item);
                if tracking {
                    e.option(item.policy.as_ref(), |e, policy| Policy::encode(e, *policy));
                }
            }),
            Self::Closed(items) => e.list(items, |e, item| {
                Closed::encode(e, item);
                if kind == 32 {
                    e.option(item.at.as_ref(), |e, at| e.i64(*at));
                }
            }),
            Self::Follow(steps) => e.list(steps, FollowStep::encode),
            Self::Ack(items) => e.list(items, Ack::encode),
            Self::Dead(items) => e.list(items, |e, action| {
                e.u64(action.seq);
                e.u8(action.retry.into());
            }),
            Self::Expire(expire) => {
                e.i64(expire.account_before);
                e.i64(expire.versions_before);
                if expire.keep > 0 {
                    e.u32(expire.keep);
                }
            }
            Self::Restore(restore) => restore.encode(e),
            Self::Backfill(steps) => e.list(steps, BackfillStep::encode),
            Self::Calendar(step) => step.encode(e),
            Self::Rezone(rezone) => rezone.encode(e),
        }
    }

    fn decode(kind: u8, d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Self::Define(d.list(|d| Define::decode(d, false))?),
            2 => Self::Delete(d.list(|d| Delete::decode(d, false))?),
            3 => Self::Pause(d.list(|d| Pause::decode(d, (false, false, false)))?),
            4 => Self::Fire(Fire { through: d.i64()?, decisions: d.list(Decision::decode)? }),
            5 => Self::Ingest(Ingest::decode(d, false)?),
            6 => Self::Trigger(d.list(Trigger::decode)?),
            7 => Self::Ack(d.list(Ack::decode)?),
            8 => Self::Dead(d.list(|d| Ok(DeadAction { seq: d.u64()?, retry: d.flag()? }))?),
            9 => Self::Expire(Expire { account_before: d.i64()?, versions_before: d.i64()?, keep: 0 }),
            10 => Self::Define(d.list(|d| Define::decode(d, true))?).with_requests()?,
            11 => Self::Delete(d.list(|d| Delete::decode(d, true))?).with_requests()?,
            12 => Self::Pause(d.list(|d| Pause::decode(d, (true, false, false)))?).with_requests()?,
            13 => Self::Define(d.list(|d| {
                let define = Define::decode(d, true)?;
                Ok(Define { tracking: d.option(Tracking::decode)?, ..define })
            })?)
            .of_kind(13)?,
            14 => Self::Trigger(d.list(|d| {
                let trigger = Trigger::decode(d)?;
                Ok(Trigger { policy: d.option(Policy::decode)?, ..trigger })
            })?)
            .of_kind(14)?,
            15 => Self::Closed(d.list(Closed::decode)?),
            16 => Self::Define(d.list(|d| {
                let define = Define::decode(d, true)?;
                Ok(Define { tracking: d.option(Tracking::decode)?, bounds: d.option(Bounds::decode)?, ..define })
            })?)
            .of_kind(16)?,
            17 => Self::Conclude(d.list(|d| Ok(Conclude { number: d.u64()?, generation: d.u32()? }))?),
            18 => Self::Pause(d.list(|d| Pause::decode(d, (true, true, false)))?).of_kind(18)?,
            33 => Self::Pause(d.list(|d| Pause::decode(d, (true, true, true)))?).of_kind(33)?,
            20 => Self::Restore(Restore::decode(d)?),
            24 => Self::Define(d.list(|d| {
                let define = Define::decode(d, true)?;
                let (tracking, bounds) = (d.option(Tracking::decode)?, d.option(Bounds::decode)?);
                let namespace = plain_name(define.namespace)?;
                Ok(Define { namespace, tracking, bounds, calendars: Uses::decode(d)?, ..define })
            })?)
            .of_kind(24)?,
            25 => Self::Calendar(CalendarStep::decode(d)?),
            26 => Self::Rezone(Rezone::decode(d)?),
            28 => Self::Backfill(d.list(BackfillStep::decode)?),
            29 => {
                let (account_before, versions_before) = (d.i64()?, d.i64()?);
                Self::Expire(Expire { account_before, versions_before, keep: d.u32()? }).of_kind(29)?
            }
            30 => Self::Follow(d.list(FollowStep::decode)?),
            31 => Self::Ingest(Ingest::decode(d, true)?).of_kind(31)?,
            32 => {
                let closed = d.list(|d| {
                    let closed = Closed::decode(d)?;
                    Ok(Closed { at: d.option(Decoder::i64)?, ..closed })
                })?;
                Self::Closed(closed).of_kind(32)?
            }
            other => return Err(DecodeError(format!("entry kind {other} is not known to this program"))),
        })
    }
}

impl Request {
    pub(crate) fn encode(e: &mut Encoder, request: Option<&Self>) {
        e.option(request, |e, request| {
            e.raw(&request.digest);
            e.raw(&request.content);
            e.u32(request.window);
        });
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        d.option(|d| Ok(Self { digest: d.array()?, content: d.array()?, window: d.u32()? }))
    }
}

impl Define {
    fn encode(e: &mut Encoder, item: &Self, requests: bool) {
        e.text(&item.namespace);
        e.text(&item.id);
        e.bytes(&item.document);
        e.u8(item.enabled.into());
        e.i64(item.next);
        e.list(&item.subscriptions, |e, (event_type, matcher)| {
            e.text(event_type);
            e.bytes(matcher);
        });
        e.u64(item.incarnation);
        e.option(item.expected_version.as_ref(), |e, version| e.u32(*version));
        if requests {
            Request::encode(e, item.request.as_ref());
        }
    }

    fn decode(d: &mut Decoder, requests: bool) -> Result<Self, DecodeError> {
        Ok(Self {
            namespace: d.text()?,
            id: d.text()?,
            document: Bytes::copy_from_slice(d.bytes()?),
            enabled: d.flag()?,
            next: d.i64()?,
            subscriptions: d.list(|d| Ok((d.text()?, Bytes::copy_from_slice(d.bytes()?))))?,
            incarnation: d.u64()?,
            expected_version: d.option(Decoder::u32)?,
            tracking: None,
            bounds: None,
            calendars: None,
            request: if requests { Request::decode(d)? } else { None },
        })
    }
}

impl Delete {
    fn has_conditions(&self) -> bool {
        self.incarnation.is_some() || self.expected_version.is_some() || self.request.is_some()
    }

    fn encode(e: &mut Encoder, item: &Self, conditions: bool) {
        e.text(&item.namespace);
        e.text(&item.id);
        if conditions {
            e.option(item.incarnation.as_ref(), |e, incarnation| e.u64(*incarnation));
            e.option(item.expected_version.as_ref(), |e, version| e.u32(*version));
            Request::encode(e, item.request.as_ref());
        }
    }

    fn decode(d: &mut Decoder, conditions: bool) -> Result<Self, DecodeError> {
        let (namespace, id) = (d.text()?, d.text()?);
        if !conditions {
            return Ok(Self { namespace, id, incarnation: None, expected_version: None, request: None });
        }
        let (incarnation, expected_version) = (d.option(Decoder::u64)?, d.option(Decoder::u32)?);
        Ok(Self { namespace, id, incarnation, expected_version, request: Request::decode(d)? })
    }
}

impl Decision {
    fn encode(e: &mut Encoder, item: &Self) {
        e.u64(item.number);
        e.u32(item.generation);
        e.i64(item.nominal);
        e.i64(item.due);
        e.i64(item.next);
        e.u8(item.skip.map_or(0, Reason::code));
        e.u32(item.count);
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            number: d.u64()?,
            generation: d.u32()?,
            nominal: d.i64()?,
            due: d.i64()?,
            next: d.i64()?,
            skip: Reason::from_code(d.u8()?)?,
            count: d.u32()?,
        })
    }
}

impl Trigger {
    fn encode(e: &mut Encoder, item: &Self) {
        e.text(&item.namespace);
        e.text(&item.id);
        e.text(&item.request_id);
        e.raw(&item.digest);
        e.bytes(&item.input);
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            namespace: d.text()?,
            id: d.text()?,
            request_id: d.text()?,
            digest: d.array()?,
            input: Bytes::copy_from_slice(d.bytes()?),
            policy: None,
        })
    }
}

impl Closed {
    fn encode(e: &mut Encoder, item: &Self) {
        e.u64(item.number);
        e.u64(item.run);
        e.u8(item.end as u8);
        e.option(item.left.as_ref(), |e, left| e.bytes(left));
        e.text(&item.note);
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (number, run, end) = (d.u64()?, d.u64()?, RunEnd::of(d.u8()?)?);
        let left = d.option(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?;
        Ok(Self { number, run, end, left, note: d.text()?, at: None })
    }
}

impl Ack {
    fn encode(e: &mut Encoder, item: &Self) {
        e.u32(item.lane);
        e.u64(item.seq);
        e.list(&item.ends, |e, end| {
            e.u32(end.record);
            e.i64(end.at);
            e.option(end.refused.as_ref(), |e, reason| e.text(reason));
            e.text(&end.note);
        });
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            lane: d.u32()?,
            seq: d.u64()?,
            ends: d.list(|d| {
                Ok(AckEnd { record: d.u32()?, at: d.i64()?, refused: d.option(Decoder::text)?, note: d.text()? })
            })?,
        })
    }
}
