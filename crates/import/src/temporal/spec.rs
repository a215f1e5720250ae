//! When: a Temporal spec as a schedule of ours.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use flintwheel_model::Span;
use flintwheel_model::definition::{CalendarTimes, Exclusion, Interval, Jitter, JitterMode, ScheduleTrigger};
use flintwheel_schedule::limits::MAX_JITTER;

use super::schedule::{Calendar, Range, Spec};
use crate::finding::Finding;

const SECOND: i64 = 1_000_000;
/// Name, first and last value of each field, and what both sides take where it is left out, if that is a value.
const FIELDS: [(&str, i32, i32); 7] = [
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day_of_month", 1, 31),
    ("month", 1, 12),
    ("day_of_week", 0, 6),
    ("year", 2000, 2100),
];
/// Those of which a calendar that leaves them out means 0.
const OF_THE_DAY: usize = 3;

/// When it is due; none where it names no time at all.
pub(super) fn trigger(spec: &Spec, findings: &mut Vec<Finding>) -> Option<ScheduleTrigger> {
    let calendars = spec.structured_calendar.iter().enumerate();
    let calendar: Vec<CalendarTimes> = calendars
        .filter_map(|(i, one)| times(one, &format!("spec.structured_calendar[{i}]"), false, findings))
        .collect();
    let excluded = spec.exclude_structured_calendar.iter().enumerate();
    let excluded: Vec<CalendarTimes> = excluded
        .filter_map(|(i, one)| times(one, &format!("spec.exclude_structured_calendar[{i}]"), true, findings))
        .collect();
    let interval: Vec<Interval> = spec.interval.iter().filter_map(|one| interval(one.every, one.phase)).collect();
    if calendar.is_empty() && interval.is_empty() {
        findings.push(Finding::note("spec", "spec", "names no time: it is fired by hand only, there as here"));
        return None;
    }
    Some(ScheduleTrigger {
        calendar,
        interval,
        exclude: if excluded.is_empty() {
            Vec::new()
        } else {
            vec![Exclusion { calendar: excluded, ..Exclusion::default() }]
        },
        timezone: zone(spec, findings),
        start: spec.start_time.and_then(|start| time("spec.start_time", start.div_euclid(SECOND) * SECOND, findings)),
        end: spec.end_time.and_then(|end| time("spec.end_time", end, findings)),
        jitter: jitter(spec.jitter, findings),
        ..ScheduleTrigger::default()
    })
}

fn zone(spec: &Spec, findings: &mut Vec<Finding>) -> Option<String> {
    if spec.timezone_data {
        let message =
            "the schedule brings a time zone of its own (TZif); name a zone of the IANA there, and import it then";
        findings.push(Finding::lost("timezone", "spec.timezone_data", message));
        return None;
    }
    match spec.timezone_name.as_str() {
        "" | "UTC" => None,
        "Local" => {
            let message = "\"Local\" is the zone of the Temporal server's machine, which it does not tell; read as UTC";
            findings.push(Finding::lost("timezone", "spec.timezone_name", message));
            None
        }
        name => Some(name.to_owned()),
    }
}

fn time(field: &str, micros: i64, findings: &mut Vec<Finding>) -> Option<DateTime<Utc>> {
    let found = DateTime::from_timestamp_micros(micros);
    if found.is_none() {
        findings.push(Finding::lost("bounds", field, "it is beyond the years that can be written"));
    }
    found
}

/// Only whole seconds count, and never less than one.
fn interval(every: i64, phase: i64) -> Option<Interval> {
    let seconds = |micros: i64| u64::try_from(micros / SECOND).unwrap_or(0);
    let (every, phase) = (seconds(every).max(1), seconds(phase));
    let longest = Span::MAX.secs();
    (every <= longest && phase <= longest).then(|| Interval::every(Span::from_secs(every), Span::from_secs(phase)))
}

