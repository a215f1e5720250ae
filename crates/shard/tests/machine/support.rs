//! A shard in memory: a map as its store, and short ways to write entries. Knows no expectations beyond one: a machine opened from the
//! state equals the one that made it, which is checked after each entry.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::calendars::Calendars;
use flintwheel_shard::courses::{AfterEnd, Bounds, Course};
use flintwheel_shard::entry::{
    Ack, AckEnd, Body, Decision, Define, Delete, Entry, Fire, Ingest, Match, NEVER, Request, Trigger,
};
use flintwheel_shard::occurrence::{Key, Record};
use flintwheel_shard::outbox::Open;
use flintwheel_shard::query::{self, Occurrence};
use flintwheel_shard::records::Counters;
use flintwheel_shard::reply::{Applied, Definite, OutboxRef, Outcome};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::tracks::{Policy, Track, Tracking};
use flintwheel_shard::{ApplyError, Machine, Read, ReadError, Replicated, Table, Txn, Visit, Write};

/// One second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// One hour in microseconds.
pub const HOUR: i64 = 3600 * SECOND;
/// When tests begin: the start of an hour, in microseconds since the epoch.
pub const START: i64 = 490_000 * HOUR;
/// The namespace where nothing else is said.
pub const NAMESPACE: &str = "billing";

/// A store that is a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Read for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        if from < to {
            let mut range = self.0.range((table, from.to_vec())..(table, to.to_vec()));
            let _ = range.try_for_each(|((_, key), value)| visit(key, value));
        }
        Ok(())
    }
}

impl Memory {
    pub fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    self.0.insert((table, key), value);
                }
                Write::Delete(table, key) => {
                    self.0.remove(&(table, key));
                }
                Write::DeleteRange(table, from, to) => {
                    self.0.retain(|(t, key), _| *t != table || *key < from || *key >= to);
                }
            }
        }
    }

    /// How many keys a table has.
    pub fn count(&self, table: Table) -> usize {
        self.0.keys().filter(|(t, _)| *t == table).count()
    }

    /// The one key that a table has.
    pub fn only(&self, table: Table) -> Vec<u8> {
        let mut keys = self.0.keys().filter(|(t, _)| *t == table);
        let (_, key) = keys.next().expect("it has one");
        assert!(keys.next().is_none(), "it has more than one");
        key.clone()
    }

    /// Spoils a value, as a bad disk would.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert((table, key), value);
    }
}

/// Definition and number of each.
pub type Runs = Vec<(u64, u64)>;

/// All that a machine keeps in memory.
#[derive(Debug, PartialEq, Eq)]
pub struct View {
    pub slots: Vec<(u64, Slot)>,
    pub outbox: Vec<(u32, u64, Open)>,
    pub pending: u64,
    pub counters: Counters,
    pub lanes: Vec<String>,
    pub paused: usize,
    pub tracks: BTreeMap<u64, Track>,
    /// Runs that the sink has, those of them that shall end, and all that is open and waits.
    pub runs: (Runs, Runs, usize, usize),
    pub run_lanes: Vec<u16>,
    /// Definitions whose runs others wait for, and runs of which these have not all been told.
    pub followed: (Vec<u64>, Runs),
    pub courses: BTreeMap<u64, Course>,
    pub over: Vec<u64>,
    pub backfills: Vec<(u64, String, Backfill)>,
    /// Those that have not ended, and how many are known.
    pub running: (Vec<(u64, String)>, usize),
    /// Pauses that end by themselves: when, and of whom.
    pub pauses: Vec<(i64, u64)>,
    pub calendars: Calendars,
}

impl View {
    pub fn of(machine: &Machine) -> Self {
        let lanes = machine.lanes().to_vec();
        let outbox = (0..lanes.len() as u32)
            .flat_map(|lane| machine.outbox().range(lane, 0).map(move |(seq, open)| (lane, seq, open.clone())));
        Self {
            slots: machine.slots().iter().map(|(number, slot)| (number, *slot)).collect(),
            outbox: outbox.collect(),
            pending: machine.outbox().pending(),
            counters: machine.counters().clone(),
            lanes,
            paused: machine.paused(),
            tracks: machine.tracks().iter().map(|(number, track)| (number, track.clone())).collect(),
            runs: {
                let tracks = machine.tracks();
                let started = tracks.started_from((0, 0)).collect();
                (started, tracks.wishes().collect(), tracks.open(), tracks.waiting())
            },
            run_lanes: machine.tracks().lanes().collect(),
            followed: (machine.tracks().followed().collect(), machine.tracks().ended_from((0, 0)).collect()),
            courses: machine.courses().iter().map(|(number, course)| (number, *course)).collect(),
            over: machine.courses().over_from(0).collect(),
            backfills: machine.backfills().iter().map(|(n, id, one)| (n, id.to_owned(), one.clone())).collect(),
            running: {
                let running = machine.backfills().running().map(|(number, id)| (number, id.to_owned()));
                (running.collect(), machine.backfills().len())
            },
            pauses: machine.pauses().ending_by(i64::MAX).collect(),
            calendars: machine.calendars().clone(),
        }
    }
}

