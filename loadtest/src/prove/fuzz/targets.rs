//! What is fed: each parser with the texts and words that it knows.

use flintwheel_model::Violations;
use flintwheel_model::calendar::CalendarSpec;
use flintwheel_model::definition::{CalendarTimes, CronDialect, Exclusion, Interval, Roll, ScheduleTrigger};
use flintwheel_schedule::{Plan, compile_calendar};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A parser. `run` says whether a text was accepted; an error is what must not be.
pub struct Target {
    pub name: &'static str,
    pub seeds: &'static [&'static str],
    pub words: &'static [&'static str],
    pub run: fn(&str, &mut StdRng) -> Result<bool, String>,
}

const NUMBERS: &[&str] =
    &["0", "1", "31", "59", "60", "366", "2100", "18446744073709551616", "-", ",", "/", "*", " ", "\t", "é"];

pub const TARGETS: [Target; 7] = [
    Target {
        name: "cron",
        seeds: &[
            "0 9 * * mon-fri",
            "*/5 9-17/2 1,15 jan-mar 0-7",
            "0 0 12 ? * 6#3",
            "0 0 L-3 * *",
            "0 0 15W,LW * *",
            "H H(1-5) * * *",
            "CRON_TZ=Europe/Berlin 0 9 * * * 2030",
            "@every 1h30m/5m",
            "@daily # why",
            "* * * * * * *",
            "0 0 29 2 1 *",
        ],
        words: &[
            "L",
            "W",
            "#",
            "H",
            "H(",
            "?",
            "@every ",
            "TZ=",
            "mon",
            "feb",
            "LW",
            "5L",
            "-3",
            "2000-2100/7",
            "* * * * * * *",
        ],
        run: cron,
    },
    Target {
        name: "calendar fields",
        seeds: &["9-17/2", "mon-fri", "LB", "L-2B", "15W", "5#3", "*/15", "1,15,L", "2030-2040", "3B,1"],
        words: NUMBERS,
        run: fields,
    },
    Target {
        name: "rrule",
        seeds: &[
            "DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH",
            "DTSTART;TZID=Europe/Berlin:20260130T170000\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;UNTIL=20301231T160000Z",
            "DTSTART;VALUE=DATE:20240229 FREQ=YEARLY;COUNT=3 EXDATE:20280229",
            "DTSTART:20260101T000000Z RRULE:FREQ=SECONDLY;INTERVAL=7;BYHOUR=9;BYMINUTE=0,30;BYSETPOS=1",
            "DTSTART:20260101T000000 RRULE:FREQ=MINUTELY;INTERVAL=90;BYMONTHDAY=1,-1;BYMONTH=2;COUNT=10000",
            "DTSTART:20260101T000000 RRULE:FREQ=YEARLY;BYWEEKNO=1,-1,53;BYDAY=SU;WKST=SU RDATE:20260102T000000",
            "DTSTART:19000101T000000 RRULE:FREQ=YEARLY;BYYEARDAY=1,100,-1;BYHOUR=1,2;BYSECOND=59;BYSETPOS=-366,366",
        ],
        words: &[
            "FREQ=",
            "YEARLY",
            "DAILY",
            "HOURLY",
            "SECONDLY",
            ";COUNT=9999",
            ";UNTIL=",
            ";INTERVAL=86399",
            ";BYDAY=-5FR",
            ";BYSETPOS=-1",
            ";BYMONTHDAY=31",
            ";BYWEEKNO=53",
            ";BYYEARDAY=-366",
            ";BYSECOND=0",
            ";BYMINUTE=0",
            ";BYHOUR=0",
            "EXDATE:",
            "RDATE:",
            "Z",
            "T",
            "20260101T000000",
            "20260101",
            ",",
            ";",
            ":",
            "=",
        ],
        run: rule,
    },
    Target {
        name: "dates, anchors and zones",
        seeds: &[
            "2026-12-24",
            "2026-12-24/2027-01-06",
            "2026-01-31T09:00",
            "2026-01-31T09:00:00Z",
            "Europe/Berlin",
            "new york",
        ],
        words: NUMBERS,
        run: dates,
    },
    Target {
        name: "exclusions",
        seeds: &[
            "* 1-23 * * *",
            "* 9-17 * * mon-fri",
            "0 0 1 1 *",
            "* * * * * * 2030-2099",
            "*/7 * * 1-11 *",
            "1-59 * * * *",
        ],
        words: NUMBERS,
        run: exclusions,
    },
    Target {
        name: "calendar",
        seeds: &["sat-sun", "2026-12-24", "2026-12-24/2027-01-06", "12-25", "02-29", "fri"],
        words: NUMBERS,
        run: days,
    },
    Target {
        name: "icalendar",
        seeds: &[
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227\r\nSUMMARY:x\r\n y\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20200528\nDURATION:P2D\nRRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1TH\nEXDATE:20250529\nEND:VEVENT\nEND:VCALENDAR",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:19700101\nRRULE:FREQ=DAILY\nSTATUS:CANCELLED\nBEGIN:VALARM\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR",
        ],
        words: &[
            "BEGIN:VEVENT\n",
            "END:VEVENT\n",
            "DTSTART:20260101\n",
            "DTEND:20270101\n",
            "RRULE:FREQ=DAILY\n",
            "DURATION:P9D\n",
            "\n ",
            ":",
            ";",
            "STATUS:CANCELLED\n",
        ],
        run: file,
    },
];

