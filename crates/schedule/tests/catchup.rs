//! What becomes of due times that have passed: as a table, and beside a plain enumeration.

mod support;

use flintwheel_model::Span;
use flintwheel_model::definition::{Jitter, JitterMode, MisfireMode, MisfirePolicy, ScheduleTrigger};
use flintwheel_schedule::Plan;
use flintwheel_schedule::catchup::{CatchUp, LATE_AFTER, Outcome, Rest, SkipReason};
use proptest::prelude::*;
use support::{FIELD, micros, rfc3339, schedule};

const SECOND: i64 = 1_000_000;
const DAY: &str = "2024-01-01T";

fn policy(mode: MisfireMode, window_secs: u64) -> MisfirePolicy {
    MisfirePolicy { mode, window: Span::from_secs(window_secs), ..MisfirePolicy::default() }
}

fn plan(line: &str) -> Plan {
    Plan::compile(&schedule([line]), FIELD, 0).expect("a schedule")
}

/// `10:00` or `10:00:30` on the day of the tests.
fn time(text: &str) -> i64 {
    micros(&format!("{DAY}{text}{}Z", if text.len() == 5 { ":00" } else { "" }))
}

fn shown(time: i64) -> String {
    let text = rfc3339(time);
    let text = text.strip_prefix(DAY).unwrap_or(&text).trim_end_matches('Z');
    text.strip_suffix(":00").unwrap_or(text).to_owned()
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Fire(time) => shown(time.nominal),
        Outcome::Skip { first, last, count, reason } => {
            format!("{reason:?}({}-{} {count})", shown(*first), shown(*last))
        }
    }
}

/// All outcomes and what comes after, as text.
fn told(mut catch_up: CatchUp) -> String {
    let mut parts: Vec<String> = catch_up.by_ref().map(|outcome| outcome_text(&outcome)).collect();
    parts.push(match catch_up.rest() {
        Rest::Next(time) => format!("next {}", shown(time.nominal)),
        Rest::Never => "never".to_owned(),
        Rest::More => "more".to_owned(),
    });
    parts.join(" ")
}

