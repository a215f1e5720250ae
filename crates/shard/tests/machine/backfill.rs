//! Due times of the past, begun, decided in parts, and stopped.

use flintwheel_shard::backfills::{Backfill, PER_DEFINITION};
use flintwheel_shard::entry::{
    AdvanceBackfill, BackfillStep, BeginBackfill, Body, Closed, Define, NEVER, Range, RunEnd,
};
use flintwheel_shard::occurrence::Reason;
use flintwheel_shard::reply::{Backfilled, Outcome};
use flintwheel_shard::tracks::Policy;

use crate::support::*;

const FROM: i64 = START - 9 * HOUR;

/// Ten hours with a due time in each.
fn range(newest_first: bool, policy: Option<Policy>) -> Range {
    Range { from: FROM, to: START, newest_first, rate: 10, policy }
}

fn begin(id: &str, backfill: &str, range: Range) -> BackfillStep {
    let next = if range.newest_first { range.to } else { range.from };
    let (namespace, id, backfill) = (NAMESPACE.into(), id.into(), backfill.into());
    BackfillStep::Begin(BeginBackfill { namespace, id, backfill, range, next, total: 10 })
}

fn stop(id: &str, backfill: &str) -> BackfillStep {
    BackfillStep::Stop { namespace: NAMESPACE.into(), id: id.into(), backfill: backfill.into() }
}

/// The due times of these hours of the range, by backfill `b1` of definition 0 at version 1.
fn advance(hours: &[i64], next: Option<i64>) -> AdvanceBackfill {
    let time = |hour: i64| FROM + hour * HOUR;
    let times = hours.iter().map(|hour| time(*hour)).collect();
    AdvanceBackfill { number: 0, backfill: "b1".into(), version: 1, times, next: next.map_or(NEVER, time) }
}

fn became(shard: &mut Shard, step: BackfillStep) -> Backfilled {
    match shard.apply(Body::Backfill(vec![step])).outcome {
        Outcome::Backfilled(outcomes) if outcomes.len() == 1 => outcomes[0],
        other => panic!("not the outcome of one step: {other:?}"),
    }
}

fn advanced(shard: &mut Shard, hours: &[i64], next: Option<i64>) -> Backfilled {
    became(shard, BackfillStep::Advance(advance(hours, next)))
}

fn begun(definition: Define, range: Range) -> Shard {
    let mut shard = Shard::with(vec![definition]);
    assert_eq!(became(&mut shard, begin("a", "b1", range)), Backfilled::Begun);
    shard
}

fn known(shard: &Shard) -> Backfill {
    shard.machine.backfills().get(0, "b1").expect("it is known").clone()
}

fn fired(shard: &Shard) -> Vec<String> {
    shard.occurrences(0).iter().rev().map(|o| key_of(&o.what)).collect()
}

const ADVANCED: fn(u32) -> Backfilled = |fired| Backfilled::Advanced { fired, skipped: 0 };

#[test]
fn each_due_time_is_decided_once_in_its_order() {
    for newest_first in [false, true] {
        let mut shard = begun(due("a", START + HOUR), range(newest_first, None));
        let parts: [(&[i64], Option<i64>); 3] = if newest_first {
            [(&[9, 8], Some(7)), (&[7], Some(2)), (&[2, 0], None)]
        } else {
            [(&[0, 1], Some(2)), (&[2], Some(5)), (&[5, 9], None)]
        };
        for (hours, next) in parts {
            assert_eq!(advanced(&mut shard, hours, next), ADVANCED(hours.len() as u32));
            assert_eq!(advanced(&mut shard, hours, next), Backfilled::Stale, "told again");
        }
        let hours = parts.iter().flat_map(|(hours, _)| hours.iter());
        assert_eq!(fired(&shard), hours.map(|hour| format!("b:b1:{}", hour - 9)).collect::<Vec<_>>());
        let known = known(&shard);
        assert_eq!((known.decided, known.skipped, known.ended, known.is_stopped()), (5, 0, Some(START), false));
        assert_eq!(shard.machine.backfills().running().count(), 0);
        assert_eq!(shard.slot(0).next, START + HOUR, "what is due goes on by itself");
    }
}

#[test]
fn steps_that_do_not_go_on_where_it_stands_decide_nothing() {
    let of_another_version = AdvanceBackfill { version: 2, ..advance(&[3], Some(4)) };
    let of_another_definition = AdvanceBackfill { number: 1, ..advance(&[3], Some(4)) };
    let of_another_backfill = AdvanceBackfill { backfill: "b2".into(), ..advance(&[3], Some(4)) };
    let cases = [
        ("before where it stands", advance(&[2, 3], Some(4))),
        ("back", advance(&[3, 5, 4], Some(6))),
        ("one twice", advance(&[3, 3], Some(4))),
        ("beyond the range", advance(&[9, 10], None)),
        ("goes on where it was", advance(&[3, 4], Some(4))),
        ("nothing, and stays", advance(&[], Some(3))),
        ("goes on beyond the range", advance(&[3], Some(10))),
        ("another version", of_another_version),
        ("another definition", of_another_definition),
        ("another backfill", of_another_backfill),
    ];
    let mut shard = begun(define("a"), range(false, None));
    assert_eq!(advanced(&mut shard, &[0], Some(3)), ADVANCED(1));
    let before = known(&shard);
    for (case, step) in cases {
        assert_eq!(became(&mut shard, BackfillStep::Advance(step)), Backfilled::Stale, "{case}");
        assert_eq!((known(&shard), fired(&shard).len()), (before.clone(), 1), "{case}");
    }
    assert_eq!(advanced(&mut shard, &[], Some(4)), ADVANCED(0), "another schedule has no due time there");
    assert_eq!(advanced(&mut shard, &[], None), ADVANCED(0));
    assert_eq!(known(&shard).ended, Some(START));
}

