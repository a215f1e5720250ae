//! Reading the state.

use flintwheel_shard::entry::{Body, Decision, Define, Expire, Trigger};
use flintwheel_shard::occurrence::{NO_CHUNK, Reason};
use flintwheel_shard::query::{self, Occurrence};
use flintwheel_shard::{Machine, REFUSED, Replicated, Table, keys};

use crate::support::*;

fn words(found: &[Occurrence]) -> Vec<String> {
    found.iter().map(|o| key_of(&o.what)).collect()
}

/// Definition 0 has three occurrences in one chunk and then one in each of two more; definition 1 lies between.
fn mixed() -> Shard {
    let mut shard = Shard::with(vec![listening("a", "invoice"), due("b", START)]);
    shard.apply(ingest(&["event"], vec![matched(0, "k1"), matched(0, "k2"), matched(1, "k1"), matched(0, "k3")]));
    shard.fire_next(1);
    shard.apply(Body::Trigger(vec![trigger("a", "r1")]));
    shard.fire_next(1);
    shard.apply(ingest(&["event"], vec![matched(0, "k4")]));
    shard
}

#[test]
fn occurrences_come_newest_first_whatever_chunk_they_are_in() {
    let shard = mixed();
    assert_eq!(words(&shard.occurrences(0)), ["e:k4", "m:r1", "e:k3", "e:k2", "e:k1"]);
    assert_eq!(words(&shard.occurrences(1)), ["t:1", "t:0", "e:k1"]);
}

#[test]
fn occurrences_are_read_in_pages_that_miss_and_repeat_nothing() {
    let shard = mixed();
    for limit in 1..=6 {
        let (mut all, mut from) = (Vec::new(), shard.slot(0).chunk);
        while from != NO_CHUNK {
            let (page, next) = query::occurrences(&shard.state, 0, from, limit).expect("reads");
            assert!(page.len() >= limit || next == NO_CHUNK, "a short page is the last one");
            all.extend(page);
            from = next;
        }
        assert_eq!(all, shard.occurrences(0), "pages of {limit}");
    }
}

#[test]
fn a_definition_without_occurrences_has_none() {
    let shard = Shard::with(vec![define("a")]);
    assert_eq!(shard.occurrences(0), []);
}

#[test]
fn the_chain_ends_where_older_chunks_have_been_dropped() {
    let mut shard = Shard::with(vec![due("a", START)]);
    for hour in 0..3 {
        shard.at = START + hour * HOUR;
        let chunk = shard.fire_next(0);
        shard.apply(ack(chunk, vec![started(0, shard.at)]));
    }
    shard.apply(Body::Expire(Expire { account_before: START + HOUR, versions_before: 0, keep: 0 }));
    let (found, next) = query::occurrences(&shard.state, 0, shard.slot(0).chunk, 10).expect("reads");
    assert_eq!((words(&found), next), (vec!["t:2".to_owned(), "t:1".to_owned()], NO_CHUNK));
}

#[test]
fn a_chain_that_goes_forward_is_damage() {
    let mut shard = mixed();
    let newest = shard.slot(0).chunk;
    let mut chunk = query::chunk(&shard.state, newest).expect("reads").expect("kept");
    chunk.records[0].previous = newest;
    shard.state.put(Table::Account, keys::account(newest), chunk.encode());
    let error = query::occurrences(&shard.state, 0, newest, 10).expect_err("it would never end");
    assert!(error.to_string().contains("not older"), "{error}");
}

#[test]
fn names_come_in_order_and_in_pages() {
    const SORTED: [(&str, &str); 6] =
        [("op", "z"), ("ops", "a"), ("ops", "a.b"), ("ops", "ab"), ("ops", "b"), ("ops2", "a")];
    let of = |(namespace, id): (&str, &str)| Define { namespace: namespace.into(), ..define(id) };
    let given = [4, 2, 0, 1, 5, 3].map(|place| SORTED[place]);
    let shard = Shard::with(given.map(of).into());
    // Of a namespace or of all, after a name, at most so many: which of those above.
    let cases = [
        (None, None, 10, 0..6),
        (None, None, 2, 0..2),
        (None, Some(("ops", "a")), 2, 2..4),
        (None, Some(("ops2", "a")), 2, 0..0),
        (Some("ops"), None, 10, 1..5),
        (Some("ops"), Some(("ops", "a")), 10, 2..5),
        (Some("ops"), Some(("op", "z")), 10, 1..5),
        (Some("ops"), Some(("ops2", "a")), 10, 0..0),
        (Some("none"), None, 10, 0..0),
        (None, None, 0, 0..0),
    ];
    for (namespace, after, limit, expected) in cases {
        let found = query::names(&shard.state, namespace, after, limit).expect("reads");
        let found: Vec<_> = found.iter().map(|(namespace, id, _)| (namespace.as_str(), id.as_str())).collect();
        assert_eq!(found, SORTED[expected], "of {namespace:?}, after {after:?}, at most {limit}");
    }
    for (number, (namespace, id)) in given.into_iter().enumerate() {
        assert_eq!(query::number(&shard.state, namespace, id).expect("reads"), Some(number as u64));
    }
}

