//! What is known of other nodes, and for how long.

use super::pairs::{End, Notice, Pairs, Theirs};
use super::{AWAY, LEASE, LOST, Why};
use crate::runtime::Moment;
use crate::transport::Peer;
use std::time::Duration;

const G: Notice = Notice { group: 7, token: 70 };
const H: Notice = Notice { group: 8, token: 80 };

fn ended(ends: Vec<End>) -> Vec<(u32, Why)> {
    ends.into_iter().map(|end| (end.notice.group, end.why)).collect()
}

fn met(nodes: &[u64]) -> Pairs {
    let pairs = Pairs::default();
    for node in nodes {
        assert!(pairs.meet(&Peer { node: *node, address: "a:1".into() }));
        assert!(!pairs.meet(&Peer { node: *node, address: "b:1".into() }));
    }
    pairs
}

#[test]
fn what_is_owed_is_told_until_a_beat_with_it_is_answered() {
    let (pairs, now) = (met(&[2]), Moment::now());
    pairs.hear(2, 5, &[]);
    assert!(pairs.sleep(2, Some(5), G, Theirs::Leads) && pairs.sleep(2, Some(5), H, Theirs::Leads));
    assert_eq!(pairs.owed(2), []);
    pairs.wake(Notice { token: 71, ..G });
    assert_eq!(pairs.owed(2), [], "it sleeps by another token");
    pairs.wake(G);
    assert_eq!(pairs.due(2).map(|(_, owed)| owed), Some(vec![G]));
    pairs.wake(H);
    pairs.answered(2, 5, now, &[G]);
    assert_eq!(pairs.owed(2), [H], "was not in that beat");
    assert!(pairs.sleep(2, Some(5), Notice { token: 81, ..H }, Theirs::Leads));
    assert_eq!(pairs.owed(2), [], "a new token says it all");
}

#[test]
fn a_node_that_was_restarted_has_agreed_to_nothing() {
    let pairs = met(&[2, 3]);
    pairs.hear(2, 5, &[]);
    pairs.hear(3, 5, &[]);
    assert!(pairs.sleep(2, Some(5), G, Theirs::Leads) && pairs.sleep(3, Some(5), H, Theirs::Follows));
    assert_eq!(ended(pairs.hear(2, 5, &[])), []);
    assert_eq!(ended(pairs.hear(2, 6, &[H])), [(7, Why::Restarted), (8, Why::Told)]);
    assert!(!pairs.sleep(2, Some(5), G, Theirs::Follows));
}

#[test]
fn who_was_away_is_back_when_anything_is_heard() {
    let pairs = met(&[2]);
    assert!(pairs.sleep(2, None, G, Theirs::Away));
    assert_eq!(ended(pairs.hear(2, 5, &[])), [(7, Why::Back)]);
}

#[test]
fn only_a_beat_with_a_well_disk_keeps_groups_asleep() {
    let (pairs, start) = (met(&[2]), Moment::now());
    pairs.hear(2, 5, &[]);
    assert!(!pairs.is_alive(2, start));
    pairs.beaten(2, start);
    pairs.sleep(2, Some(5), G, Theirs::Leads);
    pairs.sleep(2, Some(5), H, Theirs::Follows);
    let just_before = |end: Duration| start + end - Duration::from_millis(1);
    assert!(pairs.is_alive(2, just_before(LEASE)) && !pairs.is_alive(2, start + LEASE));
    assert_eq!(ended(pairs.lost(just_before(LOST))), []);
    pairs.hear(2, 5, &[]);
    assert_eq!(ended(pairs.lost(start + LOST)), [(7, Why::Lost)]);
}

#[test]
fn a_node_is_away_when_it_was_neither_reached_nor_heard_for_a_while() {
    let (pairs, start) = (met(&[2]), Moment::now());
    assert!(!pairs.is_away(2, start + AWAY), "nobody has tried");
    pairs.unanswered(2, start);
    pairs.unanswered(2, start + AWAY / 2);
    assert!(!pairs.is_away(2, start + AWAY / 2) && pairs.is_away(2, start + AWAY));
    pairs.beaten(2, start + AWAY / 2);
    assert!(!pairs.is_away(2, start + AWAY), "it reaches us");
    pairs.not_understood(2);
    assert!(!pairs.is_away(2, start + AWAY * 3), "it is there, and of an earlier version");
}

#[test]
fn a_majority_counts_from_the_oldest_answer_that_it_needs() {
    let start = Moment::now();
    let at = |millis| start + Duration::from_millis(millis);
    let pairs = met(&[2, 3, 4, 5]);
    for (node, sent) in [(2, 10), (3, 30), (4, 20)] {
        pairs.hear(node, 5, &[]);
        pairs.answered(node, 5, at(sent), &[]);
    }
    let now = at(100);
    let boots = |nodes: &[u64]| nodes.iter().map(|node| (*node, 5)).collect::<Vec<_>>();
    for (voters, with, since) in [
        (vec![1], vec![], Some(now)),
        (vec![1, 2, 3], boots(&[2, 3]), Some(at(30))),
        (vec![1, 2], boots(&[2]), Some(at(10))),
        (vec![1, 2, 3, 4, 5], boots(&[2, 3, 4, 5]), Some(at(20))),
        (vec![1, 2, 3, 4, 5], boots(&[2, 3]), Some(at(10))),
        (vec![1, 2, 3, 4, 5], boots(&[2]), None),
        (vec![1, 2, 3], vec![(2, 5), (3, 4)], Some(at(10))),
        (vec![1, 2, 3], vec![(2, 4), (3, 4)], None),
    ] {
        assert_eq!(pairs.majority(1, &voters, &with, now), since, "{voters:?} with {with:?}");
    }
    pairs.hear(3, 6, &[]);
    assert_eq!(pairs.majority(1, &[1, 2, 3], &boots(&[2, 3]), now), Some(at(10)), "node 3 was restarted");
}
