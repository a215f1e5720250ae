//! Definitions paused and resumed.

use flintwheel_shard::entry::{Body, Computed, Define, NEVER, Pause};
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::query;
use flintwheel_shard::records::PauseNote;
use flintwheel_shard::reply::{Defined, Definite, Ingested, Outcome, Pausing};

use crate::support::*;

/// Pauses a definition.
pub fn pause(id: &str, note: &str) -> Body {
    let (namespace, id) = (NAMESPACE.into(), id.into());
    let note = note.into();
    Body::Pause(vec![Pause {
        namespace,
        id,
        paused: true,
        note,
        next: NEVER,
        missed: 0,
        wanted_through: None,
        until: None,
        computed: None,
        request: None,
    }])
}

/// Resumes a definition.
pub fn resume(id: &str, next: i64, missed: u32) -> Body {
    let (namespace, id) = (NAMESPACE.into(), id.into());
    let note = String::new();
    Body::Pause(vec![Pause {
        namespace,
        id,
        paused: false,
        note,
        next,
        missed,
        wanted_through: None,
        until: None,
        computed: None,
        request: None,
    }])
}

fn outcome(shard: &mut Shard, body: Body) -> Pausing {
    match shard.apply(body).outcome {
        Outcome::Paused(results) if results.len() == 1 => results[0],
        other => panic!("not the outcome of one Pause: {other:?}"),
    }
}

/// Pauses a definition until then.
fn pause_until(id: &str, until: i64) -> Body {
    with_until(pause(id, "why"), until)
}

/// Resumes a definition, if its pause is to end then.
fn resume_at(id: &str, until: i64, next: i64, missed: u32) -> Body {
    with_until(resume(id, next, missed), until)
}

fn with_until(body: Body, until: i64) -> Body {
    let Body::Pause(mut items) = body else { panic!("not a Pause: {body:?}") };
    items[0].until = Some(until);
    Body::Pause(items)
}

#[test]
fn a_pause_with_an_end_is_found_when_that_has_come_and_ended_once() {
    let mut shard = Shard::with(vec![due("a", START), due("b", START)]);
    shard.apply(pause_until("a", START + 2 * HOUR));
    shard.apply(pause_until("b", START + HOUR));
    let ending = |shard: &Shard, at| shard.machine.pauses().ending_by(at).collect::<Vec<_>>();
    assert_eq!(ending(&shard, START + HOUR - 1), []);
    assert_eq!(ending(&shard, START + HOUR), [(START + HOUR, 1)]);
    assert_eq!(ending(&shard, START + 2 * HOUR), [(START + HOUR, 1), (START + 2 * HOUR, 0)]);
    assert_eq!(shard.machine.pauses().next(), Some(START + HOUR));
    shard.at = START + HOUR;
    let end = resume_at("b", START + HOUR, START + HOUR, 1);
    assert!(matches!(outcome(&mut shard, end.clone()), Pausing::Changed(_)));
    assert!(matches!(outcome(&mut shard, end), Pausing::Same(_)), "told again");
    assert_eq!((shard.slot(1).next, shard.slot(1).skipped), (START + HOUR, 1));
    assert_eq!(ending(&shard, i64::MAX), [(START + 2 * HOUR, 0)]);
}

#[test]
fn a_pause_that_was_changed_meanwhile_is_not_ended_by_who_saw_it_before() {
    let end = || resume_at("a", START + HOUR, START + HOUR, 1);
    let cases = [
        ("made longer", Some(pause_until("a", START + 2 * HOUR)), true, Some(START + 2 * HOUR)),
        ("without an end now", Some(pause("a", "for long")), true, None),
        ("resumed by hand", Some(resume("a", START, 0)), false, None),
        ("as it was", None, false, None),
    ];
    for (case, meanwhile, paused, until) in cases {
        let mut shard = Shard::with(vec![due("a", START)]);
        shard.apply(pause_until("a", START + HOUR));
        if let Some(body) = meanwhile {
            shard.apply(body);
        }
        shard.apply(end());
        assert_eq!((shard.slot(0).is_paused(), shard.machine.pauses().until(0)), (paused, until), "{case}");
    }
}

