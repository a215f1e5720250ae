//! The parts of an `RRULE`: `FREQ=MONTHLY;INTERVAL=2;BYDAY=-1FR`. What each may hold, and which go together.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Weekday};

use super::days::Days;
use super::text::{Time, count};
use super::{Freq, Pattern, Times};
use crate::fault::{Fault, Piece};
use crate::limits::MAX_RULE_INTERVAL;

const NAMES: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYMONTH",
    "BYWEEKNO",
    "BYYEARDAY",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSECOND",
    "BYSETPOS",
    "WKST",
];
const FREQS: [(&str, Freq); 7] = [
    ("YEARLY", Freq::Yearly),
    ("MONTHLY", Freq::Monthly),
    ("WEEKLY", Freq::Weekly),
    ("DAILY", Freq::Daily),
    ("HOURLY", Freq::Hourly),
    ("MINUTELY", Freq::Minutely),
    ("SECONDLY", Freq::Secondly),
];
/// From Sunday on.
const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// When a rule ends, and where that is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until<'a> {
    pub time: Time,
    pub piece: Piece<'a>,
}

/// The texts of the parts, in the order of [`NAMES`], and what is read of them.
pub(super) struct Parts<'a> {
    texts: [Option<Piece<'a>>; NAMES.len()],
    freq: Freq,
    pub count: Option<(u32, Piece<'a>)>,
    pub until: Option<Until<'a>>,
}

/// Which values a list may hold.
struct Values {
    name: &'static str,
    first: i16,
    last: i16,
    /// Whether they may be counted from the end.
    signed: bool,
}

const fn values(name: &'static str, first: i16, last: i16, signed: bool) -> Values {
    Values { name, first, last, signed }
}

const MONTH: Values = values("BYMONTH", 1, 12, false);
const WEEK: Values = values("BYWEEKNO", 1, 53, true);
const YEAR_DAY: Values = values("BYYEARDAY", 1, 366, true);
const MONTH_DAY: Values = values("BYMONTHDAY", 1, 31, true);
const HOUR: Values = values("BYHOUR", 0, 23, false);
const MINUTE: Values = values("BYMINUTE", 0, 59, false);
const SECOND: Values = values("BYSECOND", 0, 59, false);
const POSITION: Values = values("BYSETPOS", 1, 366, true);

/// Numbers of a list, as bits: those from 1 on, and those that are counted from the end.
type Numbers = (u64, u64);

impl<'a> Parts<'a> {
    /// Reads what does not depend on the begin.
    pub fn read(rule: Piece<'a>) -> Result<Self, Vec<Fault>> {
        let texts = split(rule)?;
        let of = |name: &str| texts[index(name).expect("it is one of the names")];
        let Some(freq) = of("FREQ") else {
            let names = FREQS.map(|(name, _)| name).join(", ");
            return Err(vec![rule.fault(format!("{} has no FREQ, which is one of {names}", rule.quoted()))]);
        };
        let freq = read_freq(freq).map_err(|fault| vec![fault])?;
        let mut faults = conflicts(freq, of);
        let counted = of("COUNT").map(|text| count(text).map(|count| (count, text))).transpose();
        let until = of("UNTIL").map(|piece| Time::read(piece).map(|time| Until { time, piece })).transpose();
        match (counted, until) {
            (Ok(count), Ok(until)) if faults.is_empty() => return Ok(Self { texts, freq, count, until }),
            (count, until) => faults.extend(count.err().into_iter().chain(until.err())),
        }
        Err(faults)
    }

    fn of(&self, name: &str) -> Option<Piece<'a>> {
        self.texts[index(name).expect("it is one of the names")]
    }

    /// What the rule repeats from a begin (a local time) on, which also decides what its parts leave open.
    pub fn pattern(&self, start: i64) -> Result<Pattern, Vec<Fault>> {
        let begin = DateTime::from_timestamp(start, 0).expect("a time of the years 1900-2100").naive_utc();
        let mut faults = Vec::new();
        let interval = self.of("INTERVAL").map_or(Ok(1), read_interval);
        let positions = self.list(&POSITION, &mut faults);
        let (hours, minutes, seconds) =
            (self.bits(&HOUR, &mut faults), self.bits(&MINUTE, &mut faults), self.bits(&SECOND, &mut faults));
        let days = self.days(begin, &mut faults);
        let interval = interval.unwrap_or_else(|fault| {
            faults.push(fault);
            1
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        // What is finer than the frequency is as at the begin, what is not is any.
        let or = |(set, _): Numbers, below: Freq, begin: u32, all: u64| match set {
            0 if self.freq < below => 1 << begin,
            0 => all,
            set => set,
        };
        let times = Times {
            hours: or(hours, Freq::Hourly, begin.hour(), (1 << 24) - 1) as u32,
            minutes: or(minutes, Freq::Minutely, begin.minute(), (1 << 60) - 1),
            seconds: or(seconds, Freq::Secondly, begin.second(), (1 << 60) - 1),
        };
        Ok(Pattern { freq: self.freq, interval, start, days, times, positions: positions.into() })
    }

    fn days(&self, begin: NaiveDateTime, faults: &mut Vec<Fault>) -> Days {
        let (months, weeks, month_days) =
            (self.bits(&MONTH, faults), self.bits(&WEEK, faults), self.bits(&MONTH_DAY, faults));
        let year_days = self.list(&YEAR_DAY, faults);
        let nth_of_month = self.freq == Freq::Monthly || self.of("BYMONTH").is_some();
        let (weekdays, nth) = self.weekdays(if nth_of_month { 5 } else { 53 }, faults);
        let week_start = self.of("WKST").map_or(Ok(1), weekday).unwrap_or_else(|fault| {
            faults.push(fault);
            1
        });
        let mut days = Days {
            months: if months.0 == 0 { 0x1ffe } else { months.0 as u16 },
            month_days: month_days.0 as u32,
            month_days_back: month_days.1 as u32,
            weekdays,
            nth: nth.into(),
            nth_of_month,
            weeks: weeks.0,
            weeks_back: weeks.1,
            year_days: year_days.into(),
            week_start,
        };
        self.fill(&mut days, begin);
        days
    }

    /// What is not said of the day is as at the begin.
    fn fill(&self, days: &mut Days, begin: NaiveDateTime) {
        let given = |name| self.of(name).is_some();
        let has_day = given("BYDAY") || given("BYMONTHDAY") || given("BYYEARDAY");
        let same_weekday = match self.freq {
            Freq::Weekly => true,
            Freq::Yearly => given("BYWEEKNO"),
            _ => false,
        };
        if has_day || self.freq > Freq::Weekly {
            return;
        }
        if same_weekday {
            days.weekdays = 1 << begin.weekday().num_days_from_sunday();
            return;
        }
        days.month_days = 1 << begin.day();
        if self.freq == Freq::Yearly && !given("BYMONTH") {
            days.months = 1 << begin.month();
        }
    }

    /// The numbers of a list that is short enough to be bits.
    fn bits(&self, allowed: &Values, faults: &mut Vec<Fault>) -> Numbers {
        let numbers = self.list(allowed, faults);
        numbers.into_iter().fold((0, 0), |(set, back), number| match number {
            number if number < 0 => (set, back | 1 << -number),
            number => (set | 1 << number, back),
        })
    }

    /// The numbers of a list, sorted, each once.
    fn list(&self, allowed: &Values, faults: &mut Vec<Fault>) -> Vec<i16> {
        let Some(text) = self.of(allowed.name) else { return Vec::new() };
        let mut numbers = Vec::new();
        for part in text.split(',') {
            match allowed.read(part) {
                Ok(number) => numbers.push(number),
                Err(fault) => faults.push(fault),
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// `MO`, `1MO` or `-1MO`: weekdays as bits, and those of them that are counted, at most to `most`.
    fn weekdays(&self, most: i8, faults: &mut Vec<Fault>) -> (u8, Vec<(i8, u8)>) {
        let (mut plain, mut counted) = (0, Vec::new());
        for part in self.of("BYDAY").into_iter().flat_map(|text| text.split(',')) {
            match read_day(part, most) {
                Ok((None, weekday)) => plain |= 1 << weekday,
                Ok((Some(_), _)) if self.freq > Freq::Monthly => {
                    let help = "the nth weekday is known to FREQ=MONTHLY and YEARLY";
                    faults.push(part.fault(format!("BYDAY {} has a number; {help}", part.quoted())));
                }
                Ok((Some(_), _)) if self.of("BYWEEKNO").is_some() => {
                    faults
                        .push(part.fault(format!("BYDAY {} has a number; beside BYWEEKNO it has none", part.quoted())));
                }
                Ok((Some(nth), weekday)) => counted.push((nth, weekday as u8)),
                Err(fault) => faults.push(fault),
            }
        }
        counted.sort_unstable();
        counted.dedup();
        (plain, counted)
    }
}

impl Values {
    fn read(&self, text: Piece) -> Result<i16, Fault> {
        let digits = text.text.strip_prefix(['+', '-']).unwrap_or(text.text);
        let number = text.text.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let fits = |number: &i16| {
            (self.first..=self.last).contains(number) || self.signed && (self.first..=self.last).contains(&-number)
        };
        number.filter(|number| *number != i16::MIN).filter(fits).ok_or_else(|| {
            let (first, last) = (self.first, self.last);
            let also = if self.signed { format!(" or -{last} to -{first}") } else { String::new() };
            text.fault(format!("{} {} is not in {first}-{last}{also}", self.name, text.quoted()))
        })
    }
}

fn index(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))
}

/// The texts of the parts by their names.
fn split(rule: Piece) -> Result<[Option<Piece>; NAMES.len()], Vec<Fault>> {
    let (mut texts, mut faults) = ([None; NAMES.len()], Vec::new());
    // A semicolon at the end is harmless, and some programs write one.
    let rule = rule.slice(0..rule.text.strip_suffix(';').unwrap_or(rule.text).len());
    for part in rule.split(';') {
        let (name, value) = part.split_once('=').unwrap_or((part, part.slice(part.text.len()..part.text.len())));
        match index(name.text) {
            None => faults.push(name.fault(format!("{} is not one of {}", name.quoted(), NAMES.join(", ")))),
            Some(_) if value.text.is_empty() => faults.push(part.fault(format!("{} has no value", name.quoted()))),
            Some(index) if texts[index].is_some() => faults.push(part.fault(format!("{} stands twice", name.quoted()))),
            Some(index) => texts[index] = Some(value),
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(faults) }
}

/// Parts that RFC 5545 does not allow beside each other.
fn conflicts<'a>(freq: Freq, of: impl Fn(&str) -> Option<Piece<'a>>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut refuse = |name: &str, why: &str| {
        faults.extend(of(name).map(|text| text.fault(format!("{name} {} {why}", text.quoted()))));
    };
    if of("COUNT").is_some() {
        refuse("UNTIL", "stands beside COUNT; a rule has one of the two");
    }
    if freq != Freq::Yearly {
        refuse("BYWEEKNO", "is known to FREQ=YEARLY only");
    }
    if matches!(freq, Freq::Monthly | Freq::Weekly | Freq::Daily) {
        refuse("BYYEARDAY", "is not known to FREQ=MONTHLY, WEEKLY and DAILY");
    }
    if freq == Freq::Weekly {
        refuse(
            "BYMONTHDAY",
            "is not known to FREQ=WEEKLY; FREQ=DAILY with BYDAY and BYMONTHDAY names days that are both",
        );
    }
    let by = |name: &&str| name.starts_with("BY") && *name != POSITION.name && of(name).is_some();
    if !NAMES.iter().any(by) {
        refuse(POSITION.name, "has nothing to pick from; it stands beside another part that begins with BY");
    }
    faults
}

fn read_freq(text: Piece) -> Result<Freq, Fault> {
    let known = FREQS.iter().find(|(name, _)| text.text.eq_ignore_ascii_case(name));
    known.map(|(_, freq)| *freq).ok_or_else(|| {
        text.fault(format!("FREQ {} is not one of {}", text.quoted(), FREQS.map(|(name, _)| name).join(", ")))
    })
}

fn read_interval(text: Piece) -> Result<i64, Fault> {
    let interval = text.text.parse().ok().filter(|interval| (1..=MAX_RULE_INTERVAL).contains(interval));
    interval.ok_or_else(|| text.fault(format!("INTERVAL {} is not in 1-{MAX_RULE_INTERVAL}", text.quoted())))
}

/// A weekday, of which Sunday is 0, with the number before it.
fn read_day(text: Piece, most: i8) -> Result<(Option<i8>, u32), Fault> {
    let letters = text.text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.text.len());
    let weekday = weekday(text.slice(letters..text.text.len()))?;
    if letters == 0 {
        return Ok((None, weekday));
    }
    let number = text.slice(0..letters);
    let nth = number.text.parse().ok().filter(|nth: &i8| *nth != 0 && (-most..=most).contains(nth));
    nth.map(|nth| (Some(nth), weekday))
        .ok_or_else(|| number.fault(format!("BYDAY {} is not in 1-{most} or -{most} to -1", number.quoted())))
}

fn weekday(text: Piece) -> Result<u32, Fault> {
    let known = WEEKDAYS.iter().position(|name| text.text.eq_ignore_ascii_case(name));
    known.map(|weekday| weekday as u32).ok_or_else(|| {
        let help = match text.text.parse::<Weekday>() {
            Ok(weekday) => format!("; write {}", WEEKDAYS[weekday.num_days_from_sunday() as usize]),
            Err(_) => String::new(),
        };
        text.fault(format!("weekday {} is not one of {}{help}", text.quoted(), WEEKDAYS.join(", ")))
    })
}
