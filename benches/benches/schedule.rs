//! How long it takes to compile a schedule and to find its next nominal time.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flintwheel_model::Span;
use flintwheel_model::definition::{Jitter, JitterMode, ScheduleTrigger};
use flintwheel_schedule::Plan;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600_000_000;

/// Common lines, and some that make a search long.
const LINES: [(&str, &str, &str); 9] = [
    ("every_second", "Europe/Berlin", "* * * * * * *"),
    ("every_minute", "Europe/Berlin", "* * * * *"),
    ("every_5_minutes_at_work", "Europe/Berlin", "*/5 9-17 * * mon-fri"),
    ("daily", "Europe/Berlin", "0 9 * * *"),
    ("daily_utc", "UTC", "0 9 * * *"),
    ("weekdays", "America/New_York", "30 9 * * 1-5"),
    ("monthly", "Europe/Berlin", "0 0 1 * *"),
    ("yearly", "Europe/Berlin", "0 0 1 1 *"),
    ("leap_day_on_a_monday", "Europe/Berlin", "0 0 29 2 1"),
];

fn trigger(zone: &str, line: &str) -> ScheduleTrigger {
    ScheduleTrigger { cron: vec![line.to_owned()], timezone: Some(zone.to_owned()), ..ScheduleTrigger::default() }
}

fn plan(trigger: &ScheduleTrigger) -> Plan {
    Plan::compile(trigger, "spec.trigger.schedule", 0).expect("a schedule")
}

/// One step from each nominal time to the next, round the clock and the year.
fn steps(c: &mut Criterion, name: &str, mut step: impl FnMut(i64) -> Option<i64>) {
    let mut time = START;
    c.bench_function(name, |b| b.iter(|| time = step(black_box(time)).unwrap_or(START)));
}

fn next(c: &mut Criterion) {
    for (name, zone, line) in LINES {
        let plan = plan(&trigger(zone, line));
        steps(c, &format!("next/{name}"), |time| plan.next(time));
    }
    let interval = plan(&ScheduleTrigger { cron: vec!["@every 90s/15s".to_owned()], ..ScheduleTrigger::default() });
    steps(c, "next/interval", |time| interval.next(time));
    let lines = (0..100).map(|minute| format!("{} {} * * *", minute % 60, minute % 24)).collect();
    let hundred = plan(&ScheduleTrigger {
        cron: lines,
        timezone: Some("Europe/Berlin".to_owned()),
        ..ScheduleTrigger::default()
    });
    steps(c, "next/100_lines", |time| hundred.next(time));
    let jitter = Some(Jitter { window: Span::from_secs(300), mode: JitterMode::PerFiring });
    let jittered = plan(&ScheduleTrigger { jitter, ..trigger("Europe/Berlin", "0 9 * * *") });
    c.bench_function("due/daily", |b| b.iter(|| jittered.due(black_box(START), black_box(7))));
}

fn compile(c: &mut Criterion) {
    for (name, zone, line) in LINES {
        let trigger = trigger(zone, line);
        c.bench_function(&format!("compile/{name}"), |b| b.iter(|| plan(black_box(&trigger))));
    }
    let never = trigger("Europe/Berlin", "0 0 31 2,4,6,9,11 *");
    c.bench_function("compile/never", |b| {
        b.iter(|| Plan::compile(black_box(&never), "spec.trigger.schedule", 0).expect_err("it never fires"))
    });
}

criterion_group!(benches, next, compile);
criterion_main!(benches);
