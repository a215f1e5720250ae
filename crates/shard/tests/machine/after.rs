//! Runs of one definition that make others due: what is told of their ends, and what becomes of who is told.

use bytes::Bytes;
use flintwheel_shard::courses::AfterEnd;
use flintwheel_shard::entry::{AFTER, Body, Closed, Define, FollowStep, Match, NEVER, Pause, RunEnd};
use flintwheel_shard::occurrence::Key;
use flintwheel_shard::reply::{Ingested, Outcome};
use flintwheel_shard::tracks::{Ended, LINGER, MOST_COMING, Policy};
use flintwheel_shard::{Read, Table, keys};

use crate::restore::{restored, rows};
use crate::support::*;

const MINUTE: i64 = 60 * SECOND;

/// A definition that comes after another one, and is due by itself first at `next`.
fn waiting(next: i64) -> Define {
    Define { next, ..listening("a", &format!("{AFTER}after:b")) }
}

/// A run of another definition makes number 0 due so long after the start.
fn come(shard: &mut Shard, key: &str, after: i64) -> Ingested {
    let version = shard.slot(0).version;
    let matched = Match { version, due: Some(START + after), ..matched(0, key) };
    match shard.apply(ingest(&["b t:1 succeeded"], vec![matched])).outcome {
        Outcome::Ingested(outcomes) => outcomes[0],
        other => panic!("not the outcome of an Ingest: {other:?}"),
    }
}

/// Nominal times that lie ahead, in microseconds after the start.
fn coming(shard: &Shard) -> Vec<i64> {
    let track = shard.machine.tracks().get(0);
    track.into_iter().flat_map(|track| track.coming()).map(|(nominal, _)| nominal - START).collect()
}

/// Fires the next due time; the one after it is the sooner of the next that has come and `next`.
fn fire(shard: &mut Shard, next: i64) {
    let now = shard.slot(0).next;
    let ahead = coming(shard).into_iter().map(|after| START + after).find(|nominal| *nominal > now);
    let next = ahead.map_or(next, |ahead| ahead.min(next));
    let decision = flintwheel_shard::entry::Decision { next, ..shard.next_decision(0) };
    assert_eq!(shard.fire(vec![decision]).1, [0; 0], "it is not stale");
}

/// What the account has of number 0, oldest first: nominal time after the start, and why it was skipped.
fn account(shard: &Shard) -> Vec<(i64, &'static str)> {
    let mut found = shard.occurrences(0);
    found.reverse();
    let told = found.iter().map(|one| match one.what.key {
        Key::Time { nominal, .. } => (nominal - START, one.what.skip.map_or("fired", |reason| reason.word())),
        ref other => panic!("not a due time: {other:?}"),
    });
    told.collect()
}

#[test]
fn a_run_makes_a_definition_due_once_however_often_it_is_told() {
    let mut shard = Shard::with(vec![waiting(NEVER)]);
    assert_eq!(come(&mut shard, "run 1", 10 * MINUTE), Ingested::Fired);
    assert_eq!(come(&mut shard, "run 1", 10 * MINUTE), Ingested::Duplicate);
    assert_eq!((coming(&shard), shard.slot(0).next), (vec![10 * MINUTE], START + 10 * MINUTE));
    fire(&mut shard, NEVER);
    assert_eq!((coming(&shard), shard.slot(0).next, account(&shard)), (vec![], NEVER, vec![(10 * MINUTE, "fired")]));
    assert_eq!(come(&mut shard, "run 1", 10 * MINUTE), Ingested::Duplicate);
}

#[test]
fn what_comes_is_due_between_what_the_schedule_names_and_makes_stale_what_was_computed_without_it() {
    let mut shard = Shard::with(vec![waiting(START + HOUR)]);
    let without = shard.next_decision(0);
    come(&mut shard, "run 1", 30 * MINUTE);
    assert_eq!(shard.fire(vec![without]).1, [0]);
    fire(&mut shard, START + HOUR);
    fire(&mut shard, START + 2 * HOUR);
    // Later than what is next: it is not moved by that.
    come(&mut shard, "run 2", 150 * MINUTE);
    assert_eq!(shard.slot(0).next, START + 2 * HOUR);
    fire(&mut shard, START + 3 * HOUR);
    assert_eq!(shard.slot(0).next, START + 150 * MINUTE);
    fire(&mut shard, START + 3 * HOUR);
    let fired = [30, 60, 120, 150].map(|minutes| (minutes * MINUTE, "fired"));
    assert_eq!((account(&shard), coming(&shard)), (fired.to_vec(), vec![]));
}

