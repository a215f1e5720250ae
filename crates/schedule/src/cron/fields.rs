//! The seven fields of a cron line, and the one grammar they share: `*`, `v`, `a-b`, `H`, `H(a-b)`, each with `/step`, in
//! lists.
//!
//! `v/step` runs from `v` to the field's end. A range whose end is before its begin wraps around, except for years. Names
//! of months and weekdays may be cut short. `H` stands for a value that the definition's identity chooses.

use std::ops::RangeInclusive;

use flintwheel_model::definition::CronDialect;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::fault::{Fault, Piece};

/// What one field may hold.
pub(crate) struct Field {
    name: &'static str,
    allowed: RangeInclusive<u32>,
    /// The value of the lowest bit of its set.
    base: u32,
    /// Values that `H` may stand for.
    hashed: RangeInclusive<u32>,
    /// The value after which the first one comes again; none where nothing comes again, nor is `H` known.
    wraps_after: Option<u32>,
    names: &'static [&'static str],
    /// Names stand for `first_name`, `first_name + 1` ...
    first_name: u32,
    /// How many letters of a name are enough.
    letters: usize,
}

const fn numbers(name: &'static str, first: u32, last: u32) -> Field {
    Field {
        name,
        allowed: first..=last,
        base: 0,
        hashed: first..=last,
        wraps_after: Some(last),
        names: &[],
        first_name: 0,
        letters: 0,
    }
}

pub(crate) const SECOND: Field = numbers("second", 0, 59);
pub(crate) const MINUTE: Field = numbers("minute", 0, 59);
pub(crate) const HOUR: Field = numbers("hour", 0, 23);
/// `H` names no day that a month may lack.
pub(crate) const DAY_OF_MONTH: Field = Field { hashed: 1..=28, ..numbers("day of month", 1, 31) };
pub(crate) const MONTH: Field = Field {
    names: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
    first_name: 1,
    letters: 3,
    ..numbers("month", 1, 12)
};
/// Both 0 and 7 are Sunday; who uses the set folds the two.
const DAY_OF_WEEK: Field = Field {
    hashed: 0..=6,
    wraps_after: Some(6),
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    letters: 2,
    ..numbers("day of week", 0, 7)
};
/// Sunday is 1.
const DAY_OF_WEEK_FROM_ONE: Field =
    Field { base: 1, first_name: 1, names: DAY_OF_WEEK.names, letters: 2, ..numbers("day of week", 1, 7) };
pub(crate) const YEAR: Field = Field {
    base: super::FIRST_YEAR as u32,
    wraps_after: None,
    ..numbers("year", super::FIRST_YEAR as u32, super::LAST_YEAR as u32)
};

