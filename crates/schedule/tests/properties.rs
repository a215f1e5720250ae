//! Properties of due times, over random cron lines: beside a naive walk through every minute or second, beside the
//! `cron` crate, and with texts that are no cron lines at all.

mod support;

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::Tz;
use flintwheel_schedule::Plan;
use proptest::prelude::*;
use support::lines::{Line, line};
use support::{FIELD, schedule};

const HOUR: i64 = 3_600;
const SECOND: i64 = 1_000_000;

/// Every kind of clock change there is: north and south, by half an hour and by two, at midnight, by a whole day, for
/// Ramadan, and none at all.
const ZONES: [&str; 32] = [
    "UTC",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Monrovia",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
];

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(&ZONES[..]).prop_map(|name| name.parse().expect("a zone"))
}

fn offset(zone: Tz, second: i64) -> i32 {
    let utc = DateTime::from_timestamp(second, 0).expect("a time").naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}

/// The hours in which the zone's offset changes in a year, in seconds since the Unix epoch; New Year if there are none.
fn changes(zone: Tz, year: i32) -> Vec<i64> {
    let start = DateTime::parse_from_rfc3339(&format!("{year}-01-01T00:00:00Z")).expect("a time").timestamp();
    let hours = (start..start + 366 * 24 * HOUR).step_by(HOUR as usize);
    let changes: Vec<_> = hours.filter(|hour| offset(zone, *hour) != offset(zone, hour + HOUR)).collect();
    if changes.is_empty() { vec![start] } else { changes }
}

/// A time around which the walk goes: mostly where clocks change.
fn place() -> impl Strategy<Value = (Tz, i64)> {
    (zone(), 1971..2100_i32, any::<prop::sample::Index>()).prop_map(|(zone, year, index)| {
        let changes = changes(zone, year);
        (zone, changes[index.index(changes.len())])
    })
}

/// The slow way to tell a due time: by the local clock.
fn is_due(line: &Line, zone: Tz, second: i64) -> bool {
    let local = zone.timestamp_opt(second, 0).single().expect("an instant has one local time");
    line.second.holds(local.second())
        && line.minute.holds(local.minute())
        && line.hour.holds(local.hour())
        && line.day.holds(local.day())
        && line.month.holds(local.month())
        && line.holds_weekday(local.weekday().num_days_from_sunday())
}

/// That the plan's times from `from` to `to` are those that the walk finds, from wherever they are approached.
fn same_as_walked(line: &Line, zone: Tz, from: i64, to: i64, step: i64, start: i64) -> Result<(), TestCaseError> {
    let walked = (from..to).step_by(step as usize).filter(|second| is_due(line, zone, *second));
    let walked: Vec<i64> = walked.map(|second| second * SECOND).collect();
    let mut trigger = schedule([line.text().as_str()]);
    trigger.timezone = Some(zone.name().to_owned());
    let Ok(plan) = Plan::compile(&trigger, FIELD, 0) else {
        prop_assert!(walked.is_empty(), "{} is refused", line.text());
        return Ok(());
    };
    let next = |after: &i64| plan.next(*after).filter(|time| *time < to * SECOND);
    let found: Vec<i64> = std::iter::successors(next(&(from * SECOND - 1)), next).collect();
    prop_assert_eq!(&found, &walked, "{} in {}", line.text(), zone);
    let expected = walked.iter().find(|time| **time > start).copied();
    prop_assert_eq!(next(&start), expected, "{} in {} after {}", line.text(), zone, start);
    Ok(())
}

/// A line in the dialect of the `cron` crate: values only, Sunday is 1.
fn for_cron_crate(line: &Line) -> String {
    let list = |values: Vec<u32>| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let weekdays = (0..7).filter(|day| line.holds_weekday(*day)).map(|day| day + 1).collect();
    let dates = [&line.second, &line.minute, &line.hour, &line.day, &line.month].map(|field| list(field.values()));
    format!("{} {}", dates.join(" "), list(weekdays))
}

