//! Jitter: how far a due time is moved behind its nominal time.
//!
//! A pure function of the definition's seed and the nominal time, so that every node and every restart finds the same.

use flintwheel_model::definition::{Jitter, JitterMode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Spreads due times over a window, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spread {
    window: u64,
    stable: bool,
}

impl Spread {
    pub(crate) fn new(jitter: Jitter) -> Self {
        Self { window: jitter.window.micros(), stable: jitter.mode != JitterMode::PerFiring }
    }

    /// In microseconds.
    pub(crate) fn window(self) -> i64 {
        i64::try_from(self.window).expect("it is at most a hundred years")
    }

    /// From 0 to the window, never reaching the time that follows. A stable offset is the same for all nominal times,
    /// except where the window does not fit before the following one: there it is scaled down, which keeps the
    /// definitions of such a schedule spread.
    pub(crate) fn offset(self, nominal: i64, following: Option<i64>, seed: u64) -> i64 {
        let gap = following.map_or(u64::MAX, |following| following.abs_diff(nominal));
        let fraction =
            if self.stable { xxh3_64_with_seed(&[], seed) } else { xxh3_64_with_seed(&nominal.to_le_bytes(), seed) };
        let offset = (u128::from(self.window.min(gap)) * u128::from(fraction)) >> 64;
        i64::try_from(offset).expect("it is less than the window, which is at most a hundred years")
    }
}
