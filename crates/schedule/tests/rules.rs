//! Recurrence rules: beside python-dateutil (`rules.txt`, made by `rules.py`), and the same from wherever they are
//! approached.

mod support;

use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use flintwheel_schedule::limits::{MAX_RULE_BYTES, MAX_RULE_COUNT, MAX_RULE_DATES, MAX_RULES};
use support::{FIELD, micros, rfc3339};

fn trigger(rule: &str) -> ScheduleTrigger {
    ScheduleTrigger { rrule: vec![rule.to_owned()], ..ScheduleTrigger::default() }
}

fn plan(rule: &str) -> Plan {
    Plan::compile(&trigger(rule), FIELD, 0).unwrap_or_else(|faults| panic!("{rule}: {faults}"))
}

/// The times after one, to a number of them; with a final `none` where no more come.
fn following(plan: &Plan, after: i64, count: usize) -> String {
    let times = std::iter::successors(Some(plan.next(after)), |time| time.map(|time| plan.next(time)));
    times.take(count).map(|time| time.map_or("none".to_owned(), rfc3339)).collect::<Vec<_>>().join(" ")
}

#[test]
fn times_are_those_of_dateutil() {
    let (mut cases, mut differences) = (0, Vec::new());
    for row in include_str!("rules.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("##")) {
        let [rule, after, expected] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three columns: {row}")
        };
        let found = match Plan::compile(&trigger(rule), FIELD, 0) {
            Ok(plan) => following(&plan, micros(after), expected.split(' ').count()),
            Err(faults) => faults.to_string(),
        };
        if found != expected {
            differences.push(format!("{rule} after {after}\n  expected {expected}\n  found    {found}"));
        }
        cases += 1;
    }
    assert!(differences.is_empty(), "{} of {cases}:\n{}", differences.len(), differences.join("\n"));
    assert!(cases > 400, "the table was read");
}

#[test]
fn a_time_does_not_depend_on_where_it_is_approached_from() {
    for row in include_str!("rules.txt").lines().filter(|line| line.starts_with("DTSTART")).step_by(3) {
        let plan = plan(row.split(" | ").next().expect("a rule"));
        let times: Vec<i64> = std::iter::successors(plan.next(i64::MIN), |time| plan.next(*time)).take(20).collect();
        for (index, time) in times.iter().enumerate() {
            let begin = index.checked_sub(1).map_or(i64::MIN, |index| times[index]);
            for after in [begin, begin.saturating_add(1), begin.midpoint(*time), time - 1_000_001, time - 1] {
                let reached = plan.next(after.max(begin));
                assert_eq!(reached, Some(*time), "{row} after {after}");
            }
        }
    }
}

#[test]
fn a_count_leaves_out_what_clocks_never_show() {
    // 02:30 of 10 March 2024 does not exist in New York.
    let daily = "DTSTART;TZID=America/New_York:20240309T023000 RRULE:FREQ=DAILY;COUNT=2";
    assert_eq!(following(&plan(daily), 0, 9), "2024-03-09T07:30:00Z 2024-03-11T06:30:00Z none");
    let shifted: ScheduleTrigger =
        ScheduleTrigger { dst: serde_json::from_str(r#"{"gap": "shift"}"#).expect("a policy"), ..trigger(daily) };
    let shifted = Plan::compile(&shifted, FIELD, 0).expect("a schedule");
    assert_eq!(following(&shifted, 0, 9), "2024-03-09T07:30:00Z 2024-03-10T07:30:00Z none");
}

#[test]
fn rules_have_limits() {
    let daily = "DTSTART:20240101T000000 RRULE:FREQ=DAILY";
    let times = |count: usize| vec!["20240101T120000"; count].join(",");
    let with_dates = |count| format!("{daily} RDATE:{}", times(count));
    let rules = |count| ScheduleTrigger { rrule: vec![daily.to_owned(); count], ..ScheduleTrigger::default() };
    let padded = |bytes: usize| trigger(&format!("{daily}{}", " ".repeat(bytes - daily.len())));
    for allowed in [
        rules(MAX_RULES),
        trigger(&with_dates(MAX_RULE_DATES)),
        padded(MAX_RULE_BYTES),
        trigger(&format!("{daily};COUNT={MAX_RULE_COUNT}")),
    ] {
        assert_eq!(Plan::compile(&allowed, FIELD, 0).err(), None);
    }
    for (refused, message) in [
        (rules(MAX_RULES + 1), "21 entries are too many; at most 20 are allowed"),
        (trigger(&with_dates(MAX_RULE_DATES + 1)), "more than 500 times are too many"),
        (padded(MAX_RULE_BYTES + 1), "it is 16385 bytes long; at most 16384 are allowed"),
        (trigger(&format!("{daily};COUNT={}", MAX_RULE_COUNT + 1)), "COUNT \"10001\" is not in 1-10000"),
        (
            trigger(
                "DTSTART:20240101T000000 RRULE:FREQ=SECONDLY;INTERVAL=59;BYHOUR=3,4;BYMINUTE=0,20,40;BYSECOND=0;COUNT=9999",
            ),
            "COUNT 9999 of this rule lies too far ahead to be counted; write UNTIL instead",
        ),
    ] {
        let told = Plan::compile(&refused, FIELD, 0).expect_err(message).to_string();
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn a_rule_of_seconds_that_meet_no_allowed_one_is_refused_and_not_searched_for_ever() {
    for rule in [
        "DTSTART:20240101T000000 RRULE:FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
        "DTSTART:20240101T000000 RRULE:FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1,3,5",
        "DTSTART:20240101T000000 RRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=1",
        "DTSTART:20240101T000000 RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "DTSTART:20230101T000000 RRULE:FREQ=YEARLY;INTERVAL=100;BYMONTH=2;BYMONTHDAY=29",
        "DTSTART:20240101T000000 RRULE:FREQ=YEARLY;BYYEARDAY=1;BYMONTH=2;BYSETPOS=1",
        "DTSTART:20240101T000000 RRULE:FREQ=SECONDLY;INTERVAL=7;BYHOUR=9;BYSETPOS=2",
        "DTSTART:20240101T000000 RRULE:FREQ=HOURLY;BYMINUTE=0,30;BYSECOND=0;BYSETPOS=-3,3",
    ] {
        let told = Plan::compile(&trigger(rule), FIELD, 0).expect_err(rule).to_string();
        assert!(told.contains("names no time until 2100"), "{told}");
    }
}
