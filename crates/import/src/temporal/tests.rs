//! Schedules as Temporal describes them, and what becomes of them: as data.

use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use serde_json::{Value, json};

use super::*;
use crate::finding::{Weight, lost};

fn schedule(spec: Value, more: Value) -> Schedule {
    let mut whole = json!({
        "spec": spec,
        "action": {"workflow_id": "w", "workflow_type": "Nightly", "task_queue": "reports"},
    });
    for (name, value) in more.as_object().expect("fields") {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).expect("a schedule")
}

fn translated(schedule: &Schedule) -> Translation {
    translate("nightly", schedule, &Destination { namespace: "default".to_owned(), ..Destination::default() })
}

fn written(schedule: &Schedule) -> Value {
    let translation = translated(schedule);
    let lost: Vec<_> = lost(&translation.findings, &[]).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    serde_json::to_value(translation.definition).expect("JSON")
}

/// 09:00:00 of each day.
fn daily() -> Value {
    json!({"second": [{}], "minute": [{}], "hour": [{"start": 9}], "day_of_month": [{"start": 1, "end": 31}],
        "month": [{"start": 1, "end": 12}], "day_of_week": [{"end": 6}]})
}

fn of(changes: Value) -> Value {
    let mut calendar = daily();
    for (name, value) in changes.as_object().expect("fields") {
        calendar[name] = value.clone();
    }
    calendar
}

#[test]
fn a_spec_becomes_a_schedule_that_means_the_same() {
    for (spec, expected) in [
        (json!({"structured_calendar": [daily()]}), json!({"calendar": [{"hour": ["9"]}]})),
        (
            json!({"structured_calendar": [of(json!({"second": [{"end": 59}], "hour": [{"start": 9, "end": 17, "step": 2}],
                "day_of_week": [{"start": 1, "end": 5}], "year": [{"start": 2030}], "comment": "c"}))]}),
            json!({"calendar": [{"second": ["*"], "hour": ["9-17/2"], "day_of_week": ["1-5"], "year": ["2030"], "comment": "c"}]}),
        ),
        (
            json!({"interval": [{"every": 5_400_000_000i64, "phase": 60_900_000}]}),
            json!({"interval": [{"every": "1h30m", "phase": "1m"}]}),
        ),
        (
            json!({"structured_calendar": [daily()], "exclude_structured_calendar": [of(json!({"month": [{"start": 12}], "day_of_month": [{"start": 25}]}))]}),
            json!({"calendar": [{"hour": ["9"]}],
                "exclude": [{"calendar": [{"second": ["0"], "minute": ["0"], "hour": ["9"], "day_of_month": ["25"], "month": ["12"]}]}]}),
        ),
        (
            json!({"structured_calendar": [daily()], "exclude_structured_calendar": [of(json!({"hour": [{"start": -5, "end": 99, "step": 5}], "day_of_week": [{"start": 7}]}))]}),
            json!({"calendar": [{"hour": ["9"]}],
                "exclude": [{"calendar": [{"second": ["0"], "minute": ["0"], "hour": ["0", "5", "10", "15", "20"], "day_of_week": ["0"]}]}]}),
        ),
        (
            json!({"structured_calendar": [daily()], "timezone_name": "Europe/Berlin", "start_time": 1_790_000_000_500_000i64,
                "end_time": 1_800_000_000_000_000i64}),
            json!({"calendar": [{"hour": ["9"]}], "timezone": "Europe/Berlin", "start": "2026-09-21T14:13:20Z", "end": "2027-01-15T08:00:00Z"}),
        ),
        (
            json!({"structured_calendar": [daily()], "jitter": 60_000_000}),
            json!({"calendar": [{"hour": ["9"]}], "jitter": {"window": "1m", "mode": "per_firing"}}),
        ),
        (
            json!({"structured_calendar": [daily()], "jitter": 36_500 * 86_400_000_000i64}),
            json!({"calendar": [{"hour": ["9"]}], "jitter": {"window": "365d", "mode": "per_firing"}}),
        ),
        (json!({"structured_calendar": [daily(), of(json!({"minute": []}))]}), json!({"calendar": [{"hour": ["9"]}]})),
    ] {
        let found = written(&schedule(spec.clone(), json!({})));
        let mut found = found["spec"]["trigger"]["schedule"].clone();
        for policy in ["overlap_policy", "carry_last_result"] {
            found.as_object_mut().expect("a schedule").remove(policy);
        }
        assert_eq!(found, expected, "{spec}");
    }
}

