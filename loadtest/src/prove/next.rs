//! Nanoseconds from a time to the next one, beside the crates `cron` and `croner` with the same lines, and bytes of a
//! compiled schedule.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, TimeZone};
use chrono_tz::{Europe::Berlin, Tz};
use croner::parser::{CronParser, Seconds};
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;

use super::{Scale, progress};
use crate::report::{Kind, Report, number};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const MICROS: i64 = 1_000_000;

/// A name, our line, that of `cron` (seconds first, Sunday is 1) and that of croner (seconds first, both days must match).
const LINES: [(&str, &str, &str, &str); 9] = [
    ("every second", "* * * * * * *", "* * * * * *", "* * * * * *"),
    ("every minute", "* * * * *", "0 * * * * *", "0 * * * * *"),
    ("every 5 minutes at work", "*/5 9-17 * * 1-5", "0 */5 9-17 * * 2-6", "0 */5 9-17 * * 1-5"),
    ("daily", "0 9 * * *", "0 0 9 * * *", "0 0 9 * * *"),
    ("weekdays", "30 9 * * 1-5", "0 30 9 * * 2-6", "0 30 9 * * 1-5"),
    ("monthly", "0 0 1 * *", "0 0 0 1 * *", "0 0 0 1 * *"),
    ("yearly", "0 0 1 1 *", "0 0 0 1 1 *", "0 0 0 1 1 *"),
    ("Friday the 13th", "0 0 13 * 5", "0 0 0 13 * 6", "0 0 0 13 * 5"),
    ("29 February on a Monday", "0 0 29 2 1", "0 0 0 29 2 2", "0 0 0 29 2 1"),
];

/// Other kinds, for which the crates have nothing: as JSON.
const OTHERS: [(&str, &str); 7] = [
    ("interval of 90 s", r#"{"interval": {"every": "90s"}}"#),
    ("last day of a month", r#"{"cron": "0 9 L * *"}"#),
    ("weekly rule", r#"{"rrule": "DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH"}"#),
    (
        "rule with BYSETPOS",
        r#"{"rrule": "DTSTART:20260105T090000 RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"}"#,
    ),
    ("rule of seconds", r#"{"rrule": "DTSTART:20260105T090000 RRULE:FREQ=SECONDLY;INTERVAL=7;BYHOUR=9;BYMINUTE=0"}"#),
    ("last business day", r#"{"calendar": {"hour": 9, "day_of_month": "LB"}}"#),
    (
        "rolled over weekends and a week",
        r#"{"cron": "0 9 * * *", "roll": "next",
        "exclude": [{"calendar": {"day_of_week": "sat,sun"}}, {"dates": "2026-12-24/2027-01-01"}]}"#,
    ),
];

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let length = Duration::from_millis(scale.pick(1_000, 100));
    // It computes for some seconds: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || measure(length)).await?
}

fn measure(length: Duration) -> Result<Report> {
    let mut report = Report::new("next", "from a time to the next one, in Berlin");
    for (name, ours, cron, croner) in LINES {
        let plan = plan(&serde_json::json!({"cron": ours}).to_string())?;
        let cron: cron::Schedule = cron.parse().with_context(|| cron.to_owned())?;
        let croner = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build().parse(croner)?;
        let ours = steps(length, START * MICROS, |time| plan.next(time));
        let theirs = [
            steps(length, begin(), |time: DateTime<Tz>| cron.after(&time).next()),
            steps(length, begin(), |time: DateTime<Tz>| croner.find_next_occurrence(&time, false).ok()),
        ];
        progress(format!("{name}: {ours:.0} ns, cron {:.0} ns, croner {:.0} ns", theirs[0], theirs[1]));
        let figures = format!("{} / {} / {} ns", number(ours), number(theirs[0]), number(theirs[1]));
        report.figure(format!("{name}: ours / cron / croner"), figures);
        let fastest = theirs[0].min(theirs[1]);
        report.check(Kind::Aim, format!("{name}: faster than both"), ours < fastest);
        report.figure(format!("{name}: compiled"), format!("{} B", plan.bytes()));
    }
    for (name, json) in OTHERS {
        let plan = plan(json)?;
        let ours = steps(length, START * MICROS, |time| plan.next(time));
        report.figure(name, format!("{} ns, {} B compiled", number(ours), plan.bytes()));
    }
    Ok(report)
}

fn plan(json: &str) -> Result<Plan> {
    let trigger = ScheduleTrigger { timezone: Some("Europe/Berlin".to_owned()), ..serde_json::from_str(json)? };
    Plan::compile(&trigger, "schedule", 0).map_err(|faults| anyhow!("{json}: {faults}"))
}

fn begin() -> DateTime<Tz> {
    Berlin.timestamp_opt(START, 0).single().expect("an instant has one local time")
}

/// Nanoseconds for one step, from each time to the next, and from the begin again after the last one.
fn steps<T: Copy>(length: Duration, begin: T, step: impl Fn(T) -> Option<T>) -> f64 {
    const BATCH: u32 = 200;
    let (started, mut count, mut time) = (Instant::now(), 0_u64, begin);
    while started.elapsed() < length {
        for _ in 0..BATCH {
            time = step(black_box(time)).unwrap_or(begin);
        }
        count += u64::from(BATCH);
    }
    started.elapsed().as_nanos() as f64 / count as f64
}