/// A machine over its store, and a clock that tests move.
pub struct Shard {
    pub state: Memory,
    pub machine: Machine,
    pub at: i64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { state: Memory::default(), machine: Machine::default(), at: START }
    }
}

impl Shard {
    /// With these definitions, numbered from 0.
    pub fn with(defines: Vec<Define>) -> Self {
        let mut shard = Self::default();
        shard.apply(Body::Define(defines));
        shard
    }

    /// Applies one entry by itself, now.
    pub fn apply(&mut self, body: Body) -> Applied {
        let entry = Entry { at: self.at, body };
        self.apply_together(&[entry.encode()]).pop().expect("one reply an entry")
    }

    /// Applies entries in one transaction.
    pub fn apply_together(&mut self, entries: &[Bytes]) -> Vec<Applied> {
        let applied = self.try_apply(entries).expect("the entries are sound and the store does not fail");
        assert_eq!(View::of(&self.open()), View::of(&self.machine), "a machine opened from the state is another one");
        applied
    }

    /// Applies entries in one transaction, unless one is refused.
    pub fn try_apply(&mut self, entries: &[Bytes]) -> Result<Vec<Applied>, ApplyError> {
        let mut txn = Txn::new(&self.state);
        let applied: Result<Vec<_>, _> = entries.iter().map(|entry| self.machine.apply(&mut txn, entry)).collect();
        let writes = txn.into_writes();
        self.state.write(writes);
        applied
    }

    /// A machine opened from the state.
    pub fn open(&self) -> Machine {
        Machine::open(&self.state).expect("the state is sound")
    }

    pub fn slot(&self, number: u64) -> Slot {
        *self.machine.slots().get(number).expect("the definition exists")
    }

    /// Defines one, and tells which it is.
    pub fn define(&mut self, define: Define) -> Definite {
        use flintwheel_shard::reply::Defined::{Configured, Created};
        match self.apply(Body::Define(vec![define])).outcome {
            Outcome::Defined(defined) => match defined[..] {
                [Created(definite) | Configured(definite)] => definite,
                ref other => panic!("not defined: {other:?}"),
            },
            other => panic!("not the outcome of a Define: {other:?}"),
        }
    }

    /// Decides due times; the indices of the stale decisions.
    pub fn fire(&mut self, decisions: Vec<Decision>) -> (Vec<OutboxRef>, Vec<u32>) {
        let through = self.at;
        let applied = self.apply(Body::Fire(Fire { through, decisions }));
        let Outcome::Fired { stale, .. } = applied.outcome else { panic!("not the outcome of a Fire: {applied:?}") };
        (applied.chunks, stale)
    }

    /// Fires the next due time of a definition, an hour before the one after it.
    pub fn fire_next(&mut self, number: u64) -> OutboxRef {
        let decision = self.next_decision(number);
        match self.fire(vec![decision]) {
            (chunks, stale) if stale.is_empty() && chunks.len() == 1 => chunks[0],
            other => panic!("did not fire: {other:?}"),
        }
    }

    /// The decision that fires the next due time of a definition.
    pub fn next_decision(&self, number: u64) -> Decision {
        let slot = self.slot(number);
        decision(number, slot.generation, slot.next)
    }

    /// All occurrences of a definition that the account has, newest first.
    pub fn occurrences(&self, number: u64) -> Vec<Occurrence> {
        let (found, next) =
            query::occurrences(&self.state, number, self.slot(number).chunk, usize::MAX).expect("reads");
        assert_eq!(next, 0, "nothing is left to go on from");
        found
    }
}

