//! One cron line: `[CRON_TZ=zone] fields|@name|@every D[/P] [# comment]`.
//!
//! It does not know which zones there are.

use flintwheel_model::Span;
use flintwheel_model::definition::{CronDialect, Interval};

use super::fields::{HOUR, MINUTE, MONTH, SECOND, YEAR};
use super::{Cron, EVERY_YEAR, MonthDays, Reading, WeekDays};
use crate::fault::{Fault, Piece};
use crate::interval::{Every, IntervalFault};
use crate::limits::{FIRST_TIME, MAX_CRON_LINE_BYTES, MAX_FAULTS_PER_LINE};

/// Names for common lines, in five fields.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What a line says.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// Local times, with the zone that the line itself names.
    Times(Cron, Option<Piece<'a>>),
    /// `@every`, which knows no zone.
    Every(Every),
}

impl<'a> Line<'a> {
    /// Reads a line; all its faults at once (but not thousands).
    pub(crate) fn parse(text: &'a str, reading: Reading) -> Result<Self, Vec<Fault>> {
        let whole = Piece::whole(text);
        if text.len() > MAX_CRON_LINE_BYTES {
            let message = format!("it is {} bytes long; at most {MAX_CRON_LINE_BYTES} are allowed", text.len());
            return Err(vec![whole.fault(message)]);
        }
        parse(whole, reading).map_err(|mut faults| {
            if let Some(last) = faults.last_mut().filter(|_| hides_a_weekday(text, reading.dialect)) {
                last.message.push_str("; # begins a comment here, with dialect vixie or quartz 5#3 is a weekday");
            }
            shorten(whole, faults)
        })
    }
}

/// Whether `5#3` stands in a line of Temporal's dialect, where it is a Friday and a comment.
pub(crate) fn hides_a_weekday(text: &str, dialect: CronDialect) -> bool {
    dialect == CronDialect::Temporal
        && text.split_once('#').is_some_and(|(before, after)| {
            before.ends_with(|c: char| c.is_ascii_alphanumeric()) && after.starts_with(|c: char| c.is_ascii_digit())
        })
}

fn shorten(line: Piece, mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(MAX_FAULTS_PER_LINE);
    if more > 0 {
        faults.truncate(MAX_FAULTS_PER_LINE);
        faults.push(line.fault(format!("{more} more faults")));
    }
    faults
}

fn parse(line: Piece, reading: Reading) -> Result<Line, Vec<Fault>> {
    let (zone, rest) = split_zone(line.trim())?;
    let fields = without_comment(rest, reading.dialect).trim();
    let words: Vec<Piece> = fields.words().collect();
    match words.as_slice() {
        [every, arguments @ ..] if every.text == "@every" => {
            if let Some(zone) = zone {
                let message = format!("@every is counted in UTC, so it takes no time zone such as {}", zone.quoted());
                return Err(vec![zone.fault(message)]);
            }
            parse_every(fields, arguments).map(Line::Every)
        }
        [name, ..] if name.text.starts_with('@') => Ok(Line::Times(parse_named(fields, reading)?, zone)),
        words => Ok(Line::Times(parse_fields(fields, words, reading)?, zone)),
    }
}

/// In Temporal's dialect `#` begins a comment wherever it stands; elsewhere where a word begins.
fn without_comment(text: Piece, dialect: CronDialect) -> Piece {
    let begins =
        |at: usize| dialect == CronDialect::Temporal || !text.text[..at].ends_with(|c: char| !c.is_whitespace());
    let comment = text.text.match_indices('#').map(|(at, _)| at).find(|at| begins(*at));
    text.slice(0..comment.unwrap_or(text.text.len()))
}

/// Takes off `CRON_TZ=zone ` or `TZ=zone `. Only a space ends the zone's name, as in Temporal.
fn split_zone(line: Piece) -> Result<(Option<Piece>, Piece), Vec<Fault>> {
    let Some(prefix) = ["CRON_TZ=", "TZ="].into_iter().find(|prefix| line.text.starts_with(prefix)) else {
        return Ok((None, line));
    };
    let named = line.slice(prefix.len()..line.text.len());
    match named.split_once(' ') {
        Some((zone, _)) if zone.text.contains(char::is_whitespace) => {
            Err(vec![zone.fault(format!("time zone {} has white space in it; only a space ends it", zone.quoted()))])
        }
        Some((zone, rest)) => Ok((Some(zone), rest)),
        None => Err(vec![line.fault(format!("{} has a time zone but no space and fields after it", line.quoted()))]),
    }
}

fn parse_every(text: Piece, arguments: &[Piece]) -> Result<Every, Vec<Fault>> {
    let [argument] = arguments else {
        let message = format!("{} is not @every and one duration: write @every 1h, or @every 1h/5m", text.quoted());
        return Err(vec![text.fault(message)]);
    };
    let (every, phase) = argument.split_once('/').map_or((*argument, None), |(every, phase)| (every, Some(phase)));
    let (every_span, phase_span) = (parse_span(every), phase.map_or(Ok(Span::ZERO), parse_span));
    let (every_span, phase_span) = match (every_span, phase_span) {
        (Ok(every), Ok(phase)) => (every, phase),
        (every, phase) => return Err(every.err().into_iter().chain(phase.err()).collect()),
    };
    Every::new(&Interval::every(every_span, phase_span)).map_err(|faults| {
        let locate = |IntervalFault { field, message }| match field {
            "phase" => phase.unwrap_or(every).fault(message),
            _ => every.fault(message),
        };
        faults.into_iter().map(locate).collect()
    })
}

