//! The times that a Temporal server finds for a spec, where clocks change too: it searches field by field on a local clock, and knows of a repeated
//! hour only what comes of asking for the same hour an hour later. So its next time can depend on where it is asked from.
//!
//! Written after what the server does (1.2x to 1.32), so that the times at which it errs can be told beforehand.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use chrono_tz::Tz;

use super::schedule::{Calendar, Range, Spec};
use super::zone::{HOUR, ahead, instant};

const LAST_YEAR: i32 = 2100;
const SECOND: i64 = 1_000_000;
/// Excluded times in a row, after which the server gives up, too (it does later).
const MOST_EXCLUDED: u32 = 100_000;

/// When a Temporal server starts something. All times are nominal, in seconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct Times {
    calendars: Vec<Fields>,
    excluded: Vec<Fields>,
    /// Every, and its phase.
    intervals: Vec<(i64, i64)>,
    first: i64,
    last: i64,
    zone: Tz,
}

/// Which values match, as bits; years as a list.
#[derive(Clone, Debug)]
struct Fields {
    second: u64,
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Empty: any.
    years: Vec<i32>,
}

/// Where the search stands on the local clock.
#[derive(Clone, Copy)]
struct Place {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    /// It is in an hour that comes again.
    again: bool,
}

impl Times {
    /// None where the zone is not known here.
    pub fn new(spec: &Spec) -> Option<Self> {
        let zone = if spec.timezone_name.is_empty() { "UTC" } else { &spec.timezone_name };
        Some(Self {
            calendars: spec.structured_calendar.iter().map(Fields::new).collect(),
            excluded: spec.exclude_structured_calendar.iter().map(Fields::new).collect(),
            intervals: spec
                .interval
                .iter()
                .map(|one| ((one.every / SECOND).max(1), (one.phase / SECOND).max(0)))
                .collect(),
            first: spec.start_time.map_or(0, |start| start.div_euclid(SECOND)),
            last: spec.end_time.map_or(i64::MAX, |end| end.div_euclid(SECOND)),
            zone: zone.parse().ok()?,
        })
    }

    /// The zone that its clocks show.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The next one that it would start something at, asked from this second. None also where it finds an earlier one, again and again: on a day that
    /// a zone has left out.
    pub fn next(&self, after: i64) -> Option<i64> {
        let mut after = after.max(self.first - 1);
        for _ in 0..MOST_EXCLUDED {
            after = self.next_named(after).filter(|time| *time <= self.last && *time > after)?;
            if !self.excluded.iter().any(|one| one.matches(self.zone, after)) {
                return Some(after);
            }
        }
        None
    }

    /// The next one, also if it is excluded or beyond the end: as far as jitter may move a time.
    pub fn next_named(&self, after: i64) -> Option<i64> {
        let calendars = self.calendars.iter().filter_map(|one| one.next(self.zone, after));
        // Rounded toward zero, as Go does.
        let intervals = self.intervals.iter().map(|(every, phase)| ((after - phase) / every + 1) * every + phase);
        calendars.chain(intervals).min().filter(|time| year(*time) <= LAST_YEAR)
    }
}

fn year(second: i64) -> i32 {
    DateTime::from_timestamp(second, 0).map_or(i32::MAX, |time| time.year())
}

impl Fields {
    fn new(calendar: &Calendar) -> Self {
        let bits = |ranges: &[Range]| each(ranges).filter(|v| (0..64).contains(v)).fold(0u64, |bits, v| bits | 1 << v);
        let weekday = bits(&calendar.day_of_week);
        Self {
            second: bits(&calendar.second),
            minute: bits(&calendar.minute),
            hour: bits(&calendar.hour),
            day: bits(&calendar.day_of_month),
            month: bits(&calendar.month),
            weekday: weekday | weekday >> 7,
            years: each(&calendar.year).map(|year| year as i32).collect(),
        }
    }

    fn has_year(&self, year: i32) -> bool {
        self.years.is_empty() || self.years.contains(&year)
    }

    fn matches(&self, zone: Tz, second: i64) -> bool {
        let Some(local) = DateTime::from_timestamp(second + ahead(zone, second), 0) else { return false };
        self.has_year(local.year())
            && has(self.month, local.month())
            && has(self.day, local.day())
            && has(self.weekday, local.weekday().num_days_from_sunday())
            && has(self.hour, local.hour())
            && has(self.minute, local.minute())
            && has(self.second, local.second())
    }

