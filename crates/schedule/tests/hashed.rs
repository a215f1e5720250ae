//! `H`: a value that the definition's identity chooses.

mod support;

use std::collections::BTreeMap;

use flintwheel_schedule::{Plan, identity, warnings};
use support::{FIELD, micros, rfc3339, schedule};

fn plan(line: &str, identity: u64) -> Plan {
    Plan::compile(&schedule([line]), FIELD, identity).unwrap_or_else(|faults| panic!("{line}: {faults}"))
}

/// The first due times of a day.
fn times(plan: &Plan) -> Vec<String> {
    let begin = micros("2024-01-01T00:00:00Z") - 1;
    let times = std::iter::successors(plan.next(begin), |time| plan.next(*time));
    times.take(6).map(|time| rfc3339(time)["2024-".len()..].trim_end_matches('Z').to_owned()).collect()
}

/// Computed with another implementation of xxh3.
const PINNED: [&str; 6] = [
    "H H * * *: 01-01T03:59:00 01-02T03:59:00",
    "H/20 * * * *: 01-01T00:19:00 01-01T00:39:00",
    "H H(1-5) H * *: 01-02T01:59:00 02-02T01:59:00",
    "H * * * * * *: 01-01T00:00:20 01-01T00:01:20",
    "0 0 * * H: 01-06T00:00:00 01-13T00:00:00",
    "0 0 1 H *: 12-01T00:00:00 12-01T00:00:00",
];

#[test]
fn the_same_definition_has_the_same_values_for_ever() {
    // Pinned: a due time must not move when a node gets a newer program.
    let shown =
        ["H H * * *", "H/20 * * * *", "H H(1-5) H * *", "H * * * * * *", "0 0 * * H", "0 0 1 H *"].map(|line| {
            let times = times(&plan(line, identity("billing", "invoice-reminder")));
            format!("{line}: {}", times[..2].join(" "))
        });
    assert_eq!(shown, PINNED);
}

/// How many of a thousand definitions have each minute and hour.
fn spread(line: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in 0..1_000 {
        let first = times(&plan(line, identity("default", &format!("job-{id}")))).remove(0);
        *counts.entry(first).or_default() += 1;
    }
    counts
}

#[test]
fn definitions_are_spread_over_the_whole_range_and_no_further() {
    for (line, values, first, last) in [
        ("H 3 * * *", 60, "01-01T03:00:00", "01-01T03:59:00"),
        ("H(0-29) 3 * * *", 30, "01-01T03:00:00", "01-01T03:29:00"),
        ("H(58-59) 3 * * *", 2, "01-01T03:58:00", "01-01T03:59:00"),
        ("0 H * * *", 24, "01-01T00:00:00", "01-01T23:00:00"),
        ("0 0 H * *", 28, "01-01T00:00:00", "01-28T00:00:00"),
        ("0 0 1 H *", 12, "01-01T00:00:00", "12-01T00:00:00"),
        ("0 0 * * H", 7, "01-01T00:00:00", "01-07T00:00:00"),
        ("0 0 * * H(mon-fri)", 5, "01-01T00:00:00", "01-05T00:00:00"),
        ("H/15 3 * * *", 15, "01-01T03:00:00", "01-01T03:14:00"),
        ("H(10-19)/99 3 * * *", 10, "01-01T03:10:00", "01-01T03:19:00"),
    ] {
        let counts = spread(line);
        let ends = (counts.keys().next().map(String::as_str), counts.keys().last().map(String::as_str));
        assert_eq!((counts.len(), ends), (values, (Some(first), Some(last))), "{line}");
        let fair = 1_000 / values;
        assert!(counts.values().all(|count| (fair / 4..=fair * 3).contains(count)), "{line}: {counts:?}");
    }
}

#[test]
fn a_step_repeats_the_chosen_value() {
    for id in 0..50 {
        let plan = plan("H/15 * * * *", id);
        let begin = plan.next(micros("2024-01-01T00:00:00Z") - 1).expect("a time");
        for (quarter, time) in std::iter::successors(Some(begin), |time| plan.next(*time)).take(8).enumerate() {
            assert_eq!(time, begin + quarter as i64 * 900_000_000, "identity {id}");
        }
    }
}

#[test]
fn minute_and_hour_are_chosen_apart() {
    let counts = spread("H H * * *");
    assert!(counts.len() > 650, "{} different times of 1,440", counts.len());
}

#[test]
fn a_weekday_that_a_comment_hides_is_warned_of() {
    let warned = |lines: &[&str], dialect: &str| {
        let mut trigger = schedule(lines.iter().copied());
        trigger.dialect = serde_json::from_str(&format!("{dialect:?}")).expect("a dialect");
        let told = warnings(&trigger, FIELD);
        told.into_iter().map(|warning| (warning.field, warning.part)).collect::<Vec<_>>()
    };
    let there = (format!("{FIELD}.cron[1]"), Some((9, 11)));
    assert_eq!(warned(&["0 9 * * *", "0 0 * * 5#3"], "temporal"), [there]);
    assert!(warned(&["0 9 * * * # 3", "0 9 * * * #3", "0 9 * * 5# third"], "temporal").is_empty());
    assert!(warned(&["0 0 * * 5#3"], "vixie").is_empty());
}
