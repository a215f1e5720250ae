//! The seven fields of a cron line, and the one grammar they share: `*`, `v`, `a-b`, each with `/step`, in lists.
//!
//! `v/step` runs from `v` to the field's end. Ranges do not wrap around. Names of months and weekdays may be cut short.

use std::ops::RangeInclusive;

use crate::fault::{Fault, Piece};

/// What one field may hold.
pub(crate) struct Field {
    name: &'static str,
    allowed: RangeInclusive<u32>,
    /// The value of the lowest bit of its set.
    base: u32,
    names: &'static [&'static str],
    /// Names stand for `first_name`, `first_name + 1` ...
    first_name: u32,
    /// How many letters of a name are enough.
    letters: usize,
}

const fn numbers(name: &'static str, allowed: RangeInclusive<u32>) -> Field {
    Field { name, allowed, base: 0, names: &[], first_name: 0, letters: 0 }
}

pub(crate) const SECOND: Field = numbers("second", 0..=59);
pub(crate) const MINUTE: Field = numbers("minute", 0..=59);
pub(crate) const HOUR: Field = numbers("hour", 0..=23);
pub(crate) const DAY_OF_MONTH: Field = numbers("day of month", 1..=31);
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
    ..numbers("month", 1..=12)
};
/// Both 0 and 7 are Sunday; who uses the set folds the two.
pub(crate) const DAY_OF_WEEK: Field = Field {
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
    letters: 2,
    ..numbers("day of week", 0..=7)
};
pub(crate) const YEAR: Field =
    Field { base: super::FIRST_YEAR as u32, ..numbers("year", super::FIRST_YEAR as u32..=super::LAST_YEAR as u32) };

impl Field {
    /// The set of values that a text names. Faults are added to `faults`, one for each faulty part of the list.
    pub(crate) fn parse(&self, text: Piece, faults: &mut Vec<Fault>) -> u128 {
        let mut set = 0;
        for part in text.split(',') {
            match self.part(part, text) {
                Ok(values) => set |= values,
                Err(fault) => faults.push(fault),
            }
        }
        set
    }

    fn part(&self, part: Piece, list: Piece) -> Result<u128, Fault> {
        if part.text.is_empty() {
            return Err(list.fault(format!("{} {} has an empty part", self.name, list.quoted())));
        }
        let Some((values, step)) = part.split_once('/') else {
            let (from, to) = self.range(part)?;
            return Ok(self.set(from, to.unwrap_or(from), 1));
        };
        let step = self.step(step)?;
        let (from, to) = self.range(values)?;
        Ok(self.set(from, to.unwrap_or(*self.allowed.end()), step))
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
        let values = (self.value(from)?, self.value(to)?);
        if values.1 < values.0 {
            return Err(self.wraps(text, from, to));
        }
        Ok((values.0, Some(values.1)))
    }

    fn value(&self, text: Piece) -> Result<u32, Fault> {
        let named = (self.first_name..).zip(self.names).find(|(_, name)| self.is_short_for(text.text, name));
        let value = named.map(|(value, _)| value).or_else(|| text.text.parse().ok());
        value.filter(|value| self.allowed.contains(value)).ok_or_else(|| self.not_allowed(text))
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

    fn set(&self, from: u32, to: u32, step: usize) -> u128 {
        (from..=to).step_by(step).fold(0, |set, value| set | 1 << (value - self.base))
    }

    fn not_allowed(&self, text: Piece) -> Fault {
        let help = match text.text {
            "?" => "; write * for any",
            other if has_extension(other) => "; L, W, # and H are not supported",
            _ => "",
        };
        text.fault(format!("{} {} is not in {}{help}", self.name, text.quoted(), self.allowed_values()))
    }

    fn allowed_values(&self) -> String {
        let numbers = format!("{}-{}", self.allowed.start(), self.allowed.end());
        match self.names {
            [first, .., last] => format!("{numbers} or {}-{}", &first[..3], &last[..3]),
            _ => numbers,
        }
    }

    fn wraps(&self, text: Piece, from: Piece, to: Piece) -> Fault {
        // Sunday ends a week as 7, too; but after `fri-6` it is best written as its beginning.
        let end = if self.name == DAY_OF_WEEK.name { 6 } else { *self.allowed.end() };
        let start = self.allowed.start();
        text.fault(format!(
            "{} {} ends before it begins; ranges do not wrap around: write {}-{end},{start}-{}",
            self.name,
            text.quoted(),
            from.text,
            to.text
        ))
    }
}

/// Whether a text is made of what other cron dialects know beside numbers: `L`, `LW`, `15W`, `5L`, `H`.
fn has_extension(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || "LWHlwh".contains(c)) && text.chars().any(char::is_alphabetic)
}