fn plain(text: &str) -> Value {
    json!({"encoding": "json/plain", "data": text.as_bytes()})
}

#[test]
fn action_policies_and_notes_become_fields() {
    for (more, path, expected) in [
        (json!({}), "/spec/trigger/schedule/overlap_policy", json!("skip")),
        (json!({}), "/spec/trigger/schedule/carry_last_result", json!(true)),
        (json!({"policies": {"overlap": "allow_all"}}), "/spec/trigger/schedule/carry_last_result", Value::Null),
        (
            json!({"policies": {"overlap": "buffer_one", "pause_on_failure": true}}),
            "/spec/trigger/schedule/pause_on_failure",
            json!(true),
        ),
        (
            json!({"policies": {"catchup_window": 3_600_000_000i64}}),
            "/spec/trigger/schedule/misfire_policy",
            json!({"mode": "all", "window": "1h"}),
        ),
        (json!({"policies": {"catchup_window": 0}}), "/spec/trigger/schedule/misfire_policy/window", json!("10s")),
        (
            json!({"policies": {"catchup_window": 31_536_000_000_000i64}}),
            "/spec/trigger/schedule/misfire_policy",
            Value::Null,
        ),
        (json!({"state": {"remaining_actions": 3}}), "/spec/trigger/schedule/max_firings", json!(3)),
        (json!({"state": {"notes": "of all\nregions"}}), "/metadata/name", json!("of all regions")),
        (
            json!({"state": {"notes": "moved to flintwheel a/b (seen 2026-01-01T00:00:00Z, 0 passed over): own"}}),
            "/metadata/name",
            json!("own"),
        ),
        (json!({}), "/spec/start_workflow", json!({"type": "Nightly", "task_queue": "reports"})),
        (
            json!({"action": {"workflow_type": "W", "task_queue": "q", "input": [plain("{\"a\": \"{{ b }}\"}"), {"encoding": "binary/null"}],
                "memo": {"m": plain("1")}, "execution_timeout": 60_000_000, "run_timeout": 0}}),
            "/spec/start_workflow",
            json!({"type": "W", "task_queue": "q", "input": [{"a": "{{ \"\\u007b\\u007b b \\u007d\\u007d\" }}"}, null],
                "memo": {"m": 1}, "execution_timeout": "1m"}),
        ),
        (
            json!({"action": {"workflow_type": "W", "task_queue": "q", "search_attributes": {"Region": plain("\"eu\"")},
                "retry_policy": {"initial_interval": 2_000_000, "backoff_coefficient": 1.5, "maximum_attempts": 3,
                    "non_retryable_error_types": ["Fatal"]}}}),
            "/spec/start_workflow",
            json!({"type": "W", "task_queue": "q", "search_attributes": {"Region": "eu"},
                "retry_policy": {"initial_interval": "2s", "backoff_coefficient": 1.5, "maximum_attempts": 3,
                    "non_retryable_error_types": ["Fatal"]}}),
        ),
        (
            json!({"action": {"workflow_type": "W", "task_queue": "q", "summary": plain("\"of {{ a }}\""), "details": plain("\"# b\""),
                "header": {"tenant": plain("{\"id\": \"{{ c }}\"}"), "none": {"encoding": "binary/null"}},
                "priority": {"priority_key": 2, "fairness_key": "{{ d }}", "fairness_weight": 0.1},
                "versioning_override": {"pinned": {"deployment_name": "d", "build_id": "1.2"}}}}),
            "/spec/start_workflow",
            json!({"type": "W", "task_queue": "q", "summary": "{{ \"of \\u007b\\u007b a \\u007d\\u007d\" }}", "details": "# b",
                "header": {"tenant": {"id": "{{ \"\\u007b\\u007b c \\u007d\\u007d\" }}"}, "none": null},
                "priority": {"priority_key": 2, "fairness_key": "{{ \"\\u007b\\u007b d \\u007d\\u007d\" }}", "fairness_weight": 0.1},
                "versioning_override": {"pinned": {"deployment_name": "d", "build_id": "1.2"}}}),
        ),
        (
            json!({"action": {"workflow_type": "W", "task_queue": "q", "summary": {"encoding": "binary/null"}, "details": plain("null"),
                "priority": {"fairness_weight": 5000}, "versioning_override": "auto_upgrade"}}),
            "/spec/start_workflow",
            json!({"type": "W", "task_queue": "q", "priority": {"fairness_weight": 1000.0},
                "versioning_override": {"auto_upgrade": true}}),
        ),
        (
            json!({"action": {"workflow_type": "W", "task_queue": "q", "priority": {"fairness_key": "k", "fairness_weight": 0.0001},
                "versioning_override": {"one_time": {"deployment_name": "d", "build_id": "b"}}}}),
            "/spec/start_workflow",
            json!({"type": "W", "task_queue": "q", "priority": {"fairness_key": "k", "fairness_weight": 0.001},
                "versioning_override": {"one_time": {"deployment_name": "d", "build_id": "b"}}}),
        ),
    ] {
        let found = written(&schedule(json!({"structured_calendar": [daily()]}), more.clone()));
        assert_eq!(found.pointer(path).unwrap_or(&Value::Null), &expected, "{more} {path}");
    }
}