fn cron(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let dialect = *[CronDialect::Temporal, CronDialect::Vixie, CronDialect::Quartz].choose(chance).expect("one");
    schedule(ScheduleTrigger { cron: vec![text.to_owned()], dialect, ..ScheduleTrigger::default() }, text, chance)
}

fn fields(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let mut calendar = CalendarTimes::default();
    let field = match chance.random_range(0..7) {
        0 => &mut calendar.second,
        1 => &mut calendar.minute,
        2 => &mut calendar.hour,
        3 => &mut calendar.month,
        4 => &mut calendar.day_of_week,
        5 => &mut calendar.year,
        _ => &mut calendar.day_of_month,
    };
    *field = vec![text.to_owned()];
    schedule(ScheduleTrigger { calendar: vec![calendar], ..ScheduleTrigger::default() }, text, chance)
}

fn rule(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    schedule(ScheduleTrigger { rrule: vec![text.to_owned()], ..ScheduleTrigger::default() }, text, chance)
}

fn dates(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let mut trigger = ScheduleTrigger { cron: vec!["0 9 * * *".to_owned()], ..ScheduleTrigger::default() };
    match chance.random_range(0..3) {
        0 => trigger.exclude = vec![Exclusion { dates: vec![text.to_owned()], ..Exclusion::default() }],
        1 => trigger.timezone = Some(text.to_owned()),
        _ => {
            let (count, anchor) = (Some(chance.random_range(0..5)), Some(text.to_owned()));
            trigger.interval = vec![Interval { months: count, anchor, ..Interval::default() }];
        }
    }
    schedule(trigger, text, chance)
}

/// A cron line that takes out most of what others name, wherever these go.
fn exclusions(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let mut trigger = ScheduleTrigger { cron: vec!["0 0 1 1 *".to_owned()], ..ScheduleTrigger::default() };
    for number in 0..chance.random_range(0..20) {
        let anchor = Some(format!("2026-01-01T01:00:{number:02}"));
        trigger.interval.push(Interval { days: Some(chance.random_range(1..3)), anchor, ..Interval::default() });
    }
    if chance.random_bool(0.3) {
        trigger.rrule = vec!["DTSTART:20260101T010000 RRULE:FREQ=DAILY".to_owned()];
    }
    if chance.random_bool(0.3) {
        trigger.cron = vec!["30 2 * * *".to_owned()];
    }
    let lines = |line: &str| Exclusion { cron: vec![line.to_owned()], ..Exclusion::default() };
    trigger.exclude = vec![lines(text)];
    if chance.random_bool(0.5) {
        trigger.exclude.push(lines("* * * * sat,sun"));
        trigger.roll = *[Roll::Skip, Roll::Next, Roll::Previous, Roll::Nearest].choose(chance).expect("one");
    }
    schedule(trigger, text, chance)
}

fn days(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let texts = vec![text.to_owned()];
    let spec = if chance.random_bool(0.5) {
        CalendarSpec { weekdays: texts, ..CalendarSpec::default() }
    } else {
        CalendarSpec { dates: texts, ..CalendarSpec::default() }
    };
    calendar(&spec, text)
}

fn file(text: &str, _: &mut StdRng) -> Result<bool, String> {
    calendar(&CalendarSpec { ical: Some(text.to_owned()), ..CalendarSpec::default() }, text)
}

fn calendar(spec: &CalendarSpec, text: &str) -> Result<bool, String> {
    match compile_calendar("a", "spec", &|_| Some(spec)) {
        Ok(_) => Ok(true),
        Err(faults) => refused(&faults, text),
    }
}

fn schedule(trigger: ScheduleTrigger, text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let plan = match Plan::compile(&trigger, "schedule", 7) {
        Ok(plan) => plan,
        Err(faults) => return refused(&faults, text),
    };
    let asked = chance.random_range(0..4_000_000_000_i64) * 1_000_000;
    let times: Vec<i64> = std::iter::successors(plan.next(asked), |time| plan.next(*time)).take(3).collect();
    if times.iter().any(|time| *time <= asked) || !times.is_sorted_by(|a, b| a < b) {
        return Err(format!("its times after {asked} don't follow each other: {times:?}"));
    }
    match times.first() {
        Some(first) if plan.next(first - 1) != Some(*first) => Err(format!("{first} is found from {asked} only")),
        _ => Ok(true),
    }
}

/// A refused text has faults, not endless ones, that point into it.
pub fn refused(faults: &Violations, text: &str) -> Result<bool, String> {
    let length: usize = faults.0.iter().map(|fault| fault.message.len()).sum();
    if faults.0.is_empty() || faults.0.len() > 40 || length > 20_000 {
        return Err(format!("{} faults of {length} bytes are told", faults.0.len()));
    }
    let outside = faults.0.iter().find(|fault| fault.part.is_some_and(|(start, end)| text.get(start..end).is_none()));
    outside.map_or(Ok(false), |fault| Err(format!("{fault:?} points outside of it")))
}
