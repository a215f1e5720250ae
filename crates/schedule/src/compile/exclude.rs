//! What a schedule excludes.

use chrono::{Datelike, NaiveDate};
use flintwheel_model::definition::ScheduleTrigger;

use super::kinds::{Kinds, Named};
use super::{Compiler, distinct};
use crate::closed::Closed;
use crate::cron::Reading;
use crate::fault::{Fault, Piece};
use crate::limits::{MAX_EXCLUDED_DATES, MAX_EXCLUDED_FIELDS, MAX_EXCLUDED_INTERVALS, MAX_EXCLUSIONS};
use crate::rule::Rule;

/// Days since 1970, the first and the last of a range.
type Days = (i32, i32);

/// All exclusions of a schedule, as they are read.
#[derive(Default)]
pub(super) struct Excluded<'a> {
    pub named: Named<'a>,
    dates: Vec<Days>,
}

impl Excluded<'_> {
    /// `rules` are those of `named`, with all that they need to know of their zone.
    pub fn closed(self, rules: Vec<Rule>) -> Option<Box<Closed>> {
        let crons = distinct(self.named.crons().map(|(_, cron)| cron).collect());
        let Named { repeats, intervals, singles, .. } = self.named;
        let (repeats, intervals, singles) = (distinct(repeats), distinct(intervals), distinct(singles));
        let dates = apart(self.dates);
        let closed = Closed { dates, crons, repeats, rules: distinct(rules), intervals, singles };
        (closed != Closed::default()).then(|| Box::new(closed))
    }
}

/// Sorted, with ranges that meet made one.
fn apart(mut dates: Vec<Days>) -> Box<[Days]> {
    dates.sort_unstable();
    let mut ranges: Vec<Days> = Vec::with_capacity(dates.len());
    for (first, last) in dates {
        match ranges.last_mut().filter(|range| first <= range.1 + 1) {
            Some(range) => range.1 = range.1.max(last),
            None => ranges.push((first, last)),
        }
    }
    ranges.into()
}

impl<'a> Compiler<'a> {
    pub(super) fn excluded(&mut self, reading: Reading) -> Excluded<'a> {
        let trigger: &'a ScheduleTrigger = self.trigger;
        let (path, mut excluded) = (format!("{}.exclude", self.field), Excluded::default());
        if !self.fits(path.clone(), trigger.exclude.len(), MAX_EXCLUSIONS) {
            return excluded;
        }
        for (number, exclusion) in trigger.exclude.iter().enumerate() {
            let path = format!("{path}[{number}]");
            let kinds = Kinds::of_exclusion(exclusion, path.clone());
            if kinds.is_empty() && exclusion.dates.is_empty() {
                self.faults.push(&path, "it has none of dates, cron, calendar, rrule, interval and at");
            }
            let mut more = self.named(&kinds, reading);
            excluded.named.lines.append(&mut more.lines);
            excluded.named.calendars.append(&mut more.calendars);
            excluded.named.rules.append(&mut more.rules);
            excluded.named.repeats.append(&mut more.repeats);
            excluded.named.intervals.append(&mut more.intervals);
            excluded.named.singles.append(&mut more.singles);
            self.dates(&format!("{path}.dates"), &exclusion.dates, &mut excluded.dates);
        }
        self.check_excluded(&path, &excluded);
        excluded
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
                self.faults.push(path, format!("{count} {what} are too many; at most {most} are allowed"));
            }
        }
    }

    fn dates(&mut self, path: &str, texts: &[String], dates: &mut Vec<Days>) {
        if !self.fits(path.to_owned(), texts.len(), MAX_EXCLUDED_DATES) {
            return;
        }
        for (number, text) in texts.iter().enumerate() {
            match read_dates(Piece::whole(text)) {
                Ok(days) => dates.push(days),
                Err(fault) => self.faults.0.push(fault.in_field(&format!("{path}[{number}]"))),
            }
        }
    }
}

/// `2026-12-24`, or `2026-12-24/2027-01-06` with both ends.
fn read_dates(text: Piece) -> Result<Days, Fault> {
    let Some((first, last)) = text.split_once('/') else {
        let day = read_date(text)?;
        return Ok((day, day));
    };
    let (first, last) = (read_date(first)?, read_date(last)?);
    if last < first {
        return Err(text.fault(format!("dates {} end before they begin", text.quoted())));
    }
    Ok((first, last))
}

fn read_date(text: Piece) -> Result<i32, Fault> {
    let date =
        NaiveDate::parse_from_str(text.text, "%Y-%m-%d").ok().filter(|date| (1970..=2100).contains(&date.year()));
    let day = date.filter(|_| text.text.len() == "2026-12-24".len()).map(|date| date.to_epoch_days());
    day.ok_or_else(|| {
        let help = "write 2026-12-24, or 2026-12-24/2027-01-06 for a range";
        text.fault(format!("date {} is not a day of the years 1970-2100; {help}", text.quoted()))
    })
}
