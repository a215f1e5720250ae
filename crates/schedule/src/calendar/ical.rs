//! The text of an iCalendar file (RFC 5545), as far as it names whole days: `VEVENT`s whose `DTSTART` is a date.
//!
//! What a file says beyond that (names of holidays, alarms, time zones) is passed over; an event of hours is refused, as a
//! calendar closes days.

use chrono::{Datelike, NaiveDate};

use crate::fault::{Fault, Piece};
use crate::limits::{LAST_LOCAL, MAX_CALENDAR_DATES, MAX_ICAL_BYTES, MAX_ICAL_EVENTS};
use crate::rule::RuleText;

const DAY: i64 = 86_400;
/// The longest event, in days.
const LONGEST: i64 = 3_660;

/// A line as it is meant, folded lines joined, and where it begins.
struct Line<'a> {
    text: String,
    first: Piece<'a>,
}

/// What an event says of its days.
#[derive(Default)]
struct Event<'a> {
    start: Option<(i64, Line<'a>)>,
    end: Option<i64>,
    /// In days.
    length: Option<i64>,
    /// `RRULE`, `RDATE` and `EXDATE`, as they stand.
    repeats: Vec<String>,
    cancelled: bool,
}

/// The days of all events, as first and last day of ranges, in days since 1970.
pub(super) fn read(text: &str) -> Result<Vec<(i32, i32)>, Fault> {
    let whole = Piece::whole(text);
    if text.len() > MAX_ICAL_BYTES {
        return Err(whole.fault(format!("it is {} bytes long; at most {MAX_ICAL_BYTES} are allowed", text.len())));
    }
    let (mut ranges, mut open, mut event) = (Vec::new(), Vec::new(), Event::default());
    let mut events = 0;
    for line in unfold(whole) {
        let (name, value) = line.text.split_once(':').unwrap_or((&line.text, ""));
        let name = name.split(';').next().unwrap_or_default().to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => open.push(value.trim().to_ascii_uppercase()),
            "END" => {
                if open.pop().is_none_or(|begun| begun != value.trim().to_ascii_uppercase()) {
                    return Err(line.fault("it ends what has not begun".to_owned()));
                }
                if value.trim().eq_ignore_ascii_case("VEVENT") {
                    events += 1;
                    std::mem::take(&mut event).add_to(&mut ranges, &line)?;
                }
            }
            _ if open.last().is_some_and(|inner| inner == "VEVENT") => event.take(&name, value.to_owned(), line)?,
            _ if open.is_empty() => return Err(line.fault("a calendar file begins with BEGIN:VCALENDAR".to_owned())),
            _ => {}
        }
        if events > MAX_ICAL_EVENTS || ranges.len() > MAX_CALENDAR_DATES {
            let limits = format!("{MAX_ICAL_EVENTS} events and {MAX_CALENDAR_DATES} days or ranges");
            return Err(whole.fault(format!("it has too many events; at most {limits} are allowed")));
        }
    }
    match open.last() {
        Some(inner) => Err(whole.fault(format!("there is no END:{inner}"))),
        None if ranges.is_empty() => Err(whole.fault("it has no event of whole days".to_owned())),
        None => Ok(ranges),
    }
}

/// A line that begins with white space goes on with the one before.
fn unfold(text: Piece) -> impl Iterator<Item = Line> {
    let mut lines = text.split('\n').filter(|line| !line.text.trim().is_empty()).peekable();
    std::iter::from_fn(move || {
        let first = lines.next()?;
        let mut text = first.text.trim_end_matches('\r').to_owned();
        while let Some(more) = lines.next_if(|line| line.text.starts_with([' ', '\t'])) {
            text.push_str(more.text[1..].trim_end_matches('\r'));
        }
        Some(Line { text, first: first.slice(0..first.text.trim_end().len()) })
    })
}

