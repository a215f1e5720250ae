//! What commands print: data on standard output in the asked form, messages on standard error, never mixed.

mod ask;
mod format;
mod progress;
mod table;
mod time;

pub use ask::confirm;
pub use format::{Format, OutputArgs, Printer, yaml};
pub use progress::{Progress, Watch};
pub use table::table;
pub use time::{Zone, ago, compact, when};

use std::io::{self, Write};

/// A line for people, on standard error. That nobody can read it is no reason to stop.
pub fn say(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// A count with separators: `1,204,113`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit that suits them: `512 B`, `1.2 GiB`, `12 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    let unit = UNITS[power as usize - 1];
    let whole = bytes >> (10 * power);
    if whole >= 10 {
        return format!("{} {unit}", grouped(whole));
    }
    let tenths = (bytes >> (10 * (power - 1))) % 1024 * 10 / 1024;
    format!("{whole}.{tenths} {unit}")
}

/// `1 definition`, `2 definitions`.
pub fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_300_000, "1.2 MiB"),
            (12 << 20, "12 MiB"),
            ((1 << 30) - 1, "1,023 MiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (count, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_204_113, "1,204,113")] {
            assert_eq!(grouped(count), shown);
        }
        assert_eq!((plural(1, "run").as_str(), plural(2000, "run").as_str()), ("1 run", "2,000 runs"));
    }
}
