//! What a schedule excludes, and the first time that it leaves open.
//!
//! Exclusions by date or by field are searched together with what the schedule names: whole days that are excluded cost
//! nothing but a bit in their month. Those by interval or single time are looked up one by one.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

use crate::calendar::{CalendarDays, days_in};
use crate::cron::{Cron, LAST_YEAR};
use crate::interval::Every;
use crate::limits::LAST_LOCAL;
use crate::reach::{Reach, TURN};
use crate::repeat::Repeat;
use crate::rule::Rule;

const SECONDS_PER_DAY: i64 = 86_400;

/// Excluded times. Local times are seconds since 1970-01-01T00:00:00 on the local clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Closed {
    /// First and last day of each range, in days since 1970; sorted, and apart from each other.
    pub dates: Box<[(i32, i32)]>,
    /// Calendars, each by its name once.
    pub named: Box<[Arc<CalendarDays>]>,
    /// Days that none of these names are closed; without any, nothing is closed by them.
    pub only: Box<[Arc<CalendarDays>]>,
    /// At most 64, as sets of them are bits of one number.
    pub crons: Box<[Cron]>,
    pub repeats: Box<[Repeat]>,
    pub rules: Box<[Rule]>,
    pub intervals: Box<[Every]>,
    /// Microseconds since the Unix epoch, sorted.
    pub singles: Box<[i64]>,
}

impl Closed {
    /// The first local time at or after `from` that `cron` names, and neither dates nor fields exclude. `None` also where
    /// it is out of reach.
    pub fn first_open(&self, cron: &Cron, from: i64, reach: &Reach) -> Option<i64> {
        self.search(cron, reach).first(from)
    }

    /// As [`first_open`](Self::first_open), for what names times in another way: `first_local` yields the first at or after
    /// one.
    pub fn first_open_of(&self, first_local: impl Fn(i64) -> Option<i64>, mut from: i64, reach: &Reach) -> Option<i64> {
        while reach.goes_on(from) {
            let found = first_local(from)?;
            if self.is_open(found) {
                return Some(found);
            }
            reach.take(TURN);
            from = self.first_open(&Cron::ALWAYS, found, reach)?;
        }
        None
    }

