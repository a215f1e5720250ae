//! A compiled schedule: asked for the next nominal time, and for the due time of a nominal one.

use flintwheel_model::definition::{DstPolicy, Roll};

use crate::business::Business;
use crate::clock::first_instant;
use crate::closed::Closed;
use crate::cron::Cron;
use crate::interval::Every;
use crate::jitter::Spread;
use crate::limits::MAX_EXCLUDED_TIMES;
use crate::reach::{Reach, TURN};
use crate::repeat::Repeat;
use crate::roll::first_rolled;
use crate::rule::Rule;
use crate::zone::Zone;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// When something is due: the union of cron lines, calendars, rules, intervals and single times, without what is excluded, and
/// within bounds. Small, and equal for schedules that mean the same, so that it can be shared by all definitions that
/// have it.
///
/// All times are microseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Sorted, no two equal; so are the other five.
    pub(crate) crons: Box<[Cron]>,
    pub(crate) repeats: Box<[Repeat]>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) business: Box<[Business]>,
    pub(crate) intervals: Box<[Every]>,
    pub(crate) singles: Box<[i64]>,
    /// Times that were let in before, sorted: nothing excludes or bounds them any more.
    pub(crate) admitted: Box<[i64]>,
    /// Without it nothing is excluded.
    pub(crate) closed: Option<Box<Closed>>,
    pub(crate) roll: Roll,
    /// That local times are read in.
    pub(crate) zone: &'static Zone,
    pub(crate) dst: DstPolicy,
    /// No nominal time before this one, which is not before 1970.
    pub(crate) first: i64,
    /// No nominal time after this one, which is not after 2100.
    pub(crate) last: i64,
    pub(crate) spread: Option<Spread>,
}

impl Plan {
    /// The first nominal time after `after`; `None` when there is none until 2100. It depends on nothing but the two,
    /// so it does not matter from where a time is approached.
    ///
    /// Also `None` where [`MAX_EXCLUDED_TIMES`] in a row are excluded one by one (closed hours, days and dates are passed
    /// over at once, and don't count), or where the search takes [`MAX_STEPS`](crate::limits::MAX_STEPS): an entry that finds none
    /// until then counts as over, unless another one is found to be due.
    pub fn next(&self, after: i64) -> Option<i64> {
        let named = self.next_open(after);
        // (Hardly any plan has some.)
        let Some(last) = self.admitted.last() else { return named };
        if after >= *last {
            return named;
        }
        let first = self.admitted[self.admitted.partition_point(|time| *time <= after)];
        Some(named.map_or(first, |named| named.min(first)))
    }

    fn next_open(&self, after: i64) -> Option<i64> {
        let reach = Reach::new();
        let Some(closed) = &self.closed else { return self.next_named(after, &reach) };
        let mut time = self.next_named(after, &reach)?;
        for _ in 0..MAX_EXCLUDED_TIMES {
            if !closed.has(time, || self.local(time)) {
                return Some(time);
            }
            reach.take(TURN * closed.looked_up());
            reach.again();
            time = self.next_named(time, &reach)?;
        }
        None
    }

    /// When a nominal time is due: moved by jitter, but always before the nominal time that follows. `seed` is the
    /// definition's own, so that definitions with the same schedule are spread.
    pub fn due(&self, nominal: i64, seed: u64) -> i64 {
        match self.spread {
            None => nominal,
            Some(_) => self.due_before(nominal, self.next(nominal), seed),
        }
    }

    /// The same, with times beside those that it names, which it has let in (see [`allows`](Self::allows)) at some time: sorted. Whatever excludes or
    /// bounds the others, they stay.
    #[must_use]
    pub fn with_admitted(&self, times: impl IntoIterator<Item = i64>) -> Self {
        let admitted: Box<[i64]> = times.into_iter().collect();
        debug_assert!(admitted.is_sorted(), "times are looked for by their order");
        Self { admitted, ..self.clone() }
    }

    /// Whether it lets in a time that somebody names: it lies within bounds and is not excluded.
    pub fn allows(&self, time: i64) -> bool {
        let named = Self { singles: [time].into(), ..self.clone() };
        time.checked_sub(1).and_then(|before| named.next_open(before)) == Some(time)
    }

    /// How far jitter moves a due time at most, in microseconds; 0 without jitter.
    pub fn jitter_window(&self) -> i64 {
        self.spread.map_or(0, Spread::window)
    }

