//! From what the user wrote of a calendar to its days, or to all that is wrong with it.

use flintwheel_model::calendar::CalendarSpec;
use flintwheel_model::definition::CronDialect;
use flintwheel_model::{Violation, Violations};

use super::dates::Dates;
use super::{CalendarDays, apart, ical};
use crate::cron::WeekDays;
use crate::fault::{Piece, quoted};
use crate::limits::{MAX_CALENDAR_DATES, MAX_CALENDAR_DEPTH, MAX_CALENDAR_PARTS};

/// Reads the calendar `name`, with those that it refers to. `find` yields what is written of a calendar, itself included;
/// `field` is the path that paths of faults begin with, such as `spec`.
///
/// # Errors
/// All that is wrong with it: also where a calendar that it refers to does not exist, is at fault, or leads back to it.
pub fn compile_calendar<'a>(
    name: &str,
    field: &str,
    find: &dyn Fn(&str) -> Option<&'a CalendarSpec>,
) -> Result<CalendarDays, Violations> {
    let mut reader = Reader { find, path: vec![name.to_owned()], seen: 0, faults: Violations::default() };
    let mut found = Found::default();
    match find(name) {
        Some(spec) => reader.read(spec, field, &mut found),
        None => reader.faults.push(field, format!("there is no calendar {}", quoted(name))),
    }
    if found.ranges.len() > MAX_CALENDAR_DATES {
        let count = found.ranges.len();
        reader
            .faults
            .push(field, format!("{count} dates and ranges are too many; at most {MAX_CALENDAR_DATES} are allowed"));
    }
    let Found { ranges, weekdays, yearly } = found;
    reader.faults.into_result().map(|()| CalendarDays { ranges: apart(ranges), weekdays, yearly })
}

/// The days of all calendars that were read.
#[derive(Default)]
struct Found {
    ranges: Vec<(i32, i32)>,
    weekdays: u8,
    yearly: [u32; 12],
}

struct Reader<'a, 'b> {
    find: &'b dyn Fn(&str) -> Option<&'a CalendarSpec>,
    /// The calendars that led here, the outermost first.
    path: Vec<String>,
    /// How many have been read.
    seen: usize,
    faults: Violations,
}

impl Reader<'_, '_> {
    fn read(&mut self, spec: &CalendarSpec, field: &str, found: &mut Found) {
        let CalendarSpec { weekdays, dates, ical, calendars } = spec;
        let nothing = weekdays.is_empty() && dates.is_empty() && ical.is_none() && calendars.is_empty();
        if nothing {
            self.faults.push(field, "it has none of weekdays, dates, ical and calendars");
        }
        self.weekdays(weekdays, field, found);
        self.dates(dates, field, found);
        if let Some(text) = ical {
            match ical::read(text) {
                Ok(mut ranges) => found.ranges.append(&mut ranges),
                Err(fault) => self.faults.0.push(fault.in_field(&format!("{field}.ical"))),
            }
        }
        for (number, name) in calendars.iter().enumerate() {
            self.refer(name, &format!("{field}.calendars[{number}]"), found);
        }
    }

    fn weekdays(&mut self, texts: &[String], field: &str, found: &mut Found) {
        for (number, text) in texts.iter().enumerate() {
            let mut faults = Vec::new();
            let read = WeekDays::parse(Piece::whole(text), CronDialect::Temporal, 0, &mut faults);
            let path = format!("{field}.weekdays[{number}]");
            // A day that is chosen, and any day, begin so; names of days hold an `H` too.
            let names_days = !text.split(',').any(|part| part.starts_with(['H', '*']));
            match read.plain_only().filter(|_| names_days) {
                Some(days) => found.weekdays |= days,
                None if faults.is_empty() => {
                    let message = format!("{} is not a weekday; write sat, or sat-sun", quoted(text));
                    self.faults.push(&path, message);
                }
                None => {}
            }
            self.faults.0.extend(faults.into_iter().take(1).map(|fault| fault.in_field(&path)));
        }
        if found.weekdays == 0x7f {
            self.faults.push(format!("{field}.weekdays"), "they are all days of the week");
        }
    }

    fn dates(&mut self, texts: &[String], field: &str, found: &mut Found) {
        if texts.len() > MAX_CALENDAR_DATES {
            let message = format!("{} entries are too many; at most {MAX_CALENDAR_DATES} are allowed", texts.len());
            self.faults.push(format!("{field}.dates"), message);
            return;
        }
        for (number, text) in texts.iter().enumerate() {
            match Dates::read(Piece::whole(text)) {
                Ok(Dates::Range(first, last)) => found.ranges.push((first, last)),
                Ok(Dates::Yearly(month, day)) => found.yearly[month as usize - 1] |= 1 << day,
                Err(fault) => self.faults.0.push(fault.in_field(&format!("{field}.dates[{number}]"))),
            }
        }
    }

    /// Reads another calendar. Its faults are told as one, of the place that names it: it has an owner of its own.
    fn refer(&mut self, name: &str, field: &str, found: &mut Found) {
        if self.path.iter().any(|outer| outer == name) {
            let way = self.path.join(" -> ");
            self.faults.push(field, format!("calendar {} leads back to itself: {way} -> {name}", quoted(name)));
            return;
        }
        self.seen += 1;
        if self.path.len() >= MAX_CALENDAR_DEPTH || self.seen > MAX_CALENDAR_PARTS {
            let limits = format!("{MAX_CALENDAR_DEPTH} within each other and {MAX_CALENDAR_PARTS} in all");
            self.faults.push(field, format!("it refers to too many calendars; at most {limits} are allowed"));
            return;
        }
        let Some(spec) = (self.find)(name) else {
            self.faults.push(field, format!("there is no calendar {}", quoted(name)));
            return;
        };
        let before = self.faults.0.len();
        self.path.push(name.to_owned());
        self.read(spec, "spec", found);
        self.path.pop();
        let inner = self.faults.0.split_off(before);
        let told = inner.first().map(|fault| format!("calendar {} is at fault: {fault}", quoted(name)));
        self.faults.0.extend(told.map(|message| Violation::new(field, message)));
    }
}
