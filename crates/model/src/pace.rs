//! How many of something in a time, as people write it: `50/s`, `10/m`, `1/15m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::Span;

/// More than a cluster decides in a second.
const MOST: u32 = 1_000_000;
/// Of which so many are counted: slower than one a day is no pace but a schedule.
const LONGEST: Span = Span::from_secs(86_400);
/// Units that may stand without a number.
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// At most so many in so long a time, evenly: never all of them at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    count: u32,
    per: Span,
}

impl Pace {
    /// So many a second.
    ///
    /// # Panics
    /// For none, or for more than a million.
    pub const fn per_second(count: u32) -> Self {
        assert!(count >= 1 && count <= MOST);
        Self { count, per: Span::from_secs(1) }
    }

    /// From one to the next, in nanoseconds.
    pub fn interval_nanos(self) -> u64 {
        (self.per.micros() * 1_000 / u64::from(self.count)).max(1)
    }
}

/// Why a text is no pace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a pace: {why}; write for example 50/s, 10/m or 1/15m")]
pub struct PaceError {
    text: String,
    why: &'static str,
}

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| PaceError { text: text.chars().take(64).collect(), why })
    }
}

fn parse(text: &str) -> Result<Pace, &'static str> {
    let (count, per) = text.split_once('/').ok_or("it has no /")?;
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count: Option<u32> = count.parse().ok().filter(|_| digits);
    let count = count.filter(|count| (1..=MOST).contains(count)).ok_or("before the / stands a number in 1-1000000")?;
    let unit = UNITS.iter().find(|(name, _)| *name == per).map(|(_, secs)| Span::from_secs(*secs));
    let per = match unit {
        Some(per) => per,
        None => per.parse().map_err(|_| "after the / stands s, m, h, d or a length of time such as 15m")?,
    };
    if !(Span::from_secs(1)..=LONGEST).contains(&per) {
        return Err("the time after the / is in 1s-1d");
    }
    Ok(Pace { count, per })
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, secs)| Span::from_secs(*secs) == self.per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, self.per),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Pace {
    fn schema_name() -> Cow<'static, str> {
        "Pace".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "At most so many in so long a time, such as `50/s`, `10/m` or `1/15m`.",
            "pattern": "^[0-9]+/([smhd]|([0-9]+(\\.[0-9]+)?(w|d|h|m|s|ms|us))+)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_read_and_written_in_its_shortest_form() {
        for (text, written, nanos) in [
            ("50/s", "50/s", 20_000_000),
            ("1/s", "1/s", 1_000_000_000),
            ("10/1m", "10/m", 6_000_000_000),
            ("1/15m", "1/15m", 900_000_000_000),
            ("24/24h", "24/d", 3_600_000_000_000),
            ("1000000/s", "1000000/s", 1_000),
        ] {
            let pace: Pace = text.parse().expect(text);
            assert_eq!((pace.to_string().as_str(), pace.interval_nanos()), (written, nanos), "{text}");
            assert_eq!(written.parse(), Ok(pace));
        }
    }

    #[test]
    fn what_is_no_pace_is_refused_with_what_is_allowed() {
        for (text, why) in [
            ("", "it has no /"),
            ("50", "it has no /"),
            ("0/s", "before the / stands a number in 1-1000000"),
            ("1000001/s", "before the / stands a number in 1-1000000"),
            ("-1/s", "before the / stands a number in 1-1000000"),
            ("+1/s", "before the / stands a number in 1-1000000"),
            ("1.5/s", "before the / stands a number in 1-1000000"),
            ("/s", "before the / stands a number in 1-1000000"),
            ("5/", "after the / stands s, m, h, d or a length of time such as 15m"),
            ("5/s/s", "after the / stands s, m, h, d or a length of time such as 15m"),
            ("5/fortnight", "after the / stands s, m, h, d or a length of time such as 15m"),
            ("5/500ms", "the time after the / is in 1s-1d"),
            ("5/2d", "the time after the / is in 1s-1d"),
        ] {
            let error = text.parse::<Pace>().expect_err(text).to_string();
            assert_eq!(error, format!("\"{text}\" is not a pace: {why}; write for example 50/s, 10/m or 1/15m"));
        }
    }
}
