//! Why a schedule names a time, or does not: its parts are compiled one by one, and asked about that time.
//!
//! Not about what became of it: whether the definition was paused then, or late, or a run was open, the account knows.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use flintwheel_model::Violations;
use flintwheel_model::definition::{CalendarTimes, DstPolicy, Exclusion, Fold, Gap, Roll, ScheduleTrigger};

use crate::calendar::Calendars;
use crate::limits::{FIRST_TIME, LAST_TIME};
use crate::plan::Plan;
use crate::zone::{Span, Zone};

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// Days around a rolled time in which the times are looked for that moved to it: as far as a time moves.
const ROLL_DAYS: i64 = 366;
/// Of the times that moved to one, so many are named.
const ROLLED_SHOWN: usize = 10;
/// Nominal times looked at for the one that jitter moved: of a schedule of each second, those of the last quarter of an hour.
const JITTER_TRIES: usize = 1000;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An instant, in microseconds since the Unix epoch.
    Instant(i64),
    /// What the clocks of the schedule's zone show, to the second: they may show it once, twice, or never.
    Local(NaiveDateTime),
}

/// What a schedule says about a time. Instants are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The zone that its local times are read in.
    pub zone: &'static str,
    /// The instant that was asked about; of a local time those at which it is shown.
    pub moments: Vec<Moment>,
    /// Where clocks leave the local time out.
    pub left_out: Option<LeftOut>,
    /// The nominal time before what was asked about, if it is within a year.
    pub before: Option<i64>,
    /// The nominal time after it.
    pub after: Option<i64>,
}

/// What a schedule says about one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Which one.
    pub instant: i64,
    /// It is a nominal time: the schedule is due for it, at `due`.
    pub is_nominal: bool,
    /// When it is due, with jitter, if it is a nominal time.
    pub due: Option<i64>,
    /// The nominal times which jitter moves to just this instant.
    pub jittered_from: Option<i64>,
    /// Fields that name it, whether it is excluded or not.
    pub named_by: Vec<String>,
    /// Fields that exclude it.
    pub closed_by: Vec<String>,
    /// Nominal times on closed days which moved here.
    pub rolled_from: Vec<i64>,
    /// Where it moves, being on a closed day.
    pub rolls_to: Option<i64>,
    /// Clocks show its local time twice, and `dst.fold` counts the other one.
    pub is_other_of_fold: bool,
    /// It is before `start`.
    pub before_start: bool,
    /// It is after `end`.
    pub after_end: bool,
}

/// A local time that clocks leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// When clocks go forward.
    pub change: i64,
    /// By so many seconds.
    pub forward: i64,
    /// Fields that name it.
    pub named_by: Vec<String>,
    /// Where `dst.gap` moves it; `None`: nowhere.
    pub moves_to: Option<i64>,
}

/// Explains what a schedule says about a time. `field`, `identity` and `calendars` are as for [`Plan::compile_stored`]; `seed` as for
/// [`Plan::due`].
///
/// # Errors
/// What is wrong with the schedule.
pub fn explain(
    trigger: &ScheduleTrigger,
    field: &str,
    (identity, seed): (u64, u64),
    calendars: Calendars,
    asked: Asked,
) -> Result<Explanation, Violations> {
    let plan = Plan::compile_stored(trigger, field, identity, calendars)?;
    let asker = Asker { trigger, field, identity, seed, calendars, zone: plan.zone, plan: &plan };
    let instants = match asked {
        Asked::Instant(instant) => vec![instant],
        Asked::Local(local) => shown_at(plan.zone, local.and_utc().timestamp()).collect(),
    };
    let left_out = match asked {
        Asked::Local(local) if instants.is_empty() => asker.left_out(local.and_utc().timestamp()),
        _ => None,
    };
    let change = left_out.as_ref().map(|left_out| left_out.change);
    let (first, last) = (instants.first().copied().or(change), instants.last().copied().or(change));
    Ok(Explanation {
        zone: plan.zone.name(),
        before: first.and_then(|first| asker.before(first)),
        after: last.and_then(|last| plan.next(last)),
        moments: instants.into_iter().map(|instant| asker.moment(instant)).collect(),
        left_out,
    })
}

struct Asker<'a> {
    trigger: &'a ScheduleTrigger,
    field: &'a str,
    identity: u64,
    seed: u64,
    calendars: Calendars<'a>,
    zone: &'static Zone,
    plan: &'a Plan,
}