#[test]
fn each_run_has_a_due_time_of_its_own_and_none_lies_where_all_has_been_decided() {
    let mut shard = Shard::with(vec![waiting(START + HOUR)]);
    for (key, after) in [("run 1", 5), ("run 2", 5), ("run 3", 6), ("run 4", 5)] {
        assert_eq!(come(&mut shard, key, after), Ingested::Fired);
    }
    assert_eq!(coming(&shard), [5, 6, 7, 8]);
    for _ in 0..5 {
        let next = if shard.slot(0).next == START + HOUR { START + 2 * HOUR } else { START + HOUR };
        fire(&mut shard, next);
    }
    come(&mut shard, "run 5", 9);
    assert_eq!(coming(&shard), [HOUR + 1]);
    fire(&mut shard, START + 2 * HOUR);
    let nominal: Vec<i64> = account(&shard).into_iter().map(|(nominal, _)| nominal).collect();
    assert_eq!(nominal, [5, 6, 7, 8, HOUR, HOUR + 1]);
}

#[test]
fn what_can_not_be_due_is_accounted_for_and_what_the_schedule_excludes_is_no_due_time() {
    let mut shard = Shard::with(vec![Define { bounds: bounded(1), ..waiting(NEVER) }]);
    let version = shard.slot(0).version;
    let excluded = Match { version, due: Some(NEVER), ..matched(0, "excluded") };
    assert_eq!(shard.apply(ingest(&["x"], vec![excluded])).outcome, Outcome::Ingested(vec![Ingested::Skipped]));
    come(&mut shard, "run 1", 1);
    come(&mut shard, "run 2", 2);
    // All that it may fire it has fired: what had come does not, nor does what comes.
    fire(&mut shard, NEVER);
    assert_eq!((coming(&shard), shard.slot(0).next), (vec![], NEVER));
    assert_eq!(come(&mut shard, "run 3", 3), Ingested::Skipped);
    assert_eq!(account(&shard), [(1, "fired"), (3, "used_up")]);

    let mut shard = Shard::with(vec![waiting(NEVER)]);
    for run in 0..MOST_COMING {
        assert_eq!(come(&mut shard, &format!("run {run}"), run as i64), Ingested::Fired);
    }
    assert_eq!(come(&mut shard, "one more", 5), Ingested::Skipped);
    assert_eq!((coming(&shard).len(), account(&shard)), (MOST_COMING, vec![(5, "buffer_full")]));
}

fn switch(shard: &mut Shard, paused: bool, next: i64, missed: u32, wanted_through: Option<i64>) {
    let (namespace, id, note, until, request) = (NAMESPACE.into(), "a".into(), String::new(), None, None);
    let pause = Pause { namespace, id, paused, note, next, missed, wanted_through, until, computed: None, request };
    shard.apply(Body::Pause(vec![pause]));
}

#[test]
fn what_comes_in_a_pause_is_dropped_or_wanted_as_all_that_passes_in_it() {
    for (known, next, missed, wanted, expected) in [
        // Who resumes it has seen both, and drops the one that has passed.
        (true, START + 90 * MINUTE, 1, None, (vec![90 * MINUTE], vec![(10 * MINUTE, "paused")])),
        // Or wants it.
        (true, START + 10 * MINUTE, 0, Some(START + HOUR), (vec![10 * MINUTE, 90 * MINUTE], vec![])),
        // They came while it looked: it passes over nothing that it has not seen.
        (false, NEVER, 0, None, (vec![10 * MINUTE, 90 * MINUTE], vec![])),
        (false, START + 30 * MINUTE, 0, Some(START + HOUR), (vec![10 * MINUTE, 90 * MINUTE], vec![])),
        // Or dropped what else had passed.
        (false, NEVER, 2, None, (vec![90 * MINUTE], vec![(10 * MINUTE, "paused")])),
    ] {
        let mut shard = Shard::with(vec![waiting(NEVER)]);
        switch(&mut shard, true, NEVER, 0, None);
        come(&mut shard, "run 1", 10 * MINUTE);
        come(&mut shard, "run 2", 90 * MINUTE);
        shard.at = START + HOUR;
        switch(&mut shard, false, next, missed, wanted);
        assert_eq!((coming(&shard), account(&shard)), expected, "{known}");
        assert_eq!(shard.slot(0).next - START, coming(&shard)[0]);
    }
}

