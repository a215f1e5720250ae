//! A node that leads and one that follows, with what they say to each other carried by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_model::definition::{DedupeKeyStrategy, EventTrigger};

use super::book::Tell;
use super::follower::Taken;
use super::lease::{LEASE, MARGIN};
use super::wire::{Asked, Told};
use super::*;

const SHARD: u32 = 0;
const TERM: u64 = 5;
const FOLLOWER: u64 = 2;
/// So that no lease ends while a test runs.
const HOUR: i64 = 3_600_000_000;

fn matcher() -> Bytes {
    let trigger = EventTrigger { types: vec!["t".into()], attributes: BTreeMap::new() };
    Matcher::encode(&trigger, &DedupeKeyStrategy::default()).into()
}

fn row(number: u64) -> Subscribed {
    Subscribed { namespace: "n".into(), event_type: "t".into(), number, version: 1, matcher: matcher().to_vec() }
}

fn listed(numbers: &[u64]) -> Vec<Listed> {
    numbers.iter().map(|number| Listed::of(SHARD, row(*number)).expect("just encoded")).collect()
}

fn change(number: u64, listens: bool) -> Change {
    let subscriptions = if listens { vec![("t".to_owned(), matcher())] } else { Vec::new() };
    Change { number, version: 2, namespace: "n".into(), subscriptions }
}

/// Leads one shard with definitions 1 and 2, and has met others.
fn leader() -> Interest {
    let leader = Interest::new(1);
    leader.lead(SHARD, TERM, false, Some(leader.uptime.now() + HOUR), listed(&[1, 2]));
    leader
}

/// Which definitions a node matches; `None` if it may not.
fn matched(interest: &Interest) -> Option<Vec<u64>> {
    let index = interest.matching()?;
    let mut numbers = Vec::new();
    index.matches("n", "t", |_| None, |one| numbers.push(one.number));
    numbers.sort_unstable();
    Some(numbers)
}

/// One question and its answer; `all` is what the leader's state holds.
fn exchange(leader: &Interest, follower: &Interest, all: &[u64]) {
    let sent = follower.uptime.now();
    let has = follower.book.lock().followed(SHARD).expect("it follows").has;
    let asked = Asked { shard: SHARD, has, next: None };
    let mut book = leader.book.lock();
    book.heard(FOLLOWER, &asked);
    let mut room = usize::MAX;
    let taken = match book.tell(FOLLOWER, &asked, leader.uptime.now(), &mut room) {
        Tell::This(Told::Changes { to, changes, lasts }) => {
            Taken::changes(SHARD, has, to, &changes, lasts).expect("just encoded")
        }
        Tell::All(next) => Taken::All { of: next.of, listed: listed(all) },
        other => panic!("{other:?}"),
    };
    drop(book);
    follower.take(sent, vec![(SHARD, taken)]);
}

#[test]
fn a_follower_may_match_when_it_has_everything_and_a_lease() {
    let (leader, follower) = (leader(), Interest::new(1));
    assert_eq!(matched(&leader), Some(vec![1, 2]));
    assert_eq!((matched(&follower), follower.lacking()), (None, 1));
    exchange(&leader, &follower, &[1, 2]);
    assert_eq!(matched(&follower), None, "everything, but no lease");
    exchange(&leader, &follower, &[]);
    assert_eq!((matched(&follower), follower.lacking()), (Some(vec![1, 2]), 0));
}

