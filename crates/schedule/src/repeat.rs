//! Intervals of the local calendar: every few days or months, counted from an anchor in both directions.
//!
//! They name local times; what instants these are is not known here. Where a month lacks the anchor's day, its last day
//! stands for it; the next month is counted from the anchor again, so nothing drifts.

use chrono::{Datelike, NaiveDate};

use crate::cron::LAST_YEAR;

const SECONDS_PER_DAY: i64 = 86_400;

/// Local times at equal distances in the calendar. Local times are seconds since 1970-01-01T00:00:00 on the local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Repeat {
    /// Every `period` seconds of the local clock, which is a number of days.
    Days { period: i64, first: i64 },
    /// Every `step` months, from the month `first` on (counted from the year 0): `second` seconds after the `day` begins.
    Months { step: i64, first: i64, day: u32, second: i64 },
}

impl Repeat {
    /// Every `count` days from a day (since 1970) on, `second` seconds after it begins.
    pub fn days(count: i64, day: i64, second: i64) -> Self {
        let period = count * SECONDS_PER_DAY;
        Self::Days { period, first: (day * SECONDS_PER_DAY + second).rem_euclid(period) }
    }

    /// Every `count` months from a month (since the year 0) on, `second` seconds after its `day` begins.
    pub fn months(count: i64, month: i64, day: u32, second: i64) -> Self {
        Self::Months { step: count, first: month.rem_euclid(count), day, second }
    }

    /// The first local time at or after `from`, to the year 2100.
    pub fn first_local(self, from: i64) -> Option<i64> {
        match self {
            Self::Days { period, first } => Some(from + (first - from).rem_euclid(period)),
            Self::Months { step, first, day, second } => {
                // The day that must be reached.
                let least = -(second - from).div_euclid(SECONDS_PER_DAY);
                let date = NaiveDate::from_epoch_days(i32::try_from(least).ok()?)?;
                let month = i64::from(date.year()) * 12 + i64::from(date.month0());
                let month = month + (first - month).rem_euclid(step);
                let reached = [month, month + step].into_iter().filter_map(|month| day_of(month, day));
                let found = reached.into_iter().find(|found| *found >= least)?;
                Some(found * SECONDS_PER_DAY + second)
            }
        }
    }

    /// Whether it is one of its times.
    pub fn names(self, local: i64) -> bool {
        self.first_local(local) == Some(local)
    }
}

/// A day of a month (counted from the year 0), or its last, in days since 1970. Nothing after 2100.
fn day_of(month: i64, day: u32) -> Option<i64> {
    let (year, month) = (i32::try_from(month.div_euclid(12)).ok()?, month.rem_euclid(12) as u32 + 1);
    let first = NaiveDate::from_ymd_opt(year, month, 1).filter(|_| year <= LAST_YEAR)?;
    let day = day.min(u32::from(first.num_days_in_month()));
    Some(i64::from(first.to_epoch_days()) + i64::from(day) - 1)
}
