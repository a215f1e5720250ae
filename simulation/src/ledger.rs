//! What clients were told, written down where no node can reach it. Knows no shard's state: that is compared with this at the end.

use crate::workload::{Kind, Timed};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_shard::entry::Range;
use std::collections::{BTreeMap, BTreeSet};

/// What sets a definition off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A schedule.
    Every(Timed),
    /// Events of a type.
    Event(String),
}

/// A definition that was acknowledged, or is to be.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its shard.
    pub shard: u32,
    /// What its schedule is like, if it has one: as long as it is there.
    pub kind: Option<Kind>,
    /// Its number there, when it was acknowledged.
    pub number: Option<u64>,
    /// What its version sets off; by version.
    pub versions: BTreeMap<u32, Cause>,
    /// Somebody wants to remove it.
    pub leaving: bool,
    /// And was told that it is gone.
    pub gone: bool,
    /// How its pauses end, or may.
    pub resumptions: Vec<Resumption>,
}

/// The end of a pause: what was due up to some instant is dropped or wanted, what comes later is not its business. All in microseconds since
/// the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// The instant is not before.
    pub from: i64,
    /// And not after.
    pub to: i64,
    /// It stands in what was asked for; else it is by the clock of a leader.
    pub exact: bool,
    /// What becomes of what was due.
    pub missed: OnResume,
}

/// A backfill that was acknowledged.
#[derive(Clone, Debug)]
pub struct Backfilling {
    /// What was asked for.
    pub range: Range,
    /// Somebody was told that it is stopped.
    pub stopped: bool,
}

/// A time at which a calendar was changed: begun, and acknowledged. True times, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Asked for.
    pub begun: i64,
    /// Acknowledged.
    pub done: i64,
    /// Whether the calendar has this day since.
    pub closed: bool,
}

impl Known {
    /// The version that was acknowledged last; 0 if none was.
    pub fn version(&self) -> u32 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }

    /// What sets it off now.
    pub fn cause(&self) -> Option<&Cause> {
        self.versions.values().next_back()
    }

    /// Its schedule, if it has one.
    pub fn timed(&self) -> Option<&Timed> {
        self.schedules().next_back()
    }

    /// That of a version.
    pub fn schedule(&self, version: u32) -> Option<&Timed> {
        match self.versions.get(&version)? {
            Cause::Every(timed) => Some(timed),
            Cause::Event(_) => None,
        }
    }

    /// Those of all versions.
    pub fn schedules(&self) -> impl DoubleEndedIterator<Item = &Timed> {
        self.versions.values().filter_map(|cause| match cause {
            Cause::Every(timed) => Some(timed),
            Cause::Event(_) => None,
        })
    }

    /// Whether its runs must never overlap.
    pub fn is_alone(&self) -> bool {
        self.kind == Some(Kind::Alone)
    }

    /// Whether what is due may have had to wait for a run.
    pub fn may_wait(&self) -> bool {
        let waits =
            |timed: &Timed| !matches!(timed.overlap, None | Some(OverlapPolicy::Skip | OverlapPolicy::AllowAll));
        self.schedules().any(waits)
    }
}

/// An event that was published.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its type.
    pub event_type: String,
    /// When it was first sent, in nanoseconds since the beginning.
    pub at: u64,
    /// Definitions that it must have set off, if it is acknowledged.
    pub listeners: BTreeSet<String>,
    /// Somebody was told that it is durable.
    pub acknowledged: bool,
}

/// See the module.
#[derive(Default)]
pub struct Ledger {
    /// By id.
    pub definitions: BTreeMap<String, Known>,
    /// By id.
    pub events: BTreeMap<String, Sent>,
    /// Definition and request id of acknowledged firings by hand.
    pub triggers: Vec<(String, String)>,
    /// By definition and id.
    pub backfills: BTreeMap<(String, String), Backfilling>,
    /// Of the calendar, in order.
    pub turns: Vec<Turn>,
    /// Definitions that a client is changing.
    pub busy: BTreeSet<String>,
    /// Operations begun and not ended.
    pub open: usize,
    /// Nothing new is begun.
    pub closing: bool,
    /// Numbers given out to ids.
    pub next: u64,
}

impl Ledger {
    /// A number for a new id.
    pub fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Definitions that nobody is changing, and that are there.
    pub fn settled(&self, wanted: impl Fn(&Known) -> bool) -> Vec<String> {
        let free = |id: &String, known: &Known| {
            !self.busy.contains(id) && known.number.is_some() && !known.leaving && wanted(known)
        };
        self.definitions.iter().filter(|(id, known)| free(id, known)).map(|(id, _)| id.clone()).collect()
    }
}
