//! Events matched.

use flintwheel_shard::entry::{Body, Define, Match};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Ingested, Outcome};

use crate::support::*;

use Ingested::{Duplicate, Fired, Stale};

fn outcomes(shard: &mut Shard, matches: Vec<Match>) -> Vec<Ingested> {
    match shard.apply(ingest(&["first", "second"], matches)).outcome {
        Outcome::Ingested(outcomes) => outcomes,
        other => panic!("not the outcome of an Ingest: {other:?}"),
    }
}

fn listener() -> Shard {
    Shard::with(vec![listening("a", "invoice"), listening("b", "invoice")])
}

#[test]
fn a_key_fires_each_definition_once() {
    let mut shard = listener();
    let repeated = vec![matched(0, "k"), matched(1, "k"), matched(0, "k"), matched(0, "l")];
    assert_eq!(outcomes(&mut shard, repeated.clone()), [Fired, Fired, Duplicate, Fired], "within one entry");
    assert_eq!(outcomes(&mut shard, repeated), [Duplicate; 4], "across entries");
    assert_eq!((shard.slot(0).fired, shard.slot(1).fired, shard.machine.outbox().pending()), (2, 1, 3));
    let keys: Vec<String> = shard.occurrences(0).iter().map(|o| key_of(&o.what)).collect();
    assert_eq!(keys, ["e:l", "e:k"]);
}

#[test]
fn a_key_is_remembered_for_its_window_and_not_longer() {
    // At, beside and far from the edges of the time buckets that keys stand in.
    let starts = [0, 1, 59, 60, 3_840, 3_932_159].map(|seconds| START + seconds * SECOND);
    for window in [1, 59, 60, 61, 3_600, 86_400, 604_800, Match::MAX_WINDOW] {
        for start in starts {
            let mut shard = listener();
            let length = i64::from(window) * SECOND;
            let steps =
                [(0, Fired), (1, Duplicate), (length - 1, Duplicate), (length, Fired), (2 * length - 1, Duplicate)];
            for (after, expected) in steps {
                shard.at = start + after;
                let matched = Match { window, ..matched(0, "k") };
                assert_eq!(
                    outcomes(&mut shard, vec![matched]),
                    [expected],
                    "{after} µs after {start}, window {window}"
                );
            }
        }
    }
}

#[test]
fn a_key_is_not_forgotten_when_a_clock_steps_back() {
    for back in [1, SECOND, 59 * SECOND, 61 * SECOND, 300 * SECOND, 2 * HOUR] {
        let mut shard = listener();
        assert_eq!(outcomes(&mut shard, vec![matched(0, "k")]), [Fired]);
        shard.at -= back;
        assert_eq!(outcomes(&mut shard, vec![matched(0, "k")]), [Duplicate], "{back} µs back");
    }
}

#[test]
fn a_match_of_another_version_or_of_nothing_is_stale_and_its_key_is_not_remembered() {
    let mut shard = listener();
    let of = |version| Match { version, ..matched(0, "k") };
    assert_eq!(outcomes(&mut shard, vec![of(0), of(2), matched(9, "k"), of(1)]), [Stale, Stale, Stale, Fired]);
    shard.define(changed(listening("a", "invoice"), "two"));
    let fresh = Match { version: 2, ..matched(0, "l") };
    assert_eq!(outcomes(&mut shard, vec![matched(0, "l"), fresh]), [Stale, Fired]);
    shard.apply(delete("b"));
    assert_eq!(outcomes(&mut shard, vec![matched(1, "k")]), [Stale]);
}

#[test]
fn a_match_of_a_disabled_definition_is_stale() {
    let mut shard = Shard::with(vec![Define { enabled: false, ..listening("a", "invoice") }]);
    assert_eq!(outcomes(&mut shard, vec![matched(0, "k")]), [Stale]);
    assert_eq!(shard.machine.outbox().pending(), 0);
}

#[test]
fn an_event_that_many_definitions_match_is_kept_once() {
    let mut shard = Shard::with((0..50).map(|id| listening(&format!("d{id}"), "invoice")).collect());
    let second = |number| Match { event: 1, ..matched(number, "l") };
    let matches = (0..50).map(|number| matched(number, "k")).chain([second(3), second(4)]).collect();
    let chunk = shard.apply(ingest(&["first", "second", "none"], matches)).chunks[0];
    let (account, payloads) =
        query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
    assert_eq!((account.records.len(), payloads.blobs.len()), (52, 2), "what matched nothing is not kept");
    for record in 0..52 {
        let expected = if record < 50 { b"first".as_ref() } else { b"second" };
        assert_eq!(payloads.of(record).map(AsRef::as_ref), Some(expected), "record {record}");
    }
}

#[test]
fn each_namespace_keeps_the_event_with_its_own_firings() {
    let elsewhere = Define { namespace: "ops".into(), ..listening("a", "invoice") };
    let mut shard = Shard::with(vec![listening("a", "invoice"), elsewhere]);
    let applied = shard.apply(ingest(&["event"], vec![matched(0, "k"), matched(1, "k")]));
    assert_eq!(applied.chunks.iter().map(|chunk| (chunk.lane, chunk.records)).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    for chunk in applied.chunks {
        let (_, payloads) = query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
        assert_eq!(payloads.of(0).map(AsRef::as_ref), Some(b"event".as_ref()));
    }
}

#[test]
fn a_match_of_an_event_that_the_entry_does_not_hold_is_damage() {
    let mut shard = listener();
    let entry = |event| flintwheel_shard::Entry {
        at: START,
        body: ingest(&["first", "second"], vec![Match { event, ..matched(0, "k") }]),
    };
    let error = shard.try_apply(&[entry(2).encode()]).expect_err("there is no third event");
    assert!(error.to_string().contains("event 2 of 2"), "{error}");
    assert_eq!(shard.machine.outbox().pending(), 0);
    shard.apply_together(&[entry(1).encode()]);
}

#[test]
fn an_entry_without_matches_changes_nothing() {
    let mut shard = listener();
    let before = shard.state.clone();
    assert_eq!(
        shard.apply(Body::Ingest(flintwheel_shard::entry::Ingest { events: vec![], matches: vec![] })).chunks,
        []
    );
    assert_eq!(shard.state, before);
}
