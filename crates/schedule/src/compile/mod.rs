//! From what the user wrote to a plan, or to all that is wrong with it.

mod exclude;
mod kinds;
mod zone;

use chrono::{DateTime, Utc};
use flintwheel_model::definition::{AfterEnd, DstPolicy, Gap, Roll, ScheduleTrigger};
use flintwheel_model::{Violation, Violations};

use crate::business::Business;
use crate::calendar::Calendars;
use crate::clock::first_instant;
use crate::closed::Closed;
use crate::cron::{Reading, hides_a_weekday};
use crate::jitter::Spread;
use crate::limits::{FIRST_TIME, LAST_TIME, MAX_JITTER, SHORTEST_MISFIRE_WINDOW};
use crate::plan::Plan;
use crate::rule::Rule;
use crate::zone::Zone;
use kinds::{Kinds, Named};

pub use zone::zone_name;

impl Plan {
    /// Reads a schedule. `field` is its path, such as `spec.trigger.schedule`, which all paths of faults begin with.
    /// `identity` is the definition's ([`crate::identity`]), which `H` is derived from.
    ///
    /// # Errors
    /// All that is wrong with it; also when it can't ever fire, and when it names a calendar: see
    /// [`compile_with`](Self::compile_with).
    pub fn compile(trigger: &ScheduleTrigger, field: &str, identity: u64) -> Result<Self, Violations> {
        Self::compile_with(trigger, field, identity, &|_| None)
    }

    /// As [`compile`](Self::compile), where `calendars` finds the days of a calendar by its name. A plan keeps the days that it
    /// was compiled with: when a calendar changes, all that name it ([`ScheduleTrigger::calendar_names`]) are compiled anew.
    ///
    /// # Errors
    /// All that is wrong with it; also when it can't ever fire, or names a calendar that is not found.
    pub fn compile_with(
        trigger: &ScheduleTrigger,
        field: &str,
        identity: u64,
        calendars: Calendars,
    ) -> Result<Self, Violations> {
        let beyond = jitter_beyond(trigger, field);
        match Self::compile_stored(trigger, field, identity, calendars) {
            Ok(plan) if beyond.is_none() => Ok(plan),
            found => {
                let mut faults = found.err().unwrap_or_default();
                faults.0.extend(beyond);
                Err(faults)
            }
        }
    }

    /// As [`compile_with`](Self::compile_with), for a schedule that has been accepted once: it goes on where it is beyond a limit that
    /// did not exist then, which is that of jitter ([`MAX_JITTER`]).
    ///
    /// # Errors
    /// As those of [`compile_with`](Self::compile_with).
    pub fn compile_stored(
        trigger: &ScheduleTrigger,
        field: &str,
        identity: u64,
        calendars: Calendars,
    ) -> Result<Self, Violations> {
        let mut compiler = Compiler { field, trigger, calendars, faults: Violations::default() };
        let dst = trigger.dst.unwrap_or_default();
        let mut named = compiler.named(&Kinds::of_schedule(trigger, field), reading(trigger, identity, false));
        let mut excluded = compiler.excluded(reading(trigger, identity, true));
        let zone = compiler.zone([&named, &excluded.named]);
        let (first, last) = compiler.bounds();
        compiler.check_misfire_policy();
        compiler.check_max_firings();
        let Some(zone) = zone else { return Err(compiler.faults) };
        for (path, cron) in named.crons() {
            if first_instant(zone, dst, FIRST_TIME, |local| cron.first_local(local)).is_none() {
                compiler.faults.push(path, never_shown(zone));
            }
        }
        let (rules, closed_rules) =
            (compiler.rules_in(zone, dst, &mut named), compiler.rules_in(zone, dst, &mut excluded.named));
        let closed = excluded.closed(closed_rules);
        let business = compiler.business(zone, dst, &mut named, closed.as_deref());
        compiler.check_roll(closed.as_deref());
        let plan = Self {
            crons: distinct(named.crons().map(|(_, cron)| cron).collect()),
            repeats: distinct(std::mem::take(&mut named.repeats)),
            rules: distinct(rules),
            business,
            intervals: distinct(std::mem::take(&mut named.intervals)),
            singles: distinct(std::mem::take(&mut named.singles)),
            admitted: Box::default(),
            closed,
            roll: trigger.roll,
            zone,
            dst,
            first,
            last,
            spread: trigger.jitter.filter(|jitter| !jitter.window.is_zero()).map(Spread::new),
        };
        compiler.check_that_it_fires(&plan);
        compiler.faults.into_result().map(|()| plan)
    }
}