    fn next(&self, zone: Tz, after: i64) -> Option<i64> {
        let mut at = Place::after(zone, after)?;
        loop {
            at.carry(zone);
            if at.year > LAST_YEAR {
                return None;
            }
            if !self.settle(zone, &mut at) {
                continue;
            }
            let found = at.instant(zone);
            // A time that clocks leave out comes back with another hour; one that is left out within an hour does not, and is taken.
            if local_hour(zone, found) != at.hour {
                (at.hour, at.minute, at.second) = (at.hour + 1, 0, 0);
                continue;
            }
            return Some(if at.again { found + HOUR } else { found });
        }
    }

    /// Moves on to where all fields match; false where a field has run over.
    fn settle(&self, zone: Tz, at: &mut Place) -> bool {
        if !self.has_year(at.year) {
            *at = Place { year: at.year + 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, again: false };
            return false;
        }
        while !has(self.month, at.month) {
            *at = Place { month: at.month + 1, day: 1, hour: 0, minute: 0, second: 0, again: false, ..*at };
            if at.month > 12 {
                return false;
            }
        }
        while !has(self.day, at.day) || !has(self.weekday, at.weekday(zone)) {
            *at = Place { day: at.day + 1, hour: 0, minute: 0, second: 0, again: false, ..*at };
            if at.day > days_in(at.year, at.month) {
                return false;
            }
        }
        while !has(self.hour, at.hour) {
            *at = Place { hour: at.hour + 1, minute: 0, second: 0, again: false, ..*at };
            if at.hour >= 24 {
                return false;
            }
        }
        while !has(self.minute, at.minute) {
            (at.minute, at.second) = (at.minute + 1, 0);
            if at.minute >= 60 {
                return false;
            }
        }
        while !has(self.second, at.second) {
            at.second += 1;
            if at.second >= 60 {
                return false;
            }
        }
        true
    }
}

impl Place {
    /// One second after an instant.
    fn after(zone: Tz, second: i64) -> Option<Self> {
        let local = DateTime::from_timestamp(second + ahead(zone, second), 0)?;
        Some(Self {
            year: local.year(),
            month: local.month(),
            day: local.day(),
            hour: local.hour(),
            minute: local.minute(),
            second: local.second() + 1,
            again: local_hour(zone, second - HOUR) == local.hour(),
        })
    }

    /// What is one beyond its last value becomes the next one of what is larger.
    fn carry(&mut self, zone: Tz) {
        if self.second >= 60 {
            (self.minute, self.second) = (self.minute + 1, 0);
        }
        if self.minute >= 60 {
            let hour = Self { minute: 0, second: 0, ..*self };
            let next = Self { hour: self.hour + 1, ..hour };
            // Two hours to the next hour: the one between comes again.
            let repeats = !self.again && next.instant(zone) - hour.instant(zone) > HOUR;
            *self = if repeats { Self { again: true, ..hour } } else { Self { again: false, ..next } };
        }
        if self.hour >= 24 {
            (self.day, self.hour) = (self.day + 1, 0);
        }
        if self.month <= 12 && self.day > days_in(self.year, self.month) {
            (self.month, self.day) = (self.month + 1, 1);
        }
        if self.month > 12 {
            (self.year, self.month) = (self.year + 1, 1);
        }
    }

    fn instant(&self, zone: Tz) -> i64 {
        let days = NaiveDate::from_ymd_opt(self.year, self.month, self.day).map_or(0, |date| date.num_days_from_ce());
        let days = i64::from(days) - i64::from(NaiveDate::default().num_days_from_ce());
        let Self { hour, minute, second, .. } = *self;
        instant(zone, days * 86_400 + i64::from(hour) * HOUR + i64::from(minute) * 60 + i64::from(second))
    }

    /// Of the instant that this is taken for; where midnight is left out, that may be the day before.
    fn weekday(&self, zone: Tz) -> u32 {
        let second = self.instant(zone);
        let local = DateTime::from_timestamp(second + ahead(zone, second), 0).unwrap_or_default();
        local.weekday().num_days_from_sunday()
    }
}

fn has(bits: u64, value: u32) -> bool {
    value < 64 && bits >> value & 1 == 1
}

fn each(ranges: &[Range]) -> impl Iterator<Item = i64> + '_ {
    ranges.iter().flat_map(|range| {
        let (start, end) = (i64::from(range.start), i64::from(range.end.max(range.start)));
        // No field has values beyond, nor below.
        (start.max(0)..=end.min(i64::from(LAST_YEAR))).step_by(range.step.max(1) as usize)
    })
}

fn local_hour(zone: Tz, second: i64) -> u32 {
    ((second + ahead(zone, second)).rem_euclid(86_400) / HOUR) as u32
}

fn days_in(year: i32, month: u32) -> u32 {
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let first = NaiveDate::from_ymd_opt(year, month, 1);
    first.and_then(|first| first.pred_opt()).map_or(31, |last| last.day())
}
