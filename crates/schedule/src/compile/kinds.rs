//! The kinds of times that a schedule names, and an exclusion: cron lines, calendars, rules, intervals and single times.

use chrono::{DateTime, Utc};
use flintwheel_model::definition::{CalendarTimes, Exclusion, Interval, ScheduleTrigger};

use super::{Compiler, shown};
use crate::business::Picked;
use crate::cron::{CalendarRead, Cron, Line, Reading, read_calendar};
use crate::interval::{Every, IntervalFault, Recurring};
use crate::limits::{FIRST_TIME, LAST_TIME, MAX_CALENDARS, MAX_CRON_LINES, MAX_INTERVALS, MAX_RULES, MAX_SINGLE_TIMES};
use crate::repeat::Repeat;
use crate::rule::RuleText;

/// As the user wrote them.
pub(super) struct Kinds<'a> {
    /// Where they stand.
    path: String,
    cron: &'a [String],
    calendar: &'a [CalendarTimes],
    rrule: &'a [String],
    interval: &'a [Interval],
    at: &'a [DateTime<Utc>],
}

impl<'a> Kinds<'a> {
    pub fn of_schedule(trigger: &'a ScheduleTrigger, path: &str) -> Self {
        let ScheduleTrigger { cron, calendar, rrule, interval, at, .. } = trigger;
        Self { path: path.to_owned(), cron, calendar, rrule, interval, at }
    }

    pub fn of_exclusion(exclusion: &'a Exclusion, path: String) -> Self {
        let Exclusion { cron, calendar, rrule, interval, at, .. } = exclusion;
        Self { path, cron, calendar, rrule, interval, at }
    }

    pub fn is_empty(&self) -> bool {
        let lists = self.cron.is_empty() && self.calendar.is_empty() && self.rrule.is_empty();
        lists && self.interval.is_empty() && self.at.is_empty()
    }
}

/// As they are read: what is without fault.
#[derive(Default)]
pub(super) struct Named<'a> {
    /// Cron lines, each with its path.
    pub lines: Vec<(String, Line<'a>)>,
    pub calendars: Vec<(String, Cron)>,
    /// Calendars of business days, each with its path.
    pub business: Vec<(String, (Cron, Picked))>,
    /// Each with its path.
    pub rules: Vec<(String, RuleText<'a>)>,
    pub repeats: Vec<Repeat>,
    pub intervals: Vec<Every>,
    pub singles: Vec<i64>,
}

impl Named<'_> {
    /// Of lines and calendars, with their paths.
    pub fn crons(&self) -> impl Iterator<Item = (&str, Cron)> {
        let times = |line: &Line| if let Line::Times(cron, _) = line { Some(*cron) } else { None };
        let of_lines = self.lines.iter().filter_map(move |(path, line)| Some((path.as_str(), times(line)?)));
        of_lines.chain(self.calendars.iter().map(|(path, cron)| (path.as_str(), *cron)))
    }
}

impl Compiler<'_> {
    /// Reads all kinds.
    pub(super) fn named<'b>(&mut self, kinds: &Kinds<'b>, reading: Reading) -> Named<'b> {
        let mut named = Named { lines: self.lines(kinds, reading), ..Named::default() };
        self.calendars(kinds, reading, &mut named);
        named.rules = self.rules(kinds);
        self.intervals(kinds, &mut named);
        named.singles = self.singles(kinds);
        let of_lines =
            named.lines.iter().filter_map(|(_, line)| if let Line::Every(every) = line { Some(*every) } else { None });
        named.intervals.extend(of_lines);
        named
    }

    fn lines<'b>(&mut self, kinds: &Kinds<'b>, reading: Reading) -> Vec<(String, Line<'b>)> {
        let mut lines = Vec::new();
        if !self.fits(format!("{}.cron", kinds.path), kinds.cron.len(), MAX_CRON_LINES) {
            return lines;
        }
        for (number, text) in kinds.cron.iter().enumerate() {
            let path = format!("{}.cron[{number}]", kinds.path);
            match Line::parse(text, reading) {
                Ok(line) => lines.push((path, line)),
                Err(faults) => self.faults.0.extend(faults.into_iter().map(|fault| fault.in_field(&path))),
            }
        }
        lines
    }

    fn calendars(&mut self, kinds: &Kinds, reading: Reading, named: &mut Named) {
        if !self.fits(format!("{}.calendar", kinds.path), kinds.calendar.len(), MAX_CALENDARS) {
            return;
        }
        for (number, calendar) in kinds.calendar.iter().enumerate() {
            let path = format!("{}.calendar[{number}]", kinds.path);
            match read_calendar(calendar, &path, reading) {
                Ok(CalendarRead { plain, business }) => {
                    named.calendars.extend(plain.map(|cron| (path.clone(), cron)));
                    named.business.extend(business.map(|business| (path, business)));
                }
                Err(faults) => self.faults.0.extend(faults.0),
            }
        }
    }

    fn rules<'b>(&mut self, kinds: &Kinds<'b>) -> Vec<(String, RuleText<'b>)> {
        let mut rules = Vec::new();
        if !self.fits(format!("{}.rrule", kinds.path), kinds.rrule.len(), MAX_RULES) {
            return rules;
        }
        for (number, text) in kinds.rrule.iter().enumerate() {
            let path = format!("{}.rrule[{number}]", kinds.path);
            match RuleText::parse(text) {
                Ok(rule) => rules.push((path, rule)),
                Err(faults) => self.faults.0.extend(faults.into_iter().map(|fault| fault.in_field(&path))),
            }
        }
        rules
    }

    fn intervals(&mut self, kinds: &Kinds, named: &mut Named) {
        if !self.fits(format!("{}.interval", kinds.path), kinds.interval.len(), MAX_INTERVALS) {
            return;
        }
        for (number, interval) in kinds.interval.iter().enumerate() {
            match Recurring::read(interval) {
                Ok(Recurring::Elapsed(every)) => named.intervals.push(every),
                Ok(Recurring::Local(repeat)) => named.repeats.push(repeat),
                Err(faults) => faults.into_iter().for_each(|IntervalFault { field, message }| {
                    let separator = if field.is_empty() { "" } else { "." };
                    self.faults.push(format!("{}.interval[{number}]{separator}{field}", kinds.path), message);
                }),
            }
        }
    }

    fn singles(&mut self, kinds: &Kinds) -> Vec<i64> {
        let (at, path) = (kinds.at, format!("{}.at", kinds.path));
        if !self.fits(path.clone(), at.len(), MAX_SINGLE_TIMES) {
            return Vec::new();
        }
        for (number, time) in at.iter().enumerate() {
            if time.timestamp_subsec_nanos() % 1_000 != 0 {
                self.faults.push(format!("{path}[{number}]"), format!("{} is finer than a microsecond", shown(time)));
            }
            if !(FIRST_TIME..=LAST_TIME).contains(&time.timestamp_micros()) {
                self.faults.push(format!("{path}[{number}]"), format!("{} is not in the years 1970-2100", shown(time)));
            }
        }
        at.iter().map(DateTime::timestamp_micros).collect()
    }
}
