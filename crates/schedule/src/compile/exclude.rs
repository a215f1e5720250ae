//! What a schedule excludes.

use std::collections::BTreeMap;
use std::sync::Arc;

use flintwheel_model::definition::ScheduleTrigger;

use super::kinds::{Kinds, Named};
use super::{Compiler, distinct};
use crate::calendar::{CalendarDays, apart, read_range};
use crate::closed::Closed;
use crate::cron::Reading;
use crate::fault::{Piece, quoted};
use crate::limits::{
    MAX_EXCLUDED_DATES, MAX_EXCLUDED_FIELDS, MAX_EXCLUDED_INTERVALS, MAX_EXCLUSIONS, MAX_NAMED_CALENDARS,
};
use crate::rule::Rule;

/// What to do with more days than a schedule may exclude by itself.
const MANY_DAYS: &str = "a named calendar (kind: Calendar) holds up to 20000 and is excluded by calendar_name, and days in a row are one range, \
                         such as 2026-12-24/2027-01-06";

/// Days since 1970, the first and the last of a range.
type Days = (i32, i32);

/// All exclusions of a schedule, as they are read.
#[derive(Default)]
pub(super) struct Excluded<'a> {
    pub named: Named<'a>,
    dates: Vec<Days>,
    /// By their names.
    calendars: BTreeMap<&'a str, Arc<CalendarDays>>,
    only: BTreeMap<&'a str, Arc<CalendarDays>>,
}

impl Excluded<'_> {
    /// `rules` are those of `named`, with all that they need to know of their zone.
    pub fn closed(self, rules: Vec<Rule>) -> Option<Box<Closed>> {
        let crons = distinct(self.named.crons().map(|(_, cron)| cron).collect());
        let Named { repeats, intervals, singles, .. } = self.named;
        let (repeats, intervals, singles) = (distinct(repeats), distinct(intervals), distinct(singles));
        let calendars = |by_name: BTreeMap<&str, Arc<CalendarDays>>| by_name.into_values().collect();
        let (named, only) = (calendars(self.calendars), calendars(self.only));
        let dates = apart(self.dates);
        let closed = Closed { dates, named, only, crons, repeats, rules: distinct(rules), intervals, singles };
        (closed != Closed::default()).then(|| Box::new(closed))
    }
}

impl<'a> Compiler<'a> {
    pub(super) fn excluded(&mut self, reading: Reading) -> Excluded<'a> {
        let trigger: &'a ScheduleTrigger = self.trigger;
        let (path, mut excluded) = (format!("{}.exclude", self.field), Excluded::default());
        self.look_up(&format!("{}.only_on", self.field), &trigger.only_on, &mut excluded.only);
        if !self.fits(path.clone(), trigger.exclude.len(), MAX_EXCLUSIONS) {
            return excluded;
        }
        for (number, exclusion) in trigger.exclude.iter().enumerate() {
            let path = format!("{path}[{number}]");
            let kinds = Kinds::of_exclusion(exclusion, path.clone());
            let has_days = !exclusion.dates.is_empty() || !exclusion.calendar_name.is_empty();
            if kinds.is_empty() && !has_days {
                self.faults.push(&path, "it has none of calendar_name, dates, cron, calendar, rrule, interval and at");
            }
            let mut more = self.named(&kinds, reading);
            excluded.named.lines.append(&mut more.lines);
            excluded.named.calendars.append(&mut more.calendars);
            excluded.named.rules.append(&mut more.rules);
            excluded.named.repeats.append(&mut more.repeats);
            excluded.named.intervals.append(&mut more.intervals);
            excluded.named.singles.append(&mut more.singles);
            self.look_up(&format!("{path}.calendar_name"), &exclusion.calendar_name, &mut excluded.calendars);
            self.dates(&format!("{path}.dates"), &exclusion.dates, &mut excluded.dates);
        }
        self.check_excluded(&path, &excluded);
        excluded
    }

    /// Finds calendars by their names.
    fn look_up(&mut self, path: &str, names: &'a [String], found: &mut BTreeMap<&'a str, Arc<CalendarDays>>) {
        for (number, name) in names.iter().enumerate() {
            match (self.calendars)(name) {
                Some(days) => {
                    found.insert(name, days);
                }
                None => {
                    let help = "apply it first, as kind: Calendar in the namespace of the definition";
                    self.faults
                        .push(format!("{path}[{number}]"), format!("there is no calendar {}; {help}", quoted(name)));
                }
            }
        }
        self.fits(path.to_owned(), found.len(), MAX_NAMED_CALENDARS);
    }

    /// That not too much is excluded, in all entries together.
    fn check_excluded(&mut self, path: &str, excluded: &Excluded) {
        let Named { repeats, rules, intervals, singles, .. } = &excluded.named;
        for (what, count, most) in [
            ("cron lines and calendars", excluded.named.crons().count(), MAX_EXCLUDED_FIELDS),
            ("intervals and rules", repeats.len() + rules.len() + intervals.len(), MAX_EXCLUDED_INTERVALS),
            ("dates", excluded.dates.len(), MAX_EXCLUDED_DATES),
            ("single times", singles.len(), MAX_EXCLUDED_DATES),
        ] {
            if count > most {
                let advice = if what == "dates" { format!("; {MANY_DAYS}") } else { String::new() };
                self.faults.push(path, format!("{count} {what} are too many; at most {most} are allowed{advice}"));
            }
        }
    }

    fn dates(&mut self, path: &str, texts: &[String], dates: &mut Vec<Days>) {
        if texts.len() > MAX_EXCLUDED_DATES {
            let (count, most) = (texts.len(), MAX_EXCLUDED_DATES);
            self.faults.push(path, format!("{count} entries are too many; at most {most} are allowed; {MANY_DAYS}"));
            return;
        }
        for (number, text) in texts.iter().enumerate() {
            match read_range(Piece::whole(text)) {
                Ok(days) => dates.push(days),
                Err(fault) => self.faults.0.push(fault.in_field(&format!("{path}[{number}]"))),
            }
        }
    }
}