#[test]
fn the_policy_decides_about_late_due_times_only() {
    use MisfireMode::{All, Latest, None};
    const YEAR: u64 = 365 * 86_400;
    for (line, mode, window, handled, now, expected) in [
        // Nothing has passed.
        ("0 * * * *", All, YEAR, "10:00", "10:59:59", "next 11:00"),
        // Met in time, to the microsecond, or less than a minute late: fires in every mode.
        ("0 * * * *", All, YEAR, "10:00", "11:00", "11:00 next 12:00"),
        ("0 * * * *", Latest, YEAR, "10:00", "11:00:59", "11:00 next 12:00"),
        ("0 * * * *", None, YEAR, "10:00", "11:00:59", "11:00 next 12:00"),
        ("0 * * * *", None, YEAR, "10:00", "11:01", "PolicyNone(11:00-11:00 1) next 12:00"),
        ("*/10 * * * * * *", None, YEAR, "10:59:30", "11:00", "10:59:40 10:59:50 11:00 next 11:00:10"),
        // Downtime.
        ("0 * * * *", All, YEAR, "10:00", "14:30", "11:00 12:00 13:00 14:00 next 15:00"),
        ("0 * * * *", Latest, YEAR, "10:00", "14:30", "NotLatest(11:00-13:00 3) 14:00 next 15:00"),
        ("0 * * * *", None, YEAR, "10:00", "14:30", "PolicyNone(11:00-14:00 4) next 15:00"),
        // One that is just due is the latest, and enough.
        ("0 * * * *", Latest, YEAR, "10:00", "14:00:10", "NotLatest(11:00-13:00 3) 14:00 next 15:00"),
        ("0 * * * *", None, YEAR, "10:00", "14:00:10", "PolicyNone(11:00-13:00 3) 14:00 next 15:00"),
        (
            "*/30 * * * * * *",
            Latest,
            YEAR,
            "10:00",
            "11:00:05",
            "NotLatest(10:00:30-10:59 118) 10:59:30 11:00 next 11:00:30",
        ),
        // Outside the window nothing fires, in no mode.
        ("0 * * * *", All, 7_200, "10:00", "14:30", "OutsideWindow(11:00-12:00 2) 13:00 14:00 next 15:00"),
        ("0 * * * *", All, 7_200, "10:00", "15:00", "OutsideWindow(11:00-12:00 2) 13:00 14:00 15:00 next 16:00"),
        (
            "0 * * * *",
            Latest,
            7_200,
            "10:00",
            "14:30",
            "OutsideWindow(11:00-12:00 2) NotLatest(13:00-13:00 1) 14:00 next 15:00",
        ),
        (
            "0 * * * *",
            None,
            7_200,
            "10:00",
            "14:30",
            "OutsideWindow(11:00-12:00 2) PolicyNone(13:00-14:00 2) next 15:00",
        ),
        ("0 * * * *", Latest, 1_200, "10:00", "14:30", "OutsideWindow(11:00-14:00 4) next 15:00"),
        // A window below a minute counts, too.
        ("0 * * * *", All, 10, "10:00", "11:00:10", "11:00 next 12:00"),
        ("0 * * * *", All, 10, "10:00", "11:00:11", "OutsideWindow(11:00-11:00 1) next 12:00"),
        // The last one.
        ("0 11 1 1 * 2024", All, YEAR, "10:00", "14:30", "11:00 never"),
        ("0 11 1 1 * 2024", Latest, YEAR, "10:00", "14:30", "11:00 never"),
        ("0 11 1 1 * 2024", All, YEAR, "11:00", "14:30", "never"),
    ] {
        let (plan, policy) = (plan(line), policy(mode, window));
        let told = told(CatchUp::new(&plan, policy, 0, time(handled), time(now)));
        assert_eq!(told, expected, "{line} {mode:?} window {window}s, handled {handled}, now {now}");
    }
}

#[test]
fn a_due_time_that_jitter_has_moved_beyond_now_lies_ahead() {
    let jitter = Some(Jitter { window: Span::from_secs(1_800), mode: JitterMode::Stable });
    let plan = Plan::compile(&ScheduleTrigger { jitter, ..schedule(["0 * * * *"]) }, FIELD, 0).expect("a schedule");
    let due = plan.due(time("11:00"), 5);
    assert!(due > time("11:00"), "the seed is one that moves");
    let catch_up = |now| CatchUp::new(&plan, MisfirePolicy::default(), 5, time("10:00"), now);
    assert_eq!(told(catch_up(due - 1)), "next 11:00");
    assert_eq!(told(catch_up(due)), "11:00 next 12:00");
    let none = CatchUp::new(&plan, policy(MisfireMode::None, 86_400), 5, time("10:00"), due + LATE_AFTER - 1);
    assert_eq!(told(none), "11:00 next 12:00", "lateness counts from the due time");
}

#[test]
fn work_is_bounded_and_goes_on_where_it_ended() {
    let plan = plan("* * * * * * *");
    let policy = policy(MisfireMode::All, 3_600);
    let mut handled = time("00:00");
    let (mut skipped, mut fired, mut rounds) = (0, 0, 0);
    loop {
        let mut catch_up = CatchUp::new(&plan, policy, 0, handled, time("20:00")).at_most(10_000);
        for outcome in &mut catch_up {
            match outcome {
                Outcome::Fire(_) => fired += 1,
                Outcome::Skip { count, reason, .. } => {
                    assert_eq!(reason, SkipReason::OutsideWindow);
                    skipped += count;
                }
            }
        }
        handled = catch_up.handled_through();
        rounds += 1;
        if catch_up.rest() != Rest::More {
            break;
        }
    }
    assert_eq!((skipped, fired, rounds), (19 * 3_600 - 1, 3_601, 8));
    assert_eq!(handled, time("20:00"));
}