#[test]
fn misses_are_found_by_reason_newest_first_and_in_pages() {
    let mut shard = Shard::with(vec![due("a", START), due("b", START)]);
    for hour in 0..6 {
        let skip = Some(if hour % 2 == 0 { Reason::Late } else { Reason::Misfire });
        let of = |number| Decision { skip, ..shard.next_decision(number) };
        let other = Decision { skip: Some(Reason::Superseded), ..of(1) };
        shard.fire(vec![of(0), if hour < 4 { of(1) } else { other }]);
    }
    let misses =
        |reason: Reason, before, limit| query::misses(&shard.state, reason.code(), before, limit).expect("reads");
    let of_zero = |found: &[Occurrence]| words(found).into_iter().step_by(2).collect::<Vec<_>>();
    assert_eq!(words(&misses(Reason::Late, u64::MAX, 10)), ["t:4", "t:2", "t:2", "t:0", "t:0"]);
    assert_eq!(words(&misses(Reason::Superseded, u64::MAX, 10)), ["t:5", "t:4"]);
    assert_eq!(misses(Reason::Paused, u64::MAX, 10), []);
    let (mut all, mut before) = (Vec::new(), u64::MAX);
    loop {
        let page = misses(Reason::Misfire, before, 1);
        let Some(last) = page.last() else { break };
        before = last.chunk;
        all.extend(page);
    }
    assert_eq!(
        (of_zero(&all), all),
        (vec!["t:5".into(), "t:3".into(), "t:1".into()], misses(Reason::Misfire, u64::MAX, 9))
    );
}

#[test]
fn misses_that_lie_far_apart_are_found() {
    let mut shard = Shard::with(vec![due("a", START), define("b")]);
    let skip = Some(Reason::Late);
    shard.fire(vec![Decision { skip, ..shard.next_decision(0) }]);
    for request in 0..10_000 {
        let item = Trigger { digest: digest(1, &request.to_string()), ..trigger("b", &request.to_string()) };
        let entry = flintwheel_shard::Entry { at: shard.at, body: Body::Trigger(vec![item]) };
        shard.try_apply(&[entry.encode()]).expect("applies");
    }
    shard.fire(vec![Decision { skip, ..shard.next_decision(0) }]);
    let found = query::misses(&shard.state, Reason::Late.code(), u64::MAX, 10).expect("reads");
    assert_eq!(words(&found), ["t:1", "t:0"]);
}

#[test]
fn dead_letters_come_in_order_and_in_pages() {
    let mut shard = Shard::with(vec![due("a", START)]);
    for hour in 0..4 {
        let chunk = shard.fire_next(0);
        shard.apply(ack(chunk, vec![refused(0, START + hour)]));
    }
    let page = |from, limit| {
        let letters = query::dead_letters(&shard.state, from, limit).expect("reads");
        letters.iter().map(|(seq, letter)| (*seq, letter.at - START)).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 10), [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert_eq!(page(2, 2), [(2, 1), (3, 2)]);
    assert_eq!(page(5, 2), []);
    assert_eq!(query::misses(&shard.state, REFUSED, u64::MAX, 2).expect("reads").len(), 2);
}

#[test]
fn a_damaged_record_is_an_error_that_says_so() {
    let spoilt: [(Table, Vec<u8>); 5] = [
        (Table::Cursors, keys::cursor(0)),
        (Table::Outbox, keys::outbox(0, 1)),
        (Table::Meta, keys::COUNTERS.to_vec()),
        (Table::Meta, keys::lane(0)),
        (Table::Cursors, keys::cursor(1 << 60)),
    ];
    for (table, key) in spoilt {
        let mut shard = Shard::with(vec![due("a", START)]);
        shard.fire_next(0);
        let value = if key == keys::cursor(1 << 60) { shard.slot(0).encode() } else { vec![0xFF; 3] };
        shard.state.put(table, key, value);
        assert!(Machine::open(&shard.state).is_err(), "{table:?}");
    }
}