    /// The IANA name of the zone that local times are read in.
    pub fn zone_name(&self) -> &'static str {
        self.zone.name()
    }

    /// What it takes in memory, in bytes; without zones and calendars, which are shared.
    pub fn bytes(&self) -> usize {
        let Self { crons, repeats, rules, business, intervals, singles, closed, .. } = self;
        let fields = size_of_val(&**crons) + size_of_val(&**repeats) + size_of_val(&**business);
        let times = size_of_val(&**intervals) + size_of_val(&**singles);
        let rules: usize = rules.iter().map(Rule::bytes).sum();
        size_of::<Self>() + fields + times + rules + closed.as_ref().map_or(0, |closed| closed.bytes())
    }

    /// As [`due`](Self::due), where the nominal time that follows is known.
    pub(crate) fn due_before(&self, nominal: i64, following: Option<i64>, seed: u64) -> i64 {
        self.spread.map_or(nominal, |spread| nominal + spread.offset(nominal, following, seed))
    }

    /// The first time after `after` that is named, and not excluded by date or field.
    fn next_named(&self, after: i64, reach: &Reach) -> Option<i64> {
        if after >= self.last {
            return None;
        }
        let after = after.max(self.first - 1);
        let single = self.next_single(after);
        reach.share_among(self.entries());
        let first =
            single.inspect(|time| self.is_found(*time, reach)).into_iter().chain(self.next_entry(after, reach)).min();
        // Those whose part was not enough go on with what the others have left.
        let again = if reach.share_among(reach.ran_out()) { self.next_entry(after, reach) } else { None };
        first.into_iter().chain(again).min().filter(|time| *time <= self.last)
    }

    /// How many entries may have to be searched for their next time.
    fn entries(&self) -> u32 {
        let Self { crons, repeats, rules, business, intervals, .. } = self;
        (crons.len() + repeats.len() + rules.len() + business.len() + intervals.len()) as u32
    }

    fn next_entry(&self, after: i64, reach: &Reach) -> Option<i64> {
        // What is found soonest comes first: the others are looked for no further.
        let local = self.next_local(after, reach);
        local.into_iter().chain(self.intervals.iter().filter_map(|every| self.next_of(*every, after, reach))).min()
    }

    fn is_found(&self, time: i64, reach: &Reach) {
        if self.closed.is_some() {
            reach.found(self.local(time));
        }
    }

    /// Of cron lines, calendars, rules and intervals of the local calendar.
    fn next_local(&self, after: i64, reach: &Reach) -> Option<i64> {
        let from = after.div_euclid(MICROS_PER_SECOND) + 1;
        let closed = self.closed.as_deref();
        let found = |second: &i64| self.is_found(second * MICROS_PER_SECOND, reach);
        let crons = self.crons.iter().filter_map(|cron| {
            reach.begin();
            let first = first_instant(self.zone, self.dst, from, |local| match closed {
                None => cron.first_local(local),
                Some(closed) if self.roll == Roll::Skip => closed.first_open(cron, local, reach),
                Some(closed) => first_rolled(closed, self.roll, |local| cron.first_local(local), local, reach),
            });
            first.inspect(found)
        });
        let first_of = |first_local: &dyn Fn(i64) -> Option<i64>| self.first_of(from, first_local, reach);
        let repeats =
            self.repeats.iter().filter_map(|repeat| first_of(&|local| repeat.first_local(local)).inspect(found));
        let rules = self.rules.iter().filter_map(|rule| {
            let first = first_of(&|local| rule.first_local(local)).filter(|second| *second <= rule.last);
            first.inspect(found)
        });
        let days = |year, month| closed.map_or(0, |closed| closed.days(year, month));
        let business =
            self.business.iter().filter_map(|one| first_of(&|local| one.first_local(local, days)).inspect(found));
        crons.chain(repeats).chain(rules).chain(business).min().map(|second| second * MICROS_PER_SECOND)
    }

    /// The first open instant at or after `from`, in seconds, of what names local times; `first_local` yields the first at
    /// or after one.
    fn first_of(&self, from: i64, first_local: impl Fn(i64) -> Option<i64>, reach: &Reach) -> Option<i64> {
        reach.begin();
        first_instant(self.zone, self.dst, from, |local| match &self.closed {
            None => first_local(local),
            Some(closed) if self.roll == Roll::Skip => closed.first_open_of(&first_local, local, reach),
            Some(closed) => first_rolled(closed, self.roll, &first_local, local, reach),
        })
    }

    fn next_of(&self, every: Every, after: i64, reach: &Reach) -> Option<i64> {
        let mut time = every.next(after);
        let Some(closed) = &self.closed else { return Some(time) };
        let last = self.last.div_euclid(MICROS_PER_SECOND);
        reach.begin();
        loop {
            let second = time.div_euclid(MICROS_PER_SECOND);
            let span = self.zone.span_at(second);
            let local = second + span.offset;
            if closed.is_open(local) {
                reach.found(local);
                return Some(time);
            }
            if !reach.goes_on(local) {
                return None;
            }
            reach.take(TURN);
            let open = closed.first_open(&Cron::ALWAYS, local, reach).map_or(i64::MAX, |open| open - span.offset);
            // With the last steps taken, nobody knows what comes before the span ends.
            if !reach.is_left() {
                return None;
            }
            // Beyond the span the clock shows something else.
            let resumes = open.min(span.end);
            if resumes > last {
                return None;
            }
            time = every.next(resumes * MICROS_PER_SECOND - 1);
        }
    }

    fn next_single(&self, after: i64) -> Option<i64> {
        let mut coming = self.singles[self.singles.partition_point(|single| *single <= after)..].iter();
        let open = |single: &&i64| self.closed.as_ref().is_none_or(|closed| closed.is_open(self.local(**single)));
        coming.find(open).copied()
    }

    /// What the clock shows at an instant, in seconds, rounded down.
    fn local(&self, instant: i64) -> i64 {
        let second = instant.div_euclid(MICROS_PER_SECOND);
        second + self.zone.span_at(second).offset
    }
}
