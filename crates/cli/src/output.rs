//! What commands print: data on standard output in the asked form, messages on standard error, never mixed.

mod ask;
mod format;
mod progress;
mod table;
mod time;

pub use ask::confirm;
pub use format::{Format, OutputArgs, Printer, yaml};
pub use progress::Progress;
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

/// `1 definition`, `2 definitions`.
pub fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (count, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_204_113, "1,204,113")] {
            assert_eq!(grouped(count), shown);
        }
        assert_eq!((plural(1, "run").as_str(), plural(2000, "run").as_str()), ("1 run", "2,000 runs"));
    }
}
