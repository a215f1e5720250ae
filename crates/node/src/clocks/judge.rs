//! Whose clock is wrong, from what all of them show. Pure.
//!
//! Nobody knows the time; a majority of the cluster whose clocks go together is believed. So of two nodes neither is judged, and while less
//! than a majority answers nobody is.

use std::collections::BTreeMap;

/// Clocks that are closer together than this, in microseconds, agree. NTP keeps them within milliseconds and a question between nodes takes
/// less than a second; a due time that is missed or fired early by this much is a fault that users see.
pub const APART: i64 = 5_000_000;
/// A clock that was astray is believed again when it is this close: not again and again back and forth at the limit.
const TOGETHER: i64 = APART / 2;
/// Clocks that are this close show the same time: half the time that a question between nodes may take, and what NTP leaves.
const SAME: i64 = 1_000_000;

/// What the clocks of all nodes that answered show, this node's own among them, at one moment: microseconds ahead of this node's.
pub type Shown = BTreeMap<u64, i64>;

/// Who is how far ahead of the majority, in microseconds (behind it where negative). `nodes` is the size of the cluster, `before` the last
/// judgement. Who did not answer keeps what was said of it.
pub fn astray(shown: &Shown, nodes: usize, before: &BTreeMap<u64, i64>) -> BTreeMap<u64, i64> {
    let judge = |node: &u64, clock: &i64| {
        let limit = if before.contains_key(node) { TOGETHER } else { APART };
        let others = shown.iter().filter(|(other, _)| *other != node).map(|(_, clock)| *clock).collect();
        ahead_of_majority(*clock, others, nodes / 2 + 1, limit)
    };
    let silent = before.iter().filter(|(node, _)| !shown.contains_key(node)).map(|(node, ahead)| (*node, *ahead));
    shown.iter().filter_map(|(node, clock)| Some((*node, judge(node, clock)?))).chain(silent).collect()
}

/// The widest gap between two clocks, where no majority says which of them is wrong.
pub fn disputed(shown: &Shown, nodes: usize) -> Option<i64> {
    let (first, last) = (shown.values().min()?, shown.values().max()?);
    let clocks: Vec<i64> = shown.values().copied().collect();
    let gap = last - first;
    (gap > APART && agreeing(clocks, nodes / 2 + 1).is_none()).then_some(gap)
}

/// Whether a majority of the cluster, this node left out, shows the time `clock`, in microseconds ahead of this node's. What is taken for
/// confirmed may fire early by [`SAME`], not more.
pub fn confirmed(clock: i64, me: u64, shown: &Shown, nodes: usize) -> bool {
    let others = shown.iter().filter(|(node, _)| **node != me).map(|(_, clock)| *clock).collect();
    agreeing(others, nodes / 2 + 1).is_some_and(|(first, last)| first - SAME <= clock && clock <= last + SAME)
}

/// Whether the others are enough to say that this node's clock is wrong.
pub fn can_tell(nodes: usize) -> bool {
    nodes > nodes / 2 + 1
}

fn ahead_of_majority(clock: i64, others: Vec<i64>, majority: usize, limit: i64) -> Option<i64> {
    let (first, last) = agreeing(others, majority)?;
    if clock > last + limit {
        return Some(clock - last);
    }
    (clock < first - limit).then(|| clock - first)
}

/// First and last of so many clocks that agree. There is at most one such group: two majorities have a clock in common, and the tightest is
/// taken.
fn agreeing(mut clocks: Vec<i64>, majority: usize) -> Option<(i64, i64)> {
    clocks.sort_unstable();
    let groups = clocks.windows(majority).map(|group| (group[0], group[majority - 1]));
    groups.filter(|(first, last)| last - first <= APART).min_by_key(|(first, last)| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn shown(seconds: &[i64]) -> Shown {
        (1..).zip(seconds.iter().map(|s| s * SECOND)).collect()
    }

    /// Nodes that are astray, and by how many seconds.
    fn judged(seconds: &[i64], nodes: usize) -> Vec<(u64, i64)> {
        let astray = astray(&shown(seconds), nodes, &BTreeMap::new());
        astray.into_iter().map(|(node, ahead)| (node, ahead / SECOND)).collect()
    }

    #[test]
    fn who_shows_another_time_than_a_majority_is_astray() {
        type Case = (&'static str, &'static [i64], usize, &'static [(u64, i64)]);
        let cases: [Case; 12] = [
            ("all agree", &[0, 1, -1], 3, &[]),
            ("one is ahead", &[0, 0, 90], 3, &[(3, 90)]),
            ("one is behind", &[0, -90, 1], 3, &[(2, -90)]),
            ("this one is ahead", &[0, -60, -61], 3, &[(1, 60)]),
            ("at the limit", &[0, 0, 5], 3, &[]),
            ("of two nobody knows", &[0, 90], 2, &[]),
            ("all differ", &[0, 60, 120], 3, &[]),
            ("one does not answer", &[0, 90], 3, &[]),
            ("two of five, apart from each other", &[0, 0, 90, 0, -30], 5, &[(3, 90), (5, -30)]),
            ("two of five, together", &[0, 0, 90, 0, 90], 5, &[(3, 90), (5, 90)]),
            ("half against half", &[0, 0, 90, 90], 4, &[]),
            ("a cluster of one", &[0], 1, &[]),
        ];
        for (name, clocks, nodes, expected) in cases {
            assert_eq!(judged(clocks, nodes), expected, "{name}");
        }
    }

    #[test]
    fn who_was_astray_must_come_closer_to_be_believed_again() {
        let before = BTreeMap::from([(3, 90 * SECOND)]);
        let again = |ahead: i64| astray(&shown(&[0, 0, ahead]), 3, &before);
        assert_eq!(again(4), BTreeMap::from([(3, 4 * SECOND)]));
        assert_eq!(again(2), BTreeMap::new());
    }

    #[test]
    fn who_does_not_answer_stays_what_it_was() {
        let before = BTreeMap::from([(3, 90 * SECOND)]);
        assert_eq!(astray(&shown(&[0, 0]), 3, &before), before);
    }

    #[test]
    fn clocks_that_are_apart_without_a_majority_are_disputed() {
        assert_eq!(disputed(&shown(&[0, 90]), 2), Some(90 * SECOND));
        assert_eq!(disputed(&shown(&[0, 0, 90, 90]), 4), Some(90 * SECOND));
        assert_eq!(disputed(&shown(&[0, 0, 90]), 3), None, "two of three agree");
        assert_eq!(disputed(&shown(&[0, 1]), 2), None);
    }

    #[test]
    fn a_jump_is_confirmed_by_a_majority_of_the_others() {
        let hour = 3600;
        let confirms = |clocks: &[i64], nodes| confirmed(hour * SECOND, 1, &shown(clocks), nodes);
        assert!(confirms(&[0, hour, hour + 1], 3), "it was this node's clock that stood still");
        assert!(!confirms(&[0, 0, hour], 3));
        assert!(!confirms(&[0, hour], 2), "one other is no majority");
        assert!(!confirms(&[0, 0, 1], 3));
        assert!(!confirmed(3 * SECOND, 1, &shown(&[0, 0, 0]), 3), "what is close is not the same");
    }

    #[test]
    fn the_others_can_tell_from_three_nodes_on() {
        assert_eq!([1, 2, 3, 4, 5].map(can_tell), [false, false, true, true, true]);
    }
}
