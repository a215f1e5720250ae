//! Old time buckets dropped.

use flintwheel_shard::Table;
use flintwheel_shard::entry::{Body, DeadAction, Expire, Match};
use flintwheel_shard::occurrence::Reason;
use flintwheel_shard::query;
use flintwheel_shard::reply::{Ingested, OutboxRef, Outcome};

use crate::support::*;

/// Also that it is known beforehand whether there is anything to drop.
fn expire(shard: &mut Shard, account_before: i64, versions_before: i64) {
    let expire = Expire { account_before, versions_before, keep: 0 };
    let is_due = |shard: &Shard| shard.machine.expires(&shard.state, shard.at, expire).expect("reads");
    let kept = |shard: &Shard| Table::ALL.map(|table| shard.state.count(table));
    let (due, before) = (is_due(shard), kept(shard));
    shard.apply(Body::Expire(expire));
    assert!(due || kept(shard) == before, "{expire:?} has dropped something");
    assert!(!is_due(shard), "{expire:?} has left something");
}

/// Drops all that may be dropped now.
fn expire_all(shard: &mut Shard) {
    expire(shard, shard.at, shard.at);
}

/// A shard whose definition has fired once in each of five hours; the clock stands at the end of them.
fn five_hours() -> (Shard, Vec<OutboxRef>) {
    let mut shard = Shard::with(vec![due("a", START)]);
    let chunks = (0..5).map(|hour| {
        shard.at = START + hour * HOUR;
        shard.fire_next(0)
    });
    let chunks = chunks.collect();
    (shard, chunks)
}

fn kept(shard: &Shard) -> Vec<String> {
    shard.occurrences(0).iter().map(|o| key_of(&o.what)).collect()
}

#[test]
fn whole_hours_of_the_account_are_dropped() {
    let (mut shard, chunks) = five_hours();
    for chunk in chunks {
        shard.apply(ack(chunk, vec![started(0, START)]));
    }
    let cases = [
        (START, 5),
        (START + HOUR - 1, 5),
        (START + HOUR, 4),
        (START + HOUR / 2, 4),
        (START + 4 * HOUR - 1, 2),
        (START + 5 * HOUR - 1, 1),
        (START + 5 * HOUR, 0),
    ];
    for (before, left) in cases {
        expire(&mut shard, before, 0);
        let expected = ["t:4", "t:3", "t:2", "t:1", "t:0"];
        assert_eq!(kept(&shard), expected[..left], "before {}", (before - START) as f64 / HOUR as f64);
        assert_eq!(shard.state.count(Table::Account), 2 * left, "records and ends");
    }
}

#[test]
fn a_shard_that_has_fallen_silent_drops_its_account_too() {
    let (mut shard, chunks) = five_hours();
    for chunk in chunks {
        shard.apply(ack(chunk, vec![started(0, START)]));
    }
    shard.at = START + 1_000 * HOUR;
    expire(&mut shard, START + 900 * HOUR, 0);
    assert_eq!(shard.state.count(Table::Account), 0);
    shard.fire_next(0);
    assert_eq!(kept(&shard), ["t:5"]);
    expire(&mut shard, START + 950 * HOUR, 0);
    assert_eq!(kept(&shard), ["t:5"]);
}

#[test]
fn what_is_open_is_never_dropped_nor_what_came_after_it() {
    let (mut shard, chunks) = five_hours();
    for (hour, chunk) in chunks.iter().enumerate().filter(|(hour, _)| *hour != 2) {
        shard.apply(ack(*chunk, vec![started(0, START + hour as i64)]));
    }
    expire(&mut shard, START + 100 * HOUR, 0);
    assert_eq!(kept(&shard), ["t:4", "t:3", "t:2"]);
    assert!(query::outbox_chunk(&shard.state, 0, chunks[2].seq).expect("reads").is_some());
    shard.apply(ack(chunks[2], vec![started(0, START)]));
    expire(&mut shard, START + 100 * HOUR, 0);
    assert_eq!(shard.state.count(Table::Account), 0);
}

