//! Which schedules are refused, and where in them the fault is; what bounds do.

mod support;

use flintwheel_model::Span;
use flintwheel_model::definition::{Interval, Jitter, JitterMode, ScheduleTrigger};
use flintwheel_schedule::Plan;
use flintwheel_schedule::limits::{MAX_CRON_LINE_BYTES, MAX_CRON_LINES, MAX_INTERVALS, MAX_SINGLE_TIMES};
use support::{FIELD, micros, rfc3339, schedule};

fn read(json: &str) -> ScheduleTrigger {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// All faults as `path: message`, the path without the schedule's own.
fn faults(trigger: &ScheduleTrigger) -> Vec<String> {
    let faults = Plan::compile(trigger, FIELD, 0).expect_err("it is refused").0;
    let shorten = |field: &str| field.strip_prefix(FIELD).expect("the path begins with the schedule's").to_owned();
    faults.iter().map(|fault| format!("{}: {}", shorten(&fault.field), fault.message)).collect()
}

#[test]
fn each_fault_is_told_with_its_path_and_all_of_them_at_once() {
    for (json, expected) in [
        (
            r#"{}"#,
            &[
                ": it has none of cron, calendar, rrule, interval, at and after; leave the schedule out to run by hand or by events only",
            ][..],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "timezone": "Europe/Berln"}"#,
            &[r#".timezone: time zone "Europe/Berln" is not known; did you mean "Europe/Berlin"?"#],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "timezone": "berlin"}"#,
            &[r#".timezone: time zone "berlin" is not known; did you mean "Europe/Berlin"?"#],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "timezone": "new york"}"#,
            &[r#".timezone: time zone "new york" is not known; did you mean "America/New_York"?"#],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "timezone": "EUROPE/BERLIN"}"#,
            &[r#".timezone: time zone "EUROPE/BERLIN" is not known; did you mean "Europe/Berlin"?"#],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "timezone": ""}"#,
            &[r#".timezone: time zone "" is not known; allowed are UTC and IANA names such as Europe/Berlin"#],
        ),
        (r#"{"interval": [{"every": "0s"}]}"#, &[r#".interval[0].every: interval "0s" is below 1s"#]),
        (r#"{"interval": [{"every": "999ms"}]}"#, &[r#".interval[0].every: interval "999ms" is below 1s"#]),
        (
            r#"{"interval": [{"every": "1h"}, {"every": "1500ms"}]}"#,
            &[r#".interval[1].every: interval "1s500ms" is not in whole seconds"#],
        ),
        (
            r#"{"interval": [{"every": "1h", "phase": "1h"}]}"#,
            &[r#".interval[0].phase: phase "1h" is not less than the interval "1h""#],
        ),
        (
            r#"{"interval": [{"every": "1h", "phase": "1ms"}]}"#,
            &[r#".interval[0].phase: phase "1ms" is not in whole seconds"#],
        ),
        (r#"{"at": ["1969-12-31T23:59:59Z"]}"#, &[".at[0]: 1969-12-31T23:59:59Z is not in the years 1970-2100"]),
        (
            r#"{"at": ["2030-01-01T00:00:00Z", "2101-01-01T00:00:00Z"]}"#,
            &[".at[1]: 2101-01-01T00:00:00Z is not in the years 1970-2100"],
        ),
        (
            r#"{"at": ["2030-01-01T00:00:00.0000001Z"]}"#,
            &[".at[0]: 2030-01-01T00:00:00.000000100Z is finer than a microsecond"],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}"#,
            &[".end: 2030-01-01T00:00:00Z is before start 2030-01-02T00:00:00Z"],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "misfire_policy": {"window": "9s"}}"#,
            &[r#".misfire_policy.window: window "9s" is below 10s"#],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "max_firings": 0, "misfire_policy": {"window": "9s", "pace": "1/s"}}"#,
            &[
                r#".misfire_policy.window: window "9s" is below 10s"#,
                ".max_firings: 0 firings are none: at least 1, or leave it out; enabled: false stops a definition",
            ],
        ),
        (
            r#"{"at": ["2030-01-01T00:00:00Z"], "end": "2029-01-01T00:00:00Z"}"#,
            &[": it never fires: no due time lies in its bounds, from 1970 to 2029-01-01T00:00:00Z"],
        ),
        (
            r#"{"cron": ["0 9 * * * 2029"], "start": "2030-01-01T00:00:00Z"}"#,
            &[": it never fires: no due time lies in its bounds, from 2030-01-01T00:00:00Z to 2100"],
        ),
        (
            r#"{"cron": ["0 9 * * *"], "start": "2150-01-01T00:00:00Z"}"#,
            &[": it never fires: no due time lies in its bounds, from 2150-01-01T00:00:00Z to 2100"],
        ),
        (
            r#"{"cron": ["30 23 31 12 * 2100"], "timezone": "America/New_York"}"#,
            &[": it never fires: no due time lies in its bounds, from 1970 to 2100"],
        ),
        (
            r#"{"cron": ["CRON_TZ=Asia/Tokyo 0 9 * * *"], "timezone": "Europe/Berlin"}"#,
            &[
                r#".cron[0]: zone "Asia/Tokyo" is not "Europe/Berlin" as in spec.trigger.schedule.timezone; a schedule has one zone"#,
            ],
        ),
        (
            r#"{"cron": ["@every 1h", "CRON_TZ=Asia/Tokyo 0 9 * * *", "TZ=Asia/Seoul 0 9 * * *"]}"#,
            &[
                r#".cron[2]: zone "Asia/Seoul" is not "Asia/Tokyo" as in spec.trigger.schedule.cron[1]; a schedule has one zone"#,
            ],
        ),
        (
            r#"{"cron": ["0 9 * * *", "CRON_TZ=Asia/Tokyo 0 9 * * *"]}"#,
            &[
                r#".cron[0]: it has no zone, while spec.trigger.schedule.cron[1] has "Asia/Tokyo"; set timezone for all of them"#,
            ],
        ),
        (
            r#"{"cron": ["0 25 * * *", "60 0 * * *"], "interval": [{"every": "0s", "phase": "1s"}], "timezone": "Nowhere/Land",
                "at": ["1960-01-01T00:00:00Z"], "start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}"#,
            &[
                r#".cron[0]: hour "25" is not in 0-23"#,
                r#".cron[1]: minute "60" is not in 0-59"#,
                r#".interval[0].every: interval "0s" is below 1s"#,
                r#".interval[0].phase: phase "1s" is not less than the interval "0s""#,
                ".at[0]: 1960-01-01T00:00:00Z is not in the years 1970-2100",
                r#".timezone: time zone "Nowhere/Land" is not known; allowed are UTC and IANA names such as Europe/Berlin"#,
                ".end: 2030-01-01T00:00:00Z is before start 2030-01-02T00:00:00Z",
            ],
        ),
    ] {
        assert_eq!(faults(&read(json)), expected, "{json}");
    }
}

#[test]
fn lists_and_lines_have_limits() {
    let line = format!("0 9 * * *{}", " ".repeat(MAX_CRON_LINE_BYTES - 9));
    let too_long = format!("{line} ");
    let hour = Interval::every(Span::from_secs(3_600), Span::ZERO);
    let time = "2030-01-01T00:00:00Z".parse().expect("a time");
    let intervals = |len| ScheduleTrigger { interval: vec![hour.clone(); len], ..ScheduleTrigger::default() };
    let times = |len| ScheduleTrigger { at: vec![time; len], ..ScheduleTrigger::default() };
    for allowed in [
        schedule([line.as_str()]),
        schedule(vec!["0 9 * * *"; MAX_CRON_LINES]),
        intervals(MAX_INTERVALS),
        times(MAX_SINGLE_TIMES),
    ] {
        assert!(Plan::compile(&allowed, FIELD, 0).is_ok());
    }
    for (refused, message) in [
        (schedule([too_long.as_str()]), ".cron[0]: it is 1025 bytes long; at most 1024 are allowed"),
        (schedule(vec!["0 9 * * *"; MAX_CRON_LINES + 1]), ".cron: 101 entries are too many; at most 100 are allowed"),
        (intervals(MAX_INTERVALS + 1), ".interval: 101 entries are too many; at most 100 are allowed"),
        (times(MAX_SINGLE_TIMES + 1), ".at: 1001 entries are too many; at most 1000 are allowed"),
    ] {
        assert_eq!(faults(&refused), [message]);
    }
}

#[test]
fn start_and_end_are_part_of_the_schedule() {
    for (json, after, expected) in [
        (
            r#"{"cron": "0 * * * *", "start": "2024-01-01T12:00:00Z", "end": "2024-01-01T14:00:00Z"}"#,
            "2020-01-01T00:00:00Z",
            "12:00:00 13:00:00 14:00:00",
        ),
        (
            r#"{"cron": "0 * * * *", "start": "2024-01-01T12:00:00.000000001Z", "end": "2024-01-01T14:59:59Z"}"#,
            "2020-01-01T00:00:00Z",
            "13:00:00 14:00:00",
        ),
        (
            r#"{"cron": "0 * * * *", "end": "2024-01-01T13:59:59.999999999Z"}"#,
            "2024-01-01T11:00:00Z",
            "12:00:00 13:00:00",
        ),
        (
            r#"{"interval": {"every": "1h"}, "start": "2024-01-01T13:00:00Z", "end": "2024-01-01T14:00:00Z"}"#,
            "2020-01-01T00:00:00Z",
            "13:00:00 14:00:00",
        ),
        (
            r#"{"at": ["2024-01-01T13:00:00.25Z", "2024-01-01T12:00:00Z", "2024-01-01T12:00:00Z"]}"#,
            "2020-01-01T00:00:00Z",
            "12:00:00 13:00:00.250",
        ),
        (
            r#"{"at": ["2024-01-01T13:00:00Z", "2024-01-01T12:00:00Z"], "start": "2024-01-01T12:30:00Z"}"#,
            "2020-01-01T00:00:00Z",
            "13:00:00",
        ),
        (
            r#"{"at": "2024-01-01T12:10:00Z", "cron": "0 12 * * *", "interval": {"every": "5m"}, "end": "2024-01-01T12:10:00Z"}"#,
            "2024-01-01T11:59:00Z",
            "12:00:00 12:05:00 12:10:00",
        ),
    ] {
        let plan = Plan::compile(&read(json), FIELD, 0).unwrap_or_else(|faults| panic!("{json}: {faults}"));
        let times = std::iter::successors(plan.next(micros(after)), |time| plan.next(*time));
        let times: Vec<_> = times.map(rfc3339).collect();
        let expected: Vec<_> = expected.split(' ').map(|time| format!("2024-01-01T{time}Z")).collect();
        assert_eq!(times, expected, "{json}");
    }
}

fn jittered(lines: &str, window: u64, mode: JitterMode) -> Plan {
    let jitter = Some(Jitter { window: Span::from_secs(window), mode });
    Plan::compile(&ScheduleTrigger { jitter, ..schedule([lines]) }, FIELD, 0).expect("a schedule")
}

/// The first due times of a plan after 2024 began, as (nominal, offset).
fn offsets(plan: &Plan, seed: u64, count: usize) -> Vec<(i64, i64)> {
    let first = plan.next(micros("2024-01-01T00:00:00Z"));
    let times = std::iter::successors(first, |time| plan.next(*time)).take(count);
    times.map(|nominal| (nominal, plan.due(nominal, seed) - nominal)).collect()
}

#[test]
fn a_due_time_is_moved_within_the_window_and_never_to_the_next_one() {
    for (line, window, room) in
        [("0 * * * *", 600, 600), ("0 * * * *", 7_200, 3_600), ("* * * * * * *", 300, 1), ("@every 7m", 86_400, 420)]
    {
        for mode in [JitterMode::PerFiring, JitterMode::Stable] {
            let plan = jittered(line, window, mode);
            let all: Vec<i64> = (0..200).flat_map(|seed| offsets(&plan, seed, 5)).map(|(_, offset)| offset).collect();
            let room = room * 1_000_000;
            assert!(all.iter().all(|offset| (0..room).contains(offset)), "{line} {mode:?}");
            let (low, high) = (all.iter().min(), all.iter().max());
            assert!(low < Some(&(room / 20)) && high > Some(&(room / 20 * 19)), "{line} {mode:?}: it uses the window");
        }
    }
}

#[test]
fn an_offset_depends_on_seed_and_mode_only_and_is_always_the_same() {
    let distinct = |offsets: Vec<(i64, i64)>| {
        let mut offsets: Vec<i64> = offsets.into_iter().map(|(_, offset)| offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        offsets.len()
    };
    let (per_firing, stable) =
        (jittered("0 * * * *", 600, JitterMode::PerFiring), jittered("0 * * * *", 600, JitterMode::Stable));
    assert_eq!(distinct(offsets(&per_firing, 1, 50)), 50);
    assert_eq!(distinct(offsets(&stable, 1, 50)), 1);
    assert_ne!(offsets(&stable, 1, 1), offsets(&stable, 2, 1));
    // Pinned: a firing must not move when a node gets a newer program.
    let nominal = micros("2024-01-01T01:00:00Z");
    assert_eq!((per_firing.due(nominal, 42) - nominal, stable.due(nominal, 42) - nominal), (88_945_008, 412_877_695));
}

#[test]
fn without_jitter_or_with_an_empty_window_a_due_time_is_the_nominal_one() {
    let plain = Plan::compile(&schedule(["0 * * * *"]), FIELD, 0).expect("a schedule");
    for plan in [&plain, &jittered("0 * * * *", 0, JitterMode::Stable)] {
        assert_eq!(plan.due(micros("2024-01-01T01:00:00Z"), 7), micros("2024-01-01T01:00:00Z"));
    }
    assert_eq!(plain, jittered("0 * * * *", 0, JitterMode::PerFiring), "so the two can be shared");
}

#[test]
fn the_last_due_time_has_the_whole_window() {
    let jitter = Some(Jitter { window: Span::from_secs(3_600), mode: JitterMode::PerFiring });
    let time = "2024-01-01T01:00:00Z";
    let trigger = ScheduleTrigger { jitter, at: vec![time.parse().expect("a time")], ..ScheduleTrigger::default() };
    let plan = Plan::compile(&trigger, FIELD, 0).expect("a schedule");
    let latest = (0..200).map(|seed| plan.due(micros(time), seed) - micros(time)).max();
    assert!(latest > Some(3_000_000_000) && latest < Some(3_600_000_000), "{latest:?}");
}

#[test]
fn an_end_that_never_comes_is_told() {
    for (json, expected) in [
        (r#"{"interval": [{"every": "1h"}], "after_end": "delete"}"#, 1),
        (r#"{"interval": [{"every": "1h"}], "after_end": "keep"}"#, 0),
        (r#"{"interval": [{"every": "1h"}], "after_end": "disable", "max_firings": 3}"#, 0),
        (r#"{"interval": [{"every": "1h"}], "after_end": "delete", "end": "2030-01-01T00:00:00Z"}"#, 0),
        (r#"{"at": ["2030-01-01T00:00:00Z"], "after_end": "delete"}"#, 0),
    ] {
        let told = flintwheel_schedule::warnings(&read(json), FIELD);
        assert_eq!(told.len(), expected, "{json}: {told:?}");
        assert!(told.iter().all(|warning| warning.field == format!("{FIELD}.after_end")));
    }
}

#[test]
fn what_roll_does_not_move_is_told() {
    for (json, expected) in [
        (
            r#"{"cron": "0 9 * * *", "at": "2026-12-25T09:00:00Z", "exclude": {"dates": "2026-12-25"}, "roll": "next"}"#,
            ".roll: times of at are not moved: on a closed day they are not due",
        ),
        (
            r#"{"cron": "@every 1h", "interval": {"every": "1h"}, "exclude": {"dates": "2026-12-25"}, "roll": "previous"}"#,
            ".roll: times of interval.every and @every are not moved: on a closed day they are not due",
        ),
        (r#"{"interval": {"days": 1}, "exclude": {"dates": "2026-12-25"}, "roll": "next"}"#, ""),
        (r#"{"cron": "0 9 * * *", "at": "2026-12-25T09:00:00Z", "exclude": {"dates": "2026-12-25"}}"#, ""),
    ] {
        let told = flintwheel_schedule::warnings(&read(json), FIELD);
        let told: Vec<String> = told.iter().map(|warning| warning.to_string().replace(FIELD, "")).collect();
        assert_eq!(told.join("\n"), expected, "{json}");
    }
}

#[test]
fn a_window_of_jitter_that_was_accepted_once_goes_on_and_is_accepted_no_more() {
    let read = |window: &str| read(&format!(r#"{{"cron": "0 25 1 * *", "jitter": {{"window": "{window}"}}}}"#));
    let good = |window: &str| ScheduleTrigger { cron: vec!["0 9 1 1 * 2099-2100".to_owned()], ..read(window) };
    let refused = r#".jitter.window: window "365d1us" is above 365d; a due time never moves past the one that follows"#;
    assert_eq!(faults(&good("365d1us")), [refused]);
    assert_eq!(faults(&read("365d1us")), [r#".cron[0]: hour "25" is not in 0-23"#, refused]);
    assert!(Plan::compile(&good("365d"), FIELD, 0).is_ok());
    let stored = Plan::compile_stored(&good("36500d"), FIELD, 0, &|_| None).expect("accepted once");
    let at = micros("2099-01-01T09:00:00Z");
    assert_eq!(stored.next(micros("2098-01-01T00:00:00Z")), Some(at));
    assert!((at..micros("2100-01-01T09:00:00Z")).contains(&stored.due(at, 7)));
}

#[test]
fn too_many_excluded_dates_are_refused_with_what_takes_more() {
    let dates = |count: usize| vec!["2026-12-24"; count];
    for (exclude, expected) in [
        (
            serde_json::json!([{"dates": dates(1001)}]),
            ".exclude[0].dates: 1001 entries are too many; at most 1000 are allowed; ",
        ),
        (
            serde_json::json!([{"dates": dates(600)}, {"dates": dates(401)}]),
            ".exclude: 1001 dates are too many; at most 1000 are allowed; ",
        ),
    ] {
        let told = faults(&read(&serde_json::json!({"cron": "0 9 * * *", "exclude": exclude}).to_string()));
        let advice = "a named calendar (kind: Calendar) holds up to 20000 and is excluded by calendar_name, and days in a row are one range, such as 2026-12-24/2027-01-06";
        assert_eq!(told, [format!("{expected}{advice}")]);
    }
}

#[test]
fn a_time_is_let_in_by_what_excludes_and_bounds_and_stays_whatever_they_say_then() {
    let day = |hour: u32| micros(&format!("2026-11-24T{hour:02}:00:00Z"));
    let text = r#"{"cron": "0 12 * * *", "exclude": {"cron": "0 7 * * *"}, "start": "2026-11-24T06:00:00Z", "end": "2026-11-24T20:00:00Z"}"#;
    let plan = Plan::compile(&read(text), FIELD, 0).expect("valid");
    let allowed: Vec<u32> = [5, 6, 7, 8, 12, 20, 21].into_iter().filter(|hour| plan.allows(day(*hour))).collect();
    assert_eq!(allowed, [6, 8, 12, 20]);
    // Those of before are all there, and one that it names itself is due once.
    let with = plan.with_admitted([5, 7, 12, 21].map(day));
    let all: Vec<i64> = std::iter::successors(with.next(0), |time| with.next(*time)).collect();
    assert_eq!(all, [5, 7, 12, 21].map(day));
    assert_eq!((plan.next(0), plan.next(day(12))), (Some(day(12)), None));
}
