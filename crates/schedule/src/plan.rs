//! A compiled schedule: asked for the next nominal time, and for the due time of a nominal one.

use crate::cron::Cron;
use crate::interval::Every;
use crate::jitter::Spread;
use crate::zone::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// When something is due: the union of cron lines, intervals and single times, within bounds. Small, and equal for
/// schedules that mean the same, so that it can be shared by all definitions that have it.
///
/// All times are microseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Sorted, no two equal; so are the other two.
    pub(crate) crons: Box<[Cron]>,
    pub(crate) intervals: Box<[Every]>,
    pub(crate) singles: Box<[i64]>,
    /// That cron lines are read in.
    pub(crate) zone: &'static Zone,
    /// No nominal time before this one, which is not before 1970.
    pub(crate) first: i64,
    /// No nominal time after this one, which is not after 2100.
    pub(crate) last: i64,
    pub(crate) spread: Option<Spread>,
}

impl Plan {
    /// The first nominal time after `after`; `None` when there is none until 2100. It depends on nothing but the two,
    /// so it does not matter from where a time is approached.
    pub fn next(&self, after: i64) -> Option<i64> {
        if after >= self.last {
            return None;
        }
        let after = after.max(self.first - 1);
        let times = self.intervals.iter().map(|every| every.next(after)).chain(self.next_single(after));
        let time = self.next_cron(after).into_iter().chain(times).min();
        time.filter(|time| *time <= self.last)
    }

    /// When a nominal time is due: moved by jitter, but always before the nominal time that follows. `seed` is the
    /// definition's own, so that definitions with the same schedule are spread.
    pub fn due(&self, nominal: i64, seed: u64) -> i64 {
        match self.spread {
            None => nominal,
            Some(_) => self.due_before(nominal, self.next(nominal), seed),
        }
    }

    /// The IANA name of the zone that cron lines are read in.
    pub fn zone_name(&self) -> &'static str {
        self.zone.name()
    }

    /// As [`due`](Self::due), where the nominal time that follows is known.
    pub(crate) fn due_before(&self, nominal: i64, following: Option<i64>, seed: u64) -> i64 {
        self.spread.map_or(nominal, |spread| nominal + spread.offset(nominal, following, seed))
    }

    fn next_cron(&self, after: i64) -> Option<i64> {
        let from = after.div_euclid(MICROS_PER_SECOND) + 1;
        let instants = self.crons.iter().filter_map(|cron| cron.first_instant(self.zone.spans_from(from), from));
        instants.min().map(|second| second * MICROS_PER_SECOND)
    }

    fn next_single(&self, after: i64) -> Option<i64> {
        self.singles.get(self.singles.partition_point(|single| *single <= after)).copied()
    }
}
