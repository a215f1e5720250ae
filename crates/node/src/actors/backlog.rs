//! Definitions that are late. Pure.
//!
//! However many there are, they stay where they are: in the shard's cursors. Here are the oldest of each lane, together some thousands; when those of
//! a lane are decided, the next ones are looked for. So an outage costs no memory, however long it was, and a namespace that must go slowly holds no
//! other one up. Knows neither paces nor what a lane stands for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

use super::coming::Found;

/// Definitions that are held here after a search, about: few enough to be no memory, so many that a search through all cursors is rare.
const HELD: usize = 4096;
/// Those that come one by one find room until there are so many.
const ROOM: usize = 2 * HELD;

/// See the module.
#[derive(Default)]
pub struct Backlog {
    /// By lane, none of them empty; the oldest is the last.
    lanes: BTreeMap<u16, Vec<Found>>,
    /// How many there are in all lanes.
    held: usize,
    /// In these lanes there may be others.
    more: BTreeSet<u16>,
    /// There may be others in any lane.
    unknown: bool,
    /// Nothing can be decided before.
    resting_until: i64,
}

/// Lanes in the order of their oldest definitions, the oldest first.
pub struct Turns(BinaryHeap<Reverse<(i64, u16)>>);

impl Turns {
    /// The lane whose turn it is; it has no other one until [`Self::again`].
    pub fn oldest(&mut self) -> Option<u16> {
        self.0.pop().map(|Reverse((_, lane))| lane)
    }

    /// The lane goes on, if there is anything in it.
    pub fn again(&mut self, lane: u16, backlog: &Backlog) {
        let oldest = backlog.lanes.get(&lane).and_then(|found| found.last());
        self.0.extend(oldest.map(|oldest| Reverse((oldest.nominal, lane))));
    }
}

impl Backlog {
    /// There may be late definitions that are not here.
    pub fn look(&mut self) {
        self.unknown = true;
        self.resting_until = i64::MIN;
    }

    /// There may be others of a lane, behind those that are here.
    pub fn look_behind(&mut self, lane: u16) {
        self.more.insert(lane);
        self.resting_until = i64::MIN;
    }

    /// One is late.
    pub fn come(&mut self, lane: u16, late: Found) {
        if self.held >= ROOM {
            self.more.insert(lane);
            return;
        }
        let of_lane = self.lanes.entry(lane).or_default();
        let place = of_lane.partition_point(|other| other.nominal >= late.nominal);
        of_lane.insert(place, late);
        self.held += 1;
        self.resting_until = i64::MIN;
    }

    /// Whether cursors are to be searched for late definitions: a lane that has more of them has none here.
    pub fn is_to_search(&self) -> bool {
        self.unknown || self.more.iter().any(|lane| !self.lanes.contains_key(lane))
    }

    /// What a search through the cursors has found: all that are late, each with its lane.
    pub fn search(&mut self, late: impl Iterator<Item = (u16, Found)>) {
        (self.lanes, self.more) = oldest(late, HELD);
        self.held = self.lanes.values().map(Vec::len).sum();
        self.unknown = false;
    }

    /// Each lane that has something here has a turn.
    pub fn turns(&self) -> Turns {
        let mut turns = Turns(BinaryHeap::with_capacity(self.lanes.len()));
        self.lanes.keys().for_each(|lane| turns.again(*lane, self));
        turns
    }

    /// Takes the oldest of a lane; one that can't be decided yet comes back by [`Self::come`].
    pub fn take(&mut self, lane: u16) -> Option<Found> {
        let of_lane = self.lanes.get_mut(&lane)?;
        let oldest = of_lane.pop();
        if of_lane.is_empty() {
            self.lanes.remove(&lane);
        }
        self.held -= usize::from(oldest.is_some());
        oldest
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
        self.lanes.is_empty() && !self.has_more()
    }

    /// Whether cursors may be late without being here: so that nobody takes them for forgotten.
    pub fn has_more(&self) -> bool {
        self.unknown || !self.more.is_empty()
    }

    /// Those that are here.
    pub fn iter(&self) -> impl Iterator<Item = &Found> {
        self.lanes.values().flatten()
    }
}

