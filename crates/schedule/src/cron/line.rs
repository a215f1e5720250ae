//! One cron line: `[CRON_TZ=zone] fields|@name|@every D[/P] [# comment]`.
//!
//! It does not know which zones there are.

use flintwheel_model::Span;
use flintwheel_model::definition::Interval;

use super::fields::{DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, MONTH, SECOND, YEAR};
use super::{Cron, EVERY_YEAR};
use crate::fault::{Fault, Piece};
use crate::interval::{Every, IntervalFault};
use crate::limits::{FIRST_TIME, MAX_CRON_LINE_BYTES, MAX_FAULTS_PER_LINE};

/// Names for common lines.
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
    pub(crate) fn parse(text: &'a str) -> Result<Self, Vec<Fault>> {
        let whole = Piece::whole(text);
        if text.len() > MAX_CRON_LINE_BYTES {
            let message = format!("it is {} bytes long; at most {MAX_CRON_LINE_BYTES} are allowed", text.len());
            return Err(vec![whole.fault(message)]);
        }
        parse(whole).map_err(|faults| shorten(whole, faults))
    }
}

fn shorten(line: Piece, mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(MAX_FAULTS_PER_LINE);
    if more > 0 {
        faults.truncate(MAX_FAULTS_PER_LINE);
        faults.push(line.fault(format!("{more} more faults")));
    }
    faults
}

fn parse(line: Piece) -> Result<Line, Vec<Fault>> {
    let (zone, rest) = split_zone(line.trim())?;
    let fields = rest.split_once('#').map_or(rest, |(fields, _comment)| fields).trim();
    let words: Vec<Piece> = fields.words().collect();
    match words.as_slice() {
        [every, arguments @ ..] if every.text == "@every" => {
            if let Some(zone) = zone {
                let message = format!("@every is counted in UTC, so it takes no time zone such as {}", zone.quoted());
                return Err(vec![zone.fault(message)]);
            }
            parse_every(fields, arguments).map(Line::Every)
        }
        [name, ..] if name.text.starts_with('@') => Ok(Line::Times(parse_named(fields)?, zone)),
        words => Ok(Line::Times(parse_fields(fields, words)?, zone)),
    }
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
    Every::new(Interval { every: every_span, phase: phase_span }).map_err(|faults| {
        let locate = |fault| match fault {
            IntervalFault::Every(message) => every.fault(message),
            IntervalFault::Phase(message) => phase.unwrap_or(every).fault(message),
        };
        faults.into_iter().map(locate).collect()
    })
}

fn parse_span(text: Piece) -> Result<Span, Fault> {
    text.text.parse().map_err(|error| text.fault(format!("{error}")))
}

fn parse_named(text: Piece) -> Result<Cron, Vec<Fault>> {
    let Some((_, line)) = NAMED.iter().find(|(name, _)| *name == text.text) else {
        let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        let message = format!("{} is not one of {}, @every", text.quoted(), names.join(", "));
        return Err(vec![text.fault(message)]);
    };
    let line = Piece::whole(line);
    parse_fields(line, &line.words().collect::<Vec<_>>())
}

fn parse_fields(text: Piece, words: &[Piece]) -> Result<Cron, Vec<Fault>> {
    let (second, fields) = match words {
        [second, fields @ ..] if words.len() == 7 => (*second, fields),
        fields => (Piece::whole("0"), fields),
    };
    let &[minute, hour, day, month, weekday, ref year @ ..] = fields else {
        return Err(vec![wrong_count(text, words.len())]);
    };
    let year = match year {
        [] => Piece::whole("*"),
        [year] => *year,
        _ => return Err(vec![wrong_count(text, words.len())]),
    };
    let mut faults = Vec::new();
    let cron = Cron {
        seconds: SECOND.parse(second, &mut faults) as u64,
        minutes: MINUTE.parse(minute, &mut faults) as u64,
        hours: HOUR.parse(hour, &mut faults) as u32,
        days: DAY_OF_MONTH.parse(day, &mut faults) as u32,
        months: MONTH.parse(month, &mut faults) as u16,
        weekdays: fold_sunday(DAY_OF_WEEK.parse(weekday, &mut faults) as u8),
        years: if year.text == "*" { EVERY_YEAR } else { YEAR.parse(year, &mut faults) },
    };
    if faults.is_empty() && cron.first_local(FIRST_TIME).is_none() {
        let dates = text.slice(day.start - text.start..text.text.len());
        faults.push(dates.fault(format!("no day from 1970 to 2100 is like {}", dates.quoted())));
    }
    if faults.is_empty() { Ok(cron) } else { Err(faults) }
}

/// Sunday is 0 and 7; from here on only 0.
fn fold_sunday(weekdays: u8) -> u8 {
    (weekdays | weekdays >> 7) & 0x7f
}

fn wrong_count(text: Piece, count: usize) -> Fault {
    text.fault(format!(
        "{} has {count} fields; allowed are 5 (minute hour day-of-month month day-of-week), 6 (a year at the end) \
         and 7 (seconds first, a year at the end)",
        text.quoted()
    ))
}