impl Field {
    pub const fn of_weekdays(dialect: CronDialect) -> &'static Self {
        match dialect {
            CronDialect::Quartz => &DAY_OF_WEEK_FROM_ONE,
            CronDialect::Temporal | CronDialect::Vixie => &DAY_OF_WEEK,
        }
    }

    /// The set of values that a text names. Faults are added to `faults`, one for each faulty part of the list.
    pub fn parse(&self, text: Piece, seed: u64, faults: &mut Vec<Fault>) -> u128 {
        let mut set = 0;
        for part in text.split(',') {
            match self.part(part, text, seed) {
                Ok(values) => set |= values,
                Err(fault) => faults.push(fault),
            }
        }
        set
    }

    /// One part of a list.
    pub fn part(&self, part: Piece, list: Piece, seed: u64) -> Result<u128, Fault> {
        if part.text.is_empty() {
            return Err(list.fault(format!("{} {} has an empty part", self.name, list.quoted())));
        }
        let (values, step) = match part.split_once('/') {
            Some((values, step)) => (values, Some(self.step(step)?)),
            None => (part, None),
        };
        if let Some(range) = values.text.strip_prefix('H').filter(|_| self.wraps_after.is_some()) {
            return self.hashed(values, range, step, seed);
        }
        let (from, to) = self.range(values)?;
        let last = if step.is_some() { *self.allowed.end() } else { from };
        Ok(self.set(from, to.unwrap_or(last), step.unwrap_or(1)))
    }

    /// `*`, `v` or `a-b`, as (first, last); no last for a single value.
    fn range(&self, text: Piece) -> Result<(u32, Option<u32>), Fault> {
        if text.text == "*" {
            return Ok((*self.allowed.start(), Some(*self.allowed.end())));
        }
        let Some((from, to)) = text.split_once('-') else {
            return Ok((self.value(text)?, None));
        };
        if from.text.is_empty() || to.text.is_empty() {
            return Err(self.not_allowed(text));
        }
        let (from, to) = (self.value(from)?, self.value(to)?);
        match self.wraps_after {
            None if to < from => Err(text.fault(format!("{} {} ends before it begins", self.name, text.quoted()))),
            // Sunday, written as 7, with the days that follow it.
            Some(last) if to < from && last < from => Ok((*self.allowed.start(), Some(to))),
            _ => Ok((from, Some(to))),
        }
    }

    /// A number or a name.
    pub fn value(&self, text: Piece) -> Result<u32, Fault> {
        let named = (self.first_name..).zip(self.names).find(|(_, name)| self.is_short_for(text.text, name));
        let value = named.map(|(value, _)| value).or_else(|| text.text.parse().ok());
        value.filter(|value| self.allowed.contains(value)).ok_or_else(|| self.not_allowed(text))
    }

    /// The set of one value.
    pub fn bit(&self, value: u32) -> u128 {
        1 << (value - self.base)
    }

    fn is_short_for(&self, text: &str, name: &str) -> bool {
        text.len() >= self.letters && name.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
    }

    fn step(&self, text: Piece) -> Result<usize, Fault> {
        let step: Option<u64> = text.text.parse().ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| {
            text.fault(format!("{} step {} is not a whole number from 1 on", self.name, text.quoted()))
        })?;
        // A step beyond the field's end is as good as one to its end.
        Ok(usize::try_from(step).unwrap_or(usize::MAX))
    }

    /// `H` or `H(a-b)`: one value; with a step, every so many values from one of the first on.
    fn hashed(&self, text: Piece, range: &str, step: Option<usize>, seed: u64) -> Result<u128, Fault> {
        let (first, last) = match range {
            "" => (*self.hashed.start(), *self.hashed.end()),
            _ => self.hashed_range(text, range)?,
        };
        let count = last - first + 1;
        let choices = step.map_or(count, |step| count.min(u32::try_from(step).unwrap_or(u32::MAX)));
        // Another one for each field, so that not all definitions of `H H * * *` lie on a diagonal.
        let hash = xxh3_64_with_seed(self.name.as_bytes(), seed);
        let chosen = first + ((u128::from(hash) * u128::from(choices)) >> 64) as u32;
        Ok(self.set(chosen, if step.is_some() { last } else { chosen }, step.unwrap_or(1)))
    }

    fn hashed_range(&self, text: Piece, range: &str) -> Result<(u32, u32), Fault> {
        let inner = range.strip_prefix('(').and_then(|range| range.strip_suffix(')'));
        let Some(inner) = inner.filter(|inner| inner.contains('-')) else {
            let help = format!("write H, or H({}-{})", self.hashed.start(), self.hashed.end());
            return Err(text.fault(format!("{} {} is not known; {help}", self.name, text.quoted())));
        };
        let inner = text.slice(2..2 + inner.len());
        match self.range(inner)? {
            (first, Some(last)) if first <= last => Ok((first, last)),
            _ => Err(inner.fault(format!("{} {} ends before it begins", self.name, inner.quoted()))),
        }
    }

    fn set(&self, from: u32, to: u32, step: usize) -> u128 {
        // In `fri-tue`, from Friday to Saturday, and then from Sunday on.
        let (to, wrapped) = match self.wraps_after {
            Some(last) if to < from => (last, *self.allowed.start()..to + 1),
            _ => (to, 0..0),
        };
        (from..=to).chain(wrapped).step_by(step).fold(0, |set, value| set | self.bit(value))
    }

    fn not_allowed(&self, text: Piece) -> Fault {
        let help = self.help(text.text);
        text.fault(format!("{} {} is not in {}{help}", self.name, text.quoted(), self.allowed_values()))
    }

    fn help(&self, text: &str) -> &'static str {
        let letters = |allowed: &str| {
            text.chars().all(|c| c.is_ascii_digit() || c == '-' || allowed.contains(c))
                && text.contains(|c: char| c.is_ascii_alphabetic())
        };
        if text == "?" {
            "; write * for any"
        } else if text == "h" {
            "; write H for a value that the definition's identity chooses"
        } else if letters("LWlw") {
            "; day of month knows L, L-3, 15W and LW, day of week 5L"
        } else {
            ""
        }
    }

    fn allowed_values(&self) -> String {
        let numbers = format!("{}-{}", self.allowed.start(), self.allowed.end());
        match self.names {
            [first, .., last] => format!("{numbers} or {}-{}", &first[..3], &last[..3]),
            _ => numbers,
        }
    }
}
