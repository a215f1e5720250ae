//! Which days a rule's `BYMONTH`, `BYWEEKNO`, `BYYEARDAY`, `BYMONTHDAY` and `BYDAY` allow: those that all of them name.

use chrono::{Datelike, NaiveDate};

use crate::cron::in_each_week;

const WEEK: i64 = 7;

/// Days by what is asked of them. A set that is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Days {
    /// Bits 1 to 12; never empty.
    pub months: u16,
    /// Bits 1 to 31.
    pub month_days: u32,
    /// Bit `n`: the `n`th day from a month's end, of which 1 is the last.
    pub month_days_back: u32,
    /// Bits 0 (Sunday) to 6.
    pub weekdays: u8,
    /// The `n`th of a weekday, from the end where it is negative.
    pub nth: Box<[(i8, u8)]>,
    /// Whether these are counted in the month, or in the year.
    pub nth_of_month: bool,
    /// Bits 1 to 53.
    pub weeks: u64,
    /// Bit `n`: the `n`th week from a year's end, of which 1 is the last.
    pub weeks_back: u64,
    /// Days of a year from 1, or from -1 backwards. Sorted.
    pub year_days: Box<[i16]>,
    /// The weekday that weeks begin on; Sunday is 0.
    pub week_start: u32,
}

/// A month, as far as days are looked for in it.
#[derive(Clone, Copy)]
struct Month {
    /// Its first day, in days since 1970.
    begin: i64,
    /// How many days it has.
    len: u32,
    /// The weekday that it begins on; Sunday is 0.
    first: u32,
    /// How many days of the year come before it.
    before: i64,
    /// How many days the year has.
    year_len: i64,
}

impl Days {
    /// The days of a month that are allowed, as bits 1 to 31.
    pub fn in_month(&self, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let month = Month {
            begin: i64::from(begin.to_epoch_days()),
            len: u32::from(begin.num_days_in_month()),
            first: begin.weekday().num_days_from_sunday(),
            before: i64::from(begin.ordinal0()),
            year_len: if begin.leap_year() { 366 } else { 365 },
        };
        let mut days = (u32::MAX >> (31 - month.len)) & !1;
        if self.month_days | self.month_days_back != 0 {
            days &= self.month_days | from_end(self.month_days_back, month.len);
        }
        if self.weekdays != 0 || !self.nth.is_empty() {
            days &= in_each_week(self.weekdays, month.first) | self.nth_in(month);
        }
        if self.weeks | self.weeks_back != 0 {
            days &= self.weeks_in(month);
        }
        if !self.year_days.is_empty() {
            days &= self.year_days_in(month);
        }
        days
    }

    /// The first day of the week that a day is in; both in days since 1970.
    pub fn week_of(&self, day: i64) -> i64 {
        // 1970-01-01 was a Thursday.
        const THURSDAY: i64 = 4;
        day - (day + THURSDAY - i64::from(self.week_start)).rem_euclid(WEEK)
    }

    fn nth_in(&self, month: Month) -> u32 {
        let (from, len) = if self.nth_of_month { (0, i64::from(month.len)) } else { (month.before, month.year_len) };
        let first = (i64::from(month.first) - from).rem_euclid(WEEK);
        let days = self.nth.iter().map(|(nth, weekday)| {
            let (nth, weekday) = (i64::from(*nth), i64::from(*weekday));
            let index = if nth > 0 {
                (weekday - first).rem_euclid(WEEK) + (nth - 1) * WEEK
            } else {
                len - 1 - (first + len - 1 - weekday).rem_euclid(WEEK) + (nth + 1) * WEEK
            };
            if (0..len).contains(&index) { bit(index - from + 1, month.len) } else { 0 }
        });
        days.fold(0, |set, day| set | day)
    }

    /// A week is the first of a year when it has four days or more in it.
    fn weeks_in(&self, month: Month) -> u32 {
        let mut days = 0;
        let mut week = self.week_of(month.begin);
        while week < month.begin + i64::from(month.len) {
            if self.has_week(week) {
                let from = week - month.begin + 1;
                days |= (from..from + WEEK).fold(0, |set, day| set | bit(day, month.len));
            }
            week += WEEK;
        }
        days
    }

    /// Whether the week that begins on this day (since 1970) is one of those asked for.
    fn has_week(&self, week: i64) -> bool {
        let middle = i32::try_from(week + 3).ok().and_then(NaiveDate::from_epoch_days);
        middle.is_some_and(|middle| {
            let (day, len) = (middle.ordinal0(), if middle.leap_year() { 366 } else { 365 });
            let (number, count) = (day / 7 + 1, (len - 1 - day % 7) / 7 + 1);
            self.weeks >> number & 1 == 1 || self.weeks_back >> (count + 1 - number) & 1 == 1
        })
    }

    fn year_days_in(&self, month: Month) -> u32 {
        let index = |day: &i16| if *day > 0 { i64::from(*day) - 1 } else { month.year_len + i64::from(*day) };
        self.year_days.iter().fold(0, |set, day| set | bit(index(day) - month.before + 1, month.len))
    }
}

/// A day of a month as a bit; none where the month has no such day.
fn bit(day: i64, len: u32) -> u32 {
    if (1..=i64::from(len)).contains(&day) { 1 << day } else { 0 }
}

/// Days that are counted from a month's end, as bits 1 to 31; perhaps with bit 0.
fn from_end(days: u32, len: u32) -> u32 {
    ((u64::from(days.reverse_bits()) << 1) >> (31 - len)) as u32
}