#[test]
fn what_can_t_be_carried_is_named() {
    let each_day = || json!({"structured_calendar": [daily()]});
    let action = |more: Value| {
        let mut action = json!({"workflow_id": "w", "workflow_type": "W", "task_queue": "q"});
        action.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        json!({ "action": action })
    };
    for (spec, more, weight, name) in [
        (json!({}), json!({}), Weight::Note, "spec"),
        (json!({"structured_calendar": [of(json!({"second": []}))]}), json!({}), Weight::Note, "calendar"),
        (json!({"structured_calendar": [daily()], "timezone_name": "Local"}), json!({}), Weight::Lost, "timezone"),
        (json!({"structured_calendar": [daily()], "timezone_data": true}), json!({}), Weight::Lost, "timezone"),
        (json!({"structured_calendar": [daily()], "timezone_name": "Mars/X"}), json!({}), Weight::Lost, "schedule"),
        (each_day(), json!({"action": null}), Weight::Lost, "action"),
        (each_day(), action(json!({"search_attributes": {"A": {"encoding": "x"}}})), Weight::Lost, "search_attributes"),
        (each_day(), action(json!({"header": {"h": {"encoding": "binary/encrypted"}}})), Weight::Lost, "header"),
        (each_day(), action(json!({"header": {"h": {"encoding": "binary/null"}}})), Weight::Note, "header"),
        (each_day(), action(json!({"summary": {"encoding": "binary/plain"}})), Weight::Lost, "user_metadata"),
        (each_day(), action(json!({"details": plain("{\"a\": 1}")})), Weight::Lost, "user_metadata"),
        (
            each_day(),
            action(json!({"summary": plain(&format!("\"{}\"", "x".repeat(399)))})),
            Weight::Lost,
            "definition",
        ),
        (each_day(), action(json!({"priority": {"priority_key": -1}})), Weight::Lost, "priority"),
        (each_day(), action(json!({"priority": {"fairness_weight": -1}})), Weight::Lost, "priority"),
        (each_day(), action(json!({"priority": {"fairness_weight": 1001}})), Weight::Note, "priority"),
        (each_day(), action(json!({"priority": {"fairness_key": "x".repeat(65)}})), Weight::Lost, "definition"),
        (each_day(), action(json!({"versioning_override": "unknown"})), Weight::Lost, "versioning_override"),
        (each_day(), action(json!({"versioning_override": "auto_upgrade"})), Weight::Differs, "versioning_override"),
        (each_day(), action(json!({"input": [{"encoding": "binary/encrypted", "data": [1]}]})), Weight::Lost, "input"),
        (each_day(), action(json!({"input": [{"encoding": "json/plain", "data": [1]}]})), Weight::Lost, "input"),
        (each_day(), action(json!({"memo": {"m": {"encoding": "json/protobuf"}}})), Weight::Lost, "memo"),
        (each_day(), action(json!({"workflow_type": ""})), Weight::Lost, "definition"),
        (each_day(), json!({"state": {"remaining_actions": 3}}), Weight::Differs, "remaining_actions"),
        (each_day(), json!({"state": {"remaining_actions": 0}}), Weight::Lost, "remaining_actions"),
        (each_day(), json!({"memo": ["m"]}), Weight::Differs, "schedule_memo"),
        (each_day(), json!({"search_attributes": ["s"]}), Weight::Differs, "schedule_search_attributes"),
        (
            each_day(),
            json!({"policies": {"overlap": "allow_all", "pause_on_failure": true}}),
            Weight::Differs,
            "pause_on_failure",
        ),
        (each_day(), json!({}), Weight::Note, "workflow_id"),
    ] {
        let found = translated(&schedule(spec.clone(), more.clone())).findings;
        assert!(found.iter().any(|one| one.weight == weight && one.name == name), "{spec} {more}: {found:#?}");
    }
}

