//! Local times by their fields: what a cron line or a calendar says (as bit sets), and which local time is the next that
//! it names.

mod calendar;
mod days;
mod fields;
mod line;
mod search;

use flintwheel_model::definition::CronDialect;

pub(crate) use calendar::{CalendarRead, read_calendar};
pub(crate) use days::{MonthDays, WeekDays, in_each_week};
pub(crate) use line::{Line, hides_a_weekday};
pub(crate) use search::first_second;

/// Stands in [`Cron::years`] for every year, also those that a list of years can't name.
const EVERY_YEAR: u128 = u128::MAX;
/// The year of the lowest bit of [`Cron::years`].
const FIRST_YEAR: i32 = 2000;
/// The last year that is searched.
pub(crate) const LAST_YEAR: i32 = 2100;

/// A cron line or a calendar as bit sets: it names the local times whose fields are all set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cron {
    /// Bit `year - 2000`, to 2100; or [`EVERY_YEAR`].
    years: u128,
    pub seconds: u64,
    pub minutes: u64,
    pub hours: u32,
    days: MonthDays,
    /// Bits 1 to 12.
    months: u16,
    weekdays: WeekDays,
    /// A day is named by its day of month or its day of week, instead of by both.
    either: bool,
}

impl Cron {
    /// Whether it names days by nothing but their weekday, in each week of each year.
    pub fn is_by_weekday(&self) -> bool {
        let any_date = self.days == MonthDays::ALL && self.months == Self::ALWAYS.months && self.years == EVERY_YEAR;
        any_date && self.weekdays.plain_only().is_some()
    }

    /// Names every second of every day.
    pub const ALWAYS: Self = Self {
        years: EVERY_YEAR,
        seconds: (1 << 60) - 1,
        minutes: (1 << 60) - 1,
        hours: (1 << 24) - 1,
        days: MonthDays::ALL,
        months: 0x1ffe,
        weekdays: WeekDays::ALL,
        either: false,
    };
}

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub dialect: CronDialect,
    /// What `H` is derived from.
    pub seed: u64,
    /// It says what is excluded: fields that it leaves out mean any.
    pub excludes: bool,
}

impl Reading {
    /// What a time of day is where nothing is said of it.
    fn time_default(self) -> &'static str {
        if self.excludes { "*" } else { "0" }
    }
}
