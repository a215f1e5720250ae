//! Firings by hand.

use flintwheel_shard::entry::{Body, Define, Trigger};
use flintwheel_shard::query;
use flintwheel_shard::reply::{OutboxRef, Outcome, Triggered};

use crate::pause::pause;
use crate::support::*;

const FIRED: Triggered = Triggered::Fired { version: 1, incarnation: 7 };
const DUPLICATE: Triggered = Triggered::Duplicate { incarnation: 7 };

fn outcomes(shard: &mut Shard, items: Vec<Trigger>) -> (Vec<OutboxRef>, Vec<Triggered>) {
    let applied = shard.apply(Body::Trigger(items));
    let Outcome::Triggered(outcomes) = applied.outcome else { panic!("not the outcome of a Trigger: {applied:?}") };
    (applied.chunks, outcomes)
}

#[test]
fn a_request_id_fires_once_a_day() {
    let mut shard = Shard::with(vec![define("a"), define("b")]);
    let twice = vec![trigger("a", "r1"), trigger("a", "r1"), trigger("b", "r1"), trigger("none", "r1")];
    assert_eq!(outcomes(&mut shard, twice).1, [FIRED, DUPLICATE, FIRED, Triggered::NotFound]);
    for (after, expected) in [(1, DUPLICATE), (24 * HOUR - 1, DUPLICATE), (24 * HOUR, FIRED)] {
        shard.at = START + after;
        assert_eq!(outcomes(&mut shard, vec![trigger("a", "r1")]).1, [expected], "{after} µs later");
    }
}

#[test]
fn it_carries_its_own_input() {
    let mut shard = Shard::with(vec![define("a"), define("b")]);
    let other = Trigger { input: "2".into(), ..trigger("b", "r2") };
    let (chunks, _) = outcomes(&mut shard, vec![trigger("a", "r1"), other]);
    let chunk = chunks[0];
    let (account, payloads) =
        query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
    assert_eq!(account.records.iter().map(key_of).collect::<Vec<_>>(), ["m:r1", "m:r2"]);
    let inputs = [0, 1].map(|record| payloads.of(record).expect("has one").to_vec());
    assert_eq!(inputs, [b"{\"by\":\"hand\"}".to_vec(), b"2".to_vec()]);
}

#[test]
fn it_acts_on_paused_and_disabled_definitions_too() {
    let mut shard = Shard::with(vec![define("a"), Define { enabled: false, ..define("b") }]);
    shard.apply(pause("a", "why"));
    assert_eq!(outcomes(&mut shard, vec![trigger("a", "r1"), trigger("b", "r1")]).1, [FIRED, FIRED]);
    assert!(shard.slot(0).is_paused() && !shard.slot(1).is_enabled());
    assert_eq!([0, 1].map(|number| shard.slot(number).fired), [1, 1]);
}

#[test]
fn it_tells_which_version_and_incarnation_fires() {
    let mut shard = Shard::with(vec![define("a")]);
    shard.define(Define { incarnation: 99, ..changed(define("a"), "two") });
    let (chunks, fired) = outcomes(&mut shard, vec![trigger("a", "r1")]);
    assert_eq!(fired, [Triggered::Fired { version: 2, incarnation: 7 }]);
    let account = query::chunk(&shard.state, chunks[0].seq).expect("reads").expect("kept");
    assert_eq!(account.records[0].version, 2);
}

#[test]
fn it_leaves_the_schedule_alone() {
    let mut shard = Shard::with(vec![due("a", START + HOUR)]);
    let before = shard.slot(0);
    outcomes(&mut shard, vec![trigger("a", "r1")]);
    let after = shard.slot(0);
    assert_eq!((after.next, after.last, after.generation), (before.next, before.last, before.generation));
}