impl Line<'_> {
    fn fault(&self, message: String) -> Fault {
        self.first.fault(format!("{}: {message}", self.first.quoted()))
    }
}

impl<'a> Event<'a> {
    fn take(&mut self, name: &str, value: String, line: Line<'a>) -> Result<(), Fault> {
        match name {
            "DTSTART" => self.start = Some((date(&value, &line)?, line)),
            "DTEND" => self.end = Some(date(&value, &line)?),
            "DURATION" => {
                let days = value.trim().strip_prefix('P').and_then(|days| days.strip_suffix('D')?.parse().ok());
                let help = "an event of whole days lasts P1D or more".to_owned();
                self.length = Some(days.ok_or_else(|| line.fault(help))?);
            }
            "RRULE" | "RDATE" | "EXDATE" => self.repeats.push(line.text),
            "STATUS" => self.cancelled = value.trim().eq_ignore_ascii_case("CANCELLED"),
            "EXRULE" => return Err(line.fault("EXRULE is not known".to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn add_to(self, ranges: &mut Vec<(i32, i32)>, end_line: &Line) -> Result<(), Fault> {
        if self.cancelled {
            return Ok(());
        }
        let Some((start, start_line)) = self.start else {
            return Err(end_line.fault("the event has no DTSTART".to_owned()));
        };
        // An end is the day after the last one.
        let end = self.end.or(self.length.map(|days| start.saturating_add(days)));
        let length = end.map_or(1, |end| end.saturating_sub(start));
        if !(1..=LONGEST).contains(&length) {
            return Err(start_line.fault(format!("the event lasts {length} days; 1 to {LONGEST} are allowed")));
        }
        for day in days(&start_line, start, &self.repeats)? {
            ranges.extend(within(day, day + length - 1));
            if ranges.len() > MAX_CALENDAR_DATES {
                break;
            }
        }
        Ok(())
    }
}

/// A range, as far as it lies in the years 1970 to 2100.
fn within(first: i64, last: i64) -> Option<(i32, i32)> {
    let (first, last) = (first.max(0), last.min(LAST_LOCAL.div_euclid(DAY)));
    if first > last { None } else { Some((i32::try_from(first).ok()?, i32::try_from(last).ok()?)) }
}

/// The first days of an event and its repetitions.
fn days(line: &Line, start: i64, repeats: &[String]) -> Result<Vec<i64>, Fault> {
    if !repeats.iter().any(|text| text.to_ascii_uppercase().starts_with("RRULE")) {
        let wrong = "RDATE and EXDATE stand beside an RRULE";
        return if repeats.is_empty() { Ok(vec![start]) } else { Err(line.fault(wrong.to_owned())) };
    }
    let begin = i32::try_from(start).ok().and_then(NaiveDate::from_epoch_days).expect("it was read of a date");
    let text = format!("DTSTART;VALUE=DATE:{} {}", begin.format("%Y%m%d"), repeats.join(" "));
    let told = |fault: &Fault| line.fault(format!("its rule is at fault: {}", fault.message));
    let rule =
        RuleText::parse(&text).map_err(|faults| told(&faults[0]))?.rule(|_| true).map_err(|fault| told(&fault))?;
    let found = std::iter::successors(rule.first_local(i64::MIN), |time| rule.first_local(time + DAY));
    Ok(found.take(MAX_CALENDAR_DATES + 1).map(|time| time.div_euclid(DAY)).collect())
}

fn date(value: &str, line: &Line) -> Result<i64, Fault> {
    let date = NaiveDate::parse_from_str(value.trim(), "%Y%m%d").ok().filter(|_| value.trim().len() == 8);
    let date = date.filter(|date| (1900..=2200).contains(&date.year()));
    date.map(|date| i64::from(date.to_epoch_days())).ok_or_else(|| {
        let help = "a calendar has events of whole days, such as DTSTART;VALUE=DATE:20261225";
        line.fault(format!("it is not a date of the years 1900-2200; {help}"))
    })
}