    fn search<'a>(&'a self, cron: &'a Cron, reach: &'a Reach) -> Search<'a> {
        let numbered = self.crons.iter().enumerate();
        let whole_days = numbered.filter(|(_, closed)| closed.covers_day_of(cron));
        let whole_days = whole_days.fold(0, |set, (number, _)| set | 1 << number);
        Search { closed: self, cron, whole_days, shut: [0; 4], last_shut: 0, reach }
    }

    /// What it takes in memory, without the calendars themselves.
    pub fn bytes(&self) -> usize {
        let Self { dates, named, only, crons, repeats, rules, intervals, singles } = self;
        let days = size_of_val(&**dates) + size_of_val(&**named) + size_of_val(&**only);
        let times = size_of_val(&**crons) + size_of_val(&**repeats) + size_of_val(&**intervals);
        let rules: usize = rules.iter().map(Rule::bytes).sum();
        size_of::<Self>() + days + times + rules + size_of_val(&**singles)
    }

    /// Whether fields and dates leave a local time open.
    pub fn is_open(&self, local: i64) -> bool {
        let (day, second) = (local.div_euclid(SECONDS_PER_DAY), local.rem_euclid(SECONDS_PER_DAY));
        let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days).filter(|_| local <= LAST_LOCAL);
        let Some(date) = date else { return false };
        let (year, month, bit) = (date.year(), date.month(), 1 << date.day());
        let names = |cron: &Cron| {
            let (hour, minute) = (cron.hours >> (second / 3600) & 1, cron.minutes >> (second / 60 % 60) & 1);
            hour == 1 && minute == 1 && cron.seconds >> (second % 60) & 1 == 1 && cron.days_of(year, month) & bit != 0
        };
        self.dates_in(year, month) & bit == 0 && !self.crons.iter().any(names)
    }

    /// Calendars that are looked at time by time.
    pub fn looked_up(&self) -> u32 {
        (self.repeats.len() + self.rules.len()) as u32
    }

    /// Whether an instant (microseconds since the Unix epoch) is excluded by interval or by itself. `local` is what the
    /// clock shows then, in seconds; rounded down.
    pub fn has(&self, instant: i64, local: impl FnOnce() -> i64) -> bool {
        let by_calendar = || {
            let (local, second) = (local(), instant.div_euclid(1_000_000));
            self.repeats.iter().any(|repeat| repeat.names(local))
                || self.rules.iter().any(|rule| second <= rule.last && rule.names(local))
        };
        let has_calendar = !self.repeats.is_empty() || !self.rules.is_empty();
        self.singles.binary_search(&instant).is_ok()
            || self.intervals.iter().any(|every| every.names(instant))
            || has_calendar && instant.rem_euclid(1_000_000) == 0 && by_calendar()
    }

    /// The days of a month that dates and calendars exclude, as bits 1 to 31.
    fn dates_in(&self, year: i32, month: u32) -> u32 {
        let union = |calendars: &[Arc<CalendarDays>]| {
            calendars.iter().fold(0, |days, calendar| days | calendar.in_month(year, month))
        };
        let others = if self.only.is_empty() { 0 } else { !union(&self.only) };
        days_in(&self.dates, year, month) | union(&self.named) | others
    }

    /// The days of a month that are excluded as a whole, as bits 1 to 31.
    pub fn days(&self, year: i32, month: u32) -> u32 {
        let whole = self.crons.iter().filter(|closed| closed.covers_day_of(&Cron::ALWAYS));
        whole.fold(self.dates_in(year, month), |days, closed| days | closed.days_of(year, month))
    }

    /// Whether any day is excluded as a whole.
    pub fn has_days(&self) -> bool {
        let by_date = !self.dates.is_empty() || !self.named.is_empty() || !self.only.is_empty();
        by_date || self.crons.iter().any(|closed| closed.covers_day_of(&Cron::ALWAYS))
    }

    /// Whether some weekday is closed in each week, or only named days are open: then nothing more has to be known of
    /// weekends.
    pub fn has_weekdays(&self) -> bool {
        let named = self.named.iter().any(|calendar| calendar.has_weekdays());
        let whole = |closed: &Cron| closed.covers_day_of(&Cron::ALWAYS) && closed.is_by_weekday();
        named || !self.only.is_empty() || self.crons.iter().any(whole)
    }

    /// The first open day at or after one, to the year 2100; in days since 1970.
    pub fn open_day_from(&self, day: i64) -> Option<i64> {
        let date = NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?;
        let (mut year, mut month, mut from) = (date.year(), date.month(), date.day());
        while year <= LAST_YEAR {
            let begin = NaiveDate::from_ymd_opt(year, month, 1)?;
            let open = !self.days(year, month) & month_days(begin) & (u32::MAX << from);
            if open != 0 {
                return Some(i64::from(begin.to_epoch_days()) + i64::from(open.trailing_zeros()) - 1);
            }
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            from = 1;
        }
        None
    }

    /// The last open day at or before one, and not before `least`.
    pub fn open_day_to(&self, day: i64, least: i64) -> Option<i64> {
        let date = NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?;
        let (mut begin, mut to) = (date.with_day(1)?, date.day());
        loop {
            let open = !self.days(begin.year(), begin.month()) & month_days(begin) & (u32::MAX >> (31 - to));
            let first = i64::from(begin.to_epoch_days());
            if open != 0 {
                return Some(first + i64::from(31 - open.leading_zeros()) - 1).filter(|found| *found >= least);
            }
            if first <= least {
                return None;
            }
            begin = begin.pred_opt()?.with_day(1)?;
            to = 31;
        }
    }

    /// The first second of an open day, from one on, that no exclusion of a part of a day names.
    pub fn open_second_from(&self, day: i64, from: i64, reach: &Reach) -> Option<i64> {
        let search = self.search(&Cron::ALWAYS, reach);
        match search.closing_on(day) {
            0 => Some(from),
            closing => search.first_open_second(closing, u32::try_from(from).ok()?),
        }
    }
}

/// The days of a month that begins on this day, as bits 1 to 31.
fn month_days(begin: NaiveDate) -> u32 {
    (u32::MAX >> (31 - u32::from(begin.num_days_in_month()))) & !1
}

