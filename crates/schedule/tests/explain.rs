//! Why a schedule names a time, or does not: each reason, alone and beside others.

mod support;

use chrono::{DateTime, NaiveDateTime, Utc};
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::{Asked, Explanation, Moment, Plan, explain};
use serde_json::{Value, json};
use support::FIELD;

const SEED: u64 = 7;

fn explained(schedule: Value, asked: Asked) -> Explanation {
    let trigger: ScheduleTrigger = serde_json::from_value(schedule).expect("a schedule");
    explain(&trigger, FIELD, (1, SEED), &|_| None, asked).expect("it is explained")
}

fn local(text: &str) -> Asked {
    Asked::Local(text.parse::<NaiveDateTime>().expect("a local time"))
}

fn instant(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().expect("a time").timestamp_micros()
}

fn shown(instant: i64) -> String {
    DateTime::from_timestamp_micros(instant).expect("a time").format("%FT%TZ").to_string()
}

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| format!("{FIELD}.{path}")).collect()
}

/// The one moment that a time which clocks show once is.
fn moment(schedule: Value, at: &str) -> Moment {
    let Explanation { mut moments, left_out, .. } = explained(schedule, local(at));
    assert_eq!((moments.len(), left_out), (1, None));
    moments.remove(0)
}

#[test]
fn what_names_a_time_and_what_excludes_it_is_told_field_by_field() {
    let office = |more: Value| {
        let mut schedule = json!({
            "cron": ["0 9 * * mon-fri", "*/30 8-9 * * *"],
            "calendar": [{"hour": 12}],
            "interval": {"every": "1h"},
            "timezone": "Europe/Berlin",
        });
        schedule.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        schedule
    };
    let closing =
        json!({"exclude": [{"dates": "2026-11-02"}, {"cron": ["* 9 * * mon", "* 10 * * *"], "dates": "2026-12-24"}]});
    for (more, at, is_nominal, named_by, closed_by) in [
        (json!({}), "2026-11-02T09:00:00", true, vec!["cron[0]", "cron[1]", "interval[0]"], vec![]),
        (json!({}), "2026-11-01T09:30:00", true, vec!["cron[1]"], vec![]),
        (json!({}), "2026-11-01T12:00:00", true, vec!["calendar[0]", "interval[0]"], vec![]),
        (json!({}), "2026-11-01T12:00:01", false, vec![], vec![]),
        (
            closing.clone(),
            "2026-11-02T09:00:00",
            false,
            vec!["cron[0]", "cron[1]", "interval[0]"],
            vec!["exclude[0].dates[0]", "exclude[1].cron[0]"],
        ),
        (closing.clone(), "2026-11-03T10:00:00", false, vec!["interval[0]"], vec!["exclude[1].cron[1]"]),
        (closing, "2026-11-03T09:00:00", true, vec!["cron[0]", "cron[1]", "interval[0]"], vec![]),
    ] {
        let found = moment(office(more), at);
        assert_eq!(found.is_nominal, is_nominal, "{at}");
        assert_eq!((found.named_by, found.closed_by), (paths(&named_by), paths(&closed_by)), "{at}");
    }
}

#[test]
fn the_times_around_it_are_told() {
    let schedule = json!({"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin"});
    for (asked, before, after) in [
        (local("2026-11-07T09:00:00"), "2026-11-06T08:00:00Z", "2026-11-09T08:00:00Z"),
        (local("2026-11-09T09:00:00"), "2026-11-06T08:00:00Z", "2026-11-10T08:00:00Z"),
        (Asked::Instant(instant("2026-11-09T08:00:01Z")), "2026-11-09T08:00:00Z", "2026-11-10T08:00:00Z"),
    ] {
        let found = explained(schedule.clone(), asked);
        assert_eq!(found.before.map(shown).as_deref(), Some(before), "{asked:?}");
        assert_eq!(found.after.map(shown).as_deref(), Some(after), "{asked:?}");
        assert_eq!(found.zone, "Europe/Berlin");
    }
    let once = explained(json!({"at": "2026-11-07T09:00:00Z"}), local("2026-11-07T09:00:00"));
    assert_eq!((once.before, once.after), (None, None));
}

#[test]
fn a_time_on_a_closed_day_says_where_it_moves_and_that_one_where_it_comes_from() {
    // 2026-11-01 is a Sunday.
    let schedule = |roll: &str| json!({"calendar": {"day_of_month": 1, "hour": 9}, "exclude": {"cron": "* * * * sat,sun"}, "roll": roll});
    for (roll, to) in [("next", "2026-11-02"), ("previous", "2026-10-30"), ("nearest", "2026-11-02")] {
        let closed = moment(schedule(roll), "2026-11-01T09:00:00");
        assert!(!closed.is_nominal, "{roll}");
        assert_eq!(closed.closed_by, paths(&["exclude[0].cron[0]"]), "{roll}");
        assert_eq!(closed.rolls_to.map(shown), Some(format!("{to}T09:00:00Z")), "{roll}");
        let open = moment(schedule(roll), &format!("{to}T09:00:00"));
        assert!(open.is_nominal && open.named_by.is_empty(), "{roll}");
        assert_eq!(open.rolled_from, [instant("2026-11-01T09:00:00Z")], "{roll}");
    }
    let skipped = moment(schedule("skip"), "2026-11-01T09:00:00");
    assert_eq!((skipped.is_nominal, skipped.rolls_to), (false, None));
}

