//! The text of a rule: `DTSTART` and `RRULE`, and perhaps `RDATE` and `EXDATE`, parted by white space.
//!
//! It does not know which zones there are: which one a text names is told to whoever compiles it.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};

use super::Rule;
use super::parts::{Parts, Until};
use crate::fault::{Fault, Piece};
use crate::limits::{LAST_LOCAL, MAX_FAULTS_PER_LINE, MAX_RULE_BYTES, MAX_RULE_COUNT, MAX_RULE_DATES, MAX_RULE_SLOTS};

/// The zone of a text whose times end in `Z`.
const UTC: &str = "UTC";

/// A rule as it is written: its zone and `COUNT` are still to be looked into.
#[derive(Debug)]
pub(crate) struct RuleText<'a> {
    rule: Rule,
    /// How many times the pattern has, and where that is written.
    count: Option<(u32, Piece<'a>)>,
    /// The zone that `DTSTART` names, and where it does.
    zone: Option<(&'a str, Piece<'a>)>,
}

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// Seconds since 1970-01-01T00:00:00 on the clock that is meant.
    pub second: i64,
    /// It is a date, without a time of day.
    pub is_date: bool,
    /// It ends in `Z`.
    pub is_utc: bool,
}

/// A property: `DTSTART;TZID=Europe/Berlin:20260101T090000`.
#[derive(Clone, Copy, Debug)]
struct Property<'a> {
    whole: Piece<'a>,
    name: Piece<'a>,
    /// `TZID=...;VALUE=...`, or nothing.
    parameters: Option<Piece<'a>>,
    value: Piece<'a>,
}

/// All that a text holds, each at most once but for the last two.
#[derive(Default)]
struct Properties<'a> {
    start: Option<Property<'a>>,
    rule: Option<Piece<'a>>,
    more: Vec<Property<'a>>,
    less: Vec<Property<'a>>,
}

/// How times are written, which all follow `DTSTART`.
#[derive(Clone, Copy)]
struct Manner<'a> {
    start: Time,
    zone: Option<(&'a str, Piece<'a>)>,
}

impl<'a> RuleText<'a> {
    /// Reads a text; all its faults at once (but not thousands).
    pub fn parse(text: &'a str) -> Result<Self, Vec<Fault>> {
        let whole = Piece::whole(text);
        if text.len() > MAX_RULE_BYTES {
            let message = format!("it is {} bytes long; at most {MAX_RULE_BYTES} are allowed", text.len());
            return Err(vec![whole.fault(message)]);
        }
        read(whole).map_err(|mut faults| {
            faults.truncate(MAX_FAULTS_PER_LINE);
            faults
        })
    }

    /// The zone that it names, and where.
    pub fn zone(&self) -> Option<(&'a str, Piece<'a>)> {
        self.zone
    }

    /// The rule. `is_shown` says whether clocks ever show a local time: RFC 5545 counts no others.
    pub fn rule(self, is_shown: impl Fn(i64) -> bool) -> Result<Rule, Fault> {
        let Self { mut rule, count, .. } = self;
        let Some((count, written)) = count else { return Ok(rule) };
        let (mut left, mut slots, mut from) = (count, MAX_RULE_SLOTS, i64::MIN);
        while left > 0 {
            let Some(found) = rule.pattern.first_within(from, &mut slots) else { break };
            left -= u32::from(is_shown(found));
            (from, rule.until) = (found + 1, found);
        }
        if slots == 0 {
            let message = format!("COUNT {count} of this rule lies too far ahead to be counted; write UNTIL instead");
            return Err(written.fault(message));
        }
        Ok(rule)
    }
}

