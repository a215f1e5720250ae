//! Calendars: days by a name, compiled once and shared by all plans that exclude them or keep to them.
//!
//! Where calendars are kept is not known here: whoever compiles a schedule or a calendar hands in a way to look one up.

mod bytes;
mod dates;
mod ical;
mod read;

use std::sync::Arc;

use chrono::{Datelike, NaiveDate};

pub(crate) use dates::read_range;
pub use read::compile_calendar;

use crate::cron::in_each_week;

/// The days of a calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CalendarDays {
    /// First and last day of each range, in days since 1970; sorted, and apart from each other.
    ranges: Box<[(i32, i32)]>,
    /// Bits 0 (Sunday) to 6.
    weekdays: u8,
    /// Days of each year: for each month, bits 1 to 31.
    yearly: [u32; 12],
}

/// How calendars are looked up by their names.
pub type Calendars<'a> = &'a dyn Fn(&str) -> Option<Arc<CalendarDays>>;

impl CalendarDays {
    /// The days of a month, as bits 1 to 31.
    pub(crate) fn in_month(&self, year: i32, month: u32) -> u32 {
        let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let of_week = in_each_week(self.weekdays, begin.weekday().num_days_from_sunday());
        days_in(&self.ranges, year, month) | of_week | self.yearly[month as usize - 1]
    }

    /// Whether it names a whole weekday.
    pub(crate) fn has_weekdays(&self) -> bool {
        self.weekdays != 0
    }

    /// Whether it names a day (since 1970-01-01).
    pub fn has(&self, day: NaiveDate) -> bool {
        self.in_month(day.year(), day.month()) >> day.day() & 1 == 1
    }
}

/// The days of a month that stand in ranges, which are sorted, as bits 1 to 31.
pub(crate) fn days_in(ranges: &[(i32, i32)], year: i32, month: u32) -> u32 {
    if ranges.is_empty() {
        return 0;
    }
    let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
    let (begin, len) = (begin.to_epoch_days(), i32::from(begin.num_days_in_month()));
    let coming = &ranges[ranges.partition_point(|(_, last)| *last < begin)..];
    let within = coming.iter().take_while(|(first, _)| *first < begin + len);
    within.fold(0, |days, (first, last)| {
        let (first, last) = (first.max(&begin) - begin + 1, last.min(&(begin + len - 1)) - begin + 1);
        days | (u32::MAX >> (31 - last)) & (u32::MAX << first)
    })
}

/// Sorted, with ranges that meet made one.
pub(crate) fn apart(mut ranges: Vec<(i32, i32)>) -> Box<[(i32, i32)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(i32, i32)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut().filter(|range| first <= range.1 + 1) {
            Some(range) => range.1 = range.1.max(last),
            None => merged.push((first, last)),
        }
    }
    merged.into()
}
