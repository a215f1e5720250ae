//! Definitions that come due within the horizon and are not armed yet. Pure.
//!
//! Arming one costs a read and the decoding of its document. A node that takes over many shards at once arms what is due first, and fires it,
//! before it looks at what is due in ten minutes. Knows neither the wheel nor documents.

use std::cmp::Reverse;

/// Definitions that are armed in one go: some ten milliseconds of work, in which nothing of the shard is fired.
const AT_ONCE: usize = 256;

/// A definition's place in time, as its cursor stood when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which definition.
    pub number: u64,
    /// Its generation then: where it has changed since, what is armed by this is dropped as stale.
    pub generation: u32,
    /// Its next nominal time, in microseconds since the epoch.
    pub nominal: i64,
}

/// See the module.
#[derive(Default)]
pub struct Coming {
    /// The soonest is the last.
    found: Vec<Found>,
}

impl Coming {
    /// Adds what was found beyond the horizon until now, so later than all that is here.
    pub fn add(&mut self, mut later: Vec<Found>) {
        later.sort_unstable_by_key(|found| Reverse(found.nominal));
        later.append(&mut self.found);
        self.found = later;
    }

    /// Takes the next ones to be armed, the soonest first.
    pub fn take(&mut self) -> impl Iterator<Item = Found> + use<> {
        let rest = self.found.len().saturating_sub(AT_ONCE);
        self.found.split_off(rest).into_iter().rev()
    }

    /// Those that have not been taken.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.found.iter()
    }

    /// All that was found has been taken.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(nominals: impl IntoIterator<Item = i64>) -> Vec<Found> {
        nominals.into_iter().map(|nominal| Found { number: nominal as u64, generation: 1, nominal }).collect()
    }

    #[test]
    fn the_soonest_are_taken_first_and_a_part_at_a_time() {
        let many = 2 * AT_ONCE as i64 + 10;
        let mut coming = Coming::default();
        coming.add(found((0..many).rev()));
        let mut parts = Vec::new();
        while !coming.is_empty() {
            parts.push(coming.take().map(|found| found.nominal).collect::<Vec<_>>());
        }
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [AT_ONCE, AT_ONCE, 10]);
        assert_eq!(parts.concat(), (0..many).collect::<Vec<_>>());
        assert_eq!(coming.take().count(), 0);
    }

    #[test]
    fn what_was_found_before_comes_before_what_is_found_later() {
        let mut coming = Coming::default();
        coming.add(found([3, 1, 2]));
        coming.add(found([5, 4]));
        assert_eq!(coming.take().map(|found| found.nominal).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}