/// What becomes of each nominal time, told plainly: all times first, then each by itself.
fn enumerated(plan: &Plan, policy: MisfirePolicy, seed: u64, handled: i64, now: i64) -> Vec<(i64, Option<SkipReason>)> {
    let times = std::iter::successors(plan.next(handled), |time| plan.next(*time));
    let passed: Vec<(i64, i64)> =
        times.map(|time| (time, plan.due(time, seed))).take_while(|(_, due)| *due <= now).collect();
    let latest = passed.last().map(|(nominal, _)| *nominal);
    let window = i64::try_from(policy.window.micros()).expect("small");
    let reason = |nominal: i64, late: i64| match policy.mode {
        _ if late > window => Some(SkipReason::OutsideWindow),
        _ if late < LATE_AFTER => None,
        MisfireMode::None => Some(SkipReason::PolicyNone),
        MisfireMode::Latest if latest != Some(nominal) => Some(SkipReason::NotLatest),
        MisfireMode::All | MisfireMode::Latest => None,
    };
    passed.into_iter().map(|(nominal, due)| (nominal, reason(nominal, now - due))).collect()
}

/// The stepper's outcomes, one for each nominal time, taken in rounds of so many steps.
fn stepped(
    plan: &Plan,
    policy: MisfirePolicy,
    seed: u64,
    mut handled: i64,
    now: i64,
    steps: u32,
) -> Vec<(i64, Option<SkipReason>)> {
    let mut all = Vec::new();
    loop {
        let mut catch_up = CatchUp::new(plan, policy, seed, handled, now).at_most(steps);
        for outcome in catch_up.by_ref() {
            match outcome {
                Outcome::Fire(time) => {
                    assert_eq!(time.due, plan.due(time.nominal, seed));
                    all.push((time.nominal, None));
                }
                Outcome::Skip { first, last, count, reason } => {
                    let times =
                        std::iter::successors(Some(first), |time| plan.next(*time).filter(|time| *time <= last));
                    let before = all.len();
                    all.extend(times.map(|time| (time, Some(reason))));
                    assert_eq!(all.len() - before, count as usize);
                }
            }
        }
        handled = catch_up.handled_through();
        match catch_up.rest() {
            Rest::More => {}
            Rest::Next(next) => {
                assert_eq!(Some(next.nominal), plan.next(handled));
                assert!(next.due > now);
                return all;
            }
            Rest::Never => return all,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn outcomes_are_those_of_a_plain_enumeration_however_they_are_taken(
        line in prop::sample::select(vec!["*/20 * * * * * *", "* * * * *", "*/7 * * * *", "0 */2 * * *", "30 2 1 1 * 2024"]),
        mode in prop::sample::select(vec![MisfireMode::All, MisfireMode::Latest, MisfireMode::None]),
        window in 10..20_000_u64,
        jitter in prop::option::of((0..4_000_u64, any::<bool>())),
        seed in any::<u64>(),
        behind in 0..30_000_i64,
        steps in 1..50_u32,
    ) {
        let jitter = jitter.map(|(window, stable)| Jitter {
            window: Span::from_secs(window),
            mode: if stable { JitterMode::Stable } else { JitterMode::PerFiring },
        });
        let plan = Plan::compile(&ScheduleTrigger { jitter, ..schedule([line]) }, FIELD, 0).expect("a schedule");
        let (policy, now) = (policy(mode, window), time("06:00"));
        let handled = now - behind * SECOND;
        let expected = enumerated(&plan, policy, seed, handled, now);
        prop_assert_eq!(&stepped(&plan, policy, seed, handled, now, steps), &expected);
        prop_assert_eq!(&stepped(&plan, policy, seed, handled, now, u32::MAX), &expected);
    }
}
