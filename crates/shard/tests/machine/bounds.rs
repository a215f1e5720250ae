//! How many of a definition's due times fire, and what becomes of it when its schedule is over.

use flintwheel_shard::courses::{AfterEnd, Bounds};
use flintwheel_shard::entry::{Body, Closed, Conclude, Decision, Define, NEVER, Pause, RunEnd};
use flintwheel_shard::occurrence::Reason;
use flintwheel_shard::query;
use flintwheel_shard::reply::{Concluded, Outcome};
use flintwheel_shard::tracks::Policy;

use crate::pause::pause;
use crate::support::*;

/// How many are left, and whether it is due again.
fn stands(shard: &Shard, number: u64) -> (Option<u32>, bool) {
    let left = shard.machine.courses().get(number).and_then(|course| course.left());
    (left, shard.slot(number).next != NEVER)
}

fn conclude(shard: &mut Shard, number: u64) -> Concluded {
    let generation = shard.machine.slots().get(number).map_or(1, |slot| slot.generation);
    match shard.apply(Body::Conclude(vec![Conclude { number, generation }])).outcome {
        Outcome::Concluded(mut concluded) if concluded.len() == 1 => concluded.remove(0),
        other => panic!("not the outcome of one Conclude: {other:?}"),
    }
}

/// Its last due time.
fn last(shard: &Shard, number: u64) -> Decision {
    Decision { next: NEVER, ..shard.next_decision(number) }
}

#[test]
fn so_many_due_times_fire_and_none_after() {
    let mut shard = Shard::with(vec![Define { bounds: bounded(2), ..due("a", START) }]);
    assert_eq!(stands(&shard, 0), (Some(2), true));
    // Neither a skip nor a hand counts.
    let skipped = Decision { skip: Some(Reason::Late), ..shard.next_decision(0) };
    shard.fire(vec![skipped]);
    shard.apply(Body::Trigger(vec![trigger("a", "r")]));
    assert_eq!(stands(&shard, 0), (Some(2), true));
    shard.fire_next(0);
    assert_eq!(stands(&shard, 0), (Some(1), true));
    // The leader has decided more than there is, in one entry.
    let first = shard.next_decision(0);
    let second = Decision { nominal: first.next, due: first.next, next: first.next + HOUR, ..first };
    let (_, stale) = shard.fire(vec![first, second]);
    assert_eq!((stale, stands(&shard, 0)), (vec![1], (Some(0), false)));
    assert_eq!(shard.slot(0).fired, 3);
}

#[test]
fn versions_count_on_as_long_as_each_has_a_bound() {
    let versions = [
        ("the same bound", bounded(3), (Some(2), true)),
        ("a higher one", bounded(5), (Some(4), true)),
        ("one that is reached", bounded(1), (Some(0), false)),
        ("a higher one again", bounded(2), (Some(1), true)),
        ("none", ending(AfterEnd::Keep), (None, true)),
        ("one anew", bounded(3), (Some(3), true)),
    ];
    let mut shard = Shard::with(vec![Define { bounds: bounded(3), ..due("a", START) }]);
    shard.fire_next(0);
    for (index, (what, bounds, expected)) in versions.into_iter().enumerate() {
        let document = ["1", "2", "3", "4", "5", "6"][index];
        shard.define(changed(Define { bounds, ..due("a", START + HOUR) }, document));
        assert_eq!(stands(&shard, 0), expected, "{what}");
    }
}

#[test]
fn what_waits_for_a_run_does_not_fire_when_all_are_used_up() {
    let bounds = bounded(2);
    let mut shard = Shard::with(vec![Define { tracking: tracked(Policy::BufferAll), bounds, ..due("a", START) }]);
    (0..4).for_each(|_| _ = shard.fire(vec![shard.next_decision(0)]));
    // One runs, three wait, and only one of them may.
    assert_eq!(stands(&shard, 0), (Some(1), true));
    let closed = |run| Closed { number: 0, run, end: RunEnd::Completed, left: None, note: String::new(), at: None };
    shard.apply(Body::Closed(vec![closed(0)]));
    assert_eq!(stands(&shard, 0), (Some(0), false));
    let skipped = shard.occurrences(0).into_iter().filter(|o| o.what.skip == Some(Reason::UsedUp));
    assert_eq!(skipped.map(|o| key_of(&o.what)).collect::<Vec<_>>(), ["t:3", "t:2"]);
    assert_eq!(shard.machine.tracks().waiting(), 0);
}

