//! What clients were told, written down where no node can reach it. Knows no shard's state: that is compared with this at the end.

use std::collections::{BTreeMap, BTreeSet};

/// What sets a definition off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A length of time, in microseconds.
    Every(i64),
    /// Events of a type.
    Event(String),
}

/// A definition that was acknowledged, or is to be.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its shard.
    pub shard: u32,
    /// Its number there, when it was acknowledged.
    pub number: Option<u64>,
    /// What its version sets off; by version.
    pub versions: BTreeMap<u32, Cause>,
    /// Somebody wants to remove it.
    pub leaving: bool,
    /// And was told that it is gone.
    pub gone: bool,
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
