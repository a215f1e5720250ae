//! Intervals: every so often since the Unix epoch, in UTC, whatever the zone.

use flintwheel_model::Span;
use flintwheel_model::definition::Interval;

/// The shortest interval.
const SHORTEST: Span = Span::from_secs(1);

/// All times that are `phase` past a multiple of `every`, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Every {
    every: i64,
    phase: i64,
}

/// Which part of an interval is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IntervalFault {
    Every(String),
    Phase(String),
}

impl Every {
    pub(crate) fn new(interval: Interval) -> Result<Self, Vec<IntervalFault>> {
        let Interval { every, phase } = interval;
        let mut faults = Vec::new();
        if every < SHORTEST {
            faults.push(IntervalFault::Every(format!("interval \"{every}\" is below {SHORTEST}")));
        } else if !every.is_whole_secs() {
            faults.push(IntervalFault::Every(format!("interval \"{every}\" is not in whole seconds")));
        }
        if !phase.is_whole_secs() {
            faults.push(IntervalFault::Phase(format!("phase \"{phase}\" is not in whole seconds")));
        }
        if phase >= every && !phase.is_zero() {
            faults.push(IntervalFault::Phase(format!("phase \"{phase}\" is not less than the interval \"{every}\"")));
        }
        if faults.is_empty() { Ok(Self { every: signed(every), phase: signed(phase) }) } else { Err(faults) }
    }

    /// The first time after `after`.
    pub(crate) fn next(self, after: i64) -> i64 {
        ((after - self.phase).div_euclid(self.every) + 1) * self.every + self.phase
    }
}

fn signed(span: Span) -> i64 {
    i64::try_from(span.micros()).expect("a span is at most a hundred years")
}