fn second(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).expect(text).timestamp()
}

/// In the words of a cron line: minute and hour, or a star, and the day of week.
fn fields(minute: &str, hour: &str, weekday: &str, zone: &str) -> Spec {
    let ranges = |text: &str, last: i32| match text.split_once('/') {
        Some((_, step)) => json!([{"end": last, "step": step.parse::<i32>().expect("a number")}]),
        None if text == "*" => json!([{"end": last}]),
        None => json!([{"start": text.parse::<i32>().expect("a number")}]),
    };
    let calendar =
        of(json!({"minute": ranges(minute, 59), "hour": ranges(hour, 23), "day_of_week": ranges(weekday, 6)}));
    serde_json::from_value(json!({"structured_calendar": [calendar], "timezone_name": zone})).expect("a spec")
}

#[test]
fn times_are_those_that_a_server_finds_where_clocks_change() {
    for (minute, hour, weekday, zone, after, expected) in [
        ("30", "2", "*", "America/New_York", "2024-03-09T00:00:00Z", "03-09T07:30 03-11T06:30"),
        ("30", "1", "*", "America/New_York", "2024-11-02T12:00:00Z", "11-03T05:30 11-03T06:30 11-04T06:30"),
        ("30", "1", "*", "America/St_Johns", "2024-11-02T12:00:00Z", "11-03T04:00 11-03T05:00 11-04T05:00"),
        ("30", "2", "*", "Europe/Berlin", "2024-10-26T12:00:00Z", "10-27T01:30 10-28T01:30"),
        ("30", "1", "*", "Europe/Berlin", "2024-10-26T12:00:00Z", "10-26T23:30 10-27T00:30 10-28T00:30"),
        ("0", "*", "*", "Europe/Berlin", "2024-10-26T22:30:00Z", "10-26T23:00 10-27T00:00 10-27T02:00 10-27T03:00"),
        ("*/30", "2", "*", "Europe/Berlin", "2024-10-26T12:00:00Z", "10-27T01:00 10-27T02:30 10-28T01:00"),
        ("*/30", "2", "*", "Europe/Berlin", "2024-10-27T01:10:00Z", "10-27T02:30"),
        ("*", "*", "*", "Europe/Berlin", "2024-10-26T23:59:30Z", "10-27T00:00 10-27T01:01 10-27T02:02"),
        ("30", "0", "*", "Europe/London", "2024-10-26T12:00:00Z", "10-26T23:30 10-27T00:30 10-28T00:30"),
        ("30", "2", "*", "Australia/Sydney", "2024-04-06T00:00:00Z", "04-06T16:30 04-07T16:30"),
        ("0", "5", "0", "America/Havana", "2024-03-03T12:00:00Z", "03-17T09:00"),
        ("0", "5", "6", "America/Havana", "2024-03-08T12:00:00Z", "03-09T10:00 03-10T09:00 03-16T09:00"),
        ("0", "5", "0", "Atlantic/Azores", "2025-03-28T12:00:00Z", "04-06T05:00"),
        ("15", "2", "*", "Australia/Lord_Howe", "2024-10-04T18:00:00Z", "10-05T15:45 10-06T15:15"),
        (
            "*/15",
            "1",
            "*",
            "Australia/Lord_Howe",
            "2024-04-06T13:50:00Z",
            "04-06T14:00 04-06T14:15 04-06T15:00 04-06T16:15 04-07T14:30",
        ),
    ] {
        let times = Times::new(&fields(minute, hour, weekday, zone)).expect("a zone");
        let found = std::iter::successors(times.next(second(after)), |time| times.next(*time));
        let shown =
            |time: i64| chrono::DateTime::from_timestamp(time, 0).expect("a time").format("%m-%dT%H:%M").to_string();
        let found: Vec<String> = found.take(expected.split(' ').count()).map(shown).collect();
        assert_eq!(found.join(" "), expected, "{minute} {hour} * * {weekday} in {zone} after {after}");
    }
}