/// A definition without triggers, at its first document.
pub fn define(id: &str) -> Define {
    Define {
        namespace: NAMESPACE.into(),
        id: id.into(),
        document: Bytes::from_static(b"{\"spec\":1}"),
        enabled: true,
        next: NEVER,
        subscriptions: Vec::new(),
        incarnation: 7,
        expected_version: None,
        tracking: None,
        bounds: None,
        calendars: None,
        request: None,
    }
}

/// What a definition asks for about its runs, and nothing beside the policy.
pub fn tracked(policy: Policy) -> Option<Tracking> {
    Some(Tracking { policy, pause_on_failure: false, carry: false })
}

/// At most so many firings.
pub fn bounded(max: u32) -> Option<Bounds> {
    Some(Bounds { max: Some(max), after_end: AfterEnd::Keep })
}

/// What becomes of it in the end.
pub fn ending(after_end: AfterEnd) -> Option<Bounds> {
    Some(Bounds { max: None, after_end })
}

/// A definition that is due at this time first.
pub fn due(id: &str, next: i64) -> Define {
    Define { next, ..define(id) }
}

/// A definition that listens to this event type.
pub fn listening(id: &str, event_type: &str) -> Define {
    Define { subscriptions: vec![(event_type.into(), Bytes::from_static(b"matcher"))], ..define(id) }
}

/// The same definition with another document.
pub fn changed(define: Define, document: &'static str) -> Define {
    Define { document: Bytes::from_static(document.as_bytes()), ..define }
}

pub fn delete(id: &str) -> Body {
    Body::Delete(vec![deletion(id)])
}

/// Removes whatever has this name.
pub fn deletion(id: &str) -> Delete {
    let (namespace, id) = (NAMESPACE.into(), id.into());
    Delete { namespace, id, incarnation: None, expected_version: None, request: None }
}

/// A request about a definition, remembered for an hour.
pub fn request(id: &str, request_id: &str, content: u8) -> Option<Request> {
    let digest = digest(u64::MAX, &format!("r:{id} {request_id}"));
    Some(Request { digest, content: [content; 16], window: 3_600 })
}

/// Fires a due time that is met in time; the next is an hour later.
pub fn decision(number: u64, generation: u32, nominal: i64) -> Decision {
    let next = nominal.saturating_add(HOUR);
    Decision { number, generation, nominal, due: nominal, next, skip: None, count: 1 }
}

/// Event 0 matched to version 1 of a definition; the key is remembered for a minute.
pub fn matched(number: u64, key: &str) -> Match {
    Match { event: 0, number, version: 1, key: key.into(), digest: digest(number, key), window: 60, due: None }
}

pub fn ingest(events: &[&'static str], matches: Vec<Match>) -> Body {
    Body::Ingest(Ingest { events: events.iter().map(|event| Bytes::from_static(event.as_bytes())).collect(), matches })
}

pub fn trigger(id: &str, request_id: &str) -> Trigger {
    Trigger {
        namespace: NAMESPACE.into(),
        id: id.into(),
        request_id: request_id.into(),
        digest: digest(u64::MAX, &format!("{id} {request_id}")),
        input: Bytes::from_static(b"{\"by\":\"hand\"}"),
        policy: None,
    }
}

/// Sixteen bytes that differ where definition or key do: both stand in them as they are.
pub fn digest(number: u64, key: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    digest[0] = number as u8;
    let text = key.as_bytes();
    assert!(number < 255 || number == u64::MAX, "a test has few definitions");
    assert!(text.len() <= 15, "a test's key is short");
    digest[1..=text.len()].copy_from_slice(text);
    digest
}

pub fn ack(chunk: OutboxRef, ends: Vec<AckEnd>) -> Body {
    Body::Ack(vec![Ack { lane: chunk.lane, seq: chunk.seq, ends }])
}

pub fn started(record: u32, at: i64) -> AckEnd {
    AckEnd { record, at, refused: None, note: String::new() }
}

pub fn refused(record: u32, at: i64) -> AckEnd {
    AckEnd { record, at, refused: Some("namespace not found".into()), note: String::new() }
}

/// The nominal time, event key or request id.
pub fn key_of(record: &Record) -> String {
    match &record.key {
        Key::Time { nominal, .. } => format!("t:{}", (nominal - START) / HOUR),
        Key::Event(key) => format!("e:{key}"),
        Key::Manual(request) => format!("m:{request}"),
        Key::Backfill { id, nominal } => format!("b:{id}:{}", (nominal - START) / HOUR),
    }
}
