//! A schedule that knows, without any parser, which times it names: as Temporal's server is told of it, as it stands in a definition, and as a question
//! about one second.

use chrono::{Datelike, TimeZone, Timelike};
use chrono_tz::Tz;
use flintwheel_import::temporal as import;
use flintwheel_model::Span;
use flintwheel_model::definition::{CalendarTimes, Exclusion, Interval, Jitter, JitterMode, ScheduleTrigger};
use flintwheel_schedule::Plan;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use temporalio_common::protos::temporal::api::schedule::v1::{CalendarSpec, IntervalSpec, ScheduleSpec};

use super::super::oracles::spec::{Field, Spec};

const SECOND: i64 = 1_000_000;
/// Minute, hour, day of month, month, day of week: times at which clocks change, and what people write.
const KNOWN: [&str; 40] = [
    "30 2 * * *",
    "30 1 * * *",
    "30 0 * * *",
    "0 * * * *",
    "*/30 * * * *",
    "*/30 2 * * *",
    "*/20 1-3 * * *",
    "0 0 * * *",
    "0 5 * * 0",
    "0 5 * * 6",
    "15 2 * * *",
    "45 1 * * *",
    "*/15 1 * * *",
    "0 12 30 12 *",
    "0 12 * * *",
    "30 3 * * *",
    "45 2 * * *",
    "0 2 * * 0",
    "0 3 * * 0",
    "0 1 * * 0",
    "0 0 1 * *",
    "0 12 1-7 * 1",
    "0 0 13 * 5",
    "0 0 29 2 *",
    "0 0 30 2 *",
    "0 0 31 * *",
    "0 9 * * 1-5",
    "59 23 * * *",
    "* * * * *",
    "*/40 * * * *",
    "5/15 * * * *",
    "0 0 * * 5/2",
    "0 9,17 * * *",
    "0 0 1 1 *",
    "*/7 3 * * *",
    "0 */6 * * *",
    "1,59 0-2 * 3,10,11 *",
    "30 4 1,15 * *",
    "10 22-23 * * *",
    "0 2-3 * 3-4 0",
];

/// One schedule, without its zone.
#[derive(Clone, Debug)]
pub struct Case {
    lines: Vec<Spec>,
    /// Every so many seconds, and how long after.
    interval: Option<(i64, i64)>,
    /// Its seconds and minutes are any.
    exclude: Option<Spec>,
    /// In seconds; 0 is none.
    pub jitter: i64,
    /// Seconds after the begin of the years that are compared: from, and through.
    bounds: Option<(i64, i64)>,
}

/// So many of them: the known ones first. Of the others none has a line that never matches: that is refused here, and taken there.
pub fn cases(count: usize, chance: &mut StdRng) -> Vec<Case> {
    let known = KNOWN.into_iter().map(Case::known);
    let fires = |case: &Case| Plan::compile(&case.here(Tz::UTC, 0), "schedule", 0).is_ok();
    known.chain(std::iter::repeat_with(|| Case::random(chance)).filter(fires)).take(count).collect()
}

impl Case {
    fn known(line: &str) -> Self {
        let fields: Vec<&str> = line.split(' ').collect();
        let field = |place: usize, first, last| field(fields[place], first, last);
        let second = Field { text: "0".to_owned(), values: 1 };
        let (minute, hour) = (field(0, 0, 59), field(1, 0, 23));
        let (day, month) = (field(2, 1, 31), field(3, 1, 12));
        let weekday = fold_sunday(self::field(fields[4], 0, 7));
        let line = Spec { second, minute, hour, day, month, weekday };
        Self { lines: vec![line], interval: None, exclude: None, jitter: 0, bounds: None }
    }