#[test]
fn what_has_come_stays_for_as_long_as_the_definition_comes_after_anything() {
    for (define, expected) in [
        (waiting(START + HOUR), vec![10 * MINUTE, 90 * MINUTE]),
        (due("a", START + HOUR), vec![]),
        (Define { enabled: false, ..waiting(START + HOUR) }, vec![]),
    ] {
        let mut shard = Shard::with(vec![waiting(NEVER)]);
        come(&mut shard, "run 1", 10 * MINUTE);
        come(&mut shard, "run 2", 90 * MINUTE);
        let enabled = define.enabled;
        shard.define(changed(define, "another"));
        let next = if enabled { *expected.first().unwrap_or(&HOUR) + START } else { NEVER };
        assert_eq!((coming(&shard), shard.slot(0).next), (expected, next));
    }
    let mut shard = Shard::with(vec![waiting(NEVER)]);
    come(&mut shard, "run 1", 10 * MINUTE);
    shard.apply(delete("a"));
    assert!(shard.machine.tracks().get(0).is_none());
}

fn follow(shard: &mut Shard, followed: bool) {
    shard.apply(Body::Follow(vec![FollowStep::Follow { number: 0, followed }]));
}

fn close(shard: &mut Shard, run: u64, end: RunEnd, at: Option<i64>) {
    shard.apply(Body::Closed(vec![Closed { number: 0, run, end, left: None, note: String::new(), at }]));
}

fn ended(shard: &Shard) -> Vec<(u64, RunEnd, i64)> {
    let track = shard.machine.tracks().get(0);
    let of = |(run, ended): (u64, &Ended)| (run, ended.end, ended.at - START);
    track.into_iter().flat_map(|track| track.ended()).map(of).collect()
}

#[test]
fn runs_of_a_definition_that_others_wait_for_are_watched_and_each_end_is_kept_until_it_was_told() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.fire_next(0);
    assert!(shard.machine.tracks().get(0).is_none(), "nobody asks");
    follow(&mut shard, true);
    follow(&mut shard, true);
    shard.fire_next(0);
    shard.apply(Body::Trigger(vec![trigger("a", "hand")]));
    shard.at = START + HOUR;
    close(&mut shard, 0, RunEnd::Failed, Some(START + MINUTE));
    // A clock that is ahead makes nothing end later than it is known.
    close(&mut shard, 1, RunEnd::Completed, Some(START + 2 * HOUR));
    close(&mut shard, 1, RunEnd::Canceled, None);
    let both = vec![(0, RunEnd::Failed, MINUTE), (1, RunEnd::Completed, HOUR)];
    assert_eq!(
        (ended(&shard), shard.machine.tracks().ended_from((0, 0)).collect::<Vec<_>>()),
        (both, vec![(0, 0), (0, 1)])
    );
    for _ in 0..2 {
        shard.apply(Body::Follow(vec![FollowStep::Told { number: 0, run: 0 }]));
    }
    assert_eq!(ended(&shard).len(), 1);
    // Who has asked a moment ago may be about to wait.
    follow(&mut shard, true);
    shard.at += LINGER - 1;
    follow(&mut shard, false);
    assert!(shard.machine.tracks().is_followed(0));
    shard.at += 1;
    follow(&mut shard, false);
    shard.fire_next(0);
    assert_eq!(shard.machine.tracks().open(), 0, "not watched any more");
    shard.apply(delete("a"));
    assert_eq!((shard.machine.tracks().ended_from((0, 0)).count(), shard.machine.tracks().followed().count()), (0, 0));
}

