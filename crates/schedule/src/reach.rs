//! How far one search for a due time goes: not beyond what another entry of the schedule has found already, and so many steps in all. Without it a
//! schedule of many entries, each excluded for years, would hold up all definitions that share its shard. Each entry has its part of the steps, so that
//! one that is excluded for ever keeps no other one from being found. Knows nothing of what is searched.

use std::cell::Cell;

use crate::limits::MAX_STEPS;

/// No clock is changed by more than a day: what is this much later by the local clock is later, in seconds.
const APART: i64 = 2 * 86_400;
/// What it takes to ask an entry again for its next time, or a rule whether it names one, as steps: a step is a look at a minute, some 15 nanoseconds.
pub(crate) const TURN: u32 = 30;

/// See the module.
pub(crate) struct Reach {
    /// Steps that are left to all entries, to each of them, and to the one whose turn it is.
    left: Cell<u32>,
    part: Cell<u32>,
    own: Cell<u32>,
    /// Entries whose part was not enough.
    ran_out: Cell<u32>,
    /// Local, in seconds.
    until: Cell<i64>,
}

impl Reach {
    /// Of a new search.
    pub(crate) fn new() -> Self {
        let all = || Cell::new(MAX_STEPS);
        Self { left: all(), part: all(), own: all(), ran_out: Cell::new(0), until: Cell::new(i64::MAX) }
    }

    /// Each of so many entries gets an equal part of the steps that are left. False where that is none.
    pub(crate) fn share_among(&self, entries: u32) -> bool {
        self.part.set(self.left.get().checked_div(entries).unwrap_or(0));
        self.own.set(self.part.get());
        self.ran_out.set(0);
        self.part.get() > 0
    }

    /// Another entry has its turn.
    pub(crate) fn begin(&self) {
        self.ran_out.set(self.ran_out());
        self.own.set(self.part.get());
    }

    /// How many entries have ended since they were given their parts because these were not enough.
    pub(crate) fn ran_out(&self) -> u32 {
        self.ran_out.get() + u32::from(!self.is_left())
    }

    /// Takes steps. What has none left ends.
    pub(crate) fn take(&self, steps: u32) {
        self.left.set(self.left.get().saturating_sub(steps));
        self.own.set(self.own.get().saturating_sub(steps));
    }

    /// Whether there are steps left.
    pub(crate) fn is_left(&self) -> bool {
        self.own.get() > 0
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