/// A search for what one cron line or calendar names in what is left open.
struct Search<'a> {
    closed: &'a Closed,
    cron: &'a Cron,
    /// Which exclusions by field hold all times of day that `cron` names.
    whole_days: u64,
    /// Sets of other exclusions that together were found to leave nothing of a day.
    shut: [u64; 4],
    last_shut: usize,
    reach: &'a Reach,
}

impl Search<'_> {
    fn first(mut self, mut from: i64) -> Option<i64> {
        while from <= LAST_LOCAL && self.reach.goes_on(from) {
            self.reach.take(1);
            let found = self.cron.first_local_but(from, |year, month| self.closed_days(year, month))?;
            let (day, second) = (found.div_euclid(SECONDS_PER_DAY), found.rem_euclid(SECONDS_PER_DAY) as u32);
            let closing = self.closing_on(day);
            if closing == 0 {
                return Some(found);
            }
            if !self.shut.contains(&closing) {
                if let Some(second) = self.first_open_second(closing, second) {
                    return Some(day * SECONDS_PER_DAY + second);
                }
                // Not where the search began in the middle of the day.
                if from <= day * SECONDS_PER_DAY {
                    self.shut[self.last_shut % self.shut.len()] = closing;
                    self.last_shut += 1;
                }
            }
            from = (day + 1) * SECONDS_PER_DAY;
        }
        None
    }

    /// The days of a month that are excluded as a whole, as far as `cron` goes.
    fn closed_days(&self, year: i32, month: u32) -> u32 {
        let by_field = self.of(self.whole_days).fold(0, |days, closed| days | closed.days_of(year, month));
        by_field | self.closed.dates_in(year, month)
    }

    /// Which exclusions name a part of a day, as bits.
    fn closing_on(&self, day: i64) -> u64 {
        if self.closed.crons.len() == self.whole_days.count_ones() as usize {
            return 0;
        }
        let Some(date) = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days) else { return 0 };
        let names = |cron: &Cron| cron.days_of(date.year(), date.month()) >> date.day() & 1 == 1;
        let numbered = self.closed.crons.iter().enumerate();
        numbered.filter(|(_, cron)| names(cron)).fold(0, |set, (number, _)| set | 1 << number)
    }

    /// The first second of a day that `cron` names and no exclusion of `closing` does; `from` is one that `cron` names.
    fn first_open_second(&self, closing: u64, from: u32) -> Option<i64> {
        let (first_hour, first_minute, first_second) = (from / 3600, from / 60 % 60, from % 60);
        let cron = self.cron;
        let whole = |closed: &Cron| cron.minutes & !closed.minutes == 0 && cron.seconds & !closed.seconds == 0;
        let hours =
            self.of(closing).filter(|closed| whole(closed)).fold(cron.hours, |open, closed| open & !closed.hours);
        for hour in (first_hour..24).filter(|hour| hours >> hour & 1 == 1) {
            let begin = if hour == first_hour { first_minute } else { 0 };
            for minute in (begin..60).filter(|minute| cron.minutes >> minute & 1 == 1) {
                self.reach.take(1);
                let names = |closed: &&Cron| closed.hours >> hour & 1 == 1 && closed.minutes >> minute & 1 == 1;
                let mut open = self.of(closing).filter(names).fold(cron.seconds, |open, closed| open & !closed.seconds);
                if (hour, minute) == (first_hour, first_minute) {
                    open &= u64::MAX << first_second;
                }
                if open != 0 {
                    return Some(i64::from(hour * 3600 + minute * 60 + open.trailing_zeros()));
                }
            }
        }
        None
    }

    fn of(&self, numbers: u64) -> impl Iterator<Item = &Cron> {
        self.closed.crons.iter().enumerate().filter(move |(number, _)| numbers >> number & 1 == 1).map(|(_, cron)| cron)
    }
}

impl Cron {
    /// Whether it names each time of day that another one names.
    fn covers_day_of(&self, other: &Self) -> bool {
        other.hours & !self.hours == 0 && other.minutes & !self.minutes == 0 && other.seconds & !self.seconds == 0
    }
}
