//! Requests that come again: carried out once, and answered as the first time.

use flintwheel_shard::Table;
use flintwheel_shard::entry::{Body, Define, Delete, Expire, NEVER, Pause, Request};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Before, Change, Defined, Definite, Deleted, Outcome, Pausing};

use crate::support::*;

fn defined(shard: &mut Shard, define: Define) -> Defined {
    match shard.apply(Body::Define(vec![define])).outcome {
        Outcome::Defined(defined) if defined.len() == 1 => defined[0],
        other => panic!("not the outcome of one Define: {other:?}"),
    }
}

fn deleted(shard: &mut Shard, request: Option<Request>) -> Deleted {
    match shard.apply(Body::Delete(vec![Delete { request, ..deletion("a") }])).outcome {
        Outcome::Deleted(deleted) if deleted.len() == 1 => deleted[0],
        other => panic!("not the outcome of one Delete: {other:?}"),
    }
}

fn paused(shard: &mut Shard, paused: bool, request: Option<Request>) -> Pausing {
    let (namespace, id, note) = (NAMESPACE.into(), "a".into(), "why".into());
    let pause = Pause {
        namespace,
        id,
        paused,
        note,
        next: NEVER,
        missed: 0,
        wanted_through: None,
        until: None,
        computed: None,
        request,
    };
    match shard.apply(Body::Pause(vec![pause])).outcome {
        Outcome::Paused(results) if results.len() == 1 => results[0],
        other => panic!("not the outcome of one Pause: {other:?}"),
    }
}

/// A definition as this request asks for it.
fn asked(document: &'static str, request_id: &str) -> Define {
    Define { request: request("a", request_id, document.as_bytes()[0]), ..changed(define("a"), document) }
}

fn definite(number: u64, version: u32) -> Definite {
    Definite { number, generation: version, version }
}

fn repeated(change: Change, version: u32) -> Defined {
    Defined::Repeated(Before { change, version, next: NEVER })
}

fn document(shard: &Shard, number: u64) -> Vec<u8> {
    let stored = query::version(&shard.state, number, shard.slot(number).version).expect("reads").expect("is kept");
    stored.document.to_vec()
}

#[test]
fn a_request_that_comes_again_is_answered_as_the_first_time_and_undoes_nothing() {
    let mut shard = Shard::default();
    assert_eq!(defined(&mut shard, asked("one", "r1")), Defined::Created(definite(0, 1)));
    assert_eq!(defined(&mut shard, asked("one", "r2")), Defined::Unchanged(definite(0, 1)));
    assert_eq!(defined(&mut shard, asked("two", "r3")), Defined::Configured(definite(0, 2)));
    // Somebody else's, who gives no request id.
    assert_eq!(defined(&mut shard, changed(define("a"), "three")), Defined::Configured(definite(0, 3)));
    for _ in 0..2 {
        assert_eq!(defined(&mut shard, asked("one", "r1")), repeated(Change::Created, 1));
        assert_eq!(defined(&mut shard, asked("one", "r2")), repeated(Change::Unchanged, 1));
        assert_eq!(defined(&mut shard, asked("two", "r3")), repeated(Change::Configured, 2));
        assert_eq!((document(&shard, 0), shard.slot(0).version), (b"three".to_vec(), 3));
    }
    shard.apply(delete("a"));
    assert_eq!(defined(&mut shard, asked("two", "r3")), repeated(Change::Configured, 2));
    assert!(shard.machine.slots().is_empty(), "what is deleted stays so");
}

#[test]
fn the_version_that_a_request_made_itself_is_no_conflict() {
    let expecting =
        |document, request_id, version| Define { expected_version: Some(version), ..asked(document, request_id) };
    let mut shard = Shard::default();
    assert_eq!(defined(&mut shard, expecting("one", "r1", 0)), Defined::Created(definite(0, 1)));
    assert_eq!(defined(&mut shard, expecting("one", "r1", 0)), repeated(Change::Created, 1));
    assert_eq!(defined(&mut shard, expecting("two", "r2", 1)), Defined::Configured(definite(0, 2)));
    assert_eq!(defined(&mut shard, expecting("two", "r2", 1)), repeated(Change::Configured, 2));
    assert_eq!(defined(&mut shard, expecting("two", "r3", 1)), Defined::Conflict { actual: 2 }, "another one's");
}

