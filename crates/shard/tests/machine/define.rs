//! Definitions created and changed.

use flintwheel_shard::entry::{Body, Define, NEVER};
use flintwheel_shard::query::{self, Subscribed};
use flintwheel_shard::reply::{Defined, Definite, Outcome};

use crate::support::*;

fn outcome(shard: &mut Shard, define: Define) -> Defined {
    match shard.apply(Body::Define(vec![define])).outcome {
        Outcome::Defined(defined) if defined.len() == 1 => defined[0],
        other => panic!("not the outcome of one Define: {other:?}"),
    }
}

fn definite(number: u64, generation: u32, version: u32) -> Definite {
    Definite { number, generation, version }
}

#[test]
fn the_outcome_follows_from_what_stands_and_what_was_expected() {
    let a = |document, expected_version| Define { expected_version, ..changed(define("a"), document) };
    let b = |expected_version| Define { expected_version, ..define("b") };
    let cases = [
        (b(Some(1)), Defined::Conflict { actual: 0 }),
        (a("one", None), Defined::Created(definite(0, 1, 1))),
        (a("one", None), Defined::Unchanged(definite(0, 1, 1))),
        (a("one", Some(1)), Defined::Unchanged(definite(0, 1, 1))),
        (a("two", None), Defined::Configured(definite(0, 2, 2))),
        (a("two", Some(1)), Defined::Conflict { actual: 2 }),
        (a("three", Some(1)), Defined::Conflict { actual: 2 }),
        (a("three", Some(2)), Defined::Configured(definite(0, 3, 3))),
        (a("one", Some(0)), Defined::Conflict { actual: 3 }),
        (b(Some(0)), Defined::Created(definite(1, 1, 1))),
    ];
    let mut shard = Shard::default();
    for (step, (define, expected)) in cases.into_iter().enumerate() {
        assert_eq!(outcome(&mut shard, define), expected, "step {step}");
    }
    assert_eq!(shard.machine.slots().len(), 2);
}

#[test]
fn a_refused_definition_leaves_nothing_behind() {
    let mut shard = Shard::default();
    outcome(&mut shard, Define { expected_version: Some(4), ..due("a", START + HOUR) });
    assert!(shard.machine.slots().is_empty() && shard.machine.lanes().is_empty());
    assert_eq!(query::number(&shard.state, NAMESPACE, "a").expect("reads"), None);
}

#[test]
fn one_entry_may_define_the_same_id_twice() {
    let mut shard = Shard::default();
    let applied =
        shard.apply(Body::Define(vec![define("a"), changed(define("a"), "two"), changed(define("a"), "two")]));
    let defined = [
        Defined::Created(definite(0, 1, 1)),
        Defined::Configured(definite(0, 2, 2)),
        Defined::Unchanged(definite(0, 2, 2)),
    ];
    assert_eq!(applied.outcome, Outcome::Defined(defined.to_vec()));
}

#[test]
fn a_first_due_time_before_one_decided_is_behind() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.fire_next(0);
    let change = |next| Define { next, ..changed(define("a"), "two") };
    let behind = Defined::Behind { last: START };
    assert_eq!(outcome(&mut shard, change(START - 1)), behind);
    assert_eq!(outcome(&mut shard, change(START)), behind);
    assert_eq!((shard.slot(0).version, shard.slot(0).next), (1, START + HOUR));
    assert_eq!(outcome(&mut shard, change(START + 1)), Defined::Configured(definite(0, 2, 2)));
    assert_eq!((shard.slot(0).next, shard.slot(0).last), (START + 1, START));
}

#[test]
fn a_disabled_definition_is_never_behind_never_due_and_listens_to_nothing() {
    let mut shard = Shard::with(vec![Define { next: START, ..listening("a", "invoice") }]);
    shard.fire_next(0);
    let disabled = Define { enabled: false, next: START - HOUR, ..changed(listening("a", "invoice"), "two") };
    assert_eq!(outcome(&mut shard, disabled), Defined::Configured(definite(0, 2, 2)));
    assert_eq!((shard.slot(0).next, shard.slot(0).is_armed(), shard.slot(0).is_enabled()), (NEVER, false, false));
    assert_eq!(query::subscriptions(&shard.state).expect("reads"), []);
}