    fn random(chance: &mut StdRng) -> Self {
        let lines: Vec<Spec> = (0..chance.random_range(1..=2)).map(|_| line(chance)).collect();
        let every = *[3_600, 5_400, 21_600, 86_400, 604_800, 100_000].choose(chance).expect("it is not empty");
        let interval = chance.random_bool(0.15).then(|| (every, chance.random_range(0..every)));
        let jitter = *[0, 0, 0, 60, 600, 7_200, 100_000].choose(chance).expect("it is not empty");
        let bounds = chance.random_bool(0.1).then(|| {
            let from = chance.random_range(0..400 * 86_400);
            (from, from + chance.random_range(0..600 * 86_400))
        });
        let exclude = chance.random_bool(0.3).then(|| line(chance));
        Self { lines, interval, exclude, jitter, bounds }
    }

    /// As the server is told.
    #[expect(
        deprecated,
        reason = "servers still take exclusions as texts, and they are read as those of definitions are"
    )]
    pub fn there(&self, zone: Tz, begin: i64) -> ScheduleSpec {
        let length = |seconds: i64| std::time::Duration::from_secs(seconds as u64).try_into().ok();
        let time = |seconds: i64| Some((std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds as u64)).into());
        let exclude = self.exclude.iter().map(|one| CalendarSpec {
            second: "*".to_owned(),
            minute: "*".to_owned(),
            hour: one.hour.text.clone(),
            day_of_month: one.day.text.clone(),
            month: one.month.text.clone(),
            day_of_week: one.weekday.text.clone(),
            ..CalendarSpec::default()
        });
        ScheduleSpec {
            cron_string: self.lines.iter().map(Spec::seven).collect(),
            interval: self
                .interval
                .iter()
                .map(|(every, phase)| IntervalSpec { interval: length(*every), phase: length(*phase) })
                .collect(),
            exclude_calendar: exclude.collect(),
            start_time: self.bounds.and_then(|(from, _)| time(begin + from)),
            end_time: self.bounds.and_then(|(_, through)| time(begin + through)),
            jitter: (self.jitter > 0).then(|| length(self.jitter)).flatten(),
            timezone_name: zone.name().to_owned(),
            ..ScheduleSpec::default()
        }
    }

    /// As it stands in a definition.
    pub fn here(&self, zone: Tz, begin: i64) -> ScheduleTrigger {
        let text = |field: &Field| vec![field.text.clone()];
        let exclude = self.exclude.iter().map(|one| {
            let calendar = CalendarTimes {
                hour: text(&one.hour),
                day_of_month: text(&one.day),
                month: text(&one.month),
                day_of_week: text(&one.weekday),
                ..CalendarTimes::default()
            };
            Exclusion { calendar: vec![calendar], ..Exclusion::default() }
        });
        let span = |seconds: i64| Span::from_secs(seconds as u64);
        let time = |seconds: i64| chrono::DateTime::from_timestamp(begin + seconds, 0);
        ScheduleTrigger {
            cron: self.lines.iter().map(Spec::seven).collect(),
            interval: self.interval.iter().map(|(every, phase)| Interval::every(span(*every), span(*phase))).collect(),
            exclude: exclude.collect(),
            timezone: Some(zone.name().to_owned()),
            start: self.bounds.and_then(|(from, _)| time(from)),
            end: self.bounds.and_then(|(_, through)| time(through)),
            jitter: (self.jitter > 0).then(|| Jitter { window: span(self.jitter), mode: JitterMode::PerFiring }),
            ..ScheduleTrigger::default()
        }
    }

    /// What `import` says beforehand that the server will do.
    pub fn foretold(&self, zone: Tz, begin: i64) -> import::Times {
        let calendar = |one: &Spec, any_minute: bool| {
            let time = |field: &Field| if any_minute { all(60) } else { ranges(field) };
            import::Calendar {
                second: time(&one.second),
                minute: time(&one.minute),
                hour: ranges(&one.hour),
                day_of_month: ranges(&one.day),
                month: ranges(&one.month),
                day_of_week: ranges(&one.weekday),
                ..import::Calendar::default()
            }
        };
        let interval = |(every, phase): &(i64, i64)| import::Interval { every: every * SECOND, phase: phase * SECOND };
        import::Times::new(&import::Spec {
            structured_calendar: self.lines.iter().map(|one| calendar(one, false)).collect(),
            exclude_structured_calendar: self.exclude.iter().map(|one| calendar(one, true)).collect(),
            interval: self.interval.iter().map(interval).collect(),
            start_time: self.bounds.map(|(from, _)| (begin + from) * SECOND),
            end_time: self.bounds.map(|(_, through)| (begin + through) * SECOND),
            timezone_name: zone.name().to_owned(),
            ..import::Spec::default()
        })
        .expect("the zone is one of chrono-tz")
    }

    /// The judge: whether clocks show, at this second, what it asks for.
    pub fn is_due(&self, zone: Tz, begin: i64, second: i64) -> bool {
        let local = zone.timestamp_opt(second, 0).single().expect("an instant has one local time");
        let day = |one: &Spec| {
            one.hour.holds(local.hour())
                && one.day.holds(local.day())
                && one.month.holds(local.month())
                && one.weekday.holds(local.weekday().num_days_from_sunday())
        };
        let named = |one: &Spec| one.second.holds(local.second()) && one.minute.holds(local.minute()) && day(one);
        let every = |(every, phase): &(i64, i64)| (second - phase).rem_euclid(*every) == 0;
        let within = |(from, through): &(i64, i64)| (begin + from..=begin + through).contains(&second);
        (self.lines.iter().any(named) || self.interval.iter().any(every))
            && !self.exclude.iter().any(day)
            && self.bounds.iter().all(within)
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let lines: Vec<String> = self.lines.iter().map(Spec::seven).collect();
        write!(f, "{lines:?}")?;
        if let Some((every, phase)) = self.interval {
            write!(f, " every {every}/{phase} s")?;
        }
        if let Some(one) = &self.exclude {
            write!(f, " without {} {} {} {}", one.hour.text, one.day.text, one.month.text, one.weekday.text)?;
        }
        if self.jitter > 0 {
            write!(f, " jitter {} s", self.jitter)?;
        }
        self.bounds.map_or(Ok(()), |(from, through)| write!(f, " from {from} through {through}"))
    }
}