#[test]
fn what_becomes_of_it_waits_until_it_is_over_and_nobody_runs() {
    let bounds = ending(AfterEnd::Delete);
    let mut shard = Shard::with(vec![Define { tracking: tracked(Policy::BufferAll), bounds, ..due("a", START) }]);
    assert_eq!((shard.machine.conclusion(0), conclude(&mut shard, 0)), (None, Concluded::Stale), "it goes on");
    shard.fire_next(0);
    shard.fire(vec![last(&shard, 0)]);
    assert_eq!((shard.machine.conclusion(0), conclude(&mut shard, 0)), (None, Concluded::Stale), "one runs, one waits");
    let closed = |run| Closed { number: 0, run, end: RunEnd::Completed, left: None, note: String::new(), at: None };
    shard.apply(Body::Closed(vec![closed(0)]));
    assert_eq!(shard.machine.conclusion(0), None, "the other one runs");
    // What waits has a number too: the run that it became has the next one.
    shard.apply(Body::Closed(vec![closed(2)]));
    shard.apply(pause("a", "wait"));
    assert_eq!((shard.machine.conclusion(0), conclude(&mut shard, 0)), (None, Concluded::Stale), "it is paused");
    shard.apply(crate::pause::resume("a", NEVER, 0));
    assert_eq!(shard.machine.conclusion(0), Some(AfterEnd::Delete));
    let outdated = Conclude { number: 0, generation: 1 };
    assert_eq!(shard.apply(Body::Conclude(vec![outdated])).outcome, Outcome::Concluded(vec![Concluded::Stale]));
    let gone = Concluded::Deleted { number: 0, namespace: NAMESPACE.into(), id: "a".into() };
    assert_eq!(conclude(&mut shard, 0), gone);
    assert_eq!(conclude(&mut shard, 0), Concluded::Stale, "told again");
    assert!(shard.machine.slots().is_empty());
    assert_eq!(query::number(&shard.state, NAMESPACE, "a").expect("reads"), None);
    shard.define(Define { bounds: bounded(1), ..due("a", START + HOUR) });
    assert_eq!(stands(&shard, 1), (Some(1), true), "one of the same name counts anew");
}

#[test]
fn what_is_disabled_listens_no_more_and_is_enabled_by_another_document() {
    let bounds = Some(Bounds { max: Some(1), after_end: AfterEnd::Disable });
    let given = Define { next: START, bounds, ..listening("a", "type") };
    let mut shard = Shard::with(vec![given.clone()]);
    shard.fire_next(0);
    let disabled = Concluded::Disabled { number: 0, version: 1, namespace: NAMESPACE.into(), id: "a".into() };
    assert_eq!(conclude(&mut shard, 0), disabled);
    assert!(!shard.slot(0).is_enabled() && shard.machine.courses().get(0).is_some_and(|course| course.disabled));
    assert_eq!(query::subscriptions(&shard.state).expect("reads"), []);
    assert_eq!(shard.machine.conclusion(0), None);
    // The same document finds it unchanged, and disabled.
    shard.apply(Body::Define(vec![Define { next: START + HOUR, ..given.clone() }]));
    assert!(!shard.slot(0).is_enabled());
    let more = Some(Bounds { max: Some(2), after_end: AfterEnd::Disable });
    shard.define(changed(Define { next: START + HOUR, bounds: more, ..given }, "more"));
    assert!(shard.slot(0).is_enabled() && shard.machine.courses().get(0).is_some_and(|course| !course.disabled));
    assert_eq!((stands(&shard, 0), query::subscriptions(&shard.state).expect("reads").len()), ((Some(1), true), 1));
}

#[test]
fn what_was_missed_in_a_pause_is_wanted_until_the_cursor_has_passed_it() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.apply(pause("a", ""));
    let resume = Pause {
        namespace: NAMESPACE.into(),
        id: "a".into(),
        paused: false,
        note: String::new(),
        next: START,
        missed: 0,
        until: None,
        wanted_through: Some(START + HOUR),
        computed: None,
        request: None,
    };
    shard.apply(Body::Pause(vec![resume]));
    let wanted = |shard: &Shard| shard.machine.courses().get(0).and_then(|course| course.wanted_through);
    assert_eq!(wanted(&shard), Some(START + HOUR));
    shard.fire_next(0);
    assert_eq!(wanted(&shard), Some(START + HOUR), "one is left");
    shard.fire_next(0);
    assert_eq!((wanted(&shard), shard.machine.courses().get(0)), (None, None));
}
