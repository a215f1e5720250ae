//! Intervals: every so often, by a length of time (since the Unix epoch or another instant, whatever the zone), or by the
//! local calendar.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use flintwheel_model::Span;
use flintwheel_model::definition::Interval;

use crate::fault::quoted;
use crate::repeat::Repeat;

/// The shortest interval.
const SHORTEST: Span = Span::from_secs(1);
const MICROS_PER_SECOND: i64 = 1_000_000;
const DAY: Span = Span::from_secs(86_400);

/// All times that are `phase` past a multiple of `every`, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Every {
    every: i64,
    phase: i64,
}

/// Which field of an interval is wrong (empty: the whole), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntervalFault {
    pub field: &'static str,
    pub message: String,
}

fn fault(field: &'static str, message: String) -> IntervalFault {
    IntervalFault { field, message }
}

/// An interval of either kind.
pub(crate) enum Recurring {
    /// By a length of time.
    Elapsed(Every),
    /// By the local calendar.
    Local(Repeat),
}

impl Recurring {
    pub fn read(interval: &Interval) -> Result<Self, Vec<IntervalFault>> {
        let Interval { every, days, weeks, months, years, .. } = interval;
        let units = [
            ("days", days, 36_600, 1),
            ("weeks", weeks, 5_200, 7),
            ("months", months, 1_200, 1),
            ("years", years, 100, 12),
        ];
        let mut given =
            units.into_iter().filter_map(|(name, count, most, factor)| Some((name, (*count)?, most, factor)));
        match (every, given.next(), given.next()) {
            (Some(_), None, None) => Every::new(interval).map(Self::Elapsed),
            (None, Some((name, count, most, _)), None) if count == 0 || count > most => {
                Err(vec![fault(name, format!("{count} {name} are not in 1-{most}"))])
            }
            (None, Some((name, count, _, factor)), None) => {
                local(interval, name, &format!("{count} {name}"), i64::from(count) * factor).map(Self::Local)
            }
            _ => Err(vec![fault("", "it has exactly one of every, days, weeks, months and years".to_owned())]),
        }
    }
}

impl Every {
    pub(crate) fn new(interval: &Interval) -> Result<Self, Vec<IntervalFault>> {
        let (every, phase) = (interval.every.unwrap_or_default(), interval.phase);
        let mut faults = Vec::new();
        if every < SHORTEST {
            faults.push(fault("every", format!("interval \"{every}\" is below {SHORTEST}")));
        } else if !every.is_whole_secs() {
            faults.push(fault("every", format!("interval \"{every}\" is not in whole seconds")));
        }
        faults.extend(check_phase(phase, every, format!("the interval \"{every}\"")));
        let anchor = interval.anchor.as_deref().map_or(Ok(0), instant).unwrap_or_else(|fault| {
            faults.push(fault);
            0
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let every = signed(every);
        Ok(Self { every, phase: (anchor + signed(phase)).rem_euclid(every) })
    }

    /// The first time after `after`.
    pub(crate) fn next(self, after: i64) -> i64 {
        ((after - self.phase).div_euclid(self.every) + 1) * self.every + self.phase
    }

    /// Whether it is one of its times.
    pub(crate) fn names(self, time: i64) -> bool {
        (time - self.phase).rem_euclid(self.every) == 0
    }
}

fn check_phase(phase: Span, every: Span, shown: String) -> Vec<IntervalFault> {
    let mut faults = Vec::new();
    if !phase.is_whole_secs() {
        faults.push(fault("phase", format!("phase \"{phase}\" is not in whole seconds")));
    }
    if phase >= every && !phase.is_zero() {
        faults.push(fault("phase", format!("phase \"{phase}\" is not less than {shown}")));
    }
    faults
}

/// An RFC 3339 time in whole seconds, as microseconds since the Unix epoch.
fn instant(text: &str) -> Result<i64, IntervalFault> {
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|time| time.timestamp_subsec_nanos() == 0);
    time.map(|time| time.timestamp() * MICROS_PER_SECOND).ok_or_else(|| {
        let help = "write RFC 3339 in whole seconds, such as 2026-01-31T09:00:00Z";
        fault("anchor", format!("anchor {} is not an instant; {help}", quoted(text)))
    })
}

/// An interval of so many days or months, written as `shown`: for example `2 weeks`.
fn local(interval: &Interval, unit: &'static str, shown: &str, count: i64) -> Result<Repeat, Vec<IntervalFault>> {
    let in_months = matches!(unit, "months" | "years");
    let shortest = match unit {
        "years" => 365 * count / 12,
        "months" => 28 * count,
        _ => count,
    };
    let limit = format!("{} \"{shown}\"", if in_months { "the shortest of" } else { "the interval" });
    // Beyond a hundred years no phase is too long.
    let least = u64::try_from(shortest).ok().and_then(|days| days.checked_mul(DAY.micros()));
    let least = least.filter(|micros| *micros < Span::MAX.micros()).map_or(Span::MAX, Span::from_micros);
    let mut faults = check_phase(interval.phase, least, limit);
    let anchor =
        interval.anchor.as_deref().map_or_else(|| Ok(first_anchor(unit)), local_time).unwrap_or_else(|fault| {
            faults.push(fault);
            first_anchor(unit)
        });
    if !faults.is_empty() {
        return Err(faults);
    }
    let second = i64::from(anchor.num_seconds_from_midnight()) + signed(interval.phase) / MICROS_PER_SECOND;
    let date = anchor.date();
    Ok(if in_months {
        Repeat::months(count, i64::from(date.year()) * 12 + i64::from(date.month0()), date.day(), second)
    } else {
        Repeat::days(count, i64::from(date.to_epoch_days()), second)
    })
}

/// What is counted from where no anchor is given: days and years from the Unix epoch's, weeks from a Monday.
fn first_anchor(unit: &str) -> NaiveDateTime {
    const THURSDAY_TO_MONDAY: i32 = 4;
    let day = NaiveDate::from_epoch_days(if unit == "weeks" { THURSDAY_TO_MONDAY } else { 0 });
    day.expect("a day of 1970").and_time(NaiveTime::MIN)
}

/// `2026-01-31`, `2026-01-31T09:00` or `2026-01-31T09:00:00`, in the years 1900 to 2200.
fn local_time(text: &str) -> Result<NaiveDateTime, IntervalFault> {
    let date = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN));
    let time = |format| NaiveDateTime::parse_from_str(text, format).ok();
    let read = time("%Y-%m-%dT%H:%M").or_else(|| time("%Y-%m-%dT%H:%M:%S")).or_else(|| date(text));
    read.filter(|time| (1900..=2200).contains(&time.year())).ok_or_else(|| {
        let help = match DateTime::parse_from_rfc3339(text) {
            Ok(_) => "leave the offset out: it is local, in the schedule's zone",
            Err(_) => "write a date or a time in the years 1900-2200, such as 2026-01-31 or 2026-01-31T09:00",
        };
        fault("anchor", format!("anchor {} is not a local time; {help}", quoted(text)))
    })
}

fn signed(span: Span) -> i64 {
    i64::try_from(span.micros()).expect("a span is at most a hundred years")
}