/// Mostly a few times a day: years of these can be compared.
fn line(chance: &mut StdRng) -> Spec {
    let rare = chance.random_bool(0.8);
    let with_seconds = !rare && chance.random_bool(0.2);
    let random = Spec::random(chance, with_seconds);
    if !rare {
        return random;
    }
    let (minute, hour) = (chance.random_range(0..60u32), chance.random_range(0..24u32));
    let single = |value: u32| Field { text: value.to_string(), values: 1 << value };
    let hour = if chance.random_bool(0.6) { single(chance.random_range(0..4)) } else { single(hour) };
    Spec { minute: single(minute), hour, ..random }
}

/// Of the forms that stand in [`KNOWN`].
fn field(text: &str, first: u32, last: u32) -> Field {
    let mut values = 0;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (first, last),
            None if step.is_some() => (number(range), last),
            None => (number(range), number(range)),
        };
        for value in (from..=to).step_by(step.map_or(1, |step| number(step) as usize)) {
            values |= 1 << value;
        }
    }
    Field { text: text.to_owned(), values }
}

/// Seven is Sunday, too.
fn fold_sunday(field: Field) -> Field {
    Field { values: (field.values | field.values >> 7) & 0x7f, ..field }
}

fn ranges(field: &Field) -> Vec<import::Range> {
    let value = |value: i32| import::Range { start: value, end: value, step: 1 };
    (0..60).filter(|bit| field.values >> bit & 1 == 1).map(value).collect()
}

fn all(count: i32) -> Vec<import::Range> {
    vec![import::Range { start: 0, end: count - 1, step: 1 }]
}
