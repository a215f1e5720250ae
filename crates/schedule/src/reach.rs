//! How far one search for a due time goes: not beyond what another entry of the schedule has found already, and so many steps in all. Without it a
//! schedule of many entries, each excluded for years, would hold up all definitions that share its shard. Knows nothing of what is searched.

use std::cell::Cell;

use crate::limits::MAX_STEPS;

/// No clock is changed by more than a day: what is this much later by the local clock is later, in seconds.
const APART: i64 = 2 * 86_400;
/// What it takes to ask an entry for its next time, or whether a day is open, as steps: a step is a look at a minute, some 40 nanoseconds.
pub(crate) const TURN: u32 = 30;

/// See the module.
pub(crate) struct Reach {
    left: Cell<u32>,
    /// Local, in seconds.
    until: Cell<i64>,
}

impl Reach {
    /// Of a new search.
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(MAX_STEPS), until: Cell::new(i64::MAX) }
    }

    /// Takes steps. What has none left ends.
    pub(crate) fn take(&self, steps: u32) {
        self.left.set(self.left.get().saturating_sub(steps));
    }

    /// Whether there are steps left.
    pub(crate) fn is_left(&self) -> bool {
        self.left.get() > 0
    }

    /// Whether the search goes on from a local time.
    pub(crate) fn goes_on(&self, local: i64) -> bool {
        self.is_left() && local <= self.until.get()
    }

    /// The next time is searched for; the steps that were taken stay so.
    pub(crate) fn again(&self) {
        self.until.set(i64::MAX);
    }

    /// One entry has found a local time: what comes later need not be found.
    pub(crate) fn found(&self, local: i64) {
        self.until.set(self.until.get().min(local + APART));
    }
}
