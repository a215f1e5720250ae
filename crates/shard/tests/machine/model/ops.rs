//! Random histories: what is done, in words that are only made concrete (numbers, generations, chunks) when it is known what there is. So
//! most of what is proposed hits something, and a failing history shrinks to a short one.

use bytes::Bytes;
use flintwheel_shard::courses::{AfterEnd, Bounds};
use flintwheel_shard::entry::{
    AFTER, Ack, AckEnd, AdvanceBackfill, BackfillStep, BeginBackfill, Body, Closed, Computed, Conclude, DeadAction,
    Decision, Define, Delete, Entry, Expire, Fire, FollowStep, Ingest, Match, NEVER, Pause, Range, Request, RunEnd,
    Trigger,
};
use flintwheel_shard::occurrence::Reason;
use flintwheel_shard::tracks::{Policy, Tracking};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::calendars::{self, CalendarOp};
use super::naive::{Definition, Happened, Model};
use crate::support::{HOUR, SECOND, START, digest};

/// One step: the clock moves, and something is proposed.
#[derive(Clone, Debug)]
pub struct Step {
    pub elapsed: i64,
    pub op: Op,
}

/// What is proposed. Definitions are picked by name, or among those there are.
#[derive(Clone, Debug)]
pub enum Op {
    Define(Vec<DefineOp>),
    Delete(Vec<DeleteOp>),
    Pause {
        name: u8,
        paused: bool,
        missed: u32,
        later: i64,
        /// On pause: how much later it ends; on resume: whether the pause is meant that ends when this one does.
        until: Option<i64>,
        request: Option<u8>,
        /// Whether what was missed is wanted.
        wanted: bool,
    },
    /// Definitions that may be over, and whether their generation is right.
    Conclude(Vec<(Index, bool)>),
    Backfill(Vec<BackfillOp>),
    Fire(Vec<FireOp>),
    Ingest(Vec<MatchOp>),
    Trigger(Vec<(u8, u8, Option<Policy>)>),
    /// Runs that end: mostly of those that are open, some at a time that Temporal tells.
    Closed(Vec<EndOp>),
    Follow(Vec<FollowOp>),
    Ack(Vec<AckOp>),
    Dead(Vec<(Index, bool)>),
    Expire {
        account: i64,
        versions: i64,
        keep: u32,
    },
    Calendar(CalendarOp),
    /// An entry of before, proposed again as it was.
    Again(Index),
    /// The requests of an entry of before, tried again by a leader who looks at another clock.
    Retry(Index),
}

/// About definitions whose runs others wait for.
#[derive(Clone, Debug)]
pub enum FollowOp {
    Follow {
        pick: Index,
        followed: bool,
    },
    /// Mostly of one that has ended.
    Told {
        pick: Index,
        unknown: bool,
    },
}

/// A step of one of few backfills, each of ten hours with a due time in each.
#[derive(Clone, Debug)]
pub enum BackfillOp {
    Begin { name: u8, backfill: u8, newest_first: bool, policy: Option<Policy>, empty: bool },
    Advance { pick: Index, take: usize, flaw: Option<AdvanceFlaw> },
    Stop { name: u8, backfill: u8 },
}

/// What makes a step stale.
#[derive(Clone, Copy, Debug)]
pub enum AdvanceFlaw {
    Version,
    Repeated,
    Order,
    Beyond,
    Unknown,
}

#[derive(Clone, Debug)]
pub struct DefineOp {
    name: u8,
    document: u8,
    enabled: bool,
    next: Option<i64>,
    expected: Option<u32>,
    request: Option<u8>,
    tracking: Option<Tracking>,
    bounds: Option<Bounds>,
    /// Which calendars it names, and whether they are those of before.
    uses: (u8, bool),
}