#[test]
fn a_local_time_that_clocks_leave_out_says_where_its_policy_moves_it() {
    // In Berlin clocks go from 02:00 to 03:00 on 2027-03-28.
    for (gap, moves_to) in
        [("skip", None), ("shift", Some("2027-03-28T01:30:00Z")), ("at_end", Some("2027-03-28T01:00:00Z"))]
    {
        let schedule = json!({
            "cron": ["30 2 * * *", "30 3 * * *", "30 2,3 * * *", "0 12 * * *"],
            "timezone": "Europe/Berlin", "dst": {"gap": gap},
        });
        let found = explained(schedule, local("2027-03-28T02:30:00"));
        assert!(found.moments.is_empty(), "{gap}");
        let left_out = found.left_out.expect("it is left out");
        assert_eq!((shown(left_out.change).as_str(), left_out.forward), ("2027-03-28T01:00:00Z", 3600), "{gap}");
        assert_eq!(left_out.named_by, paths(&["cron[0]", "cron[2]"]), "{gap}");
        assert_eq!(left_out.moves_to.map(shown).as_deref(), moves_to, "{gap}");
    }
    let named = explained(json!({"cron": "CRON_TZ=Europe/Berlin 30 2 * * *"}), local("2027-03-28T02:30:00"));
    assert_eq!(named.left_out.expect("it is left out").named_by, paths(&["cron[0]"]));
    let other = explained(json!({"cron": "0 9 * * *", "timezone": "Europe/Berlin"}), local("2027-03-28T02:30:00"));
    assert!(other.left_out.expect("it is left out").named_by.is_empty());
}

#[test]
fn a_local_time_that_clocks_show_twice_is_two_moments() {
    for (fold, nominal, other) in [
        ("both", [true, true], [false, false]),
        ("first", [true, false], [false, true]),
        ("last", [false, true], [true, false]),
    ] {
        let schedule = json!({"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"fold": fold}});
        let moments = explained(schedule, local("2026-10-25T02:30:00")).moments;
        let instants: Vec<String> = moments.iter().map(|moment| shown(moment.instant)).collect();
        assert_eq!(instants, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
        assert_eq!([0, 1].map(|n: usize| moments[n].is_nominal), nominal, "{fold}");
        assert_eq!([0, 1].map(|n: usize| moments[n].is_other_of_fold), other, "{fold}");
    }
}

#[test]
fn a_time_that_jitter_made_says_of_which_it_is() {
    let schedule = json!({"cron": "0 9 * * *", "jitter": {"window": "10m"}});
    let plan = Plan::compile(&serde_json::from_value(schedule.clone()).expect("a schedule"), FIELD, 1).expect("a plan");
    let nominal = instant("2026-11-02T09:00:00Z");
    let due = plan.due(nominal, SEED);
    assert_ne!(due, nominal);
    let found = explained(schedule.clone(), Asked::Instant(due)).moments.remove(0);
    assert_eq!((found.is_nominal, found.jittered_from), (false, Some(nominal)));
    let found = explained(schedule.clone(), Asked::Instant(nominal)).moments.remove(0);
    assert_eq!((found.is_nominal, found.due, found.jittered_from), (true, Some(due), None));
    assert_eq!(explained(schedule, Asked::Instant(due + 1)).moments[0].jittered_from, None);
}

#[test]
fn a_time_outside_of_its_bounds_says_so() {
    let schedule = json!({"cron": "0 9 * * *", "start": "2026-11-02T10:00:00Z", "end": "2026-11-04T08:00:00Z"});
    for (at, before_start, after_end) in [
        ("2026-11-02T09:00:00", true, false),
        ("2026-11-03T09:00:00", false, false),
        ("2026-11-04T09:00:00", false, true),
    ] {
        let found = moment(schedule.clone(), at);
        assert_eq!((found.before_start, found.after_end), (before_start, after_end), "{at}");
        assert_eq!(found.is_nominal, !before_start && !after_end, "{at}");
        assert_eq!(found.named_by, paths(&["cron[0]"]), "{at}");
    }
}

#[test]
fn a_schedule_that_is_wrong_is_not_explained() {
    let trigger: ScheduleTrigger = serde_json::from_value(json!({"cron": "0 25 * * *"})).expect("a schedule");
    let refused = explain(&trigger, FIELD, (1, SEED), &|_| None, local("2026-11-02T09:00:00")).expect_err("refused");
    assert_eq!(refused.0[0].field, format!("{FIELD}.cron[0]"));
}