fn jitter(micros: i64, findings: &mut Vec<Finding>) -> Option<Jitter> {
    let window = u64::try_from(micros).ok().filter(|micros| *micros > 0)?;
    let there = Span::from_micros(window.min(Span::MAX.micros()));
    let window = there.min(MAX_JITTER);
    let message = if window < there {
        format!(
            "each time is moved by up to {window}, the most that is allowed, where it is {there} there; and by another amount"
        )
    } else {
        format!("each time is moved by up to {window}, as there, but by another amount: the seed is another")
    };
    findings.push(Finding::differs("jitter", "spec.jitter", message));
    Some(Jitter { window, mode: JitterMode::PerFiring })
}

/// None where it never matches. What is left out of an exclusion means any, elsewhere 0 in fields of the time of day.
fn times(calendar: &Calendar, path: &str, excludes: bool, findings: &mut Vec<Finding>) -> Option<CalendarTimes> {
    let Calendar { second, minute, hour, day_of_month, month, year, day_of_week, comment } = calendar;
    let fields = [second, minute, hour, day_of_month, month, day_of_week, year];
    let mut texts = Vec::with_capacity(fields.len());
    for (place, (ranges, (name, first, last))) in fields.into_iter().zip(FIELDS).enumerate() {
        let is_year = place == fields.len() - 1;
        let values = values(ranges, first, last, name == "day_of_week");
        if values.is_empty() && !(is_year && ranges.is_empty()) {
            let message = format!("its {name} names no value: it never matches, and is left out");
            findings.push(Finding::note("calendar", path, message));
            return None;
        }
        let any = values.is_empty() || values.len() == (last - first + 1) as usize;
        let zero = values.len() == 1 && values.contains(&0);
        texts.push(match (any, excludes, place < OF_THE_DAY) {
            (true, false, true) => vec!["*".to_owned()],
            (true, ..) => Vec::new(),
            (false, false, true) if zero => Vec::new(),
            (false, ..) => written(ranges, &values, first, last),
        });
    }
    let [second, minute, hour, day_of_month, month, day_of_week, year]: [Vec<String>; 7] = texts.try_into().ok()?;
    Some(CalendarTimes { second, minute, hour, day_of_month, month, day_of_week, year, comment: comment.clone() })
}

/// What ranges name, of what there is. A day of week may be 7 in an exclusion, which nobody checks.
fn values(ranges: &[Range], first: i32, last: i32, sunday_is_seven: bool) -> BTreeSet<i32> {
    let mut values = BTreeSet::new();
    for range in ranges {
        let (start, end) = bounds(range);
        let step = i64::from(range.step.max(1));
        // Nothing beyond the field matters, however far a range goes to either side.
        let missing = (i64::from(first) - i64::from(start)).max(0);
        let begin = i64::from(start) + (missing + step - 1) / step * step;
        for value in (begin..=i64::from(end.min(last + 1))).step_by(step as usize) {
            let value = value as i32;
            let value = if sunday_is_seven && value == 7 { 0 } else { value };
            if (first..=last).contains(&value) {
                values.insert(value);
            }
        }
    }
    values
}

fn bounds(range: &Range) -> (i32, i32) {
    (range.start, range.end.max(range.start))
}

/// As it was written, where all of it is allowed; else the values themselves.
fn written(ranges: &[Range], values: &BTreeSet<i32>, first: i32, last: i32) -> Vec<String> {
    let allowed = |range: &Range| range.start >= first && bounds(range).1 <= last && range.step >= 0;
    if !ranges.iter().all(allowed) {
        return values.iter().map(ToString::to_string).collect();
    }
    let text = |range: &Range| match (bounds(range), range.step) {
        ((start, end), _) if start == end => start.to_string(),
        ((start, end), 0 | 1) => format!("{start}-{end}"),
        ((start, end), step) => format!("{start}-{end}/{step}"),
    };
    ranges.iter().map(text).collect()
}