fn read(text: Piece) -> Result<RuleText, Vec<Fault>> {
    let properties = Properties::read(text).map_err(|fault| vec![fault])?;
    let Some(rule) = properties.rule else {
        return Err(vec![text.fault("it has no rule, such as RRULE:FREQ=WEEKLY;BYDAY=MO")]);
    };
    let Some(start) = properties.start else {
        let help = "add a DTSTART, which the rule is counted from, such as DTSTART:20260105T090000";
        return Err(vec![rule.fault(format!("{} has no begin; {help}", rule.quoted()))]);
    };
    let manner = Manner::read(start).map_err(|fault| vec![fault])?;
    let parts = Parts::read(rule)?;
    let pattern = parts.pattern(manner.start.second)?;
    let (until, last) =
        parts.until.map_or(Ok((LAST_LOCAL, i64::MAX)), |until| manner.until(until)).map_err(|fault| vec![fault])?;
    if pattern.first(i64::MIN).is_none_or(|first| first > until) {
        return Err(vec![rule.fault(format!("{} names no time until 2100", rule.quoted()))]);
    }
    let (more, less) = (manner.times(&properties.more), manner.times(&properties.less));
    let (more, less) = match (more, less) {
        (Ok(more), Ok(less)) => (more, less),
        (more, less) => return Err(more.err().into_iter().chain(less.err()).collect()),
    };
    let more = more.iter().copied().filter(|time| less.binary_search(time).is_err()).collect();
    let rule = Rule { pattern, until, last, more, less };
    Ok(RuleText { rule, count: parts.count, zone: manner.zone })
}

impl<'a> Properties<'a> {
    fn read(text: Piece<'a>) -> Result<Self, Fault> {
        let mut found = Self::default();
        for word in text.words() {
            let property = Property::read(word)?;
            match property.name.text.to_ascii_uppercase().as_str() {
                "DTSTART" if found.start.is_none() => found.start = Some(property),
                "RRULE" if found.rule.is_none() => found.rule = Some(property.value),
                "DTSTART" => return Err(word.fault("it has a second DTSTART; write each rule as an entry of its own")),
                "RRULE" => return Err(word.fault("it has a second RRULE; write each rule as an entry of its own")),
                "RDATE" => found.more.push(property),
                "EXDATE" => found.less.push(property),
                "EXRULE" => return Err(word.fault("EXRULE is not known; write the rule under exclude")),
                _ => {
                    let help = "it has DTSTART, RRULE, RDATE and EXDATE, parted by spaces or lines";
                    return Err(property.name.fault(format!("{} is not known; {help}", property.name.quoted())));
                }
            }
        }
        Ok(found)
    }
}

impl<'a> Property<'a> {
    /// A rule may stand without its name.
    fn read(whole: Piece<'a>) -> Result<Self, Fault> {
        let Some((head, value)) = whole.split_once(':') else {
            let bare = whole.text.get(..5).is_some_and(|begin| begin.eq_ignore_ascii_case("FREQ="));
            if bare || whole.text.contains(";FREQ=") {
                return Ok(Self { whole, name: Piece { text: "RRULE", ..whole }, parameters: None, value: whole });
            }
            let help = "write DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYDAY=MO";
            return Err(whole.fault(format!("{} is no property of a rule; {help}", whole.quoted())));
        };
        let (name, parameters) = head.split_once(';').map_or((head, None), |(name, rest)| (name, Some(rest)));
        Ok(Self { whole, name, parameters, value })
    }

    /// The zone, and whether the value is told to be a date.
    fn parameters(&self) -> Result<(Option<Piece<'a>>, Option<bool>), Fault> {
        let (mut zone, mut is_date) = (None, None);
        for parameter in self.parameters.into_iter().flat_map(|parameters| parameters.split(';')) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, parameter));
            match (name.text.to_ascii_uppercase().as_str(), value.text.to_ascii_uppercase().as_str()) {
                ("TZID", _) => zone = Some(value),
                ("VALUE", "DATE") => is_date = Some(true),
                ("VALUE", "DATE-TIME") => is_date = Some(false),
                _ => {
                    let help = "TZID=Europe/Berlin, VALUE=DATE and VALUE=DATE-TIME are";
                    return Err(parameter.fault(format!("{} is not known; {help}", parameter.quoted())));
                }
            }
        }
        Ok((zone, is_date))
    }
}

impl<'a> Manner<'a> {
    fn read(start: Property<'a>) -> Result<Self, Fault> {
        let (zone, is_date) = start.parameters()?;
        let time = Time::read(start.value)?;
        if let Some(told) = is_date.filter(|told| *told != time.is_date) {
            let told = if told { "a date" } else { "a date with its time of day" };
            return Err(start.value.fault(format!("{} is not {told}, as VALUE says", start.value.quoted())));
        }
        let zone = match zone {
            Some(zone) if time.is_utc => {
                let message = format!("DTSTART has TZID {}, but its time ends in Z: leave one out", zone.quoted());
                return Err(zone.fault(message));
            }
            Some(zone) => Some((zone.text, zone)),
            None => time.is_utc.then_some((UTC, start.value)),
        };
        Ok(Self { start: time, zone })
    }