#[test]
fn the_same_again_is_the_same_and_another_range_needs_another_id() {
    let mut shard = begun(define("a"), range(false, None));
    let faster = Range { rate: 99, ..range(false, None) };
    for (step, expected) in [
        (begin("a", "b1", range(false, None)), Backfilled::Repeated),
        (begin("a", "b1", faster), Backfilled::Repeated),
        (begin("a", "b1", range(true, None)), Backfilled::Reused),
        (begin("a", "b1", Range { to: START - HOUR, ..range(false, None) }), Backfilled::Reused),
        (begin("a", "b1", range(false, Some(Policy::Skip))), Backfilled::Reused),
        (begin("none", "b1", range(false, None)), Backfilled::NotFound),
        (stop("none", "b1"), Backfilled::NotFound),
        (stop("a", "b2"), Backfilled::NoBackfill),
        (stop("a", "b1"), Backfilled::Stopped),
        (stop("a", "b1"), Backfilled::Ended),
        (begin("a", "b1", range(false, None)), Backfilled::Repeated),
    ] {
        assert_eq!(became(&mut shard, step.clone()), expected, "{step:?}");
    }
    assert!(known(&shard).is_stopped());
    assert_eq!(advanced(&mut shard, &[0], Some(1)), Backfilled::Stale, "what is stopped decides nothing more");
}

#[test]
fn one_that_covers_nothing_has_ended_when_it_begins() {
    let mut shard = Shard::with(vec![define("a")]);
    let BackfillStep::Begin(item) = begin("a", "b1", range(false, None)) else { panic!("a begin") };
    assert_eq!(became(&mut shard, BackfillStep::Begin(BeginBackfill { next: NEVER, ..item })), Backfilled::Begun);
    assert_eq!((known(&shard).ended, known(&shard).is_stopped()), (Some(START), false));
}

#[test]
fn a_new_one_takes_the_place_of_the_oldest_that_has_ended_and_none_goes_that_is_under_way() {
    let mut shard = Shard::with(vec![define("a"), define("b")]);
    let id = |place: usize| format!("b{place}");
    for place in 0..PER_DEFINITION {
        assert_eq!(became(&mut shard, begin("a", &id(place), range(false, None))), Backfilled::Begun);
    }
    assert_eq!(became(&mut shard, begin("a", "more", range(false, None))), Backfilled::TooMany);
    assert_eq!(became(&mut shard, begin("b", "more", range(false, None))), Backfilled::Begun);
    for place in [5, 3] {
        shard.at += 1;
        assert_eq!(became(&mut shard, stop("a", &id(place))), Backfilled::Stopped);
    }
    assert_eq!(became(&mut shard, begin("a", "more", range(false, None))), Backfilled::Begun);
    let known: Vec<&str> = shard.machine.backfills().of(0).map(|(id, _)| id).collect();
    assert_eq!((known.len(), known.contains(&"b5"), known.contains(&"b3")), (PER_DEFINITION, false, true));
}

#[test]
fn it_fires_what_is_paused_and_goes_with_its_definition() {
    let mut shard = begun(Define { enabled: false, ..define("a") }, range(false, None));
    shard.apply(crate::pause::pause("a", "why"));
    assert_eq!(advanced(&mut shard, &[0], Some(1)), ADVANCED(1));
    shard.apply(delete("a"));
    assert!(shard.machine.backfills().is_empty());
    assert_eq!(advanced(&mut shard, &[1], Some(2)), Backfilled::Stale);
    assert_eq!(became(&mut shard, stop("a", "b1")), Backfilled::NotFound);
}

#[test]
fn while_a_run_is_open_the_policy_decides_that_of_the_backfill_before_that_of_the_definition() {
    // Of the definition, of the backfill; what becomes of three due times; how many fire when the first run has ended.
    let cases = [
        (Some(Policy::Skip), None, (1, 2), 1),
        (Some(Policy::Skip), Some(Policy::BufferAll), (3, 0), 2),
        (Some(Policy::BufferAll), Some(Policy::AllowAll), (3, 0), 3),
        (None, Some(Policy::BufferOne), (2, 1), 2),
        (None, None, (3, 0), 3),
    ];
    for (of_definition, own, (fires, skipped), after) in cases {
        let tracking = of_definition.and_then(tracked);
        let mut shard = begun(Define { tracking, ..define("a") }, range(false, own));
        let expected = Backfilled::Advanced { fired: fires, skipped };
        assert_eq!(advanced(&mut shard, &[0, 1, 2], Some(3)), expected, "{of_definition:?} {own:?}");
        assert_eq!((known(&shard).decided, known(&shard).skipped), (3, u64::from(skipped)));
        let end = RunEnd::Completed;
        let closed = Closed { number: 0, run: 0, end, left: None, note: String::new(), at: None };
        shard.apply(Body::Closed(vec![closed]));
        assert_eq!(shard.slot(0).fired, after, "{of_definition:?} {own:?}");
        let overlapped = shard.occurrences(0).iter().filter(|o| o.what.skip == Some(Reason::Overlap)).count();
        assert_eq!(overlapped as u32, skipped);
    }
}
