//! A calendar: the fields of a cron line one by one. Its texts have the grammar of cron fields, in which `#` is never a
//! comment and Sunday is 0 and 7.

use flintwheel_model::Violations;
use flintwheel_model::definition::{CalendarTimes, CronDialect};

use super::fields::{Field, HOUR, MINUTE, MONTH, SECOND, YEAR};
use super::{Cron, EVERY_YEAR, MonthDays, Reading, WeekDays};
use crate::business::Picked;
use crate::fault::{Fault, Piece};
use crate::limits::{FIRST_TIME, MAX_CALENDAR_COMMENT_BYTES, MAX_CRON_LINE_BYTES, MAX_FAULTS_PER_LINE};

/// What a calendar says: of its days of month those that the month alone decides, and those that open days decide.
pub(crate) struct CalendarRead {
    pub plain: Option<Cron>,
    pub business: Option<(Cron, Picked)>,
}

/// Reads a calendar; `path` is where it stands. All its faults at once.
pub(crate) fn read_calendar(
    calendar: &CalendarTimes,
    path: &str,
    reading: Reading,
) -> Result<CalendarRead, Violations> {
    let mut reader = Reader { path, seed: reading.seed, faults: Violations::default() };
    let (days, picked) = reader.days("day_of_month", &calendar.day_of_month);
    if picked.is_some() && reading.excludes {
        reader.faults.push(format!("{path}.day_of_month"), BUSINESS_EXCLUDED);
    }
    let time = reading.time_default();
    let cron = Cron {
        seconds: reader.set("second", &calendar.second, time, &SECOND) as u64,
        minutes: reader.set("minute", &calendar.minute, time, &MINUTE) as u64,
        hours: reader.set("hour", &calendar.hour, time, &HOUR) as u32,
        days,
        months: reader.set("month", &calendar.month, "*", &MONTH) as u16,
        weekdays: reader.weekdays("day_of_week", &calendar.day_of_week),
        years: match calendar.year.as_slice() {
            [] => EVERY_YEAR,
            [any] if any == "*" => EVERY_YEAR,
            years => reader.set("year", years, "*", &YEAR),
        },
        either: false,
    };
    reader.check_comment(&calendar.comment);
    let plain = (!days.is_empty()).then_some(cron);
    if reader.faults.0.is_empty() && plain.is_some_and(|cron| cron.first_local(FIRST_TIME).is_none()) {
        reader.faults.push(path, "no day from 1970 to 2100 is like this");
    }
    let business = picked.map(|picked| (Cron { days: MonthDays::ALL, ..cron }, picked));
    reader.faults.into_result().map(|()| CalendarRead { plain, business })
}

const BUSINESS_EXCLUDED: &str = "business days such as LB can't be excluded: they follow from what is excluded";

struct Reader<'a> {
    path: &'a str,
    seed: u64,
    faults: Violations,
}

impl Reader<'_> {
    fn set(&mut self, name: &str, texts: &[String], default: &str, field: &Field) -> u128 {
        let seed = self.seed;
        if texts.is_empty() {
            return field.parse(Piece::whole(default), seed, &mut Vec::new());
        }
        self.each(name, texts, |text, faults| field.parse(text, seed, faults))
            .into_iter()
            .fold(0, |set, more| set | more)
    }

    fn days(&mut self, name: &str, texts: &[String]) -> (MonthDays, Option<Picked>) {
        let seed = self.seed;
        if texts.is_empty() {
            return (MonthDays::ALL, None);
        }
        let read = self.each(name, texts, |text, faults| {
            let (mut plain, mut picked) = (MonthDays::default(), None::<Picked>);
            for part in text.split(',') {
                match Picked::read(part) {
                    None => plain = plain.or(MonthDays::parse(part, seed, faults)),
                    Some(Ok(more)) => picked = Some(picked.unwrap_or_default().or(more)),
                    Some(Err(fault)) => faults.push(fault),
                }
            }
            (plain, picked)
        });
        read.into_iter().fold((MonthDays::default(), None), |(days, picked), (more, more_picked)| {
            let both = picked.into_iter().chain(more_picked).reduce(Picked::or);
            (days.or(more), both)
        })
    }

    fn weekdays(&mut self, name: &str, texts: &[String]) -> WeekDays {
        let seed = self.seed;
        if texts.is_empty() {
            return WeekDays::ALL;
        }
        let days = self.each(name, texts, |text, faults| WeekDays::parse(text, CronDialect::Temporal, seed, faults));
        days.into_iter().fold(WeekDays::default(), WeekDays::or)
    }

    /// What each text says, the faulty ones too, whose faults are kept. Texts that are too long are not looked into.
    fn each<T>(&mut self, name: &str, texts: &[String], read: impl Fn(Piece, &mut Vec<Fault>) -> T) -> Vec<T> {
        let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
        if bytes > MAX_CRON_LINE_BYTES {
            let message = format!("its values are {bytes} bytes long; at most {MAX_CRON_LINE_BYTES} are allowed");
            self.faults.push(format!("{}.{name}", self.path), message);
            return Vec::new();
        }
        let mut values = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let mut faults = Vec::new();
            values.push(read(Piece::whole(text).trim(), &mut faults));
            let path = format!("{}.{name}[{number}]", self.path);
            let told = faults.into_iter().take(MAX_FAULTS_PER_LINE);
            self.faults.0.extend(told.map(|fault| fault.in_field(&path)));
        }
        values
    }

    fn check_comment(&mut self, comment: &str) {
        if comment.len() > MAX_CALENDAR_COMMENT_BYTES {
            let message =
                format!("it is {} bytes long; at most {MAX_CALENDAR_COMMENT_BYTES} are allowed", comment.len());
            self.faults.push(format!("{}.comment", self.path), message);
        }
    }
}
