//! What a node counts, for `/metrics` and `status`. Labels are few and bounded: never a definition, a workflow or an event.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use flintwheel_model::firing::StartOutcome;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::room::Level;

/// Seconds from due time to the start call.
const LAG_BUCKETS: [f64; 16] =
    [0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result_ {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

/// See the module.
pub struct Metrics {
    registry: Mutex<Registry>,
    decisions: Counter,
    started: Counter,
    acknowledged: Counter,
    answers: Family<Result_, Counter>,
    lag: Histogram,
    events: Family<Result_, Counter>,
    actor_failures: Counter,
    runs_closed: Counter,
    overlapped: Counter,
    backfilled: Counter,
    runs_open: Gauge,
    runs_waiting: Gauge,
    runs_stuck: Gauge,
    outbox: Gauge,
    dead: Gauge,
    definitions: Gauge,
    paused: Gauge,
    oldest: Gauge<f64, AtomicU64>,
    ready: Gauge,
    clock_held: Gauge,
    clock_ahead: Gauge<f64, AtomicU64>,
    disk_low: Gauge,
    led: Gauge,
    asleep: Gauge,
    damaged: Gauge,
    memory: Family<Part, Gauge>,
    overdue: Vec<AtomicI64>,
    late: Vec<AtomicU64>,
    rearmed: Counter,
    rezoned: Counter,
    catching_up: Gauge,
}

impl Metrics {
    /// For this many shards.
    pub fn new(shards: u32) -> Self {
        let mut registry = Registry::with_prefix("flintwheel");
        let metrics = Self {
            decisions: Counter::default(),
            started: Counter::default(),
            acknowledged: Counter::default(),
            answers: Family::default(),
            lag: Histogram::new(LAG_BUCKETS),
            events: Family::default(),
            actor_failures: Counter::default(),
            runs_closed: Counter::default(),
            overlapped: Counter::default(),
            backfilled: Counter::default(),
            runs_open: Gauge::default(),
            runs_waiting: Gauge::default(),
            runs_stuck: Gauge::default(),
            outbox: Gauge::default(),
            dead: Gauge::default(),
            definitions: Gauge::default(),
            paused: Gauge::default(),
            oldest: Gauge::default(),
            ready: Gauge::default(),
            clock_held: Gauge::default(),
            clock_ahead: Gauge::default(),
            disk_low: Gauge::default(),
            led: Gauge::default(),
            asleep: Gauge::default(),
            damaged: Gauge::default(),
            memory: Family::default(),
            overdue: (0..shards).map(|_| AtomicI64::new(0)).collect(),
            late: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            rearmed: Counter::default(),
            rezoned: Counter::default(),
            catching_up: Gauge::default(),
            registry: Mutex::default(),
        };
        metrics.register(&mut registry);
        *metrics.registry.lock() = registry;
        metrics
    }

    fn register(&self, r: &mut Registry) {
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("tzdata", flintwheel_schedule::tzdata_version().to_owned()),
        ]);
        r.register("build", "Version of the program and of its time-zone database", build);
        r.register("decisions", "Due times decided, durably", self.decisions.clone());
        r.register("fires", "Workflows started, by this node", self.started.clone());
        r.register("acked", "Answers of the sink written down, durably", self.acknowledged.clone());
        r.register("start_answers", "Answers of the sink to start calls", self.answers.clone());
        r.register_with_unit(
            "fire_lag",
            "From due time to the start call that succeeded",
            Unit::Seconds,
            self.lag.clone(),
        );
        r.register("events_received", "Events taken in, by what became of them", self.events.clone());
        r.register("actor_failures", "Actors that failed and were started anew", self.actor_failures.clone());
        r.register("watched_runs_closed", "Watched runs that have ended", self.runs_closed.clone());
        r.register("overlap_skips", "Due times skipped because of an open run", self.overlapped.clone());
        r.register("backfill_decisions", "Due times that backfills have decided", self.backfilled.clone());
        r.register("watched_runs_open", "Open runs that are watched", self.runs_open.clone());
        r.register("overlap_waiting", "Occurrences that wait for an open run", self.runs_waiting.clone());
        r.register(
            "overlap_stuck",
            "Definitions of which three due times in a row were skipped because of the same open run",
            self.runs_stuck.clone(),
        );
        r.register("outbox_pending", "Firings decided and not ended", self.outbox.clone());
        r.register("dead_letters", "Firings that the sink refused for good", self.dead.clone());
        r.register("definitions", "Definitions", self.definitions.clone());
        r.register("definitions_paused", "Definitions that are paused", self.paused.clone());
        self.register_overdue(r);
        r.register(
            "rezoned",
            "Definitions that other time-zone data has made due at another time",
            self.rezoned.clone(),
        );
        r.register("ready", "Whether this node takes work", self.ready.clone());
        r.register(
            "clock_held",
            "Whether the wall clock has jumped ahead and is not believed",
            self.clock_held.clone(),
        );
        r.register("shards_led", "Shards that this node leads and takes work for", self.led.clone());
        r.register("shards_asleep", "Replicas of this node whose shard has nothing to do", self.asleep.clone());
        r.register_with_unit(
            "clock_ahead",
            "How far this node's clock is ahead of a majority of the others, where they contradict it",
            Unit::Seconds,
            self.clock_ahead.clone(),
        );
        r.register(
            "disk_low",
            "0: room; 1: less free than the reserve, nothing new is taken in; 2: nearly full, what is due waits",
            self.disk_low.clone(),
        );
        r.register(
            "damaged_replicas",
            "Replicas of shards on this node whose data can't be trusted",
            self.damaged.clone(),
        );
        r.register_with_unit(
            "memory",
            "Of the process (resident), and of it what the databases' buffers and cache take",
            Unit::Bytes,
            self.memory.clone(),
        );
    }

    fn register_overdue(&self, r: &mut Registry) {
        r.register_with_unit(
            "oldest_overdue",
            "Age of the oldest due time not decided",
            Unit::Seconds,
            self.oldest.clone(),
        );
        r.register("catching_up", "Definitions that are late and wait for their turn", self.catching_up.clone());
        r.register(
            "rearmed",
            "Definitions that nobody waited for, found by comparing all cursors with what is armed, and armed again",
            self.rearmed.clone(),
        );
    }

    /// Due times decided.
    pub fn decided(&self, count: usize) {
        self.decisions.inc_by(count as u64);
    }

    /// Workflows started.
    pub fn started(&self, count: usize) {
        self.started.inc_by(count as u64);
    }

    /// Answers written down.
    pub fn acknowledged(&self, count: usize) {
        self.acknowledged.inc_by(count as u64);
    }

    /// From due time to start call, in microseconds.
    pub fn lag(&self, micros: i64) {
        self.lag.observe(micros as f64 / 1e6);
    }

    /// One answer of the sink.
    pub fn answered(&self, outcome: &StartOutcome) {
        let result = match outcome {
            StartOutcome::Started { .. } => "started",
            StartOutcome::Conflict { .. } => "conflict",
            StartOutcome::Retry { .. } => "retry",
            StartOutcome::Refused { .. } => "refused",
        };
        self.answers.get_or_create(&Result_ { result }).inc();
    }

    /// Events, by what became of them: `matched`, `unmatched`, `duplicate`, `rejected`.
    pub fn events(&self, result: &'static str, count: u32) {
        if count > 0 {
            self.events.get_or_create(&Result_ { result }).inc_by(count.into());
        }
    }

    /// An actor failed.
    pub fn actor_failed(&self) {
        self.actor_failures.inc();
    }

    /// Watched runs that have ended.
    pub fn runs_closed(&self, count: u32) {
        self.runs_closed.inc_by(count.into());
    }

    /// Due times that backfills have decided.
    pub fn backfilled(&self, count: u32) {
        self.backfilled.inc_by(count.into());
    }

    /// Due times skipped because of an open run.
    pub fn overlapped(&self, count: u32) {
        self.overlapped.inc_by(count.into());
    }

    /// Of a shard: the age of its oldest due time that is not decided, in microseconds; and how many definitions are late and wait for their turn.
    pub fn set_overdue(&self, shard: u32, oldest: i64, late: u64) {
        self.overdue[shard as usize].store(oldest, Ordering::Relaxed);
        self.late[shard as usize].store(late, Ordering::Relaxed);
    }

    /// A definition was forgotten, and is armed again.
    pub fn rearmed(&self) {
        self.rearmed.inc();
    }

    /// So many definitions are due at another time, by other time-zone data.
    pub fn rezoned(&self, count: u64) {
        self.rezoned.inc_by(count);
    }

    /// Over all shards, in microseconds.
    pub fn oldest_overdue(&self) -> i64 {
        self.overdue.iter().map(|age| age.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// What is measured when it is asked for.
    pub fn set_gauges(&self, now: &Snapshot) {
        self.outbox.set(now.outbox as i64);
        self.dead.set(now.dead as i64);
        self.definitions.set(now.definitions as i64);
        self.paused.set(now.paused as i64);
        self.runs_open.set(now.runs_open as i64);
        self.runs_waiting.set(now.runs_waiting as i64);
        self.runs_stuck.set(now.runs_stuck as i64);
        self.ready.set(now.ready.into());
        self.clock_held.set(now.clock_held.into());
        self.disk_low.set(i64::from(now.disk as u8));
        self.clock_ahead.set(now.clock_ahead.unwrap_or(0) as f64 / 1e6);
        self.led.set(now.led.into());
        self.asleep.set(now.asleep.into());
        self.damaged.set(now.damaged.into());
        let Memory { resident, log_buffers, state_buffers, block_cache } = now.memory;
        let parts = [
            ("resident", resident),
            ("log_buffers", log_buffers),
            ("state_buffers", state_buffers),
            ("block_cache", block_cache),
        ];
        for (part, bytes) in parts {
            self.memory.get_or_create(&Part { part }).set(bytes as i64);
        }
        self.oldest.set(self.oldest_overdue() as f64 / 1e6);
        self.catching_up.set(self.late.iter().map(|late| late.load(Ordering::Relaxed)).sum::<u64>() as i64);
    }

    /// OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry.lock()).expect("writing to a string never fails");
        out
    }

    /// For rates.
    pub fn totals(&self) -> Totals {
        let of = |result| self.events.get_or_create(&Result_ { result }).get();
        let events = ["matched", "unmatched", "duplicate", "rejected"].map(of).iter().sum();
        Totals { decided: self.decisions.get(), started: self.started.get(), events }
    }
}

/// What was counted since the node started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Due times decided.
    pub decided: u64,
    /// Workflows started.
    pub started: u64,
    /// Events taken in.
    pub events: u64,
}

