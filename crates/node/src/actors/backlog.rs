//! Definitions that are late. Pure.
//!
//! However many there are, they stay where they are: in the shard's cursors. Here are the oldest of each namespace, some thousands; when these are
//! decided, the next ones are looked for. So an outage costs no memory, however long it was, and a namespace that must go slowly holds no other one up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::coming::Found;

/// Definitions that are held here after a search, about: few enough to be no memory, so many that a search through all cursors is rare.
const HELD: usize = 4096;
/// Those that come one by one find room until there are so many.
const ROOM: usize = 2 * HELD;

/// See the module.
#[derive(Default)]
pub struct Backlog {
    /// The oldest is the last.
    found: Vec<Found>,
    /// There may be others.
    more: bool,
    /// Nothing can be decided before.
    resting_until: i64,
}

impl Backlog {
    /// There may be late definitions that are not here.
    pub fn look(&mut self) {
        self.more = true;
        self.resting_until = i64::MIN;
    }

    /// One is late.
    pub fn come(&mut self, late: Found) {
        if self.found.len() >= ROOM {
            self.more = true;
            return;
        }
        let place = self.found.partition_point(|other| other.nominal >= late.nominal);
        self.found.insert(place, late);
        self.resting_until = i64::MIN;
    }

    /// Whether cursors are to be searched for late definitions.
    pub fn is_to_search(&self) -> bool {
        self.more && self.found.is_empty()
    }

    /// What a search through the cursors has found: all that are late, each with its lane.
    pub fn search(&mut self, late: impl Iterator<Item = (u16, Found)>) {
        (self.found, self.more) = oldest(late, HELD);
    }

    /// Takes all that are here, the oldest first; those that can't be decided yet are given back by [`Self::give_back`].
    pub fn take(&mut self) -> Vec<Found> {
        let mut found = std::mem::take(&mut self.found);
        found.reverse();
        found
    }

    /// Of those that were taken, in their order.
    pub fn give_back(&mut self, mut rest: Vec<Found>) {
        rest.reverse();
        // What has come meanwhile, if anything has, is sorted in.
        let came = std::mem::replace(&mut self.found, rest);
        came.into_iter().for_each(|late| self.come(late));
    }

    /// Nothing can be decided before.
    pub fn rest_until(&mut self, at: i64) {
        self.resting_until = at;
    }

    /// When to look at it again; none where nothing is late.
    pub fn wake_at(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.resting_until)
    }

    /// Nothing is late, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.more
    }

    /// Whether cursors may be late without being here: so that nobody takes them for forgotten.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Those that are here.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.found.iter()
    }
}

/// The oldest of each lane, together about `room`, the oldest last; and whether there are others.
fn oldest(late: impl Iterator<Item = (u16, Found)>, room: usize) -> (Vec<Found>, bool) {
    // The newest of those that were chosen is the first to go.
    let mut chosen: HashMap<u16, BinaryHeap<(i64, u64, u32)>> = HashMap::new();
    let mut more = false;
    for (lane, found) in late {
        let of_lane = chosen.entry(lane).or_default();
        of_lane.push((found.nominal, found.number, found.generation));
        let part = (room / chosen.len()).max(1);
        let Some(of_lane) = chosen.get_mut(&lane) else { continue };
        while of_lane.len() > part {
            of_lane.pop();
            more = true;
        }
    }
    let each = chosen.into_values().flatten();
    let mut found: Vec<Found> =
        each.map(|(nominal, number, generation)| Found { number, generation, nominal }).collect();
    found.sort_unstable_by_key(|found| Reverse((found.nominal, found.number)));
    (found, more)
}

/// Numbers of definitions whose due times are on their way to the disk, by proposal.
#[derive(Default)]
pub struct Deciding {
    proposals: HashMap<u64, Vec<u64>>,
    next: u64,
}

impl Deciding {
    /// A proposal is on its way.
    pub fn begin(&mut self, numbers: Vec<u64>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.proposals.insert(id, numbers);
        id
    }

    /// It has ended.
    pub fn end(&mut self, id: u64) {
        self.proposals.remove(&id);
    }

    /// All that are on their way.
    pub fn numbers(&self) -> HashSet<u64> {
        self.proposals.values().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: u64, nominal: i64) -> Found {
        Found { number, generation: 1, nominal }
    }

    fn numbers(found: &[Found]) -> Vec<u64> {
        found.iter().map(|found| found.number).collect()
    }

    #[test]
    fn the_oldest_are_decided_first_and_no_more_are_held_than_some_thousands() {
        let all = 3 * HELD as u64 + 10;
        // In the order of their numbers, which is not that of their times.
        let time = |number: u64| ((number * 7_919) % all) as i64;
        let mut decided = std::collections::BTreeSet::new();
        let mut backlog = Backlog::default();
        backlog.look();
        let mut last = i64::MIN;
        while backlog.is_to_search() {
            let left = (0..all).filter(|number| !decided.contains(number));
            backlog.search(left.map(|number| (0, found(number, time(number)))));
            let taken = backlog.take();
            assert!(taken.len() <= HELD);
            for late in taken {
                assert!(late.nominal > last, "{late:?} after {last}");
                last = late.nominal;
                decided.insert(late.number);
            }
        }
        assert_eq!(decided.len() as u64, all);
        assert!(backlog.is_empty() && backlog.wake_at().is_none());
    }

    #[test]
    fn each_lane_has_a_part_however_old_the_others_are() {
        let old = (0..100_000).map(|number| (0, found(number, 0)));
        let new = (0..3).map(|number| (1, found(200_000 + number, 1_000)));
        let other = [(7, found(300_000, 5_000))];
        let (chosen, more) = oldest(old.chain(new).chain(other), 1_000);
        assert!(more && chosen.len() <= 1_004, "{}", chosen.len());
        assert_eq!(numbers(&chosen[..4]), [300_000, 200_002, 200_001, 200_000]);
    }

    #[test]
    fn what_can_not_be_decided_yet_is_given_back_in_its_order_with_what_has_come() {
        let mut backlog = Backlog::default();
        for late in [found(1, 10), found(2, 30), found(3, 20)] {
            backlog.come(late);
        }
        let mut taken = backlog.take();
        assert_eq!(numbers(&taken), [1, 3, 2]);
        taken.remove(0);
        backlog.come(found(4, 25));
        backlog.give_back(taken);
        backlog.rest_until(99);
        assert_eq!(backlog.wake_at(), Some(99));
        assert_eq!(numbers(&backlog.take()), [3, 4, 2]);
    }

    #[test]
    fn one_that_finds_no_room_is_searched_for() {
        let mut backlog = Backlog::default();
        (0..ROOM as u64 + 1).for_each(|number| backlog.come(found(number, 0)));
        assert!(backlog.has_more() && backlog.iter().count() == ROOM && !backlog.is_to_search());
        backlog.take();
        assert!(backlog.is_to_search());
    }
}