#[test]
fn what_a_dead_letter_points_at_is_never_dropped() {
    for retry in [true, false] {
        let (mut shard, chunks) = five_hours();
        for (hour, chunk) in chunks.iter().enumerate() {
            let end = if hour == 1 { refused(0, START) } else { started(0, START) };
            shard.apply(ack(*chunk, vec![end]));
        }
        expire(&mut shard, START + 100 * HOUR, 0);
        assert_eq!(kept(&shard).last().map(String::as_str), Some("t:1"));
        let applied = shard.apply(Body::Dead(vec![DeadAction { seq: 1, retry }]));
        assert_eq!(applied.outcome, Outcome::Dead(vec![true]));
        expire(&mut shard, START + 100 * HOUR, 0);
        assert_eq!(kept(&shard).len(), if retry { 4 } else { 0 }, "retried: {retry}");
    }
}

#[test]
fn misses_go_with_their_chunks() {
    let mut shard = Shard::with(vec![due("a", START)]);
    for (hour, reason) in Reason::ALL.into_iter().enumerate() {
        shard.at = START + hour as i64 * HOUR;
        let mut skipped = shard.next_decision(0);
        skipped.skip = Some(reason);
        shard.fire(vec![skipped]);
    }
    expire(&mut shard, START + 2 * HOUR, 0);
    let left = Reason::ALL.map(|reason| query::misses(&shard.state, reason.code(), u64::MAX, 9).expect("reads").len());
    assert_eq!((left, shard.state.count(Table::Misses)), ([0, 0, 1, 1, 1, 1, 1, 1, 1, 1], 8));
}

#[test]
fn superseded_versions_are_dropped_by_the_hour_and_the_newest_stays() {
    let mut shard = Shard::with(vec![define("a")]);
    for document in ["two", "three", "four"] {
        shard.at += HOUR;
        shard.define(changed(define("a"), document));
    }
    let versions = |shard: &Shard| {
        let kept = |version: &u32| query::version(&shard.state, 0, *version).expect("reads").is_some();
        (1..=5).filter(kept).collect::<Vec<_>>()
    };
    let cases = [(START + HOUR, vec![1, 2, 3, 4]), (START + 2 * HOUR, vec![2, 3, 4]), (i64::MAX, vec![4])];
    for (before, expected) in cases {
        expire(&mut shard, 0, before);
        assert_eq!(versions(&shard), expected);
    }
    assert_eq!(shard.state.count(Table::Retired), 0);
}

#[test]
fn a_version_that_an_open_firing_or_a_dead_letter_needs_stays() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let chunk = shard.fire_next(0);
    shard.apply(delete("a"));
    let kept = |shard: &Shard| query::version(&shard.state, 0, 1).expect("reads").is_some();
    shard.at += 1_000 * HOUR;
    expire_all(&mut shard);
    assert!(kept(&shard), "its firing is open");
    shard.apply(ack(chunk, vec![refused(0, START)]));
    expire_all(&mut shard);
    assert!(kept(&shard), "its firing is a dead letter");
    shard.apply(Body::Dead(vec![DeadAction { seq: 1, retry: false }]));
    expire_all(&mut shard);
    assert!(!kept(&shard));
}

#[test]
fn keys_are_dropped_when_no_window_reaches_them() {
    let mut shard = Shard::with(vec![listening("a", "invoice"), define("b")]);
    let windows = [1, 60, 3_600, 86_400, Match::MAX_WINDOW];
    let matches = windows.map(|window| Match { window, ..matched(0, &window.to_string()) });
    shard.apply(ingest(&["event"], matches.to_vec()));
    shard.apply(Body::Trigger(vec![trigger("b", "r1")]));
    assert_eq!(shard.state.count(Table::Dedupe), 6);
    // Each bucket is as wide as its class, and goes when the one after the next has begun.
    for (after, left) in [(0, 6), (180, 4), (3_600, 4), (12_000, 3), (750_000, 1), (3 * 3_932_160, 0)] {
        shard.at = START + after * SECOND;
        expire(&mut shard, 0, 0);
        assert_eq!(shard.state.count(Table::Dedupe), left, "after {after} s");
    }
}

