//! Which pauses end by themselves, and when: so that a leader finds those whose time has come without looking at all definitions. What is in
//! here follows from the notes of pauses; who ends them is not known here.

use std::collections::{BTreeSet, HashMap};

/// The pauses of a shard that have an end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    by_number: HashMap<u64, i64>,
    by_time: BTreeSet<(i64, u64)>,
}

impl Pauses {
    /// When the pause of a definition ends by itself, in microseconds since the epoch.
    pub fn until(&self, number: u64) -> Option<i64> {
        self.by_number.get(&number).copied()
    }

    /// Those that end at this time or before, soonest first: when, and of which definition.
    pub fn ending_by(&self, at: i64) -> impl Iterator<Item = (i64, u64)> {
        self.by_time.range(..=(at, u64::MAX)).copied()
    }

    /// When the first of them ends.
    pub fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn set(&mut self, number: u64, until: Option<i64>) {
        if let Some(before) = self.by_number.remove(&number) {
            self.by_time.remove(&(before, number));
        }
        if let Some(until) = until {
            self.by_number.insert(number, until);
            self.by_time.insert((until, number));
        }
    }
}