#[test]
fn a_number_of_times_is_excluded_and_bounds_hold() {
    let spec = json!({"interval": [{"every": 3_600_000_000i64, "phase": 60_000_000}], "start_time": 3_660_500_000i64, "end_time": 14_460_000_000i64,
        "exclude_structured_calendar": [of(json!({"minute": [{"end": 59}], "hour": [{"start": 2}]}))]});
    let times = Times::new(&serde_json::from_value(spec).expect("a spec")).expect("a zone");
    let found: Vec<i64> = std::iter::successors(times.next(0), |time| times.next(*time)).collect();
    assert_eq!(found, [3660, 10_860, 14_460]);
}

#[test]
fn schedules_differ_where_clocks_change_and_the_cause_is_told() {
    let (from, to) = (second("2026-01-01T00:00:00Z"), second("2027-01-01T00:00:00Z"));
    for (minute, hour, weekday, zone, expected) in [
        ("30", "9", "*", "Europe/Berlin", None),
        ("30", "1", "*", "America/New_York", None),
        ("30", "1", "*", "Europe/Berlin", Some((1, 0, Cause::RepeatedHour))),
        ("30", "2", "*", "Europe/Berlin", Some((0, 1, Cause::RepeatedHour))),
        ("0", "5", "0", "America/Havana", Some((0, 1, Cause::MidnightLeftOut))),
        ("15", "2", "*", "Australia/Lord_Howe", Some((1, 0, Cause::PartOfHourLeftOut))),
        ("45", "1", "*", "Australia/Lord_Howe", Some((0, 1, Cause::RepeatedSpan))),
    ] {
        let spec = fields(minute, hour, weekday, zone);
        let translation = translated(&Schedule { spec: spec.clone(), ..schedule(json!({}), json!({})) });
        let found = compare(&Times::new(&spec).expect("a zone"), &translation.plan.expect("a plan"), from, to);
        let found = found.map(|found| (found.only_there, found.only_here, found.causes[0]));
        assert_eq!(found, expected, "{minute} {hour} * * {weekday} in {zone}");
    }
}

const SECOND: i64 = 1_000_000;

fn minutes() -> Plan {
    let trigger: ScheduleTrigger = serde_json::from_value(json!({"interval": {"every": "1m"}})).expect("a schedule");
    Plan::compile(&trigger, "schedule", 0).expect("it is sound")
}

fn minute(number: i64) -> String {
    format!("w-{}", chrono::DateTime::from_timestamp(number * 60, 0).expect("a time").format("%Y-%m-%dT%H:%M:%SZ"))
}