#[test]
fn a_resume_that_was_computed_from_another_schedule_is_stale() {
    let of_generation = |body: Body, generation| {
        let Body::Pause(mut items) = body else { panic!("not a Pause: {body:?}") };
        items[0].computed = Some(Computed { generation, passed: None });
        Body::Pause(items)
    };
    let mut shard = Shard::with(vec![due("a", START + HOUR)]);
    shard.apply(pause("a", ""));
    // By the hourly schedule, three have passed.
    let old = of_generation(resume("a", START + 4 * HOUR, 3), shard.slot(0).generation);
    shard.define(Define { document: "{\"minutely\":1}".into(), ..due("a", START + 60 * SECOND) });
    assert_eq!(outcome(&mut shard, old), Pausing::Stale);
    let slot = shard.slot(0);
    assert_eq!((slot.is_paused(), slot.next, slot.skipped), (true, START + 60 * SECOND, 0));
    let new = of_generation(resume("a", START + 180 * SECOND, 2), slot.generation);
    assert!(matches!(outcome(&mut shard, new), Pausing::Changed(_)));
    assert_eq!((shard.slot(0).next, shard.slot(0).skipped), (START + 180 * SECOND, 2));
}

#[test]
fn what_a_resume_has_passed_over_is_not_decided_again_by_a_change_from_a_clock_that_is_behind() {
    let mut shard = Shard::with(vec![due("a", START + HOUR)]);
    shard.apply(pause("a", ""));
    let Body::Pause(mut items) = resume("a", START + 4 * HOUR, 3) else { panic!("not a Pause") };
    let generation = shard.slot(0).generation;
    items[0].computed = Some(Computed { generation, passed: Some(START + 3 * HOUR) });
    assert!(matches!(outcome(&mut shard, Body::Pause(items)), Pausing::Changed(_)));
    let mut anew = |next| {
        let item = Define { document: "{\"anew\":1}".into(), ..due("a", next) };
        shard.apply(Body::Define(vec![item])).outcome
    };
    assert_eq!(anew(START + 3 * HOUR), Outcome::Defined(vec![Defined::Behind { last: START + 3 * HOUR }]));
    let Outcome::Defined(later) = anew(START + 3 * HOUR + 1) else { panic!("not the outcome of a Define") };
    assert!(matches!(later[..], [Defined::Configured(_)]), "{later:?}");
}

#[test]
fn a_deleted_definition_leaves_no_end_of_a_pause() {
    let mut shard = Shard::with(vec![define("a")]);
    shard.apply(pause_until("a", START + HOUR));
    shard.apply(delete("a"));
    assert_eq!(shard.machine.pauses().next(), None);
}

#[test]
fn the_outcome_follows_from_what_stands() {
    let now = |generation| Definite { number: 0, generation, version: 1 };
    let cases = [
        (resume("a", NEVER, 0), Pausing::Same(now(1)), 0),
        (pause("a", "why"), Pausing::Changed(now(2)), 1),
        (pause("a", "because"), Pausing::Same(now(2)), 1),
        (pause("b", "why"), Pausing::NotFound, 1),
        (resume("a", NEVER, 0), Pausing::Changed(now(3)), 0),
        (resume("b", NEVER, 0), Pausing::NotFound, 0),
    ];
    let mut shard = Shard::with(vec![define("a")]);
    for (step, (body, expected, paused)) in cases.into_iter().enumerate() {
        assert_eq!((outcome(&mut shard, body), shard.machine.paused()), (expected, paused), "step {step}");
    }
}

#[test]
fn the_newest_note_is_kept_while_it_is_paused() {
    let mut shard = Shard::with(vec![define("a")]);
    let note = |shard: &Shard| query::pause_note(&shard.state, 0).expect("reads");
    shard.apply(pause("a", "why"));
    shard.at += 5;
    shard.apply(pause("a", "because"));
    assert_eq!(note(&shard), Some(PauseNote { at: START, note: "because".into(), until: None }));
    shard.apply(pause("a", ""));
    assert_eq!(
        note(&shard),
        Some(PauseNote { at: START, note: "because".into(), until: None }),
        "no note is not a new one"
    );
    shard.apply(resume("a", NEVER, 0));
    assert_eq!(note(&shard), None);
}