/// Characters that cron lines are made of, so that random texts come near to being some.
fn cron_like() -> impl Strategy<Value = String> {
    let words = [
        "*",
        "*/",
        "/",
        "-",
        ",",
        " ",
        "  ",
        "\t",
        "#",
        "0",
        "1",
        "5",
        "12",
        "31",
        "59",
        "60",
        "2024",
        "mon",
        "JAN",
        "sun-",
        "?",
        "L",
        "@",
        "@every ",
        "@daily",
        "1h",
        "/5m",
        "CRON_TZ=",
        "TZ=UTC ",
        "Europe/Berlin ",
        "é",
        "0 0 * * *",
        "\u{0}",
        "18446744073709551616",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

fn survives(lines: &[String]) -> Result<(), TestCaseError> {
    match Plan::compile(&schedule(lines.iter().map(String::as_str)), FIELD, 0) {
        Ok(plan) => {
            let times: Vec<_> = std::iter::successors(plan.next(i64::MIN), |time| plan.next(*time)).take(50).collect();
            prop_assert!(!times.is_empty() && times.is_sorted_by(|a, b| a < b), "{:?}", times);
            prop_assert_eq!(plan.next(i64::MAX), None);
        }
        Err(faults) => {
            prop_assert!(!faults.0.is_empty() && faults.0.len() <= 10 * lines.len());
            for (start, end) in faults.0.iter().filter_map(|fault| fault.part) {
                prop_assert!(lines.iter().any(|line| line.get(start..end).is_some()), "{:?}", faults);
            }
        }
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn minutes_are_those_that_a_walk_finds((zone, change) in place(), line in line(false), minute in -2_880..2_880_i64) {
        let (from, to) = (change - 48 * HOUR, change + 48 * HOUR);
        // Half minutes, as Monrovia's offset had 30 seconds until 1972.
        same_as_walked(&line, zone, from, to, 30, (change + minute * 60) * SECOND)?;
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn seconds_are_those_that_a_walk_finds((zone, change) in place(), line in line(true), micros in -9_000_000_000..9_000_000_000_i64) {
        let (from, to) = (change - 3 * HOUR, change + 4 * HOUR);
        same_as_walked(&line, zone, from, to, 1, change * SECOND + micros)?;
    }

    #[test]
    fn times_are_those_of_the_cron_crate(
        line in line(true),
        zone in prop::sample::select(vec![Tz::UTC, Tz::Etc__GMTPlus5, Tz::Asia__Kolkata, Tz::Asia__Tokyo]),
        second in 24 * HOUR..3_900_000_000,
    ) {
        let mut trigger = schedule([line.text().as_str()]);
        trigger.timezone = Some(zone.name().to_owned());
        let other: cron::Schedule = for_cron_crate(&line).parse().expect("a line of the cron crate");
        let after = zone.timestamp_opt(second, 0).single().expect("a time");
        let Ok(plan) = Plan::compile(&trigger, FIELD, 0) else {
            prop_assert_eq!(other.after(&after).next(), None, "{} is refused", line.text());
            return Ok(());
        };
        let expected: Vec<_> = other.after(&after).take(20).map(|time| time.timestamp() * SECOND).collect();
        let found: Vec<_> = std::iter::successors(plan.next(second * SECOND), |time| plan.next(*time)).take(20).collect();
        prop_assert_eq!(found, expected, "{}", line.text());
    }

    #[test]
    fn any_bytes_are_refused_or_make_a_plan(bytes in prop::collection::vec(any::<u8>(), 0..1_100)) {
        survives(&[String::from_utf8_lossy(&bytes).into_owned()])?;
    }

    #[test]
    fn texts_that_come_near_to_cron_lines_are_refused_or_make_a_plan(lines in prop::collection::vec(cron_like(), 1..6)) {
        survives(&lines)?;
    }
}
