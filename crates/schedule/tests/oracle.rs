//! Whole schedules beside a literal walk: each second or half minute is asked whether it is due, by the local clock, with
//! what clock changes left out or repeat, and with what is excluded. Over all zones, around clock changes.

mod support;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use flintwheel_model::Span;
use flintwheel_model::definition::{CronDialect, DstPolicy, Exclusion, Fold, Gap, Interval, ScheduleTrigger};
use flintwheel_schedule::Plan;
use proptest::prelude::*;
use proptest::sample::select;
use support::FIELD;
use support::times::{Form, Times, times_of};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const SECOND: i64 = 1_000_000;

fn offset(zone: Tz, second: i64) -> i64 {
    let utc = DateTime::from_timestamp(second, 0).expect("a time").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

fn clock(local: i64) -> NaiveDateTime {
    DateTime::from_timestamp(local, 0).expect("a time").naive_utc()
}

/// An interval of the local calendar, by its definition: the anchor, moved on by so many units.
#[derive(Clone, Debug)]
struct Local {
    unit: &'static str,
    count: u32,
    anchor: NaiveDateTime,
    phase: i64,
}

impl Local {
    fn interval(&self) -> Interval {
        let count = |unit: &str| (self.unit == unit).then_some(self.count);
        Interval {
            days: count("days"),
            weeks: count("weeks"),
            months: count("months"),
            years: count("years"),
            phase: Span::from_secs(self.phase as u64),
            anchor: Some(self.anchor.format("%Y-%m-%dT%H:%M").to_string()),
            ..Interval::default()
        }
    }

    /// Walks from the anchor, in the direction of the time that is asked for.
    fn holds(&self, local: NaiveDateTime) -> bool {
        let wanted = local - TimeDelta::seconds(self.phase);
        let reached = match self.unit {
            "days" | "weeks" => {
                let days = i64::from(self.count) * if self.unit == "weeks" { 7 } else { 1 };
                let gone = (wanted.date() - self.anchor.date()).num_days();
                Some(self.anchor + TimeDelta::days(gone - gone.rem_euclid(days)))
            }
            _ => {
                let step = i64::from(self.count) * if self.unit == "years" { 12 } else { 1 };
                let month = |date: NaiveDateTime| i64::from(date.year()) * 12 + i64::from(date.month());
                let gone = month(wanted) - month(self.anchor);
                let moved = Months::new(gone.unsigned_abs() as u32);
                let there = if gone < 0 { self.anchor - moved } else { self.anchor + moved };
                (gone.rem_euclid(step) == 0).then_some(there)
            }
        };
        reached == Some(wanted)
    }
}

/// What a schedule or an exclusion names.
#[derive(Clone, Debug)]
struct Named {
    times: Vec<Times>,
    locals: Vec<Local>,
    every: Option<(i64, i64)>,
    singles: Vec<i64>,
    dates: Option<(NaiveDate, NaiveDate)>,
}

impl Named {
    fn intervals(&self) -> Vec<Interval> {
        let span = |seconds: i64| Span::from_secs(seconds as u64);
        let every = self.every.map(|(every, phase)| Interval::every(span(every), span(phase)));
        self.locals.iter().map(Local::interval).chain(every).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.times.iter().filter(|times| times.form != Form::Calendar).map(Times::line).collect()
    }

    fn calendars(&self) -> Vec<flintwheel_model::definition::CalendarTimes> {
        self.times.iter().filter(|times| times.form == Form::Calendar).map(Times::calendar).collect()
    }

    fn at(&self) -> Vec<DateTime<chrono::Utc>> {
        self.singles.iter().map(|second| DateTime::from_timestamp(*second, 0).expect("a time")).collect()
    }

    fn has_fields(&self, local: NaiveDateTime) -> bool {
        self.times.iter().any(|times| times.holds(local))
            || self.dates.is_some_and(|(first, last)| (first..=last).contains(&local.date()))
    }

    fn has_instant(&self, second: i64) -> bool {
        self.singles.contains(&second)
            || self.every.is_some_and(|(every, phase)| (second - phase).rem_euclid(every) == 0)
    }
}

#[derive(Clone, Debug)]
struct Case {
    zone: Tz,
    dst: DstPolicy,
    named: Named,
    excluded: Named,
    from: i64,
    to: i64,
    step: i64,
    dialect: CronDialect,
}

impl Case {
    fn trigger(&self) -> ScheduleTrigger {
        let Named { dates, .. } = &self.excluded;
        let exclusion = Exclusion {
            calendar_name: Vec::new(),
            dates: dates.iter().map(|(first, last)| format!("{first}/{last}")).collect(),
            cron: self.excluded.lines(),
            calendar: self.excluded.calendars(),
            rrule: Vec::new(),
            interval: self.excluded.intervals(),
            at: self.excluded.at(),
        };
        ScheduleTrigger {
            cron: self.named.lines(),
            dialect: self.dialect,
            calendar: self.named.calendars(),
            interval: self.named.intervals(),
            at: self.named.at(),
            exclude: if exclusion == Exclusion::default() { Vec::new() } else { vec![exclusion] },
            timezone: Some(self.zone.name().to_owned()),
            dst: Some(self.dst),
            ..ScheduleTrigger::default()
        }
    }

    /// Whether a local time is named, and not excluded by what it shows.
    fn names(&self, local: i64) -> bool {
        let local = clock(local);
        (self.named.times.iter().any(|times| times.holds(local))
            || self.named.locals.iter().any(|rule| rule.holds(local)))
            && !self.excluded.has_fields(local)
    }

    /// Whether the same local time is shown at another instant before (or after) this one.
    fn is_shown(&self, second: i64, before: bool) -> bool {
        let local = second + offset(self.zone, second);
        [second - 2 * DAY, second + 2 * DAY].into_iter().any(|near| {
            let other = local - offset(self.zone, near);
            other + offset(self.zone, other) == local && if before { other < second } else { other > second }
        })
    }

    fn is_due(&self, second: i64) -> bool {
        let counts = || match self.dst.fold {
            Fold::Both => true,
            Fold::First => !self.is_shown(second, true),
            Fold::Last => !self.is_shown(second, false),
        };
        let local = second + offset(self.zone, second);
        self.names(local) && counts() || self.named.has_instant(second) && !self.excluded.has_fields(clock(local))
    }

    /// Instants of the local times that the clock leaves out as it is moved at this instant.
    fn left_out(&self, second: i64) -> Vec<i64> {
        let (before, now) = (offset(self.zone, second - self.step), offset(self.zone, second));
        let left_out = (second + before..second + now).step_by(self.step as usize).filter(|local| self.names(*local));
        match self.dst.gap {
            Gap::Skip => Vec::new(),
            Gap::Shift => left_out.map(|local| local - before).collect(),
            Gap::AtEnd => left_out.map(|_| second).collect(),
        }
    }

    fn walked(&self) -> Vec<i64> {
        let mut due = BTreeSet::new();
        for second in (self.from..self.to).step_by(self.step as usize) {
            due.extend(self.left_out(second));
            due.extend(Some(second).filter(|second| self.is_due(*second)));
        }
        let by_itself = |second: &i64| {
            let local = clock(second + offset(self.zone, *second));
            self.excluded.has_instant(*second) || self.excluded.locals.iter().any(|rule| rule.holds(local))
        };
        due.into_iter().filter(|second| *second < self.to && !by_itself(second)).collect()
    }
}

/// The times at which a zone's offset changes in a year, to the half minute; New Year if there are none.
fn changes(zone: Tz, year: i32) -> Vec<i64> {
    let start = NaiveDate::from_ymd_opt(year, 1, 1).expect("a day").and_hms_opt(0, 0, 0).expect("a time");
    let start = start.and_utc().timestamp();
    let hours = (start..start + 366 * DAY).step_by(HOUR as usize);
    let changes: Vec<_> = hours.filter(|hour| offset(zone, *hour) != offset(zone, hour + HOUR)).collect();
    if changes.is_empty() { vec![start] } else { changes }
}

/// A time around which the walk goes: mostly where clocks change.
fn place() -> impl Strategy<Value = (Tz, i64)> {
    let odd = [
        "Africa/Casablanca",
        "America/Havana",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Monrovia",
        "Africa/Cairo",
    ];
    let odd = odd.map(|name| name.parse::<Tz>().expect("a zone"));
    let zone = prop_oneof![2 => select(&TZ_VARIANTS[..]), 1 => select(odd.to_vec())];
    (zone, 1971..2100_i32, any::<prop::sample::Index>()).prop_map(|(zone, year, index)| {
        let changes = changes(zone, year);
        (zone, changes[index.index(changes.len())])
    })
}

fn local_interval() -> impl Strategy<Value = Local> {
    let unit = select(vec![("days", 3, DAY), ("weeks", 2, 7 * DAY), ("months", 13, 28 * DAY), ("years", 2, 365 * DAY)]);
    let anchor = (0..60_000_i64, 0..1_440_i64).prop_map(|(day, minute)| clock((day - 10_000) * DAY + minute * 60));
    (unit, anchor, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |((unit, most, shortest), anchor, count, phase, plain)| {
            let count = count.index(most) as u32 + 1;
            let minutes = (shortest * i64::from(count) / 60) as usize;
            Local { unit, count, anchor, phase: if plain { 0 } else { phase.index(minutes) as i64 * 60 } }
        },
    )
}

/// What is named around an instant, in whole minutes or seconds.
fn named(dialect: CronDialect, around: i64, seconds: bool, excludes: bool) -> impl Strategy<Value = Named> {
    let unit = if seconds { 1 } else { 60 };
    let form = select(vec![Form::Cron(dialect), Form::Calendar]);
    let times = prop::collection::vec(form.prop_flat_map(move |form| times_of(form, seconds)), 0..3);
    let every =
        prop::option::of((1..200_i64, 0..200_i64).prop_map(move |(every, phase)| (every * unit, phase % every * unit)));
    let single = (-600..600_i64).prop_map(move |away| around + away * unit);
    let day = move |away: i64| clock(around + away * DAY).date();
    let dates = prop::option::of((-2..3_i64, 0..2_i64).prop_map(move |(first, more)| (day(first), day(first + more))));
    let locals = prop::collection::vec(local_interval(), 0..2);
    (times, locals, every, prop::collection::vec(single, 0..3), dates).prop_map(
        move |(times, locals, every, singles, dates)| Named {
            times: times.into_iter().map(|times: Times| if excludes { times.excluding() } else { times }).collect(),
            locals,
            every: every.filter(|(every, _)| !excludes || *every % 7 == 0),
            singles,
            dates: dates.filter(|_| excludes),
        },
    )
}

fn nothing() -> Named {
    Named { times: Vec::new(), locals: Vec::new(), every: None, singles: Vec::new(), dates: None }
}

fn case(seconds: bool) -> impl Strategy<Value = Case> {
    let dialect = select(vec![CronDialect::Temporal, CronDialect::Vixie, CronDialect::Quartz]);
    let dst = (select(vec![Gap::Skip, Gap::Shift, Gap::AtEnd]), select(vec![Fold::First, Fold::Last, Fold::Both]));
    (place(), dialect, dst).prop_flat_map(move |((zone, change), dialect, (gap, fold))| {
        // Half minutes, as Monrovia's offset had 30 seconds until 1972.
        let (around, step) = if seconds { (3 * HOUR, 1) } else { (2 * DAY, 30) };
        let excluded = prop_oneof![Just(nothing()), named(dialect, change, seconds, true)];
        (named(dialect, change, seconds, false), excluded).prop_map(move |(named, excluded)| Case {
            zone,
            dst: DstPolicy { gap, fold },
            named,
            excluded,
            from: change - around,
            to: change + around + HOUR,
            step,
            dialect,
        })
    })
}

/// That the plan's times are those of the walk, and the same from wherever they are approached.
fn check(case: &Case, asked: i64) -> Result<(), TestCaseError> {
    let walked: Vec<i64> = case.walked().into_iter().map(|second| second * SECOND).collect();
    let trigger = case.trigger();
    let plan = match Plan::compile(&trigger, FIELD, 7) {
        Ok(plan) => plan,
        Err(faults) => {
            let told = faults.to_string();
            prop_assert!(told.contains("never") || told.contains("none of") || told.contains("is like"), "{told}");
            // A fault of one line says nothing of the others.
            prop_assert!(
                walked.is_empty() || told.contains("clock changes") || told.contains("is like"),
                "{told}: {trigger:?}"
            );
            return Ok(());
        }
    };
    let next = |after: i64| plan.next(after).filter(|time| *time < case.to * SECOND);
    let found: Vec<i64> = std::iter::successors(next(case.from * SECOND - 1), |time| next(*time)).collect();
    prop_assert_eq!(&found, &walked, "{:?}", trigger);
    let expected = walked.iter().find(|time| **time > asked).copied();
    prop_assert_eq!(next(asked), expected, "{:?} after {}", trigger, asked);
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn minutes_of_any_schedule_are_those_that_a_walk_finds(case in case(false), away in -2 * DAY..2 * DAY) {
        check(&case, ((case.from + case.to) / 2 + away) * SECOND)?;
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn seconds_of_any_schedule_are_those_that_a_walk_finds(case in case(true), away in -3 * HOUR..3 * HOUR, micros in 0..SECOND) {
        check(&case, ((case.from + case.to) / 2 + away) * SECOND + micros)?;
    }
}