#[test]
fn what_was_missed_is_one_skipped_occurrence_that_tells_how_many() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.apply(pause("a", "why"));
    shard.at += 5 * HOUR;
    shard.apply(resume("a", START + 6 * HOUR, 6));
    let slot = shard.slot(0);
    assert_eq!((slot.next, slot.skipped, slot.fired, slot.is_armed()), (START + 6 * HOUR, 6, 0, true));
    let found = shard.occurrences(0);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].what.key, Key::Time { nominal: START, due: START, count: 6 });
    assert_eq!((found[0].what.skip, &found[0].end), (Some(Reason::Paused), &End::Skipped));
    assert_eq!(query::misses(&shard.state, Reason::Paused.code(), u64::MAX, 10).expect("reads"), found);
}

#[test]
fn nothing_missed_leaves_no_occurrence() {
    let mut shard = Shard::with(vec![due("a", START + HOUR)]);
    shard.apply(pause("a", "why"));
    shard.apply(resume("a", START + HOUR, 0));
    assert_eq!((shard.occurrences(0).len(), shard.slot(0).next), (0, START + HOUR));
}

#[test]
fn a_resumed_cursor_never_moves_back() {
    let cases = [
        ("a clock that is behind", START + HOUR, START - HOUR, START + HOUR),
        ("nothing missed", START + HOUR, START + HOUR, START + HOUR),
        ("some missed", START + HOUR, START + 3 * HOUR, START + 3 * HOUR),
        ("the last one missed", START + HOUR, NEVER, NEVER),
        ("no schedule", NEVER, NEVER, NEVER),
        ("no schedule, and a resume that was computed from one", NEVER, START, NEVER),
    ];
    for (case, next, resumed, expected) in cases {
        let mut shard = Shard::with(vec![due("a", next)]);
        shard.apply(pause("a", "why"));
        shard.apply(resume("a", resumed, 0));
        assert_eq!(shard.slot(0).next, expected, "{case}");
    }
}

#[test]
fn a_disabled_definition_stays_unarmed_and_misses_nothing() {
    let mut shard = Shard::with(vec![Define { enabled: false, ..due("a", START) }]);
    shard.apply(pause("a", "why"));
    shard.apply(resume("a", START + HOUR, 3));
    let slot = shard.slot(0);
    assert_eq!((slot.next, slot.is_armed(), slot.skipped), (NEVER, false, 0));
    assert_eq!(shard.occurrences(0), []);
}

#[test]
fn a_due_time_decided_before_the_pause_is_stale_after_it() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let decided = shard.next_decision(0);
    shard.apply(pause("a", "why"));
    assert_eq!(shard.fire(vec![decided]), (vec![], vec![0]));
    let of_now = shard.next_decision(0);
    assert_eq!(shard.fire(vec![of_now]), (vec![], vec![0]), "what is paused has no due times");
    shard.apply(resume("a", START, 0));
    assert_eq!(shard.fire(vec![decided]), (vec![], vec![0]), "it has been paused between");
    shard.fire_next(0);
}

#[test]
fn an_event_for_a_paused_definition_is_skipped_once() {
    let mut shard = Shard::with(vec![listening("a", "invoice")]);
    shard.apply(pause("a", "why"));
    let event = ingest(&["event"], vec![matched(0, "k1"), matched(0, "k2")]);
    let first = shard.apply(event.clone());
    assert_eq!(first.outcome, Outcome::Ingested(vec![Ingested::Skipped; 2]));
    assert_eq!((first.chunks.len(), shard.machine.outbox().pending()), (0, 0));
    shard.apply(resume("a", NEVER, 0));
    assert_eq!(shard.apply(event).outcome, Outcome::Ingested(vec![Ingested::Duplicate; 2]), "it has ended: skipped");
    let found = shard.occurrences(0);
    assert_eq!(found.iter().map(|o| key_of(&o.what)).collect::<Vec<_>>(), ["e:k2", "e:k1"]);
    assert!(found.iter().all(|o| o.what.skip == Some(Reason::Paused) && o.end == End::Skipped));
    assert_eq!(shard.slot(0).skipped, 2);
}