/// The state of the node at one moment, summed over the shards that it leads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Definitions.
    pub definitions: u64,
    /// Of them, paused.
    pub paused: u64,
    /// Of them, with a due time ahead.
    pub armed: u64,
    /// Firings decided and not ended.
    pub outbox: u64,
    /// Dead letters.
    pub dead: u64,
    /// Open runs that are watched.
    pub runs_open: u64,
    /// Occurrences that wait for them.
    pub runs_waiting: u64,
    /// Definitions that one of them keeps from running.
    pub runs_stuck: u64,
    /// The node takes work.
    pub ready: bool,
    /// The wall clock is not believed.
    pub clock_held: bool,
    /// Where a majority of the other nodes contradicts the clock: microseconds that it is ahead of theirs, or behind where negative.
    pub clock_ahead: Option<i64>,
    /// How the disk stands.
    pub disk: Level,
    /// Shards that this node leads.
    pub led: u32,
    /// Shards of which it has a replica, and does not know who leads them.
    pub unled: u32,
    /// Shards of which it has a replica, without work for a while.
    pub asleep: u32,
    /// Replicas here that are damaged.
    pub damaged: u32,
    /// Of them, those that are made anew from others.
    pub awaited: u32,
    /// What it is made of.
    pub memory: Memory,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Of the whole process.
    pub resident: u64,
    /// Memory tables of the log database.
    pub log_buffers: u64,
    /// Memory tables of the state database.
    pub state_buffers: u64,
    /// What the state database has read and keeps.
    pub block_cache: u64,
}
