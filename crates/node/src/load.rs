//! How much this node decides at each second of the day: what `jitter.mode: auto` chooses an offset by. An estimate: it begins empty with the node,
//! and counts what the shards fire that it leads. Shards hold definitions by chance, so that what is even in each is even in all.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

const SECONDS: usize = 86_400;
const SECOND: i64 = 1_000_000;
/// An offset is the best of so many: of two the fullest second has exponentially less already, more only cost time.
pub const CANDIDATES: usize = 8;

/// See the module.
pub struct Load {
    seconds: Box<[AtomicU32]>,
    /// The last day that was counted; what was counted before counts half the next day.
    day: AtomicI64,
}

impl Default for Load {
    fn default() -> Self {
        Self { seconds: (0..SECONDS).map(|_| AtomicU32::new(0)).collect(), day: AtomicI64::new(i64::MIN) }
    }
}

impl Load {
    /// Something is due at this time, in microseconds since the Unix epoch.
    pub fn note(&self, due: i64) {
        self.age(due.div_euclid(SECOND * SECONDS as i64));
        self.seconds[second(due)].fetch_add(1, Ordering::Relaxed);
    }

    /// What comes to its second of the day.
    pub fn at(&self, due: i64) -> u32 {
        self.seconds[second(due)].load(Ordering::Relaxed)
    }

    fn age(&self, day: i64) {
        let before = self.day.load(Ordering::Relaxed);
        let turns =
            day > before && self.day.compare_exchange(before, day, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if turns && before != i64::MIN {
            for second in &self.seconds {
                // (What another thread adds in between may be lost: it is an estimate.)
                second.store(second.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            }
        }
    }
}

fn second(at: i64) -> usize {
    at.div_euclid(SECOND).rem_euclid(SECONDS as i64) as usize
}

/// Of some seeds the one whose due time comes to the least busy second; `due` says when each makes it due.
pub fn least_busy(load: &Load, seeds: impl IntoIterator<Item = u64>, due: impl Fn(u64) -> i64) -> Option<u64> {
    let chosen = seeds.into_iter().min_by_key(|seed| load.at(due(*seed)))?;
    load.note(due(chosen));
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = SECONDS as i64 * SECOND;

    #[test]
    fn what_is_counted_is_of_its_second_of_the_day_and_counts_half_the_next() {
        let load = Load::default();
        for _ in 0..5 {
            load.note(3 * DAY + 7 * SECOND + 5);
        }
        assert_eq!([7, 6, 8].map(|second| load.at(second * SECOND)), [5, 0, 0]);
        load.note(4 * DAY);
        assert_eq!([0, 7].map(|second| load.at(second * SECOND)), [1, 2]);
        // A clock that was set back ages nothing.
        load.note(3 * DAY);
        assert_eq!([0, 7].map(|second| load.at(second * SECOND)), [2, 2]);
    }

    #[test]
    fn the_least_busy_second_is_chosen_and_is_busier_then() {
        let load = Load::default();
        let due = |seed: u64| seed as i64 * SECOND;
        load.note(due(1));
        assert_eq!(least_busy(&load, [1, 2, 3], due), Some(2));
        assert_eq!(least_busy(&load, [1, 2, 3], due), Some(3));
        assert_eq!(load.at(due(3)), 1);
        assert_eq!(least_busy(&load, [], due), None);
    }

    #[test]
    fn a_window_is_filled_evenly() {
        let load = Load::default();
        // Six hundred definitions in ten minutes, each with offsets by chance to choose from.
        let due = |seed: u64| (xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) % 600) as i64 * SECOND;
        for n in 0..600_u64 {
            least_busy(&load, (0..CANDIDATES as u64).map(|m| n * 100 + m), due);
        }
        let fullest = (0..600).map(|second| load.at(second * SECOND)).max();
        assert!(fullest <= Some(3), "by chance alone it would be 5 or 6: {fullest:?}");
    }
}
