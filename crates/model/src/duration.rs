//! Lengths of time as people write them: `90s`, `1h30m`, `7d`, `1.5h`, `250ms`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units, largest first, as (name, microseconds).
const UNITS: [(&str, u64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A hundred years: longer spans are typing errors, and their sums with any time still fit.
const MAX_MICROS: u64 = 100 * 366 * 86_400_000_000;

/// A length of time in whole microseconds, never negative, at most a hundred years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// A hundred years.
    pub const MAX: Self = Self(MAX_MICROS);

    /// # Panics
    /// Over a hundred years.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_micros(secs * 1_000_000)
    }

    /// # Panics
    /// Over a hundred years.
    pub const fn from_micros(micros: u64) -> Self {
        assert!(micros <= MAX_MICROS);
        Self(micros)
    }

    /// In microseconds.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// In whole seconds, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whether it is a whole number of seconds.
    pub const fn is_whole_secs(self) -> bool {
        self.0.is_multiple_of(1_000_000)
    }

    /// Zero length.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.0)
    }
}

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a duration: {why}; write for example 90s, 1h30m, 7d or 250ms")]
pub struct SpanError {
    text: String,
    why: &'static str,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).map_err(|why| SpanError { text: text.chars().take(64).collect(), why })
    }
}

fn parse(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (micros, tail) = parse_part(rest)?;
        total = total.checked_add(micros).filter(|t| *t <= MAX_MICROS).ok_or("it is longer than 100 years")?;
        rest = tail;
    }
    Ok(total)
}

/// Reads one number with its unit, such as `1.5h`; returns microseconds and what follows.
fn parse_part(text: &str) -> Result<(u64, &str), &'static str> {
    if text.starts_with('-') {
        return Err("it is negative");
    }
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or("a number has no unit")?;
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(unit_len);
    let (_, unit_micros) = UNITS.iter().find(|(name, _)| *name == unit).ok_or("the units are w, d, h, m, s, ms, us")?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| "a unit has no number")?;
    let micros = whole.checked_mul(*unit_micros).ok_or("it is longer than 100 years")?;
    let micros = micros.checked_add(parse_fraction(fraction, *unit_micros)?).ok_or("it is longer than 100 years")?;
    Ok((micros, tail))
}

fn parse_fraction(digits: &str, unit_micros: u64) -> Result<u64, &'static str> {
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a fraction has at most 9 digits");
    }
    let value: u128 = digits.parse().map_err(|_| "a fraction is not a number")?;
    let scaled = value * u128::from(unit_micros);
    let scale = 10_u128.pow(digits.len() as u32);
    if !scaled.is_multiple_of(scale) {
        return Err("it is finer than a microsecond");
    }
    u64::try_from(scaled / scale).map_err(|_| "it is longer than 100 years")
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        // Weeks are accepted but not written: `14d` is read faster than `2w`.
        for (unit, micros) in &UNITS[1..] {
            if rest >= *micros {
                write!(f, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: numbers with units w, d, h, m, s, ms, us.",
            "pattern": r"^(0|([0-9]+(\.[0-9]+)?(w|d|h|m|s|ms|us))+)$",
            "examples": ["90s", "1h30m", "7d", "250ms"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_back() {
        for (text, micros, shown) in [
            ("90s", 90_000_000, "1m30s"),
            ("1h30m", 5_400_000_000, "1h30m"),
            ("1.5h", 5_400_000_000, "1h30m"),
            ("2w", 14 * 86_400_000_000, "14d"),
            ("250ms", 250_000, "250ms"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!((span.micros(), span.to_string().as_str()), (micros, shown), "{text}");
            assert_eq!(shown.parse(), Ok(span));
        }
    }

    #[test]
    fn refused_with_a_reason() {
        for (text, why) in [
            ("", "empty"),
            ("5", "no unit"),
            ("h", "no number"),
            ("-5m", "negative"),
            ("5 m", "units are"),
            ("5y", "units are"),
            ("1000000d", "100 years"),
            ("18446744073709551.999ms", "100 years"),
            ("99999999999999999999s", "no number"),
            ("0.0000001s", "microsecond"),
        ] {
            let error = text.parse::<Span>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