fn jitter_beyond(trigger: &ScheduleTrigger, field: &str) -> Option<Violation> {
    let window = trigger.jitter.map(|jitter| jitter.window).filter(|window| *window > MAX_JITTER)?;
    let message =
        format!("window \"{window}\" is above {MAX_JITTER}; a due time never moves past the one that follows");
    Some(Violation::new(format!("{field}.jitter.window"), message))
}

/// What is allowed in a schedule but hardly meant; `field` is the schedule's path.
pub fn warnings(trigger: &ScheduleTrigger, field: &str) -> Vec<Violation> {
    let mut all = endless(trigger, field).into_iter().collect::<Vec<_>>();
    let hidden = trigger.cron.iter().enumerate().filter(|(_, line)| hides_a_weekday(line, trigger.dialect));
    let warning = |(number, line): (usize, &String)| {
        let at = line.find('#').unwrap_or_default();
        let comment: String = line[at..].chars().take(20).collect();
        let message =
            format!("{comment:?} is a comment: for the nth weekday of a month set dialect to vixie or quartz");
        Violation::new(format!("{field}.cron[{number}]"), message).at(at, line.len())
    };
    all.extend(hidden.map(warning));
    all.extend(unmoved(trigger, field));
    all
}

/// `roll` moves local times; what it leaves where it is, is silently not due on a closed day.
fn unmoved(trigger: &ScheduleTrigger, field: &str) -> Option<Violation> {
    let by_line = trigger.cron.iter().any(|line| line.trim_start().starts_with("@every"));
    let by_length = trigger.interval.iter().any(|interval| interval.every.is_some());
    let stays = [("at", !trigger.at.is_empty()), ("interval.every", by_length), ("@every", by_line)];
    let stays: Vec<&str> = stays.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect();
    let message = format!("times of {} are not moved: on a closed day they are not due", stays.join(" and "));
    (trigger.roll != Roll::Skip && !stays.is_empty()).then(|| Violation::new(format!("{field}.roll"), message))
}

/// What is to become of the definition never does.
fn endless(trigger: &ScheduleTrigger, field: &str) -> Option<Violation> {
    let asks = trigger.after_end != AfterEnd::Keep;
    let bounded = trigger.end.is_some() || trigger.max_firings.is_some();
    let message = "the interval goes on for ever, so nothing becomes of the definition: set end or max_firings";
    (asks && !bounded && !trigger.interval.is_empty()).then(|| Violation::new(format!("{field}.after_end"), message))
}

fn reading(trigger: &ScheduleTrigger, seed: u64, excludes: bool) -> Reading {
    Reading { dialect: trigger.dialect, seed, excludes }
}

fn never_shown(zone: &Zone) -> String {
    format!("it never fires: clock changes in {} leave out all its times until 2100", zone.name())
}

fn distinct<T: Ord>(mut items: Vec<T>) -> Box<[T]> {
    items.sort_unstable();
    items.dedup();
    items.into()
}

struct Compiler<'a> {
    field: &'a str,
    trigger: &'a ScheduleTrigger,
    calendars: Calendars<'a>,
    faults: Violations,
}

