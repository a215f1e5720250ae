//! How a place is used: how fast, and how patiently.

use std::str::FromStr;
use std::time::Duration;

use flintwheel_backup::{Access, BackupError, Place};
use flintwheel_model::Span;

/// See the module.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct AccessArgs {
    /// Read or write at most so many bytes a second, such as 50MiB [default: as many as there can be]
    #[arg(long, value_name = "BYTES")]
    rate: Option<Rate>,
    /// For how long a request to an object store is tried again, such as 30s [default: 3m]
    #[arg(long, value_name = "DURATION")]
    retry_for: Option<Span>,
}

impl AccessArgs {
    /// The place of this name.
    pub fn place(self, name: &str) -> Result<Place, BackupError> {
        let defaults = Access::default();
        let retry_for = self.retry_for.map_or(defaults.retry_for, Duration::from);
        Place::parse(name, Access { rate: self.rate.map(|rate| rate.0), retry_for })
    }
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |(unit, bytes): &(&str, u64)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*bytes)
        };
        let bytes = UNITS.iter().find_map(of);
        bytes
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| "write a number of bytes above 0, such as 50MiB or 200MB".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bytes_with_or_without_a_unit() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("50MiB", Some(50 << 20)),
            ("50 MiB", Some(50 << 20)),
            ("200MB", Some(200_000_000)),
            ("7B", Some(7)),
            ("2GiB", Some(2 << 30)),
            ("0", None),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(text.parse::<Rate>().ok(), bytes.map(Rate), "{text}");
        }
    }
}