#[test]
fn the_due_time_that_was_told_is_told_again() {
    let at = |hours| Define { next: START + hours * HOUR, ..asked("one", "r1") };
    let mut shard = Shard::default();
    assert_eq!(defined(&mut shard, at(1)), Defined::Created(definite(0, 1)));
    // Tried again by a later leader, who has looked at a later clock.
    let before = Before { change: Change::Created, version: 1, next: START + HOUR };
    assert_eq!(defined(&mut shard, at(2)), Defined::Repeated(before));
    assert_eq!(shard.slot(0).next, START + HOUR);
}

#[test]
fn an_id_that_was_given_to_another_request_is_refused() {
    let mut shard = Shard::default();
    defined(&mut shard, asked("one", "r1"));
    assert_eq!(defined(&mut shard, asked("two", "r1")), Defined::Reused);
    assert_eq!(deleted(&mut shard, request("a", "r1", 9)), Deleted::Reused);
    assert_eq!(paused(&mut shard, true, request("a", "r1", 9)), Pausing::Reused);
    // Even if the content were taken for the same, it was another kind of request.
    assert_eq!(deleted(&mut shard, request("a", "r1", b'o')), Deleted::Reused);
    assert_eq!(paused(&mut shard, true, request("a", "r1", b'o')), Pausing::Reused);
    assert_eq!((document(&shard, 0), shard.machine.paused()), (b"one".to_vec(), 0));
    // Of another definition it is another request.
    let other = Define { request: request("b", "r1", 9), ..define("b") };
    assert_eq!(defined(&mut shard, other), Defined::Created(definite(1, 1)));
}

#[test]
fn what_was_refused_is_not_remembered() {
    let mut shard = Shard::default();
    assert_eq!(deleted(&mut shard, request("a", "r1", 1)), Deleted::NotFound);
    assert_eq!(paused(&mut shard, true, request("a", "r2", 1)), Pausing::NotFound);
    let expecting = Define { expected_version: Some(1), ..asked("one", "r3") };
    assert_eq!(defined(&mut shard, expecting.clone()), Defined::Conflict { actual: 0 });
    assert_eq!(shard.state.count(Table::Dedupe), 0);
    shard.define(define("a"));
    assert_eq!(defined(&mut shard, expecting), Defined::Configured(definite(0, 2)));
    assert_eq!(
        paused(&mut shard, true, request("a", "r2", 1)),
        Pausing::Changed(Definite { generation: 3, ..definite(0, 2) })
    );
    assert_eq!(deleted(&mut shard, request("a", "r1", 1)), Deleted::Gone { number: 0, version: 2 });
}

#[test]
fn one_that_is_behind_is_carried_out_when_it_is_computed_again() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.fire_next(0);
    assert_eq!(defined(&mut shard, Define { next: START, ..asked("two", "r1") }), Defined::Behind { last: START });
    let again = Define { next: START + HOUR, ..asked("two", "r1") };
    assert_eq!(defined(&mut shard, again), Defined::Configured(definite(0, 2)));
}

#[test]
fn a_repeated_delete_leaves_a_successor_alone() {
    let mut shard = Shard::with(vec![define("a"), changed(define("a"), "two")]);
    let gone = request("a", "r1", 1);
    assert_eq!(deleted(&mut shard, gone), Deleted::Gone { number: 0, version: 2 });
    assert_eq!(deleted(&mut shard, gone), Deleted::Repeated { version: 2 }, "it is gone, and was there");
    shard.define(define("a"));
    assert_eq!(deleted(&mut shard, gone), Deleted::Repeated { version: 2 });
    assert_eq!(shard.machine.slots().len(), 1);
}

