//! Catch-up: what becomes of due times that have passed by now, one after the other, oldest first.
//!
//! A due time that is met less than [`LATE_AFTER`] late simply fires, whatever the policy: a change of leader, a restart
//! or a short stall takes that long, and is no downtime that a user would want to know of. Only what is later is a
//! misfire, which the policy decides about. Later than the policy's window, nothing fires.

use flintwheel_model::definition::{MisfireMode, MisfirePolicy};

use crate::plan::Plan;

/// Due times met less than this late are not late: one minute, in microseconds.
pub const LATE_AFTER: i64 = 60_000_000;
/// How many nominal times one [`CatchUp`] goes through at most: some milliseconds of work.
pub const MAX_STEPS: u32 = 100_000;

/// A nominal time, and when it is due (after jitter). Microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTime {
    /// What the schedule names.
    pub nominal: i64,
    /// When it is due.
    pub due: i64,
}

/// Why a late due time does not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// It is later than the policy's window.
    OutsideWindow,
    /// The policy is `latest`, and another one has become due since.
    NotLatest,
    /// The policy is `none`.
    PolicyNone,
}

/// What becomes of passed due times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This one fires.
    Fire(DueTime),
    /// These don't: all nominal times from the first to the last, both included.
    Skip {
        /// The first nominal time.
        first: i64,
        /// The last nominal time.
        last: i64,
        /// How many there are.
        count: u32,
        /// Why.
        reason: SkipReason,
    },
}

/// What comes after the outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The next due time lies ahead: arm it.
    Next(DueTime),
    /// No due time lies ahead.
    Never,
    /// There are more that have passed: begin again after [`CatchUp::handled_through`].
    More,
}

/// Goes through the due times that have passed. As an iterator it yields what becomes of them, in order; then
/// [`rest`](Self::rest) says what lies ahead. It may be left at any point and begun anew from
/// [`handled_through`](Self::handled_through), with the same result.
#[derive(Debug)]
pub struct CatchUp<'a> {
    plan: &'a Plan,
    policy: MisfirePolicy,
    seed: u64,
    now: i64,
    handled_through: i64,
    /// The nominal time after `handled_through`.
    ahead: Option<i64>,
    steps_left: u32,
}

impl<'a> CatchUp<'a> {
    /// Begins after the nominal time that was handled last (or after the time from which the schedule counts).
    pub fn new(plan: &'a Plan, policy: MisfirePolicy, seed: u64, handled_through: i64, now: i64) -> Self {
        let ahead = plan.next(handled_through);
        Self { plan, policy, seed, now, handled_through, ahead, steps_left: MAX_STEPS }
    }

    /// Goes through at most so many nominal times.
    #[must_use]
    pub fn at_most(mut self, steps: u32) -> Self {
        self.steps_left = steps;
        self
    }

    /// The nominal time up to which outcomes have been yielded.
    pub fn handled_through(&self) -> i64 {
        self.handled_through
    }

    /// What comes after the outcomes that have been yielded.
    pub fn rest(&self) -> Rest {
        match self.due_ahead() {
            None => Rest::Never,
            Some((time, _)) if time.due <= self.now => Rest::More,
            Some((time, _)) => Rest::Next(time),
        }
    }

    /// The due time after those that have been handled, and the nominal time that follows it.
    fn due_ahead(&self) -> Option<(DueTime, Option<i64>)> {
        let nominal = self.ahead?;
        let following = self.plan.next(nominal);
        Some((DueTime { nominal, due: self.plan.due_before(nominal, following, self.seed) }, following))
    }

    /// Why a due time does not fire, if so.
    fn skip_reason(&self, time: DueTime, following: Option<i64>) -> Option<SkipReason> {
        let late = self.now - time.due;
        if late > i64::try_from(self.policy.window.micros()).unwrap_or(i64::MAX) {
            return Some(SkipReason::OutsideWindow);
        }
        if late < LATE_AFTER {
            return None;
        }
        match self.policy.mode {
            MisfireMode::All => None,
            MisfireMode::None => Some(SkipReason::PolicyNone),
            MisfireMode::Latest => following
                .filter(|following| self.plan.due(*following, self.seed) <= self.now)
                .map(|_| SkipReason::NotLatest),
        }
    }

    fn handle(&mut self, nominal: i64, following: Option<i64>) {
        self.handled_through = nominal;
        self.ahead = following;
        self.steps_left -= 1;
    }
}

impl Iterator for CatchUp<'_> {
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        let mut skipped: Option<(i64, u32, SkipReason)> = None;
        while self.steps_left > 0
            && let Some((time, following)) = self.due_ahead().filter(|(time, _)| time.due <= self.now)
        {
            skipped = match (self.skip_reason(time, following), skipped) {
                (None, None) => {
                    self.handle(time.nominal, following);
                    return Some(Outcome::Fire(time));
                }
                (Some(reason), None) => Some((time.nominal, 1, reason)),
                (Some(reason), Some((first, count, same))) if reason == same => Some((first, count + 1, reason)),
                _ => break,
            };
            self.handle(time.nominal, following);
        }
        let (first, count, reason) = skipped?;
        Some(Outcome::Skip { first, last: self.handled_through, count, reason })
    }
}
