//! How fast each namespace catches up on this node: what is late, of all of the namespace's definitions, is let through no faster than its pace.
//!
//! A node has the part of a pace that is its part of the shards, so that all nodes together keep to it and none asks another. Of those who ask at
//! the same time none gets all, and where there is less than one for each, whoever has waited longest comes first. Knows neither shards' states
//! nor firings.

use std::collections::HashMap;

use flintwheel_model::Pace;
use flintwheel_schedule::pace::Bucket;
use parking_lot::Mutex;

/// Who has not asked for so long has nothing that is late, in microseconds.
const GONE: i64 = 1_000_000;
/// Namespaces that are remembered: beyond that, those that nobody has asked for a while are forgotten.
const REMEMBERED: usize = 1024;

/// Who asks for what is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asks {
    /// A shard, whose due times were met late.
    Shard(u32),
    /// A dispatcher, whose firings have waited for the sink.
    Dispatcher,
}

/// What one who asks gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// So many may go now.
    pub count: usize,
    /// When to ask again, where that was not all: microseconds since the epoch.
    pub next_at: i64,
}

/// See the module.
pub struct Paces {
    default: Pace,
    named: HashMap<String, Pace>,
    lanes: Mutex<HashMap<String, Lane>>,
}

struct Lane {
    bucket: Bucket,
    asked: HashMap<Asks, Asked>,
}

/// When one has asked last, and when it has got something.
#[derive(Clone, Copy)]
struct Asked {
    at: i64,
    got: i64,
}

impl Lane {
    /// How many of those that are there `who` may take.
    fn part(&self, who: Asks, there: usize) -> usize {
        let waits = |asks: &Asks| self.asked.get(asks).map_or(i64::MIN, |asked| asked.got);
        let mine = (waits(&who), who);
        let before = self.asked.keys().filter(|other| (waits(other), **other) < mine).count();
        if before < there { there.div_ceil(self.asked.len().max(1)) } else { 0 }
    }
}

impl Paces {
    /// `named` by namespace.
    pub fn new(default: Pace, named: HashMap<String, Pace>) -> Self {
        Self { default, named, lanes: Mutex::default() }
    }

    /// As many as may go now of those that are wanted. `share` is this node's part of all shards.
    pub fn take(&self, namespace: &str, who: Asks, share: (u32, u32), now: i64, wanted: usize) -> Granted {
        let pace = self.named.get(namespace).copied().unwrap_or(self.default);
        let mut lanes = self.lanes.lock();
        if lanes.len() > REMEMBERED {
            lanes.retain(|_, lane| lane.asked.values().any(|asked| now - asked.at < GONE));
        }
        if !lanes.contains_key(namespace) {
            let lane = Lane { bucket: Bucket::new(pace, now), asked: HashMap::new() };
            lanes.insert(namespace.to_owned(), lane);
        }
        let Some(lane) = lanes.get_mut(namespace) else { return Granted { count: 0, next_at: now + GONE } };
        lane.asked.retain(|_, asked| now - asked.at < GONE);
        lane.asked.entry(who).or_insert(Asked { at: now, got: i64::MIN }).at = now;
        let there = lane.bucket.there(pace, share, now);
        let part = lane.part(who, there);
        let count = lane.bucket.take(pace, share, now, wanted.min(part));
        if let Some(asked) = lane.asked.get_mut(&who).filter(|_| count > 0) {
            asked.got = now;
        }
        Granted { count, next_at: lane.bucket.next_at() }
    }

    /// What was taken and not needed.
    pub fn give_back(&self, namespace: &str, count: usize) {
        if let Some(lane) = self.lanes.lock().get_mut(namespace).filter(|_| count > 0) {
            lane.bucket.give_back(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_790_000_000 * SECOND;

    fn paces() -> Paces {
        let pace = |text: &str| text.parse().expect("a pace");
        Paces::new(pace("1000/s"), [("slow".to_owned(), pace("10/s"))].into())
    }

    /// How many each of those gets in ten seconds that ask each tenth of one for as many as they can get.
    fn taken(paces: &Paces, namespace: &str, who: &[Asks], share: (u32, u32)) -> Vec<usize> {
        let mut taken = vec![0; who.len()];
        for tenth in 0..=100 {
            for (place, who) in who.iter().enumerate() {
                taken[place] += paces.take(namespace, *who, share, NOW + tenth * SECOND / 10, 5_000).count;
            }
        }
        taken
    }

    #[test]
    fn each_namespace_keeps_to_its_pace_and_those_who_ask_share_it() {
        let shards = [Asks::Shard(0), Asks::Shard(1), Asks::Shard(2), Asks::Dispatcher];
        for (namespace, share, expected) in
            [("any", (1, 1), 10_000), ("slow", (1, 1), 100), ("any", (3, 4), 7_500), ("other", (1, 4), 2_500)]
        {
            let taken = taken(&paces(), namespace, &shards, share);
            let all: usize = taken.iter().sum();
            let fair = expected / shards.len();
            assert!(all <= expected + 1 && all + expected / 50 + 3 >= expected, "{namespace} {share:?}: {taken:?}");
            assert!(taken.iter().all(|one| *one * 2 >= fair), "{namespace} {share:?}: {taken:?}");
        }
    }

    #[test]
    fn who_has_nothing_late_any_more_leaves_it_to_the_others() {
        let paces = paces();
        let (one, other) = (Asks::Shard(0), Asks::Shard(1));
        taken(&paces, "slow", &[one, other], (1, 1));
        let later = NOW + 20 * SECOND;
        let granted = paces.take("slow", one, (1, 1), later, 99);
        assert_eq!(granted.count, 3, "all that has filled, for a fifth of a second and one");
        paces.give_back("slow", 2);
        assert_eq!(paces.take("slow", one, (1, 1), later, 99).count, 2);
    }
}
