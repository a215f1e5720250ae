//! Definitions removed.

use flintwheel_shard::entry::{Body, Delete, Expire};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Deleted, Outcome};

use crate::pause::pause;
use crate::support::*;

#[test]
fn the_outcome_tells_which_were_there() {
    let mut shard = Shard::with(vec![define("a"), define("b")]);
    let elsewhere = Delete { namespace: "ops".into(), ..deletion("b") };
    let applied = shard.apply(Body::Delete(vec![deletion("a"), deletion("a"), deletion("none"), elsewhere]));
    let gone = Deleted::Gone { number: 0, version: 1 };
    let expected = vec![gone, Deleted::NotFound, Deleted::NotFound, Deleted::NotFound];
    assert_eq!(applied.outcome, Outcome::Deleted(expected));
    assert_eq!(shard.machine.slots().iter().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
}

#[test]
fn only_what_was_meant_is_removed() {
    let cases = [
        (None, Some(1), Deleted::Conflict { actual: 2 }),
        (Some(8), None, Deleted::NotFound),
        (Some(8), Some(1), Deleted::NotFound),
        (Some(7), Some(3), Deleted::Conflict { actual: 2 }),
        (Some(7), Some(2), Deleted::Gone { number: 0, version: 2 }),
        (Some(7), Some(2), Deleted::NotFound),
    ];
    let mut shard = Shard::with(vec![define("a"), changed(define("a"), "two")]);
    for (incarnation, expected_version, expected) in cases {
        let item = Delete { incarnation, expected_version, ..deletion("a") };
        let outcome = shard.apply(Body::Delete(vec![item])).outcome;
        assert_eq!(outcome, Outcome::Deleted(vec![expected]), "{incarnation:?} {expected_version:?}");
    }
}

#[test]
fn nothing_of_it_is_found_by_name_any_more() {
    let mut shard = Shard::with(vec![listening("a", "invoice")]);
    shard.apply(pause("a", "no money"));
    shard.apply(delete("a"));
    assert_eq!(query::number(&shard.state, NAMESPACE, "a").expect("reads"), None);
    assert_eq!(query::names(&shard.state, None, None, 10).expect("reads"), []);
    assert_eq!(query::subscriptions(&shard.state).expect("reads"), []);
    assert_eq!(query::pause_note(&shard.state, 0).expect("reads"), None);
    assert_eq!(shard.machine.paused(), 0);
}

#[test]
fn what_it_has_fired_is_still_dispatched_and_acknowledged() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let fired = shard.fire_next(0);
    shard.apply(delete("a"));
    assert_eq!(shard.machine.outbox().pending(), 1);
    let (chunk, _) = query::outbox_chunk(&shard.state, fired.lane, fired.seq).expect("reads").expect("is open");
    let record = &chunk.records[0];
    assert!(query::version(&shard.state, record.number, record.version).expect("reads").is_some());
    shard.apply(ack(fired, vec![started(0, START + 1)]));
    assert_eq!(shard.machine.outbox().pending(), 0);
}

#[test]
fn what_the_sink_refuses_of_it_is_a_dead_letter_all_the_same() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let fired = shard.fire_next(0);
    shard.apply(delete("a"));
    shard.apply(ack(fired, vec![refused(0, START + 1)]));
    assert_eq!(shard.machine.counters().dead, 1);
    assert!(shard.machine.slots().is_empty());
}

#[test]
fn its_last_version_is_kept_until_it_is_expired() {
    let mut shard = Shard::with(vec![define("a")]);
    shard.apply(delete("a"));
    let kept = |shard: &Shard| query::version(&shard.state, 0, 1).expect("reads").is_some();
    for (versions_before, expected) in [(START, true), (START + HOUR - 1, true), (START + HOUR, false)] {
        shard.apply(Body::Expire(Expire { account_before: 0, versions_before, keep: 0 }));
        assert_eq!(kept(&shard), expected, "expired before {versions_before}");
    }
}
