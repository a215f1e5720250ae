//! Recurrence rules (RFC 5545): what `RRULE`, `RDATE` and `EXDATE` say, counted from `DTSTART`.
//!
//! A rule names local times; what instants these are is not known here. Local times are seconds since 1970-01-01T00:00:00
//! on the local clock.

mod days;
mod parts;
mod search;
mod text;

pub(crate) use text::RuleText;

use days::Days;

/// What a rule's interval counts, and what its `BYSETPOS` picks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Freq {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
    Secondly,
}

/// All that one rule names: what its pattern names from its start to its end, and single times more and less.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rule {
    pattern: Pattern,
    /// The last local time of the pattern, included.
    until: i64,
    /// The last instant of the pattern, in seconds since the Unix epoch, included: an `UNTIL` in UTC.
    pub last: i64,
    /// Sorted; so are the next ones.
    more: Box<[i64]>,
    less: Box<[i64]>,
}

/// What a rule repeats.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pattern {
    freq: Freq,
    /// Every so many years, months ... seconds.
    interval: i64,
    /// The first local time that may be named, and what is counted from.
    start: i64,
    days: Days,
    /// Hours, minutes and seconds as bits.
    times: Times,
    /// `BYSETPOS`: which of the times of one year, month ... second; counted from 1, or from -1 backwards. Empty: all.
    positions: Box<[i16]>,
}

/// Times of day: each of the hours with each of the minutes and each of the seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Times {
    hours: u32,
    minutes: u64,
    seconds: u64,
}

impl Rule {
    /// The first local time at or after `from`, to the year 2100.
    pub fn first_local(&self, from: i64) -> Option<i64> {
        let named = self.first_named(from);
        let added = &self.more[self.more.partition_point(|time| *time < from)..];
        named.into_iter().chain(added.first().copied()).min()
    }

    /// Whether it is one of its times.
    pub fn names(&self, local: i64) -> bool {
        self.first_local(local) == Some(local)
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        let Self { pattern: Pattern { days, positions, .. }, more, less, .. } = self;
        let days = size_of_val(&*days.nth) + size_of_val(&*days.year_days);
        size_of::<Self>() + days + size_of_val(&**positions) + size_of_val(&**more) + size_of_val(&**less)
    }

    fn first_named(&self, from: i64) -> Option<i64> {
        let mut from = from;
        loop {
            let found = self.pattern.first(from).filter(|found| *found <= self.until)?;
            if self.less.binary_search(&found).is_err() {
                return Some(found);
            }
            from = found + 1;
        }
    }
}