impl Asker<'_> {
    fn moment(&self, instant: i64) -> Moment {
        let is_nominal = names(self.plan, instant);
        let sources = self.sources(self.dst());
        let named_by: Vec<String> = naming(&sources, instant);
        let closed_by = self.closed_by(instant);
        let rolls = self.trigger.roll != Roll::Skip && !closed_by.is_empty() && !named_by.is_empty();
        let both = DstPolicy { fold: Fold::Both, ..self.dst() };
        Moment {
            instant,
            is_nominal,
            due: is_nominal.then(|| self.plan.due(instant, self.seed)),
            jittered_from: self.jittered_from(instant),
            rolled_from: if is_nominal && self.trigger.roll != Roll::Skip {
                self.rolled_from(&sources, instant)
            } else {
                Vec::new()
            },
            rolls_to: if rolls { self.rolls_to(instant) } else { None },
            is_other_of_fold: named_by.is_empty()
                && self.dst().fold != Fold::Both
                && !naming(&self.sources(both), instant).is_empty(),
            before_start: self.trigger.start.is_some_and(|start| instant < start.timestamp_micros()),
            after_end: self.trigger.end.is_some_and(|end| instant > end.timestamp_micros()),
            named_by,
            closed_by,
        }
    }

    fn dst(&self) -> DstPolicy {
        self.trigger.dst.unwrap_or_default()
    }

    /// Nothing but how times are read.
    fn reading(&self, dst: DstPolicy) -> ScheduleTrigger {
        ScheduleTrigger {
            dialect: self.trigger.dialect,
            timezone: Some(self.zone.name().to_owned()),
            dst: Some(dst),
            ..ScheduleTrigger::default()
        }
    }

    fn compile(&self, trigger: &ScheduleTrigger) -> Option<Plan> {
        Plan::compile_stored(trigger, self.field, self.identity, self.calendars).ok()
    }

    /// Each field that names times, alone, without exclusions and bounds; those that never fire are left out.
    fn sources(&self, dst: DstPolicy) -> Vec<(String, Plan)> {
        let compiled = |(path, part): (String, ScheduleTrigger)| Some((path, self.compile(&part)?));
        self.parts(&self.reading(dst)).into_iter().filter_map(compiled).collect()
    }

    fn parts(&self, bare: &ScheduleTrigger) -> Vec<(String, ScheduleTrigger)> {
        let Self { trigger, field, .. } = self;
        let mut parts = Vec::new();
        let mut add = |kind: &str, index: usize, part: ScheduleTrigger| {
            parts.push((format!("{field}.{kind}[{index}]"), part));
        };
        for (index, line) in trigger.cron.iter().enumerate() {
            add("cron", index, ScheduleTrigger { cron: vec![line.clone()], ..bare.clone() });
        }
        for (index, times) in trigger.calendar.iter().enumerate() {
            let part = ScheduleTrigger { calendar: vec![times.clone()], ..bare.clone() };
            // Which day is the third open one depends on what is closed.
            let counts_open_days = times.day_of_month.iter().any(|day| day.contains(['B', 'b']));
            let closed =
                ScheduleTrigger { exclude: trigger.exclude.clone(), only_on: trigger.only_on.clone(), ..part.clone() };
            add("calendar", index, if counts_open_days { closed } else { part });
        }
        for (index, rule) in trigger.rrule.iter().enumerate() {
            add("rrule", index, ScheduleTrigger { rrule: vec![rule.clone()], ..bare.clone() });
        }
        for (index, every) in trigger.interval.iter().enumerate() {
            add("interval", index, ScheduleTrigger { interval: vec![every.clone()], ..bare.clone() });
        }
        for (index, at) in trigger.at.iter().enumerate() {
            add("at", index, ScheduleTrigger { at: vec![*at], ..bare.clone() });
        }
        parts
    }

    /// Fields that exclude an instant, each asked alone.
    fn closed_by(&self, instant: i64) -> Vec<String> {
        let Some(at) = DateTime::<Utc>::from_timestamp_micros(instant) else { return Vec::new() };
        let only = ScheduleTrigger { at: vec![at], ..self.reading(self.dst()) };
        // One that can't fire any more is refused: then that field closes it.
        let closes = |part: &ScheduleTrigger| !self.compile(part).is_some_and(|plan| names(&plan, instant));
        let excluded = self.trigger.exclude.iter().enumerate().flat_map(|(index, exclusion)| {
            let path = format!("{}.exclude[{index}]", self.field);
            alone(exclusion).into_iter().map(move |(field, one)| (format!("{path}.{field}"), one))
        });
        let mut closed_by: Vec<String> = excluded
            .filter(|(_, one)| closes(&ScheduleTrigger { exclude: vec![one.clone()], ..only.clone() }))
            .map(|(path, _)| path)
            .collect();
        let only_on = ScheduleTrigger { only_on: self.trigger.only_on.clone(), ..only };
        if !self.trigger.only_on.is_empty() && closes(&only_on) {
            closed_by.push(format!("{}.only_on", self.field));
        }
        closed_by
    }

    /// Where the local time of an instant moves, being on a closed day.
    fn rolls_to(&self, instant: i64) -> Option<i64> {
        let second = instant.div_euclid(MICROS);
        let local = DateTime::from_timestamp(second + self.zone.span_at(second).offset, 0)?.naive_utc();
        let only = |value: u32| vec![value.to_string()];
        let exactly = CalendarTimes {
            second: only(local.second()),
            minute: only(local.minute()),
            hour: only(local.hour()),
            day_of_month: only(local.day()),
            month: only(local.month()),
            year: vec![local.year().to_string()],
            ..CalendarTimes::default()
        };
        let alone = ScheduleTrigger {
            calendar: vec![exactly],
            exclude: self.trigger.exclude.clone(),
            only_on: self.trigger.only_on.clone(),
            roll: self.trigger.roll,
            ..self.reading(self.dst())
        };
        self.compile(&alone)?.next(FIRST_TIME - 1)
    }

    /// The times on closed days that moved to an instant. None moves past an open day.
    fn rolled_from(&self, sources: &[(String, Plan)], instant: i64) -> Vec<i64> {
        let Some(closed) = &self.plan.closed else { return Vec::new() };
        let second = instant.div_euclid(MICROS);
        let local = second + self.zone.span_at(second).offset;
        let is_closed = |local: &i64| {
            let day = local.div_euclid(DAY);
            closed.open_day_from(day) != Some(day)
        };
        let aside = |days: i64| (1..=ROLL_DAYS).map(move |n| local + n * days * DAY).take_while(is_closed);
        let near = aside(-1).chain(aside(1)).flat_map(|local| shown_at(self.zone, local));
        let named = near.filter(|source| sources.iter().any(|(_, plan)| names(plan, *source)));
        named.filter(|source| self.rolls_to(*source) == Some(instant)).take(ROLLED_SHOWN).collect()
    }

    /// The nominal time that jitter moves to just this instant.
    fn jittered_from(&self, instant: i64) -> Option<i64> {
        let window = i64::try_from(self.trigger.jitter?.window.micros()).ok().filter(|window| *window > 0)?;
        let mut nominal = self.plan.next(instant.saturating_sub(window).saturating_sub(1));
        for _ in 0..JITTER_TRIES {
            let moved = nominal.filter(|nominal| *nominal < instant)?;
            if self.plan.due(moved, self.seed) == instant {
                return Some(moved);
            }
            nominal = self.plan.next(moved);
        }
        None
    }

    /// The last nominal time before an instant, within a year: looked for in ever longer spans before it.
    fn before(&self, instant: i64) -> Option<i64> {
        const YEAR: i64 = 366 * DAY * MICROS;
        let mut span = MICROS;
        while span < 2 * YEAR {
            let from = (instant - span.min(YEAR)).max(FIRST_TIME);
            if let Some(found) = self.plan.next(from - 1).filter(|found| *found < instant) {
                return self.last_before(found, instant);
            }
            span *= 4;
        }
        None
    }

    /// The last nominal time before an instant, where `found` is one: the time in between is halved.
    fn last_before(&self, found: i64, instant: i64) -> Option<i64> {
        let (mut found, mut beyond) = (found, instant);
        while beyond - found > 1 {
            let middle = found.midpoint(beyond);
            match self.plan.next(middle - 1).filter(|next| *next < beyond) {
                Some(next) => found = next,
                None => beyond = middle,
            }
        }
        Some(found)
    }

    /// What becomes of a local time that clocks leave out.
    fn left_out(&self, local: i64) -> Option<LeftOut> {
        let left_out = |span: &Span| {
            let (unchanged, resumes) = (span.start.checked_add(span.before)?, span.start.checked_add(span.offset)?);
            Some((unchanged..resumes).contains(&local))
        };
        let around =
            self.zone.spans_from(local.saturating_sub(2 * DAY)).take_while(|span| span.start <= local + 2 * DAY);
        let span = around.into_iter().find(|span| left_out(span) == Some(true))?;
        // As if the clock had not been changed yet: that is what `shift` means.
        let shifted = (local - span.before) * MICROS;
        let shift = DstPolicy { gap: Gap::Shift, ..self.dst() };
        let (skipping, shifting) =
            (self.sources(DstPolicy { gap: Gap::Skip, ..shift }), naming(&self.sources(shift), shifted));
        // What names the time that it would be shifted to names that one too.
        let there = naming(&skipping, shifted);
        Some(LeftOut {
            change: span.start * MICROS,
            forward: span.offset - span.before,
            named_by: shifting
                .into_iter()
                .filter(|path| !there.contains(path) || self.names_local(path, local))
                .collect(),
            moves_to: match self.dst().gap {
                Gap::Skip => None,
                Gap::Shift => Some(shifted),
                Gap::AtEnd => Some(span.start * MICROS),
            },
        })
    }

    /// Whether the field at `path` names a local time, whatever clocks do: read in UTC, which leaves none out. What names a zone itself can't
    /// be read in another.
    fn names_local(&self, path: &str, local: i64) -> bool {
        let utc = ScheduleTrigger { timezone: Some("UTC".to_owned()), ..self.reading(DstPolicy::default()) };
        let part = self.parts(&utc).into_iter().find(|(own, _)| own == path);
        part.and_then(|(_, part)| self.compile(&part)).is_some_and(|plan| names(&plan, local * MICROS))
    }
}