/// The oldest of each lane, together about `room`, the oldest last; and the lanes in which there are others.
fn oldest(late: impl Iterator<Item = (u16, Found)>, room: usize) -> (BTreeMap<u16, Vec<Found>>, BTreeSet<u16>) {
    // The newest of those that were chosen is the first to go.
    let mut chosen: HashMap<u16, BinaryHeap<(i64, u64, u32)>> = HashMap::new();
    let mut more = BTreeSet::new();
    for (lane, found) in late {
        let of_lane = chosen.entry(lane).or_default();
        of_lane.push((found.nominal, found.number, found.generation));
        let part = (room / chosen.len()).max(1);
        let Some(of_lane) = chosen.get_mut(&lane) else { continue };
        while of_lane.len() > part {
            of_lane.pop();
            more.insert(lane);
        }
    }
    let sorted = |of_lane: BinaryHeap<(i64, u64, u32)>| {
        let oldest_last = of_lane.into_sorted_vec().into_iter().rev();
        oldest_last.map(|(nominal, number, generation)| Found { number, generation, nominal }).collect()
    };
    (chosen.into_iter().map(|(lane, of_lane)| (lane, sorted(of_lane))).collect(), more)
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

    /// All that are here, in the order in which they have their turn.
    fn drain(backlog: &mut Backlog) -> Vec<(u16, Found)> {
        let (mut turns, mut all) = (backlog.turns(), Vec::new());
        while let Some(lane) = turns.oldest() {
            all.extend(backlog.take(lane).map(|found| (lane, found)));
            turns.again(lane, backlog);
        }
        all
    }

    fn numbers(found: &[(u16, Found)]) -> Vec<u64> {
        found.iter().map(|(_, found)| found.number).collect()
    }

    #[test]
    fn the_oldest_are_decided_first_and_no_more_are_held_than_some_thousands() {
        let all = 3 * HELD as u64 + 10;
        // In the order of their numbers, which is not that of their times.
        let time = |number: u64| ((number * 7_919) % all) as i64;
        let mut decided = BTreeSet::new();
        let mut backlog = Backlog::default();
        backlog.look();
        let mut last = i64::MIN;
        while backlog.is_to_search() {
            let left = (0..all).filter(|number| !decided.contains(number));
            backlog.search(left.map(|number| (0, found(number, time(number)))));
            let taken = drain(&mut backlog);
            assert!(taken.len() <= HELD);
            for (_, late) in taken {
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
        assert_eq!(more, BTreeSet::from([0]));
        assert!(chosen[&0].len() <= 1_000, "{}", chosen[&0].len());
        let of_lane = |lane| chosen[&lane].iter().map(|found| found.number).collect::<Vec<_>>();
        assert_eq!((of_lane(1), of_lane(7)), (vec![200_002, 200_001, 200_000], vec![300_000]));
    }

    #[test]
    fn a_lane_that_rests_holds_no_other_one_up() {
        let many = 2 * HELD as u64;
        let (mut backlog, mut left) = (Backlog::default(), BTreeSet::from_iter(0..many));
        backlog.look();
        // Lane 0 has no turn at all; all of lane 1 is decided meanwhile.
        while backlog.is_to_search() {
            let slow = (0..many).map(|number| (0, found(many + number, 0)));
            let quick: Vec<u64> = left.iter().copied().collect();
            backlog.search(slow.chain(quick.into_iter().map(|number| (1, found(number, number as i64)))));
            while let Some(late) = backlog.take(1) {
                left.remove(&late.number);
            }
        }
        assert!(left.is_empty() && backlog.has_more(), "{} of lane 1 were never looked for", left.len());
    }

    #[test]
    fn what_can_not_be_decided_yet_comes_back_in_its_order_with_what_has_come() {
        let mut backlog = Backlog::default();
        for (lane, late) in [(0, found(1, 10)), (5, found(2, 30)), (0, found(3, 20))] {
            backlog.come(lane, late);
        }
        let mut taken = drain(&mut backlog);
        assert_eq!(numbers(&taken), [1, 3, 2]);
        taken.remove(0);
        backlog.come(5, found(4, 25));
        taken.into_iter().for_each(|(lane, late)| backlog.come(lane, late));
        backlog.rest_until(99);
        assert_eq!(backlog.wake_at(), Some(99));
        assert_eq!(drain(&mut backlog), [(0, found(3, 20)), (5, found(4, 25)), (5, found(2, 30))]);
    }

    #[test]
    fn one_that_finds_no_room_is_searched_for_when_its_lane_is_done() {
        let mut backlog = Backlog::default();
        (0..ROOM as u64 + 1).for_each(|number| backlog.come(0, found(number, 0)));
        assert!(backlog.has_more() && backlog.iter().count() == ROOM && !backlog.is_to_search());
        drain(&mut backlog);
        assert!(backlog.is_to_search());
    }
}
