//! Entries applied together give the state and the replies that they give one by one: replicas batch as they come.

use bytes::Bytes;
use flintwheel_shard::Entry;
use flintwheel_shard::entry::{Body, DeadAction, Define, Expire, Match};

use crate::support::*;

/// Applies entries one by one and together, and compares.
fn assert_same(case: &str, before: impl Fn() -> Shard, entries: &[(i64, Body)]) {
    let entries: Vec<Bytes> = entries.iter().map(|(at, body)| Entry { at: *at, body: body.clone() }.encode()).collect();
    let (mut single, mut together) = (before(), before());
    let one_by_one: Vec<_> =
        entries.iter().flat_map(|entry| single.apply_together(std::slice::from_ref(entry))).collect();
    assert_eq!(together.apply_together(&entries), one_by_one, "{case}: replies");
    assert_eq!(View::of(&together.machine), View::of(&single.machine), "{case}: memory");
    assert_eq!(together.state, single.state, "{case}: state");
}

fn expire(before: i64) -> Body {
    Body::Expire(Expire { account_before: before, versions_before: before, keep: 0 })
}

fn fired() -> Shard {
    let mut shard = Shard::with(vec![due("a", START), listening("b", "invoice")]);
    shard.fire_next(0);
    shard
}

#[test]
fn an_entry_sees_what_those_beside_it_have_written() {
    let chunk = flintwheel_shard::reply::OutboxRef { lane: 0, seq: 1, records: 1 };
    let event = |key: &str| ingest(&["event"], vec![matched(1, key)]);
    let cases = [
        (
            "defined, changed and deleted",
            vec![
                (START, Body::Define(vec![define("c")])),
                (START, Body::Define(vec![changed(define("c"), "two")])),
                (START, delete("c")),
                (START, Body::Define(vec![define("c")])),
            ],
        ),
        ("a request that comes again", {
            let asked = |document| {
                Body::Define(vec![Define { request: request("c", "r1", 1), ..changed(define("c"), document) }])
            };
            vec![(START, asked("one")), (START, delete("c")), (START, asked("one")), (START + 2 * HOUR, asked("one"))]
        }),
        ("a key seen", vec![(START, event("k")), (START, event("k")), (START + 60 * SECOND, event("k"))]),
        (
            "fired and acknowledged",
            vec![
                (START, event("k")),
                (START, ack(flintwheel_shard::reply::OutboxRef { seq: 2, ..chunk }, vec![refused(0, START)])),
                (START, Body::Dead(vec![DeadAction { seq: 1, retry: true }])),
                (START, ack(flintwheel_shard::reply::OutboxRef { seq: 2, ..chunk }, vec![started(0, START)])),
            ],
        ),
    ];
    for (case, entries) in cases {
        assert_same(case, fired, &entries);
    }
}

#[test]
fn expiry_sees_what_those_beside_it_have_written_and_dropped() {
    let chunk = flintwheel_shard::reply::OutboxRef { lane: 0, seq: 1, records: 1 };
    let event = |key: &str| ingest(&["event"], vec![matched(1, key)]);
    let later = START + 10 * HOUR;
    let cases = [
        (
            "an hour begun",
            vec![(START, ack(chunk, vec![started(0, START)])), (later, event("k")), (later, expire(later))],
        ),
        (
            "a dead letter",
            vec![(START, ack(chunk, vec![refused(0, START)])), (later, event("k")), (later, expire(later))],
        ),
        (
            "a dead letter dropped",
            vec![
                (START, ack(chunk, vec![refused(0, START)])),
                (START, Body::Dead(vec![DeadAction { seq: 1, retry: false }])),
                (later, event("k")),
                (later, expire(later)),
            ],
        ),
        (
            "a version retired",
            vec![
                (START, ack(chunk, vec![started(0, START)])),
                (START, Body::Define(vec![changed(listening("b", "invoice"), "two")])),
                (START, delete("a")),
                (later, expire(later)),
            ],
        ),
        (
            "expired twice, the second time for less",
            vec![
                (START + HOUR, event("k1")),
                (later, event("k2")),
                (later, expire(later)),
                (later, ack(chunk, vec![started(0, START)])),
                (later, expire(START + HOUR)),
                (later, expire(later + HOUR)),
            ],
        ),
    ];
    for (case, entries) in cases {
        assert_same(case, fired, &entries);
    }
}

#[test]
fn a_clock_that_steps_back_after_expiry_makes_no_difference() {
    let event = |key: &str| ingest(&["event"], vec![Match { window: 60, ..matched(1, key) }]);
    let later = START + HOUR;
    let before = || {
        let mut shard = fired();
        shard.apply(event("k1"));
        shard
    };
    let entries = [(later, expire(later)), (START, event("k2")), (START, event("k1")), (later, event("k1"))];
    assert_same("stepped back", before, &entries);
}

#[test]
fn an_entry_that_is_not_understood_changes_nothing() {
    let sound = Entry { at: START, body: Body::Define(vec![define("z")]) }.encode();
    let spoil = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.to_vec();
        spoil(&mut bytes);
        Bytes::from(bytes)
    };
    let cases = [
        ("of a newer version", spoil(&|bytes| bytes[0] = 2), "entry version 2"),
        ("of a newer kind", spoil(&|bytes| bytes[1] = 200), "entry kind 200"),
        ("cut off", spoil(&|bytes| bytes.truncate(bytes.len() - 1)), "expected"),
        ("with bytes too many", spoil(&|bytes| bytes.push(0)), "1 bytes too many"),
        ("empty", Bytes::new(), "1 bytes expected, 0 are left"),
    ];
    for (case, entry, expected) in cases {
        let mut shard = fired();
        let (state, view) = (shard.state.clone(), View::of(&shard.machine));
        let error = shard.try_apply(&[entry]).expect_err(case);
        assert!(matches!(error, flintwheel_shard::ApplyError::Unknown(_)), "{case}: {error:?}");
        assert!(error.to_string().contains(expected), "{case}: {error}");
        assert_eq!((shard.state, View::of(&shard.machine)), (state, view), "{case}");
    }
}