/// Whether a plan names an instant.
fn names(plan: &Plan, instant: i64) -> bool {
    (FIRST_TIME..=LAST_TIME).contains(&instant) && plan.next(instant - 1) == Some(instant)
}

fn naming(sources: &[(String, Plan)], instant: i64) -> Vec<String> {
    sources.iter().filter(|(_, plan)| names(plan, instant)).map(|(path, _)| path.clone()).collect()
}

/// The instants, in microseconds, at which clocks show a local time, in seconds.
fn shown_at(zone: &Zone, local: i64) -> impl Iterator<Item = i64> {
    let near = zone.spans_from(local.saturating_sub(2 * DAY)).take_while(move |span| span.start <= local + 2 * DAY);
    let shown = near.map(move |span| (local - span.offset, span));
    shown.filter(|(instant, span)| (span.start..span.end).contains(instant)).map(|(instant, _)| instant * MICROS)
}

/// Each entry of an exclusion alone, with its field.
fn alone(exclusion: &Exclusion) -> Vec<(String, Exclusion)> {
    let mut all = Vec::new();
    let mut add = |field: &str, index: usize, one: Exclusion| all.push((format!("{field}[{index}]"), one));
    for (index, name) in exclusion.calendar_name.iter().enumerate() {
        add("calendar_name", index, Exclusion { calendar_name: vec![name.clone()], ..Exclusion::default() });
    }
    for (index, dates) in exclusion.dates.iter().enumerate() {
        add("dates", index, Exclusion { dates: vec![dates.clone()], ..Exclusion::default() });
    }
    for (index, line) in exclusion.cron.iter().enumerate() {
        add("cron", index, Exclusion { cron: vec![line.clone()], ..Exclusion::default() });
    }
    for (index, times) in exclusion.calendar.iter().enumerate() {
        add("calendar", index, Exclusion { calendar: vec![times.clone()], ..Exclusion::default() });
    }
    for (index, rule) in exclusion.rrule.iter().enumerate() {
        add("rrule", index, Exclusion { rrule: vec![rule.clone()], ..Exclusion::default() });
    }
    for (index, every) in exclusion.interval.iter().enumerate() {
        add("interval", index, Exclusion { interval: vec![every.clone()], ..Exclusion::default() });
    }
    for (index, at) in exclusion.at.iter().enumerate() {
        add("at", index, Exclusion { at: vec![*at], ..Exclusion::default() });
    }
    all
}