#[test]
fn a_change_is_settled_when_the_follower_has_said_that_it_has_it() {
    let (leader, follower) = (Interest::new(1), Interest::new(1));
    // Leads for so long that earlier leaders' leases have ended.
    let now = leader.uptime.now();
    leader.book.lock().meet();
    leader.book.lock().lead(SHARD, TERM, Some(now + HOUR), now - LEASE - MARGIN);
    leader.publish(&leader.book.lock());
    let first = leader.change(SHARD, TERM, vec![change(1, true), change(3, false)]).expect("readable").expect("leads");
    assert_eq!((first.seq, leader.settled(SHARD, first)), (1, Settled::Now), "what listened to nothing is no change");
    exchange(&leader, &follower, &[1]);
    exchange(&leader, &follower, &[]);
    assert_eq!(matched(&follower), Some(vec![1]));
    let position =
        leader.change(SHARD, TERM, vec![change(1, false), change(4, true)]).expect("readable").expect("leads");
    assert_eq!(matched(&leader), Some(vec![4]));
    assert!(matches!(leader.settled(SHARD, position), Settled::At(_)));
    exchange(&leader, &follower, &[]);
    assert_eq!(matched(&follower), Some(vec![4]));
    assert!(matches!(leader.settled(SHARD, position), Settled::At(_)), "it has it, and has not said so");
    exchange(&leader, &follower, &[]);
    assert_eq!(leader.settled(SHARD, position), Settled::Now);
    assert_eq!(leader.change(SHARD, TERM - 1, Vec::new()), Ok(None), "an actor of another term");
    leader.lose(SHARD);
    assert_eq!(leader.settled(SHARD, position), Settled::Lost);
    assert_eq!(matched(&leader), Some(vec![4]), "its own lease goes on");
}

#[test]
fn a_node_that_is_alone_waits_for_nobody() {
    let alone = Interest::new(1);
    alone.lead(SHARD, TERM, true, None, listed(&[1]));
    assert_eq!(matched(&alone), Some(vec![1]));
    let position = alone.change(SHARD, TERM, vec![change(2, true)]).expect("readable").expect("leads");
    assert_eq!(alone.settled(SHARD, position), Settled::Now);
    assert_eq!(matched(&alone), Some(vec![1, 2]));
    alone.book.lock().meet();
    alone.publish(&alone.book.lock());
    assert_eq!(matched(&alone), None, "not confirmed yet");
    alone.book.lock().confirm(SHARD, TERM, alone.uptime.now() + HOUR);
    alone.publish(&alone.book.lock());
    assert_eq!(matched(&alone), Some(vec![1, 2]));
}

#[tokio::test]
async fn who_waits_for_a_lease_is_woken_and_gives_up_in_time() {
    let (leader, follower) = (leader(), Arc::new(Interest::new(1)));
    let soon = Instant::now() + Duration::from_millis(1);
    assert_eq!(follower.may_match(soon).await, Err(EngineError::NotLed));
    let waiting = Arc::clone(&follower);
    let late = Instant::now() + Duration::from_secs(60);
    let waiting = tokio::spawn(async move { waiting.may_match(late).await });
    tokio::task::yield_now().await;
    exchange(&leader, &follower, &[1]);
    exchange(&leader, &follower, &[]);
    assert_eq!(waiting.await.expect("it ends"), Ok(()));
}

#[test]
fn a_restore_that_is_under_way_is_known_to_the_follower_until_it_has_ended() {
    let (leader, follower) = (leader(), Interest::new(1));
    exchange(&leader, &follower, &[1, 2]);
    exchange(&leader, &follower, &[]);
    assert_eq!((leader.restoring(), follower.restoring()), (None, None));
    let tell = |change| leader.change(SHARD, TERM, vec![change]).expect("readable").expect("leads");
    let begun = tell(restoring::begun());
    assert!(matches!(leader.settled(SHARD, begun), Settled::At(_)), "who begins waits for the follower");
    exchange(&leader, &follower, &[]);
    assert_eq!((leader.restoring(), follower.restoring()), (Some(SHARD), Some(SHARD)));
    tell(restoring::begun());
    tell(change(3, true));
    tell(restoring::ended());
    exchange(&leader, &follower, &[]);
    assert_eq!((leader.restoring(), follower.restoring()), (None, None));
    assert_eq!(matched(&follower), Some(vec![1, 2, 3]), "no event matches it, and no definition is lost with it");
}

#[test]
fn a_restore_that_is_under_way_is_known_to_who_gets_all_subscriptions() {
    let index = &mut Index::default();
    assert_eq!(restoring::shard(index), None);
    let all = listed(&[1]).into_iter().chain(Listed::of(SHARD, restoring::row()));
    all.for_each(|one| one.insert(index));
    assert_eq!(restoring::shard(index), Some(SHARD));
    index.remove_shard(SHARD);
    assert_eq!(restoring::shard(index), None);
}
