//! The first local time that a cron line or a calendar names, found with bit operations: no second, minute or day is
//! walked in vain.
//!
//! Local times are seconds since 1970-01-01T00:00:00 on the local clock. Time zones are not known here.

use chrono::{Datelike, NaiveDate};

use super::{Cron, EVERY_YEAR, FIRST_YEAR, LAST_YEAR};

const SECONDS_PER_DAY: i64 = 86_400;

impl Cron {
    /// The first local time at or after `from` that is named, to the year 2100.
    pub(crate) fn first_local(&self, from: i64) -> Option<i64> {
        self.first_local_but(from, |_, _| 0)
    }

    /// The same, without the days that `closed` yields of a year and month, as bits 1 to 31.
    pub(crate) fn first_local_but(&self, from: i64, closed: impl Fn(i32, u32) -> u32) -> Option<i64> {
        let day = from.div_euclid(SECONDS_PER_DAY);
        let date = NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?;
        let (year, month) = (date.year(), date.month());
        let open = |year, month| match self.days_of(year, month) {
            0 => 0,
            days => days & !closed(year, month),
        };
        if open(year, month) >> date.day() & 1 == 1
            && let Some(second) = self.first_second(from.rem_euclid(SECONDS_PER_DAY) as u32)
        {
            return Some(day * SECONDS_PER_DAY + second);
        }
        Some(self.day_after(date, open)? * SECONDS_PER_DAY + self.first_second(0)?)
    }

    /// The first second of a day, from `from` on.
    fn first_second(&self, from: u32) -> Option<i64> {
        first_second(self.hours, self.minutes, self.seconds, from)
    }

    /// The first day after `date`, in days since 1970-01-01, of those that `open` yields of a year and month.
    fn day_after(&self, date: NaiveDate, open: impl Fn(i32, u32) -> u32) -> Option<i64> {
        let (mut year, mut month, mut from) = (date.year(), date.month(), date.day() + 1);
        while year <= LAST_YEAR {
            if let Some(day) = lowest(u64::from(open(year, month)), from) {
                return NaiveDate::from_ymd_opt(year, month, day).map(|date| i64::from(date.to_epoch_days()));
            }
            (year, month) = self.month_after(year, month);
            from = 1;
        }
        None
    }

    fn month_after(&self, year: i32, month: u32) -> (i32, u32) {
        let months = u64::from(self.months);
        match lowest(months, month + 1) {
            Some(month) if self.has_year(year) => (year, month),
            _ => (self.year_after(year), lowest(months, 1).unwrap_or(1)),
        }
    }

    /// The first year after `year`, or one beyond the last.
    fn year_after(&self, year: i32) -> i32 {
        (year + 1..=LAST_YEAR).find(|year| self.has_year(*year)).unwrap_or(LAST_YEAR + 1)
    }

    fn has_year(&self, year: i32) -> bool {
        self.years == EVERY_YEAR
            || (FIRST_YEAR..=LAST_YEAR).contains(&year) && self.years >> (year - FIRST_YEAR) & 1 == 1
    }

    /// The days of a month that are named, as bits 1 to 31.
    #[inline]
    pub(crate) fn days_of(&self, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 0 || !self.has_year(year) {
            return 0;
        }
        let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let (len, first) = (u32::from(begin.num_days_in_month()), begin.weekday().num_days_from_sunday());
        let (days, weekdays) = (self.days.in_month(len, first), self.weekdays.in_month(len, first));
        // Bits 1 to the month's last day.
        (u32::MAX >> (31 - len)) & !1 & if self.either { days | weekdays } else { days & weekdays }
    }
}

/// The first second of a day whose hour, minute and second are set, from `from` on.
#[inline]
pub(crate) fn first_second(hours: u32, minutes: u64, seconds: u64, from: u32) -> Option<i64> {
    let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
    let at = |hour: u32, minute: u32, second: u32| i64::from(hour * 3600 + minute * 60 + second);
    if hours.checked_shr(hour)? & 1 == 1 {
        if minutes >> minute & 1 == 1
            && let Some(second) = lowest(seconds, second)
        {
            return Some(at(hour, minute, second));
        }
        if let Some(minute) = lowest(minutes, minute + 1) {
            return Some(at(hour, minute, lowest(seconds, 0)?));
        }
    }
    let hour = lowest(u64::from(hours), hour + 1)?;
    Some(at(hour, lowest(minutes, 0)?, lowest(seconds, 0)?))
}

/// The lowest bit that is set, from bit `from` on.
fn lowest(bits: u64, from: u32) -> Option<u32> {
    let bits = bits.checked_shr(from)?;
    (bits != 0).then(|| from + bits.trailing_zeros())
}