    /// The last local time, and the last instant.
    fn until(&self, until: Until) -> Result<(i64, i64), Fault> {
        let Until { time, piece } = until;
        if time.is_date != self.start.is_date {
            let help = if time.is_date { "write UNTIL=20261231T235959" } else { "write UNTIL=20261231" };
            let (until, start) = if time.is_date { ("a date", "a time") } else { ("a time", "a date") };
            return Err(piece.fault(format!("UNTIL {} is {until}, while DTSTART is {start}; {help}", piece.quoted())));
        }
        if !time.is_utc && time.second < self.start.second {
            return Err(piece.fault(format!("UNTIL {} is before DTSTART", piece.quoted())));
        }
        Ok(if time.is_utc { (LAST_LOCAL, time.second) } else { (time.second, i64::MAX) })
    }

    /// The times of `RDATE` or `EXDATE`, sorted.
    fn times(&self, properties: &[Property]) -> Result<Box<[i64]>, Fault> {
        let mut times = Vec::new();
        for property in properties {
            let (zone, _) = property.parameters()?;
            if zone.map(|zone| zone.text) != self.zone.map(|(name, _)| name).filter(|_| !self.start.is_utc) {
                let help = "write its times as DTSTART's is written";
                return Err(property
                    .whole
                    .fault(format!("{} has another TZID than DTSTART; {help}", property.name.quoted())));
            }
            for value in property.value.split(',') {
                let time = Time::read(value)?;
                if (time.is_date, time.is_utc) != (self.start.is_date, self.start.is_utc) {
                    let help = if time.is_date { "; exclude has dates for whole days" } else { "" };
                    let message = format!(
                        "{} is not written as DTSTART is, with or without a time of day and Z{help}",
                        value.quoted()
                    );
                    return Err(value.fault(message));
                }
                times.push(time.second);
                if times.len() > MAX_RULE_DATES {
                    let message = format!("more than {MAX_RULE_DATES} times are too many");
                    return Err(property.value.fault(message));
                }
            }
        }
        times.sort_unstable();
        times.dedup();
        Ok(times.into())
    }
}

impl Time {
    /// `20260105`, `20260105T090000` or `20260105T090000Z`.
    pub fn read(text: Piece) -> Result<Self, Fault> {
        let (local, is_utc) = text.text.strip_suffix(['Z', 'z']).map_or((text.text, false), |local| (local, true));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let shape = match local.split_once(['T', 't']) {
            Some((date, time)) => date.len() == 8 && time.len() == 6 && digits(date) && digits(time),
            None => local.len() == 8 && digits(local) && !is_utc,
        };
        let time = if !shape {
            None
        } else if local.len() == 8 {
            NaiveDate::parse_from_str(local, "%Y%m%d").ok().map(|date| date.and_time(NaiveTime::MIN))
        } else {
            NaiveDateTime::parse_from_str(&local.to_ascii_uppercase(), "%Y%m%dT%H%M%S").ok()
        };
        let time = time.filter(|time| (1900..=2100).contains(&time.year()) && !local.ends_with("60"));
        time.map(|time| Self { second: time.and_utc().timestamp(), is_date: local.len() == 8, is_utc }).ok_or_else(
            || {
                let help = "write 20260105T090000, 20260105T090000Z in UTC, or a date as 20260105";
                text.fault(format!("{} is not a time of the years 1900-2100; {help}", text.quoted()))
            },
        )
    }
}

/// How many times a rule may have, read from its text.
pub(super) fn count(text: Piece) -> Result<u32, Fault> {
    let count = text.text.parse().ok().filter(|count| (1..=MAX_RULE_COUNT).contains(count));
    count.ok_or_else(|| {
        let help = format!("1-{MAX_RULE_COUNT}; with UNTIL a rule may have more times");
        text.fault(format!("COUNT {} is not in {help}", text.quoted()))
    })
}