impl Compiler<'_> {
    fn fault(&mut self, field: &str, message: String) {
        self.faults.push(format!("{}.{field}", self.field), message);
    }

    /// Whether a list is not too long; a longer one is not looked into.
    fn fits(&mut self, path: String, len: usize, max: usize) -> bool {
        if len > max {
            self.faults.push(path, format!("{len} entries are too many; at most {max} are allowed"));
        }
        len <= max
    }

    /// First and last nominal time that the schedule allows.
    fn bounds(&mut self) -> (i64, i64) {
        let (start, end) = (self.trigger.start, self.trigger.end);
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            self.fault("end", format!("{} is before start {}", shown(&end), shown(&start)));
        }
        let first = start.map_or(FIRST_TIME, |start| first_micros_from(start).max(FIRST_TIME));
        let last = end.map_or(LAST_TIME, |end| end.timestamp_micros().min(LAST_TIME));
        (first, last)
    }

    /// Rules with all that they need to know of their zone; those that never fire are told of.
    fn rules_in(&mut self, zone: &Zone, dst: DstPolicy, named: &mut Named) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (path, text) in std::mem::take(&mut named.rules) {
            let rule = match text.rule(|local| dst.gap != Gap::Skip || zone.shows(local)) {
                Ok(rule) => rule,
                Err(fault) => {
                    self.faults.0.push(fault.in_field(&path));
                    continue;
                }
            };
            match first_instant(zone, dst, FIRST_TIME, |local| rule.first_local(local)) {
                None => self.faults.push(path, never_shown(zone)),
                Some(first) if first > rule.last => {
                    self.faults.push(path, "it never fires: UNTIL is before its first time");
                }
                Some(_) => rules.push(rule),
            }
        }
        rules
    }

    /// Business days with all that decides about them; those that never come are told of.
    fn business(&mut self, zone: &Zone, dst: DstPolicy, named: &mut Named, closed: Option<&Closed>) -> Box<[Business]> {
        let working_week = closed.is_none_or(|closed| !closed.has_weekdays());
        let days = |year, month| closed.map_or(0, |closed| closed.days(year, month));
        let mut business = Vec::new();
        for (path, (cron, picked)) in std::mem::take(&mut named.business) {
            let one = Business { cron, picked, working_week };
            match first_instant(zone, dst, FIRST_TIME, |local| one.first_local(local, days)) {
                Some(_) => business.push(one),
                None => self.faults.push(path, "it never fires: no month until 2100 has such an open day"),
            }
        }
        distinct(business)
    }

    fn check_roll(&mut self, closed: Option<&Closed>) {
        if self.trigger.roll != Roll::Skip && self.faults.0.is_empty() && closed.is_none_or(|closed| !closed.has_days())
        {
            let message = "there is no closed day to move from: neither exclude nor only_on closes whole days";
            self.fault("roll", message.to_owned());
        }
    }

    fn check_misfire_policy(&mut self) {
        if let Some(policy) = self.trigger.misfire_policy
            && policy.window < SHORTEST_MISFIRE_WINDOW
        {
            let message = format!("window \"{}\" is below {SHORTEST_MISFIRE_WINDOW}", policy.window);
            self.fault("misfire_policy.window", message);
        }
    }

    fn check_max_firings(&mut self) {
        if self.trigger.max_firings == Some(0) {
            let message =
                "0 firings are none: at least 1, or leave it out; enabled: false stops a definition".to_owned();
            self.fault("max_firings", message);
        }
    }

    /// Asked only when nothing else is wrong: a schedule that can't ever fire is a mistake.
    fn check_that_it_fires(&mut self, plan: &Plan) {
        let trigger = self.trigger;
        let names_no_time = Kinds::of_schedule(trigger, self.field).is_empty();
        // When runs of others end, nobody knows now.
        let waits = names_no_time && !trigger.after.is_empty();
        if !self.faults.0.is_empty() || waits || plan.next(plan.first - 1).is_some() {
            return;
        }
        let message = if names_no_time {
            "it has none of cron, calendar, rrule, interval, at and after; leave the schedule out to run by hand or by events only"
                .to_owned()
        } else {
            let bound = |time: Option<DateTime<Utc>>, none: &str| time.map_or(none.to_owned(), |time| shown(&time));
            let (from, to) = (bound(trigger.start, "1970"), bound(trigger.end, "2100"));
            let why = match plan.closed {
                None => "no due time lies",
                Some(_) if trigger.exclude.is_empty() => "only_on leaves no due time that lies",
                Some(_) => "exclude leaves no due time that lies",
            };
            format!("it never fires: {why} in its bounds, from {from} to {to}")
        };
        self.faults.0.push(Violation::new(self.field, message));
    }
}

/// The first whole microsecond that is not before a time.
fn first_micros_from(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros() + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1_000))
}

fn shown(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