#[test]
fn versions_grow_and_older_ones_are_kept_as_they_were() {
    let mut shard = Shard::with(vec![listening("a", "invoice")]);
    shard.at += HOUR;
    shard.define(changed(listening("a", "payment"), "two"));
    let [first, second] = [1, 2].map(|version| query::version(&shard.state, 0, version).expect("reads").expect("kept"));
    assert_eq!((first.created, first.updated, first.document.as_ref()), (START, START, b"{\"spec\":1}".as_ref()));
    assert_eq!((second.created, second.updated, second.document.as_ref()), (START, START + HOUR, b"two".as_ref()));
    assert_eq!((first.event_types[0].as_str(), second.event_types[0].as_str()), ("invoice", "payment"));
    assert_eq!(query::version(&shard.state, 0, 3).expect("reads"), None);
}

#[test]
fn the_incarnation_stays_on_change_and_is_new_after_delete() {
    let mut shard = Shard::default();
    let incarnation = |shard: &Shard, number, version| {
        let version = query::version(&shard.state, number, version).expect("reads").expect("kept");
        (version.incarnation, version.id, version.namespace)
    };
    shard.define(Define { incarnation: 1, ..define("a") });
    shard.define(Define { incarnation: 2, ..changed(define("a"), "two") });
    assert_eq!(incarnation(&shard, 0, 2), (1, "a".into(), NAMESPACE.into()));
    shard.apply(delete("a"));
    let again = shard.define(Define { incarnation: 3, ..define("a") });
    assert_eq!(again, definite(1, 1, 1), "a number is never used twice");
    assert_eq!(incarnation(&shard, 1, 1), (3, "a".into(), NAMESPACE.into()));
}

#[test]
fn subscriptions_are_replaced_by_those_of_the_new_version() {
    let listens = |document, types: &[&str]| {
        let matcher = |t: &&str| ((*t).to_owned(), format!("{document}/{t}").into());
        Define { subscriptions: types.iter().map(matcher).collect(), ..changed(define("a"), document) }
    };
    let subscribed = |version: u32, event_type: &str, matcher: &str| Subscribed {
        namespace: NAMESPACE.into(),
        event_type: event_type.into(),
        number: 0,
        version,
        matcher: matcher.into(),
    };
    let mut shard = Shard::with(vec![listens("one", &["invoice", "payment"])]);
    let all = |shard: &Shard| query::subscriptions(&shard.state).expect("reads");
    assert_eq!(all(&shard), [subscribed(1, "invoice", "one/invoice"), subscribed(1, "payment", "one/payment")]);
    shard.define(listens("two", &["payment", "refund"]));
    assert_eq!(all(&shard), [subscribed(2, "payment", "two/payment"), subscribed(2, "refund", "two/refund")]);
    shard.apply(delete("a"));
    assert_eq!(all(&shard), []);
}

#[test]
fn a_change_keeps_pause_counts_and_the_chain_of_occurrences() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.fire_next(0);
    shard.apply(crate::pause::pause("a", "no money"));
    shard.define(changed(due("a", START + 2 * HOUR), "two"));
    let slot = shard.slot(0);
    assert!(slot.is_paused() && !slot.is_armed());
    assert_eq!((slot.fired, slot.generation, slot.version, shard.machine.paused()), (1, 3, 2, 1));
    assert_eq!(shard.occurrences(0).len(), 1);
}

#[test]
fn each_namespace_has_a_lane_until_they_are_given_out() {
    let mut shard = Shard::default();
    let of = |namespace: u32| Define { namespace: format!("n{namespace}"), ..define("a") };
    let lanes = 1 << 16;
    shard.apply(Body::Define((0..lanes).map(of).collect()));
    assert_eq!(outcome(&mut shard, of(lanes)), Defined::TooManyNamespaces);
    let known = Define { id: "b".into(), ..of(lanes - 1) };
    assert_eq!(outcome(&mut shard, known), Defined::Created(definite(lanes.into(), 1, 1)));
    let lane = shard.slot(lanes.into()).lane;
    assert_eq!(shard.machine.lanes()[usize::from(lane)], format!("n{}", lanes - 1));
}