fn parse_span(text: Piece) -> Result<Span, Fault> {
    text.text.parse().map_err(|error| text.fault(format!("{error}")))
}

fn parse_named(text: Piece, reading: Reading) -> Result<Cron, Vec<Fault>> {
    let Some((_, line)) = NAMED.iter().find(|(name, _)| *name == text.text) else {
        let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        let message = format!("{} is not one of {}, @every", text.quoted(), names.join(", "));
        return Err(vec![text.fault(message)]);
    };
    let line = Piece::whole(line);
    let reading = Reading { dialect: CronDialect::Temporal, ..reading };
    parse_fields(line, &line.words().collect::<Vec<_>>(), reading)
}

/// The texts of the fields, in one order for all dialects.
struct Fields<'a> {
    second: Piece<'a>,
    minute: Piece<'a>,
    hour: Piece<'a>,
    day: Piece<'a>,
    month: Piece<'a>,
    weekday: Piece<'a>,
    year: Piece<'a>,
}

impl<'a> Fields<'a> {
    fn split(text: Piece, words: &[Piece<'a>], reading: Reading) -> Result<Self, Fault> {
        let default_second = Piece::whole(reading.time_default());
        let (second, rest) = match (reading.dialect, words.len()) {
            (CronDialect::Temporal, 7) | (CronDialect::Quartz, 6 | 7) => (words[0], &words[1..]),
            (CronDialect::Temporal, 5 | 6) | (CronDialect::Vixie, 5) => (default_second, words),
            (dialect, count) => return Err(wrong_count(text, count, dialect)),
        };
        let &[minute, hour, day, month, weekday, ref year @ ..] = rest else {
            return Err(wrong_count(text, words.len(), reading.dialect));
        };
        let year = year.first().copied().unwrap_or(Piece::whole("*"));
        Ok(Self { second, minute, hour, day, month, weekday, year })
    }

    /// `?` means any, where the dialect knows it.
    fn without_question_marks(mut self, dialect: CronDialect) -> Self {
        for field in [&mut self.day, &mut self.weekday] {
            if dialect != CronDialect::Temporal && field.text == "?" {
                field.text = "*";
            }
        }
        self
    }
}

fn parse_fields(text: Piece, words: &[Piece], reading: Reading) -> Result<Cron, Vec<Fault>> {
    let Reading { dialect, seed, .. } = reading;
    let fields = Fields::split(text, words, reading).map_err(|fault| vec![fault])?.without_question_marks(dialect);
    let Fields { second, minute, hour, day, month, weekday, year } = fields;
    let mut faults = Vec::new();
    let cron = Cron {
        seconds: SECOND.parse(second, seed, &mut faults) as u64,
        minutes: MINUTE.parse(minute, seed, &mut faults) as u64,
        hours: HOUR.parse(hour, seed, &mut faults) as u32,
        days: MonthDays::parse(day, seed, &mut faults),
        months: MONTH.parse(month, seed, &mut faults) as u16,
        weekdays: WeekDays::parse(weekday, dialect, seed, &mut faults),
        years: if year.text == "*" { EVERY_YEAR } else { YEAR.parse(year, seed, &mut faults) },
        // As in vixie's cron, a field that begins with a star does not count as given, not even `*/2`.
        either: dialect == CronDialect::Vixie && !day.text.starts_with('*') && !weekday.text.starts_with('*'),
    };
    if dialect == CronDialect::Quartz && day.text != "*" && weekday.text != "*" {
        faults.push(both_days(day, weekday));
    }
    if faults.is_empty() && cron.first_local(FIRST_TIME).is_none() {
        let dates = text.slice(day.start - text.start..text.text.len());
        faults.push(dates.fault(format!("no day from 1970 to 2100 is like {}", dates.quoted())));
    }
    if faults.is_empty() { Ok(cron) } else { Err(faults) }
}

fn both_days(day: Piece, weekday: Piece) -> Fault {
    weekday.fault(format!(
        "day of week {} stands beside day of month {}; in the quartz dialect one of the two is ?: write two lines, or \
         take dialect vixie for days that match either, temporal for both",
        weekday.quoted(),
        day.quoted()
    ))
}

fn wrong_count(text: Piece, count: usize, dialect: CronDialect) -> Fault {
    let allowed = match dialect {
        CronDialect::Temporal => {
            "allowed are 5 (minute hour day-of-month month day-of-week), 6 (a year at the end) and 7 (seconds first, a \
             year at the end)"
        }
        CronDialect::Vixie => {
            "the vixie dialect has 5 (minute hour day-of-month month day-of-week); seconds and years are known to \
             dialect temporal"
        }
        CronDialect::Quartz => {
            "the quartz dialect has 6 (second minute hour day-of-month month day-of-week) and 7 (a year at the end)"
        }
    };
    text.fault(format!("{} has {count} fields; {allowed}", text.quoted()))
}