#[test]
fn a_schedule_is_cut_behind_the_last_time_that_it_has_dealt_with() {
    let started = |minutes: &[i64]| minutes.iter().map(|number| minute(*number)).collect::<Vec<_>>();
    // Last seen at 100:30, now 103:30. What it has started; passed over since, waiting; jitter in seconds; the last minute that is its own, and how many are late.
    for (why, ids, passed_over, waiting, overlap, jitter, expected, late) in [
        ("all is done", started(&[99, 100, 101, 102, 103]), 0, 0, Overlap::Skip, 0, 103, 0),
        ("the last two are lost", started(&[100, 101]), 0, 0, Overlap::AllowAll, 0, 101, 2),
        ("the last two were left out", started(&[100, 101]), 2, 0, Overlap::Skip, 0, 103, 0),
        ("one was left out, one is lost", started(&[101]), 1, 0, Overlap::Skip, 0, 102, 1),
        ("what was left out is older", started(&[102]), 1, 0, Overlap::Skip, 0, 102, 1),
        ("one waits", started(&[101]), 1, 1, Overlap::BufferOne, 0, 102, 1),
        ("all wait", started(&[101]), 0, 2, Overlap::BufferAll, 0, 101, 2),
        ("the last of two that wait counts", started(&[101]), 0, 2, Overlap::CancelOther, 0, 102, 1),
        ("by hand", vec!["w-1970-01-01T01:43:07Z".to_owned(), minute(103)], 0, 0, Overlap::Skip, 0, 103, 0),
        ("moved by jitter", started(&[99]), 0, 0, Overlap::Skip, 120, 99, 4),
        ("odd ids", vec!["ü".to_owned(), String::new(), minute(103)], 0, 0, Overlap::Skip, 0, 103, 0),
    ] {
        let info = Info { passed_over: 7 + passed_over, waiting, started: ids, ..Info::default() };
        let plan = minutes();
        let facts = Facts {
            plan: &plan,
            times: None,
            window: jitter * SECOND,
            overlap,
            seen: (100 * 60 + 30) * SECOND,
            passed_over: 7,
            info: &info,
            now: (103 * 60 + 30) * SECOND,
        };
        let found = forth(&facts);
        assert_eq!(plan.next(found.after), Some((expected + 1) * 60 * SECOND), "{why}: {found:?}");
        assert_eq!(found.late, late, "{why}");
    }
}

#[test]
fn a_schedule_has_settled_when_all_that_waits_waits_for_a_run() {
    for (waiting, running, overlap, settled) in [
        (0, vec![], Overlap::Skip, true),
        (0, vec![minute(99)], Overlap::BufferAll, true),
        (1, vec![], Overlap::Skip, false),
        (1, vec![], Overlap::BufferOne, false),
        (1, vec![minute(99)], Overlap::AllowAll, false),
        (1, vec![minute(99)], Overlap::Skip, false),
        (1, vec![minute(99)], Overlap::BufferOne, true),
        (1, vec![minute(99)], Overlap::TerminateOther, true),
    ] {
        let info = Info { waiting, running: running.clone(), ..Info::default() };
        assert_eq!(is_settled(&info, overlap), settled, "{waiting} {running:?} {overlap:?}");
    }
}

#[test]
fn what_is_due_between_the_two_sides_on_the_way_back_is_told() {
    let plan = minutes();
    for (why, started, coming, expected) in [
        ("nothing was due", vec![], vec![101 * 60], vec![]),
        ("one fell between", vec![], vec![102 * 60 + 20], vec![101]),
        ("two fell between, one has started", vec![minute(103)], vec![104 * 60], vec![101, 102]),
        ("nothing comes any more", vec![], vec![], vec![101, 102, 103]),
    ] {
        let coming = coming.into_iter().map(|second: i64| second * SECOND).collect();
        let info = Info { started, coming, ..Info::default() };
        let facts = Facts {
            plan: &plan,
            times: None,
            window: 30 * SECOND,
            overlap: Overlap::Skip,
            seen: 0,
            passed_over: 0,
            info: &info,
            now: (103 * 60 + 30) * SECOND,
        };
        let found: Vec<i64> = back(&facts, 100 * 60 * SECOND).iter().map(|time| time / 60 / SECOND).collect();
        assert_eq!(found, expected, "{why}");
    }
}
