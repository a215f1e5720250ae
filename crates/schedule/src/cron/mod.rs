//! Cron: what a line says (as bit sets), and which local time is the next that it names.

mod fields;
mod line;
mod search;
mod zoned;

pub(crate) use line::Line;

/// Stands in [`Cron::years`] for every year, also those that a list of years can't name.
const EVERY_YEAR: u128 = u128::MAX;
/// The year of the lowest bit of [`Cron::years`].
const FIRST_YEAR: i32 = 2000;
/// The last year that is searched.
const LAST_YEAR: i32 = 2100;

/// A cron line as bit sets: it names the local times whose seven fields are all set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cron {
    /// Bit `year - 2000`, to 2100; or [`EVERY_YEAR`].
    years: u128,
    seconds: u64,
    minutes: u64,
    hours: u32,
    /// Bits 1 to 31.
    days: u32,
    /// Bits 1 to 12.
    months: u16,
    /// Bits 0 (Sunday) to 6.
    weekdays: u8,
}