#[test]
fn a_repeated_pause_does_not_pause_what_was_resumed_since() {
    let mut shard = Shard::with(vec![define("a")]);
    let (pause, resume, same) = (request("a", "r1", 1), request("a", "r2", 2), request("a", "r3", 1));
    let now = |generation| Definite { number: 0, generation, version: 1 };
    assert_eq!(paused(&mut shard, true, pause), Pausing::Changed(now(2)));
    assert_eq!(paused(&mut shard, true, same), Pausing::Same(now(2)));
    assert_eq!(paused(&mut shard, false, resume), Pausing::Changed(now(3)));
    assert_eq!(paused(&mut shard, true, pause), Pausing::Repeated { changed: true });
    assert_eq!(paused(&mut shard, true, same), Pausing::Repeated { changed: false });
    assert_eq!((shard.machine.paused(), shard.slot(0).generation), (0, 3));
    paused(&mut shard, true, None);
    assert_eq!(paused(&mut shard, false, resume), Pausing::Repeated { changed: true });
    assert_eq!(shard.machine.paused(), 1);
}

#[test]
fn a_request_is_forgotten_after_its_window() {
    for expires in [false, true] {
        let mut shard = Shard::default();
        defined(&mut shard, asked("one", "r1"));
        shard.define(changed(define("a"), "two"));
        for (after, expected) in [
            (1, repeated(Change::Created, 1)),
            (HOUR - 1, repeated(Change::Created, 1)),
            (HOUR, Defined::Configured(definite(0, 3))),
            (2 * HOUR - 1, repeated(Change::Configured, 3)),
        ] {
            shard.at = START + after;
            if expires {
                shard.apply(Body::Expire(Expire { account_before: 0, versions_before: 0, keep: 0 }));
            }
            assert_eq!(defined(&mut shard, asked("one", "r1")), expected, "after {after} µs, expires: {expires}");
        }
        shard.at = START + 100 * HOUR;
        shard.apply(Body::Expire(Expire { account_before: 0, versions_before: 0, keep: 0 }));
        assert_eq!(shard.state.count(Table::Dedupe), 0);
    }
}

#[test]
fn one_entry_may_hold_a_request_twice() {
    let mut shard = Shard::default();
    let applied = shard.apply(Body::Define(vec![asked("one", "r1"), asked("one", "r1"), asked("two", "r1")]));
    let expected = vec![Defined::Created(definite(0, 1)), repeated(Change::Created, 1), Defined::Reused];
    assert_eq!(applied.outcome, Outcome::Defined(expected));
}

#[test]
fn it_can_be_asked_whether_a_request_is_remembered() {
    let mut shard = Shard::default();
    let remembers = |shard: &Shard, request_id, content| {
        let request = request("a", request_id, content).expect("one");
        shard.machine.remembers(&shard.state, &request).expect("reads")
    };
    assert!(!remembers(&shard, "r1", b'o'));
    defined(&mut shard, asked("one", "r1"));
    assert!(remembers(&shard, "r1", b'o') && !remembers(&shard, "r2", b'o'));
    assert!(remembers(&shard, "r1", b't'), "another request has the id");
}

#[test]
fn a_record_that_cannot_be_read_stops_the_shard() {
    let mut shard = Shard::default();
    defined(&mut shard, asked("one", "r1"));
    let key = shard.state.only(Table::Dedupe);
    for spoilt in [vec![], vec![0; 7], vec![0xFF; 8], vec![0x7F; 40]] {
        shard.state.put(Table::Dedupe, key.clone(), spoilt.clone());
        let entry = flintwheel_shard::Entry { at: shard.at, body: Body::Define(vec![asked("one", "r1")]) };
        let error = shard.try_apply(&[entry.encode()]);
        // One whose time is long over is as good as none.
        let over = spoilt == vec![0xFF; 8];
        assert_eq!(error.is_err(), !over, "{spoilt:?}: {error:?}");
    }
}