#[derive(Clone, Debug)]
pub struct DeleteOp {
    name: u8,
    /// Of the incarnation that is there, or of none.
    incarnation: Option<bool>,
    expected: Option<u32>,
    request: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct FireOp {
    pick: Index,
    flaw: Option<Flaw>,
    skip: Option<Reason>,
    count: u32,
    step: Option<i64>,
}

/// What makes a decision stale.
#[derive(Clone, Copy, Debug)]
pub enum Flaw {
    Generation,
    Nominal,
    Next,
    Number,
}

#[derive(Clone, Debug)]
pub struct MatchOp {
    pick: Index,
    event: u8,
    key: u8,
    outdated: bool,
    /// It does not fire, but makes due so much later.
    due: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct AckOp {
    pick: Index,
    refused: bool,
    unknown: bool,
}

pub fn history() -> impl Strategy<Value = Vec<Step>> {
    let elapsed = select(vec![0, 0, 1, SECOND, 59 * SECOND, 61 * SECOND, HOUR, 26 * HOUR, -SECOND, -2 * HOUR]);
    vec((elapsed, op()).prop_map(|(elapsed, op)| Step { elapsed, op }), 1..100)
}

fn op() -> impl Strategy<Value = Op> {
    let later = select(vec![-HOUR, 0, 1, HOUR, 3 * HOUR]);
    let ago = select(vec![-HOUR, 0, HOUR, 3 * HOUR, 30 * HOUR]);
    let until = option::weighted(0.4, select(vec![SECOND, HOUR]));
    let close_time = option::weighted(0.5, select(vec![-HOUR, HOUR]));
    prop_oneof![
        4 => vec(define(), 1..4).prop_map(Op::Define),
        2 => vec(delete(), 1..3).prop_map(Op::Delete),
        2 => pause(later, until),
        3 => vec((any::<Index>(), prop::bool::weighted(0.9)), 1..4).prop_map(Op::Conclude),
        5 => vec(backfill(), 1..4).prop_map(Op::Backfill),
        6 => vec(fire(), 1..6).prop_map(Op::Fire),
        6 => vec(matched(), 1..6).prop_map(Op::Ingest),
        3 => vec((0_u8..NAMES, 0_u8..3, option::weighted(0.2, select(Policy::ALL.to_vec()))), 1..4)
            .prop_map(Op::Trigger),
        5 => vec((any::<Index>(), select(ENDS.to_vec()), prop::bool::weighted(0.1), close_time), 1..4).prop_map(Op::Closed),
        5 => vec(follow(), 1..4).prop_map(Op::Follow),
        6 => vec(ack(), 1..8).prop_map(Op::Ack),
        2 => vec((any::<Index>(), any::<bool>()), 1..4).prop_map(Op::Dead),
        2 => (ago.clone(), ago, 0_u32..3)
            .prop_map(|(account, versions, keep)| Op::Expire { account, versions, keep }),
        8 => calendars::op().prop_map(Op::Calendar),
        2 => any::<Index>().prop_map(Op::Again),
        3 => any::<Index>().prop_map(Op::Retry),
    ]
}

fn pause(later: impl Strategy<Value = i64>, until: impl Strategy<Value = Option<i64>>) -> impl Strategy<Value = Op> {
    let of = (0_u8..NAMES, any::<bool>(), 0_u32..4, later, until, request(), prop::bool::weighted(0.3));
    of.prop_map(|(name, paused, missed, later, until, request, wanted)| Op::Pause {
        name,
        paused,
        missed,
        later,
        until,
        request,
        wanted: wanted && !paused,
    })
}

fn follow() -> impl Strategy<Value = FollowOp> {
    prop_oneof![
        3 => (any::<Index>(), prop::bool::weighted(0.7)).prop_map(|(pick, followed)| FollowOp::Follow { pick, followed }),
        2 => (any::<Index>(), prop::bool::weighted(0.1)).prop_map(|(pick, unknown)| FollowOp::Told { pick, unknown }),
    ]
}

fn backfill() -> impl Strategy<Value = BackfillOp> {
    let policy = option::weighted(0.5, select(Policy::ALL.to_vec()));
    let flaws = vec![
        AdvanceFlaw::Version,
        AdvanceFlaw::Repeated,
        AdvanceFlaw::Order,
        AdvanceFlaw::Beyond,
        AdvanceFlaw::Unknown,
    ];
    let flaw = option::weighted(0.3, select(flaws));
    prop_oneof![
        2 => (0_u8..NAMES, 0_u8..3, any::<bool>(), policy, prop::bool::weighted(0.1)).prop_map(
            |(name, backfill, newest_first, policy, empty)| {
                BackfillOp::Begin { name, backfill, newest_first, policy, empty }
            }
        ),
        5 => (any::<Index>(), 0_usize..5, flaw)
            .prop_map(|(pick, take, flaw)| BackfillOp::Advance { pick, take, flaw }),
        1 => (0_u8..NAMES, 0_u8..3).prop_map(|(name, backfill)| BackfillOp::Stop { name, backfill }),
    ]
}

fn define() -> impl Strategy<Value = DefineOp> {
    let next = option::weighted(0.7, select(vec![-HOUR, 0, 1, HOUR]));
    let expected = option::weighted(0.2, 0_u32..3);
    let uses = (select(vec![0_u8, 0, 1, 2, 3]), prop::bool::weighted(0.1));
    (0_u8..NAMES, 0_u8..4, prop::bool::weighted(0.8), next, expected, request(), tracking(), (bounds(), uses)).prop_map(
        |(name, document, enabled, next, expected, request, tracking, (bounds, uses))| DefineOp {
            name,
            document,
            enabled,
            next,
            expected,
            request,
            tracking,
            bounds,
            uses,
        },
    )
}

fn bounds() -> impl Strategy<Value = Option<Bounds>> {
    let asks = (option::weighted(0.7, 1_u32..4), select(AfterEnd::ALL.to_vec()));
    option::weighted(0.6, asks.prop_map(|(max, after_end)| Bounds { max, after_end }))
}

fn tracking() -> impl Strategy<Value = Option<Tracking>> {
    let asks = (select(Policy::ALL.to_vec()), prop::bool::weighted(0.3), any::<bool>());
    option::weighted(
        0.6,
        asks.prop_map(|(policy, pause_on_failure, carry)| Tracking { policy, pause_on_failure, carry }),
    )
}

fn delete() -> impl Strategy<Value = DeleteOp> {
    let incarnation = option::weighted(0.5, prop::bool::weighted(0.8));
    let expected = option::weighted(0.2, 0_u32..3);
    (0_u8..NAMES, incarnation, expected, request()).prop_map(|(name, incarnation, expected, request)| DeleteOp {
        name,
        incarnation,
        expected,
        request,
    })
}

/// Few, so that most of them come again, with the same content or with other.
fn request() -> impl Strategy<Value = Option<u8>> {
    option::weighted(0.6, 0_u8..3)
}

fn fire() -> impl Strategy<Value = FireOp> {
    let flaw = select(vec![Flaw::Generation, Flaw::Nominal, Flaw::Next, Flaw::Number]);
    let flaw = option::weighted(0.2, flaw);
    let skip = option::weighted(0.4, select(Reason::ALL.to_vec()));
    let step = option::weighted(0.9, select(vec![1, SECOND, HOUR]));
    (any::<Index>(), flaw, skip, 1_u32..4, step).prop_map(|(pick, flaw, skip, count, step)| FireOp {
        pick,
        flaw,
        skip,
        count,
        step,
    })
}

fn matched() -> impl Strategy<Value = MatchOp> {
    let due = option::weighted(0.4, select(vec![-HOUR, 0, 1, HOUR, NEVER]));
    let of = (any::<Index>(), 0..EVENTS, 0_u8..3, prop::bool::weighted(0.1), due);
    of.prop_map(|(pick, event, key, outdated, due)| MatchOp { pick, event, key, outdated, due })
}

fn ack() -> impl Strategy<Value = AckOp> {
    (any::<Index>(), prop::bool::weighted(0.3), prop::bool::weighted(0.1)).prop_map(|(pick, refused, unknown)| AckOp {
        pick,
        refused,
        unknown,
    })
}

const ENDS: [RunEnd; 6] =
    [RunEnd::Completed, RunEnd::Failed, RunEnd::TimedOut, RunEnd::Canceled, RunEnd::Terminated, RunEnd::Gone];

const NAMES: u8 = 6;
const EVENTS: u8 = 3;

/// What the last of the documents listens to.
const AFTER_ANOTHER: &str = "\u{1}after:another";
const _: () = assert!(AFTER_ANOTHER.as_bytes()[0] == AFTER as u8);

/// In digests, where a definition stands by its name: it may not exist yet.
const NAMED: u64 = u64::MAX;

/// For how long the keys of a definition are remembered, in seconds.
pub fn window_of(number: u64) -> u32 {
    [1, 60, 61, 3_600, 259_200][number as usize % 5]
}

fn name(name: u8) -> (String, String) {
    (format!("n{}", name % 2), format!("d{name}"))
}

/// A request about the definition of a name. The content is in its bytes as it is.
fn asked(n: u8, request: Option<u8>, content: [u8; 3]) -> Option<Request> {
    let request = request?;
    let digest = digest(NAMED, &format!("r:{n}:{request}"));
    let window = [60, 61, 3_600][usize::from(request)];
    let mut bytes = [0; 16];
    bytes[..3].copy_from_slice(&content);
    Some(Request { digest, content: bytes, window })
}

fn or_none(expected: Option<u32>) -> u8 {
    expected.map_or(u8::MAX, |version| version as u8)
}

impl Op {
    /// The entry, as it is proposed where the model stands.
    pub fn entry(&self, at: i64, model: &Model, before: &[Entry]) -> Option<Entry> {
        let body = match self {
            Self::Define(items) => {
                let numbered = items.iter().enumerate();
                Body::Define(numbered.map(|(index, item)| item.define(at, before.len() * 10 + index, model)).collect())
            }
            Self::Delete(items) => Body::Delete(items.iter().map(|item| item.delete(model)).collect()),
            Self::Pause { name: n, paused, missed, later, until, request, wanted } => {
                let ((namespace, id), note) = (name(*n), format!("note {}", before.len()));
                let request = asked(*n, *request, [b'p', u8::from(*paused), 0]);
                let meant = model.number(&namespace, &id).and_then(|number| model.definitions[&number].until);
                let until = until.map(|later| if *paused { at + later } else { meant.unwrap_or(at) });
                let (paused, next, missed) = (*paused, at + later, *missed);
                let wanted_through = wanted.then_some(at);
                // Proposed again, it is stale.
                let known = model.number(&namespace, &id).map_or(0, |number| model.definitions[&number].generation);
                let passed = (missed > 0).then_some(at);
                let computed = (!paused && missed % 2 == 0).then_some(Computed { generation: known, passed });
                Body::Pause(vec![Pause {
                    namespace,
                    id,
                    paused,
                    note,
                    next,
                    missed,
                    wanted_through,
                    until,
                    computed,
                    request,
                }])
            }
            Self::Conclude(items) => Body::Conclude(items.iter().map(|item| conclude(item, model)).collect()),
            Self::Backfill(items) => Body::Backfill(items.iter().map(|item| item.step(model)).collect()),
            Self::Fire(items) => Body::Fire(Fire { through: at, decisions: decisions(items, at, model) }),
            Self::Ingest(items) => Body::Ingest(Ingest {
                events: (0..EVENTS).map(|event| Bytes::from(format!("event {event} of {}", before.len()))).collect(),
                matches: items.iter().filter_map(|item| item.matched(at, model)).collect(),
            }),
            Self::Trigger(items) => {
                Body::Trigger(items.iter().map(|(n, request, policy)| trigger(*n, *request, *policy)).collect())
            }
            Self::Closed(items) => {
                Body::Closed(items.iter().map(|item| closed(item, at, model, before.len())).collect())
            }
            Self::Follow(items) => Body::Follow(items.iter().map(|item| item.step(model)).collect()),
            Self::Ack(items) => Body::Ack(items.iter().filter_map(|item| item.ack(at, model)).collect()),
            Self::Dead(items) => Body::Dead(items.iter().map(|(pick, retry)| dead(pick, *retry, model)).collect()),
            Self::Expire { account, versions, keep } => {
                Body::Expire(Expire { account_before: at - account, versions_before: at - versions, keep: *keep })
            }
            Self::Calendar(op) => Body::Calendar(op.step(at, model)?),
            Self::Again(pick) => return (!before.is_empty()).then(|| pick.get(before).clone()),
            Self::Retry(pick) => retry(pick, at, before)?,
        };
        Some(Entry { at, body })
    }
}

impl BackfillOp {
    fn step(&self, model: &Model) -> BackfillStep {
        let (from, to) = (START - 9 * HOUR, START);
        match self {
            Self::Begin { name: n, backfill, newest_first, policy, empty } => {
                let ((namespace, id), newest_first) = (name(*n), *newest_first);
                let next = if *empty { NEVER } else { [from, to][usize::from(newest_first)] };
                let (rate, policy) = (u32::from(*n) + 1, *policy);
                let range = Range { from, to, newest_first, rate, policy };
                let backfill = format!("b{backfill}");
                BackfillStep::Begin(BeginBackfill { namespace, id, backfill, range, next, total: 10 })
            }
            Self::Advance { pick, take, flaw } => BackfillStep::Advance(advance(pick, *take, *flaw, model)),
            Self::Stop { name: n, backfill } => {
                let ((namespace, id), backfill) = (name(*n), format!("b{backfill}"));
                BackfillStep::Stop { namespace, id, backfill }
            }
        }
    }
}

/// The next due times of one of the backfills there are, or of none.
fn advance(pick: &Index, take: usize, flaw: Option<AdvanceFlaw>, model: &Model) -> AdvanceBackfill {
    let all = model.definitions.iter().flat_map(|(number, d)| d.backfills.keys().map(move |id| (*number, id.clone())));
    let all: Vec<(u64, String)> = all.collect();
    let (number, backfill) = if all.is_empty() { (0, "none".into()) } else { pick.get(&all).clone() };
    let version = model.definitions.get(&number).map_or(1, |definition| definition.version);
    let known = model.definitions.get(&number).and_then(|definition| definition.backfills.get(&backfill));
    let (position, newest_first) = known.map_or((START, false), |known| (known.next, known.range.newest_first));
    let position = if position == NEVER { START } else { position };
    let step = if newest_first { -HOUR } else { HOUR };
    let coming = |place: usize| position + step * place as i64;
    let inside = |time: &i64| (START - 9 * HOUR..=START).contains(time);
    let times: Vec<i64> = (0..take).map(coming).filter(inside).collect();
    let next = Some(coming(take)).filter(inside).unwrap_or(NEVER);
    let mut advance = AdvanceBackfill { number, backfill, version, times, next };
    match flaw {
        None => {}
        Some(AdvanceFlaw::Version) => advance.version += 1,
        Some(AdvanceFlaw::Repeated) => advance.times.insert(0, position - step),
        Some(AdvanceFlaw::Order) => advance.times.reverse(),
        Some(AdvanceFlaw::Beyond) => advance.next = START + HOUR,
        Some(AdvanceFlaw::Unknown) => advance.backfill.push('x'),
    }
    advance
}

impl DefineOp {
    fn define(&self, at: i64, incarnation: usize, model: &Model) -> Define {
        let (namespace, id) = name(self.name);
        let types: &[&str] = [&[][..], &["a"], &["a", "b"], &[AFTER_ANOTHER]][usize::from(self.document)];
        let uses = calendars::uses(&namespace, self.uses.0, self.uses.1, model);
        let matcher = |event_type: &&str| ((*event_type).to_owned(), Bytes::from(format!("{}", self.document)));
        Define {
            namespace,
            id,
            document: format!(
                "{} {} {:?} {:?} {}",
                self.document, self.enabled, self.tracking, self.bounds, self.uses.0
            )
            .into(),
            enabled: self.enabled,
            next: self.next.map_or(NEVER, |later| at + later),
            subscriptions: types.iter().map(matcher).collect(),
            incarnation: incarnation as u64,
            expected_version: self.expected,
            tracking: self.tracking,
            bounds: self.bounds,
            calendars: uses,
            request: asked(self.name, self.request, [b'd', self.document, or_none(self.expected)]),
        }
    }
}

impl DeleteOp {
    fn delete(&self, model: &Model) -> Delete {
        let (namespace, id) = name(self.name);
        let there = model.number(&namespace, &id).map(|number| {
            let version = model.definitions[&number].version;
            model.made[&(number, version)].incarnation
        });
        let incarnation = self.incarnation.map(|right| there.filter(|_| right).unwrap_or(u64::MAX));
        let request = asked(self.name, self.request, [b'x', 0, or_none(self.expected)]);
        Delete { namespace, id, incarnation, expected_version: self.expected, request }
    }
}

/// Of one of the entries that hold requests, with what a leader computes anew each time.
fn retry(pick: &Index, at: i64, before: &[Entry]) -> Option<Body> {
    let requested = |entry: &&Entry| match &entry.body {
        Body::Define(items) => items.iter().any(|item| item.request.is_some()),
        Body::Pause(items) => items.iter().any(|item| item.request.is_some()),
        Body::Delete(items) => items.iter().any(|item| item.request.is_some()),
        _ => false,
    };
    let entries: Vec<&Entry> = before.iter().filter(requested).collect();
    let mut body = if entries.is_empty() { return None } else { pick.get(&entries).body.clone() };
    match &mut body {
        Body::Define(items) => {
            for item in items.iter_mut().filter(|item| item.next != NEVER) {
                (item.next, item.incarnation) = (at + SECOND, item.incarnation + 1_000_000);
            }
        }
        Body::Pause(items) => items.iter_mut().for_each(|item| (item.next, item.missed) = (at + SECOND, 1)),
        _ => {}
    }
    Some(body)
}

/// One of the definitions there are, or number 0.
fn pick(model: &Model, pick: &Index) -> u64 {
    let numbers: Vec<u64> = model.definitions.keys().copied().collect();
    if numbers.is_empty() { 0 } else { *pick.get(&numbers) }
}

/// Decisions of one entry follow each other where they are of one definition, as the leader makes them.
fn decisions(items: &[FireOp], at: i64, model: &Model) -> Vec<Decision> {
    let mut model = model.clone();
    let each = items.iter().map(|item| {
        let number = pick(&model, &item.pick);
        let (generation, nominal) = model.definitions.get(&number).map_or((1, at), |d| (d.generation, d.next));
        let next = item.step.map_or(NEVER, |step| nominal.saturating_add(step));
        let (skip, count) = (item.skip, if item.skip.is_some() { item.count } else { 1 });
        let mut decision = Decision { number, generation, nominal, due: nominal, next, skip, count };
        match item.flaw {
            None => {}
            Some(Flaw::Generation) => decision.generation -= 1,
            Some(Flaw::Nominal) => decision.nominal = decision.nominal.saturating_sub(1),
            Some(Flaw::Next) => decision.next = decision.nominal,
            Some(Flaw::Number) => decision.number += 1,
        }
        let fire = Fire { through: at, decisions: vec![decision] };
        model.apply(&Entry { at, body: Body::Fire(fire) });
        decision
    });
    each.collect()
}

impl MatchOp {
    fn matched(&self, at: i64, model: &Model) -> Option<Match> {
        let number = pick(model, &self.pick);
        let version = model.definitions.get(&number)?.version - u32::from(self.outdated);
        let key = format!("k{}", self.key);
        let digest = digest(number, &format!("e:{key}"));
        let (event, window) = (self.event.into(), window_of(number));
        let due = self.due.map(|later| at.saturating_add(later));
        Some(Match { event, number, version, key, digest, window, due })
    }
}

type EndOp = (Index, RunEnd, bool, Option<i64>);

fn closed((pick, end, unknown, later): &EndOp, at: i64, model: &Model, step: usize) -> Closed {
    let open: Vec<(u64, u64)> = model.open().collect();
    let (number, run) = if open.is_empty() { (0, 0) } else { *pick.get(&open) };
    let left = (!step.is_multiple_of(3)).then(|| Bytes::from(format!("left at {step}")));
    let (run, note, at) = (run + u64::from(*unknown), format!("failed at {step}"), later.map(|later| at + later));
    Closed { number, run, end: *end, left, note, at }
}

impl FollowOp {
    fn step(&self, model: &Model) -> FollowStep {
        match self {
            Self::Follow { pick: of, followed } => FollowStep::Follow { number: pick(model, of), followed: *followed },
            Self::Told { pick, unknown } => {
                let of = |(number, d): (&u64, &Definition)| d.runs.ended.keys().map(|run| (*number, *run)).collect();
                let ended: Vec<(u64, u64)> = model.definitions.iter().flat_map::<Vec<_>, _>(of).collect();
                let (number, run) = if ended.is_empty() { (0, 0) } else { *pick.get(&ended) };
                FollowStep::Told { number, run: run + u64::from(*unknown) }
            }
        }
    }
}

/// Mostly one that is over.
fn conclude((pick, right): &(Index, bool), model: &Model) -> Conclude {
    let over = |(_, definition): &(&u64, &Definition)| definition.conclusion().is_some();
    let over: Vec<u64> = model.definitions.iter().filter(over).map(|(number, _)| *number).collect();
    let number = if over.is_empty() { self::pick(model, pick) } else { *pick.get(&over) };
    let generation = model.definitions.get(&number).map_or(1, |definition| definition.generation);
    Conclude { number, generation: generation - u32::from(!right) }
}

fn trigger(n: u8, request: u8, policy: Option<Policy>) -> Trigger {
    let (namespace, id) = name(n);
    let request_id = format!("r{request}");
    let digest = digest(NAMED, &format!("m:{id}:{request_id}"));
    Trigger { namespace, id, request_id, digest, input: Bytes::from(format!("input of {request} to {n}")), policy }
}

impl AckOp {
    /// Of a firing: mostly of one that is pending.
    fn ack(&self, at: i64, model: &Model) -> Option<Ack> {
        let pending: Vec<&Happened> = model.pending().collect();
        let fired: Vec<&Happened> = model.happened.iter().filter(|h| h.skip.is_none()).collect();
        let among = if pending.is_empty() { fired } else { pending };
        let happened = if among.is_empty() { return None } else { *self.pick.get(&among) };
        let (seq, record) = happened.place?;
        let refused = self.refused.then(|| format!("refused at {at}"));
        let end = AckEnd { record: record + u32::from(self.unknown), at, refused, note: "late".into() };
        Some(Ack { lane: happened.lane, seq, ends: vec![end] })
    }
}

fn dead(pick: &Index, retry: bool, model: &Model) -> DeadAction {
    let letters: Vec<u64> = model.letters.keys().copied().collect();
    DeadAction { seq: if letters.is_empty() { 1 } else { *pick.get(&letters) }, retry }
}