#[test]
fn the_head_of_a_track_says_since_when_others_wait_and_is_as_it_ever_was_where_none_do() {
    let define = Define { tracking: tracked(Policy::Skip), ..due("a", START) };
    let mut shard = Shard::with(vec![define]);
    let head = |shard: &Shard| shard.state.get(Table::Meta, &keys::track(0, 0, 0)).expect("reads").expect("is there");
    let before = head(&shard);
    assert_eq!(before, [[1, 1, 1, 0, 0].as_slice(), &[0; 4], &[0; 8]].concat());
    follow(&mut shard, true);
    let asked = shard.at.to_le_bytes();
    assert_eq!(head(&shard), [[2, 1, 1, 0, 0].as_slice(), &[0; 4], &[0; 8], &asked].concat());
    shard.at += LINGER;
    follow(&mut shard, false);
    assert_eq!(head(&shard), before);
}

#[test]
fn a_definition_whose_schedule_is_over_stays_until_those_who_wait_know_that_its_last_run_has_ended() {
    let define = Define { bounds: ending(AfterEnd::Delete), ..due("a", START) };
    let mut shard = Shard::with(vec![define]);
    follow(&mut shard, true);
    let decision = flintwheel_shard::entry::Decision { next: NEVER, ..shard.next_decision(0) };
    shard.fire(vec![decision]);
    assert_eq!(shard.machine.conclusion(0), None, "its run is open");
    close(&mut shard, 0, RunEnd::Completed, None);
    assert_eq!((ended(&shard).len(), shard.machine.conclusion(0)), (1, None));
    shard.apply(Body::Follow(vec![FollowStep::Told { number: 0, run: 0 }]));
    assert_eq!(shard.machine.conclusion(0), Some(AfterEnd::Delete));
}

#[test]
fn the_run_of_an_event_is_watched_and_is_in_nobodys_way() {
    let define = Define { tracking: tracked(Policy::Skip), ..listening("a", "invoice") };
    let mut shard = Shard::with(vec![Define { next: START, ..define }]);
    follow(&mut shard, true);
    let chunk = shard.apply(ingest(&["one"], vec![matched(0, "k")])).chunks[0];
    shard.apply(ack(chunk, vec![started(0, START)]));
    assert_eq!((shard.machine.tracks().open(), shard.machine.tracks().started_from((0, 0)).count()), (1, 1));
    shard.fire_next(0);
    // That one is in the way of the next.
    let decision = shard.next_decision(0);
    shard.fire(vec![decision]);
    let skipped = shard.occurrences(0).into_iter().filter_map(|one| one.what.skip).count();
    assert_eq!((shard.machine.tracks().open(), skipped), (2, 1));
    close(&mut shard, 0, RunEnd::Completed, None);
    assert_eq!((ended(&shard), shard.machine.tracks().open()), (vec![(0, RunEnd::Completed, 0)], 1));
}

#[test]
fn both_sides_come_with_a_backup() {
    let mut before = Shard::with(vec![Define { next: START + HOUR, ..waiting(NEVER) }]);
    follow(&mut before, true);
    come(&mut before, "run 1", 10 * MINUTE);
    fire(&mut before, START + HOUR);
    close(&mut before, 0, RunEnd::Completed, None);
    come(&mut before, "run 2", 20 * MINUTE);
    let rows = rows(&before);
    let mut after = restored(&rows, 1);
    assert_eq!(View::of(&after.machine).followed, View::of(&before.machine).followed);
    assert_eq!((coming(&after), ended(&after)), (vec![20 * MINUTE], vec![(0, RunEnd::Completed, 0)]));
    let why: Vec<Bytes> = after.machine.tracks().get(0).expect("is").coming().map(|(_, why)| why.clone()).collect();
    assert_eq!(why, ["b t:1 succeeded"]);
    fire(&mut after, START + HOUR);
    assert_eq!(after.slot(0).next, START + HOUR);
}