#[test]
fn expiry_shortens_no_window() {
    for window in [1, 60, 61, 3_600, 86_400, Match::MAX_WINDOW] {
        let mut shard = Shard::with(vec![listening("a", "invoice")]);
        let event = ingest(&["event"], vec![Match { window, ..matched(0, "k") }]);
        let length = i64::from(window) * SECOND;
        for (after, expected) in [(0, Ingested::Fired), (length - 1, Ingested::Duplicate), (length, Ingested::Fired)] {
            shard.at = START + after;
            expire_all(&mut shard);
            assert_eq!(shard.apply(event.clone()).outcome, Outcome::Ingested(vec![expected]), "window {window}");
        }
    }
}

#[test]
fn a_request_id_outlives_expiry_for_its_day() {
    let mut shard = Shard::with(vec![define("a")]);
    let again = Body::Trigger(vec![trigger("a", "r1")]);
    assert_eq!(shard.apply(again.clone()).chunks.len(), 1);
    shard.at += 24 * HOUR - 1;
    expire_all(&mut shard);
    assert_eq!(shard.apply(again).chunks.len(), 0);
}

/// The versions of definition 0 that are kept.
fn versions(shard: &Shard) -> Vec<u32> {
    (1..10).filter(|version| query::version(&shard.state, 0, *version).expect("reads").is_some()).collect()
}

#[test]
fn the_newest_versions_are_kept_however_old_they_are_and_go_with_their_definition() {
    let documents = ["1", "2", "3", "4", "5"];
    let mut shard = Shard::with(vec![changed(define("a"), documents[0])]);
    for document in &documents[1..] {
        shard.at += HOUR;
        shard.apply(Body::Define(vec![changed(define("a"), document)]));
    }
    shard.at += 100 * HOUR;
    let expire = |shard: &mut Shard, keep| {
        let versions_before = shard.at;
        let expire = Expire { account_before: 0, versions_before, keep };
        shard.apply(Body::Expire(expire));
        assert!(!shard.machine.expires(&shard.state, shard.at, expire).expect("reads"), "it is not due again at once");
    };
    expire(&mut shard, 3);
    assert_eq!(versions(&shard), [3, 4, 5]);
    shard.apply(Body::Define(vec![changed(define("a"), "6")]));
    expire(&mut shard, 3);
    assert_eq!(versions(&shard), [3, 4, 5, 6], "one that was superseded in this hour, or looked at, stays for now");
    shard.at += 100 * HOUR;
    expire(&mut shard, 3);
    assert_eq!(versions(&shard), [4, 5, 6]);
    shard.apply(delete("a"));
    shard.at += 100 * HOUR;
    expire(&mut shard, 3);
    assert_eq!((versions(&shard), shard.state.count(Table::Retired)), (vec![], 0));
}

#[test]
fn versions_are_listed_from_the_newest_on() {
    let mut shard = Shard::with(vec![changed(define("a"), "1"), define("b")]);
    for document in ["2", "3", "4"] {
        shard.apply(Body::Define(vec![changed(define("a"), document)]));
    }
    let list = |before, limit| query::versions(&shard.state, 0, before, limit).expect("reads");
    for (before, limit, expected) in [
        (None, 10, &[4, 3, 2, 1][..]),
        (None, 2, &[4, 3]),
        (Some(3), 2, &[2, 1]),
        (Some(2), 1, &[1]),
        (Some(1), 5, &[]),
        (None, 0, &[]),
    ] {
        assert_eq!(list(before, limit), expected, "{before:?} {limit}");
    }
    assert_eq!(query::versions(&shard.state, 1, None, 10).expect("reads"), [1]);
}
