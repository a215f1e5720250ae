//! A shard's state as rows, and those rows brought into other shards.

use std::ops::ControlFlow;

use bytes::Bytes;
use flintwheel_shard::entry::{
    AdvanceBackfill, BackfillStep, BeginBackfill, Body, Closed, Define, Delete, Entry, NEVER, Range, Restore, RunEnd,
};
use flintwheel_shard::export::export;
use flintwheel_shard::occurrence::{End, Reason};
use flintwheel_shard::query;
use flintwheel_shard::records::{Origin, PauseNote};
use flintwheel_shard::reply::{Backfilled, Ingested, Outcome, RestoreRefusal, Restored};
use flintwheel_shard::rows::{
    BackfillRow, ChunkRow, CourseRow, CursorRow, Row, SeenRow, VersionRow, decode_all, encode_all,
};
use flintwheel_shard::tracks::{Policy, Tracking, left};
use flintwheel_shard::{Applied, Machine, Replicated, Table, Write};

use crate::support::*;

const BACKUP: [u8; 16] = [0xB1; 16];

/// All that a shard can hold: a schedule that fired and was refused, one that was changed, a paused one that listens, one that was deleted with a
/// firing under way, keys that were seen, what was skipped.
fn lived() -> Shard {
    let bounded = Define { bounds: bounded(3), ..due("a", START) };
    let mut shard = Shard::with(vec![bounded, listening("b", "invoice"), define("c"), due("d", START)]);
    let fired = shard.fire_next(0);
    shard.apply(ack(fired, vec![refused(0, START + 1)]));
    shard.apply(Body::Define(vec![changed(define("c"), "{\"spec\":2}")]));
    shard.apply(ingest(&["one", "two"], vec![matched(1, "k1"), event(1, 1, "k2"), event(1, 0, "k3")]));
    shard.apply(ack(flintwheel_shard::reply::OutboxRef { lane: 0, seq: 2, records: 3 }, vec![started(1, START + 2)]));
    shard.apply(pause("b"));
    shard.apply(ingest(&["three"], vec![matched(1, "k4")]));
    shard.fire_next(3);
    shard.apply(delete("d"));
    shard.at = START + HOUR;
    shard
}

fn event(number: u64, event: u32, key: &str) -> flintwheel_shard::entry::Match {
    flintwheel_shard::entry::Match { event, ..matched(number, key) }
}

fn pause(id: &str) -> Body {
    crate::pause::pause(id, "later")
}

pub fn rows(shard: &Shard) -> Vec<Row> {
    let mut rows = Vec::new();
    let flow = export(&shard.state, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert_eq!(flow.expect("reads"), ControlFlow::Continue(()));
    rows
}

fn restore(step: Restore) -> Body {
    Body::Restore(step)
}

fn begin() -> Body {
    restore(Restore::Begin { backup: BACKUP, skip_before: START })
}

fn bring(from: u64, rows: Vec<Row>) -> Body {
    restore(Restore::Rows { backup: BACKUP, from, rows })
}

fn finish(rows: u64) -> Body {
    restore(Restore::Finish { backup: BACKUP, rows })
}

fn became(applied: Applied) -> Restored {
    match applied.outcome {
        Outcome::Restored(restored) => restored,
        other => panic!("not the outcome of a Restore: {other:?}"),
    }
}

fn at(rows: u64, finished: bool) -> Restored {
    Restored::At { rows, finished }
}

/// A new shard with all of these rows, some at a time.
pub fn restored(rows: &[Row], some: usize) -> Shard {
    let mut shard = Shard { at: START + HOUR, ..Shard::default() };
    assert_eq!(became(shard.apply(begin())), at(0, false));
    for (i, part) in rows.chunks(some).enumerate() {
        let from = (i * some) as u64;
        assert_eq!(became(shard.apply(bring(from, part.to_vec()))), at(from + part.len() as u64, false));
    }
    assert_eq!(became(shard.apply(finish(rows.len() as u64))), at(rows.len() as u64, true));
    shard
}

#[test]
fn a_restored_shard_holds_what_the_other_one_held() {
    let before = lived();
    let rows = rows(&before);
    for some in [1, 3, 1000] {
        let after = restored(&rows, some);
        let mut expected = View::of(&before.machine);
        let found = View::of(&after.machine);
        // The deleted one's number is given out; the clock is of now, not of then.
        expected.counters.clock = found.counters.clock;
        expected.counters.fired_through = found.counters.fired_through;
        assert_eq!(found, expected, "{some} at a time");
        for number in 0..3 {
            assert_eq!(after.occurrences(number), before.occurrences(number), "{number}");
        }
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
            assert_eq!(after.state.count(table), before.state.count(table), "{table:?}");
        }
        assert_eq!(super::restore::rows(&after), rows, "and gives the same rows");
    }
}

#[test]
fn pauses_that_end_and_backfills_come_with_the_rest() {
    let mut before = Shard::with(vec![due("a", START), define("b")]);
    let Body::Pause(mut pauses) = pause("a") else { panic!("a pause") };
    pauses[0].until = Some(START + 9 * HOUR);
    before.apply(Body::Pause(pauses));
    let range =
        Range { from: START - 9 * HOUR, to: START, newest_first: false, rate: 1, policy: Some(Policy::BufferAll) };
    let step = |id: &str, backfill: &str| {
        let (namespace, id, backfill) = (NAMESPACE.into(), id.into(), backfill.into());
        BackfillStep::Begin(BeginBackfill { namespace, id, backfill, range, next: range.from, total: 10 })
    };
    let (number, version, backfill) = (0, 1, "b1".to_owned());
    let times = vec![range.from, range.from + HOUR];
    let advance = AdvanceBackfill { number, version, backfill, times, next: range.from + 2 * HOUR };
    let stop = BackfillStep::Stop { namespace: NAMESPACE.into(), id: "b".into(), backfill: "b2".into() };
    let steps = vec![step("a", "b1"), step("b", "b2"), BackfillStep::Advance(advance), stop];
    before.apply(Body::Backfill(steps));
    before.at = START + HOUR;
    let rows = rows(&before);
    for some in [1, 1000] {
        let mut after = restored(&rows, some);
        let (found, expected) = (View::of(&after.machine), View::of(&before.machine));
        assert_eq!((found.pauses, found.running), (expected.pauses, expected.running));
        assert_eq!(found.backfills, expected.backfills);
        assert_eq!(super::restore::rows(&after), rows, "and gives the same rows");
        let advance = |from: i64| {
            let (number, version, backfill) = (0, 1, "b1".to_owned());
            let step = AdvanceBackfill { number, version, backfill, times: vec![from], next: NEVER };
            Body::Backfill(vec![BackfillStep::Advance(step)])
        };
        let again = after.apply(advance(range.from + HOUR)).outcome;
        assert_eq!(again, Outcome::Backfilled(vec![Backfilled::Stale]), "it goes on where it was");
        let on = after.apply(advance(range.from + 2 * HOUR)).outcome;
        assert_eq!(on, Outcome::Backfilled(vec![Backfilled::Advanced { fired: 1, skipped: 0 }]));
    }
}

#[test]
fn a_backfill_of_nobody_is_refused() {
    let value = crate::bytes::backfill().encode().into();
    let row = Row::Backfill(BackfillRow { number: 0, id: "b".into(), value });
    let mut shard = Shard::default();
    shard.apply(begin());
    let refused = became(shard.apply(bring(0, vec![row])));
    let Restored::Refused(RestoreRefusal::Row { row: 0, why }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("has no cursor"), "{why}");
}

/// Definitions whose runs are tracked: of one the sink has a run, of the other one it does not have it yet; both have more that waits, and
/// something that was left behind.
fn tracking() -> Shard {
    let asks = Some(Tracking { policy: Policy::BufferAll, pause_on_failure: false, carry: true });
    let mut shard = Shard::with(["a", "b"].map(|id| Define { tracking: asks, ..due(id, START) }).into());
    for number in [0, 1] {
        let next = shard.next_decision(number);
        let later = decision(number, 1, next.next);
        shard.fire(vec![next, later, decision(number, 1, later.next)]);
        let left = Some("result".into());
        shard.apply(Body::Closed(vec![Closed {
            number,
            run: 0,
            end: RunEnd::Completed,
            left,
            note: String::new(),
            at: None,
        }]));
    }
    shard.apply(Body::Trigger(vec![trigger("b", "r1")]));
    let open: Vec<_> = shard.machine.outbox().range(0, 0).map(|(seq, open)| (seq, open.records)).collect();
    for (seq, records) in open.into_iter().filter(|(seq, _)| *seq != 4) {
        shard.apply(ack(flintwheel_shard::reply::OutboxRef { lane: 0, seq, records }, vec![started(0, START)]));
    }
    assert_eq!(shard.machine.tracks().started_from((0, 0)).collect::<Vec<_>>(), [(0, 3)]);
    shard.at = START + HOUR;
    shard
}

#[test]
fn runs_that_are_open_and_what_waits_for_them_come_with_the_rest() {
    let before = tracking();
    let rows = rows(&before);
    for some in [1, 1000] {
        let mut after = restored(&rows, some);
        for number in [0, 1] {
            assert_eq!(left(&after.state, number).expect("reads"), left(&before.state, number).expect("reads"));
        }
        let waiting = |shard: &Shard| View::of(&shard.machine).runs;
        assert_eq!(waiting(&after), waiting(&before));
        // The run that the sink did not have is known by its new place.
        let (seq, open) =
            after.machine.outbox().range(0, 0).next().map(|(seq, open)| (seq, open.records)).expect("open");
        after.apply(ack(flintwheel_shard::reply::OutboxRef { lane: 0, seq, records: open }, vec![refused(0, START)]));
        let track = after.machine.tracks().get(1).expect("is tracked");
        assert_eq!((track.open_len(), track.waiting_len()), (1, 1), "what waited has its place");
    }
}

#[test]
fn runs_that_an_operator_restored_as_too_old_are_in_nobody_s_way() {
    let mut rows = rows(&tracking());
    for row in &mut rows {
        let Row::Chunk(chunk) = row else { continue };
        for one in chunk.occurrences.iter_mut().filter(|one| one.end == End::Pending) {
            (one.what.skip, one.end) = (Some(Reason::Restored), End::Skipped);
        }
    }
    let mut shard = Shard { at: START + HOUR, ..Shard::default() };
    shard.apply(restore(Restore::Begin { backup: BACKUP, skip_before: START + 3 * HOUR }));
    shard.apply(bring(0, rows.clone()));
    shard.at = START + 4 * HOUR;
    let applied = shard.apply(finish(rows.len() as u64));
    assert_eq!(applied.chunks, [], "what waited is too old as well");
    let tracks = shard.machine.tracks();
    assert_eq!((tracks.open(), tracks.waiting()), (1, 0), "the run that goes on is known");
    let skipped = query::misses(&shard.state, Reason::Restored.code(), u64::MAX, 99).expect("reads");
    let mut keys: Vec<String> = skipped.iter().map(|o| format!("{} {}", o.what.number, key_of(&o.what))).collect();
    keys.sort();
    assert_eq!(keys, ["0 t:2", "1 m:r1", "1 t:1", "1 t:2"]);
}

#[test]
fn what_waits_is_told_at_the_end_and_goes_on() {
    let before = lived();
    let rows = rows(&before);
    let mut after = Shard { at: START + HOUR, ..Shard::default() };
    after.apply(begin());
    assert_eq!(after.apply(bring(0, rows.clone())).chunks, []);
    let chunks = after.apply(finish(rows.len() as u64)).chunks;
    assert_eq!(chunks.iter().map(|chunk| chunk.lane).collect::<Vec<_>>(), [0], "one for each namespace that has some");
    let (chunk, payloads) = query::outbox_chunk(&after.state, 0, chunks[0].seq).expect("reads").expect("open");
    let open = after.machine.outbox().get(0, chunks[0].seq).expect("open");
    let waits: Vec<_> = (0..chunk.records.len())
        .filter(|index| open.ends.get(*index).is_none_or(|end| *end == End::Pending))
        .map(|index| (key_of(&chunk.records[index]), payloads.of(index as u32).cloned()))
        .collect();
    assert_eq!(waits, [("e:k1".to_owned(), Some(Bytes::from("one"))), ("e:k3".to_owned(), Some(Bytes::from("one")))]);
    let letters = query::dead_letters(&after.state, 0, 9).expect("reads");
    assert_eq!(letters, query::dead_letters(&before.state, 0, 9).expect("reads"));
    let retry = flintwheel_shard::entry::DeadAction { seq: letters[0].0, retry: true };
    assert_eq!(after.apply(Body::Dead(vec![retry])).outcome, Outcome::Dead(vec![true]));
}

#[test]
fn keys_that_were_seen_are_known_also_under_the_masks_of_other_shards() {
    let before = lived();
    let mask = [0x5A; 16];
    let origin = Origin { number: 1, mask };
    let masked = |row: Row| match row {
        Row::Seen(seen) => Row::Seen(SeenRow { digest: origin.masked(seen.digest), ..seen }),
        Row::Cursor(row) if row.number == 1 => Row::Cursor(CursorRow { origin: Some(origin), ..row }),
        other => other,
    };
    let rows: Vec<Row> = rows(&before).into_iter().map(masked).collect();
    let mut after = restored(&rows, 7);
    assert_eq!(after.machine.origin(1), Some(origin));
    assert_eq!(after.machine.origin(0), None);
    after.at = START + SECOND;
    let mut known = matched(1, "k1");
    known.digest = after.machine.origin(1).expect("restored").masked(known.digest);
    let fresh = matched(1, "k1");
    let outcome = after.apply(ingest(&["one"], vec![known, fresh])).outcome;
    // The shard's clock stands where the restore left it, an hour later: the window of a minute has passed.
    assert_eq!(outcome, Outcome::Ingested(vec![Ingested::Skipped, Ingested::Skipped]));
    let mut soon = Shard { at: START, ..Shard::default() };
    soon.apply(begin());
    soon.apply(bring(0, rows.clone()));
    soon.apply(finish(rows.len() as u64));
    let mut known = matched(1, "k1");
    known.digest = origin.masked(known.digest);
    let outcome = soon.apply(ingest(&["one"], vec![known, matched(1, "k1")])).outcome;
    assert_eq!(outcome, Outcome::Ingested(vec![Ingested::Duplicate, Ingested::Skipped]));
    soon.apply(delete("b"));
    assert_eq!(soon.machine.origin(1), None);
    assert_eq!(soon.open().origin(1), None);
}

#[test]
fn nothing_else_is_done_until_all_is_there() {
    let rows = rows(&lived());
    let mut shard = Shard { at: START + HOUR, ..Shard::default() };
    shard.apply(begin());
    shard.apply(bring(0, rows.clone()));
    assert!(shard.machine.is_held() && shard.open().is_held());
    let before = shard.state.clone();
    let due = decision(0, 1, START + HOUR);
    for body in [
        Body::Define(vec![define("x")]),
        delete("a"),
        pause("a"),
        Body::Fire(flintwheel_shard::entry::Fire { through: START, decisions: vec![due] }),
        ingest(&["x"], vec![matched(1, "x")]),
        Body::Trigger(vec![trigger("a", "r")]),
        Body::Dead(vec![]),
        Body::Ack(vec![]),
    ] {
        assert_eq!(shard.apply(body).outcome, Outcome::Held);
        assert_eq!(shard.state, before);
    }
    shard.apply(finish(rows.len() as u64));
    assert!(!shard.machine.is_held() && shard.open().skip_before() == START);
    assert_eq!(shard.fire(vec![due]).1, [0; 0], "it fires");
}

#[test]
fn steps_can_be_repeated() {
    let rows = rows(&lived());
    let all = rows.len() as u64;
    let mut shard = Shard { at: START + HOUR, ..Shard::default() };
    assert_eq!(became(shard.apply(begin())), at(0, false));
    assert_eq!(became(shard.apply(bring(0, rows[..4].to_vec()))), at(4, false));
    assert_eq!(became(shard.apply(begin())), at(4, false));
    assert_eq!(became(shard.apply(bring(0, rows[..6].to_vec()))), at(6, false));
    assert_eq!(became(shard.apply(bring(2, rows[2..5].to_vec()))), at(6, false));
    assert_eq!(became(shard.apply(bring(6, rows[6..].to_vec()))), at(all, false));
    assert_eq!(became(shard.apply(finish(all))), at(all, true));
    assert_eq!(became(shard.apply(finish(all))), at(all, true));
    assert_eq!(became(shard.apply(begin())), at(all, true));
    assert_eq!(shard.state, restored(&rows, 1000).state);
}

/// The state without its counters: any entry brings the shard's clock on.
fn but_the_clock(shard: &Shard) -> Memory {
    let mut state = shard.state.clone();
    state.write(vec![Write::Delete(Table::Meta, b"c".to_vec())]);
    state
}

#[test]
fn steps_that_do_not_fit_are_refused_and_change_nothing() {
    let another = [0xA0; 16];
    let gap = |rows, told| RestoreRefusal::Gap { rows, told };
    let some = rows(&lived());
    let two = || vec![begin(), bring(0, some[..2].to_vec())];
    let all = || vec![begin(), bring(0, some.clone()), finish(some.len() as u64)];
    for (before, step, refusal) in [
        (vec![Body::Define(vec![define("x")])], begin(), RestoreRefusal::NotEmpty),
        (vec![Body::Define(vec![define("x")]), delete("x")], begin(), RestoreRefusal::NotEmpty),
        (vec![], bring(0, vec![]), RestoreRefusal::NotBegun),
        (vec![], finish(0), RestoreRefusal::NotBegun),
        (vec![], restore(Restore::Cancel { backup: BACKUP }), RestoreRefusal::NotBegun),
        (two(), restore(Restore::Begin { backup: another, skip_before: START }), RestoreRefusal::Another),
        (two(), restore(Restore::Rows { backup: another, from: 2, rows: vec![] }), RestoreRefusal::Another),
        (two(), restore(Restore::Cancel { backup: BACKUP }), RestoreRefusal::NotEmpty),
        (two(), bring(3, vec![]), gap(2, 3)),
        (two(), finish(3), gap(2, 3)),
        (all(), bring(0, vec![]), RestoreRefusal::Finished),
        (all(), finish(1), RestoreRefusal::Finished),
        (all(), restore(Restore::Begin { backup: another, skip_before: START }), RestoreRefusal::Another),
    ] {
        let mut shard = Shard::default();
        before.into_iter().for_each(|body| drop(shard.apply(body)));
        let state = but_the_clock(&shard);
        assert_eq!(became(shard.apply(step.clone())), Restored::Refused(refusal), "{step:?}");
        assert_eq!(but_the_clock(&shard), state, "{step:?}");
    }
    let mut shard = Shard::default();
    shard.apply(begin());
    assert_eq!(became(shard.apply(restore(Restore::Cancel { backup: BACKUP }))), at(0, false));
    shard.define(define("x"));
}

#[test]
fn a_row_that_does_not_fit_is_refused_and_those_before_it_are_there() {
    let sound = rows(&lived());
    let version = |number, id: &str| {
        let Row::Version(first) = &sound[0] else { panic!("versions come first") };
        let value = flintwheel_shard::records::Version { id: id.into(), ..first.value.clone() };
        Row::Version(VersionRow { number, version: 1, value })
    };
    let cursor = |number, id: &str| {
        let Some(Row::Cursor(row)) = sound.iter().find(|row| matches!(row, Row::Cursor(_))) else { panic!("some") };
        Row::Cursor(CursorRow { number, id: id.into(), ..row.clone() })
    };
    let chunks = || sound.iter().filter_map(|row| if let Row::Chunk(row) = row { Some(row.clone()) } else { None });
    let waiting = chunks().find(|row| !row.namespace.is_empty()).expect("some wait");
    let skipped = chunks().find(|row| row.namespace.is_empty()).expect("some were skipped");
    let mut odd = skipped.clone();
    odd.occurrences[0].end = End::Pending;
    let mut dead = skipped.clone();
    dead.occurrences[0].dead = true;
    let with = |row| vec![version(0, "x"), version(1, "y"), cursor(0, "x"), row];
    for (given, at, why) in [
        (vec![version(1, "x")], 0, "is of definition 1, and 0 comes next"),
        (vec![version(u64::MAX, "x")], 0, "is of definition 18446744073709551615, and 0 comes next"),
        (with(version(0, "z")), 3, "is of definition 0, and 2 comes next"),
        (with(cursor(0, "x")), 3, "is the second cursor of definition 0"),
        (with(cursor(2, "z")), 3, "is the cursor of billing/z, whose version 1 is missing"),
        (with(cursor(1, "z")), 3, "is the cursor of billing/z, whose version 1 is missing"),
        (
            vec![version(0, "x"), version(1, "x"), cursor(0, "x"), cursor(1, "x")],
            3,
            "is billing/x, which is there already",
        ),
        (
            with(Row::Seen(SeenRow { class: 9, at: START, digest: [1; 16], more: Bytes::new() })),
            3,
            "is a dedupe key of class 9, which this program does not know",
        ),
        (
            with(Row::Retired(flintwheel_shard::rows::RetiredRow { hour: 1, number: 2, version: 1 })),
            3,
            "names definition 2, and there are 2",
        ),
        (with(Row::Chunk(ChunkRow { occurrences: vec![], ..skipped.clone() })), 3, "has no occurrence"),
        (
            with(Row::Chunk(ChunkRow { namespace: String::new(), ..waiting.clone() })),
            3,
            "has firings to be sent, and no namespace",
        ),
        (with(Row::Chunk(odd)), 3, "has an occurrence that ended as Pending, and skips for Some(Paused)"),
        (with(Row::Chunk(dead)), 3, "has a dead letter that ended as Skipped"),
    ] {
        let mut shard = Shard::default();
        shard.apply(begin());
        let refused = Restored::Refused(RestoreRefusal::Row { row: at, why: why.into() });
        assert_eq!(became(shard.apply(bring(0, given))), refused);
        assert_eq!(shard.machine.restoration().map(|restoration| restoration.rows), Some(at));
    }
}

#[test]
fn a_long_chunk_becomes_rows_that_fit_into_an_entry() {
    let mut shard = Shard::with(vec![listening("a", "t")]);
    let events: Vec<Bytes> = (0..30_u8).map(|n| Bytes::from(vec![n; 100_000])).collect();
    let keys: Vec<String> = (0..30).map(|n| format!("k{n}")).collect();
    let matches = keys.iter().zip(0..).map(|(key, number)| event(0, number, key)).collect();
    shard.apply(Body::Ingest(flintwheel_shard::entry::Ingest { events, matches }));
    let rows = rows(&shard);
    let sizes: Vec<usize> = rows.iter().map(|row| row.encode().len()).collect();
    assert!(sizes.iter().all(|size| *size < 1_200_000), "{sizes:?}");
    let after = restored(&rows, 1);
    let found: Vec<String> = after.occurrences(0).iter().map(|one| key_of(&one.what)).collect();
    assert_eq!(found, keys.iter().rev().map(|key| format!("e:{key}")).collect::<Vec<_>>());
    assert_eq!(after.machine.outbox().pending(), 30);
    let (chunk, payloads) = query::outbox_chunk(&after.state, 0, 2).expect("reads").expect("open");
    assert_eq!(payloads.of(0).map(|blob| blob[0]), Some(11), "{:?}", chunk.records[0]);
}

#[test]
fn what_an_operator_restored_as_too_old_is_listed_by_its_reason() {
    let mut rows = rows(&lived());
    for row in &mut rows {
        let Row::Chunk(chunk) = row else { continue };
        for one in chunk.occurrences.iter_mut().filter(|one| one.end == End::Pending) {
            one.what.skip = Some(Reason::Restored);
            one.end = End::Skipped;
            one.payload = None;
        }
    }
    let after = restored(&rows, 5);
    assert_eq!(after.machine.outbox().pending(), 0);
    let missed = query::misses(&after.state, Reason::Restored.code(), u64::MAX, 9).expect("reads");
    let keys: Vec<String> = missed.iter().map(|one| key_of(&one.what)).collect();
    assert_eq!(keys, ["t:0", "e:k3", "e:k1"]);
}

#[test]
fn rows_travel_with_their_lengths() {
    let rows = rows(&lived());
    let bytes = encode_all(&rows);
    assert_eq!(decode_all(&bytes).as_deref(), Ok(&rows[..]));
    for len in (0..bytes.len()).step_by(7) {
        assert!(decode_all(&bytes[..len]).map_or(true, |some| some.len() < rows.len()), "{len} bytes");
    }
    let kinds = |kind: fn(&Row) -> bool| rows.iter().filter(|row| kind(row)).count();
    assert_eq!(kinds(|row| matches!(row, Row::Version(_))), 5);
    assert_eq!(kinds(|row| matches!(row, Row::Cursor(_))), 3);
    assert_eq!(kinds(|row| matches!(row, Row::Retired(_))), 2);
    assert_eq!(kinds(|row| matches!(row, Row::Seen(_))), 4);
    assert_eq!(kinds(|row| matches!(row, Row::Chunk(_))), 4);
    assert_eq!(kinds(|row| matches!(row, Row::Course(_))), 1);
    let notes = rows.iter().filter_map(|row| if let Row::Cursor(row) = row { row.pause.clone() } else { None });
    assert_eq!(notes.collect::<Vec<_>>(), [PauseNote { at: START, note: "later".into(), until: None }]);
}

#[test]
fn firings_are_counted_on_after_a_restore() {
    let mut after = restored(&rows(&lived()), 1000);
    let left = |shard: &Shard| shard.machine.courses().get(0).and_then(|course| course.left());
    assert_eq!(left(&after), Some(2));
    (0..2).for_each(|_| _ = after.fire_next(0));
    assert_eq!((left(&after), after.slot(0).next), (Some(0), NEVER));
}

#[test]
fn a_course_of_nobody_and_a_second_one_are_refused() {
    let course = |number| Row::Course(CourseRow { number, value: crate::bytes::course() });
    for (rows, why) in [
        (vec![course(0)], "is of the schedule of definition 0, which has no cursor"),
        ([rows(&lived()), vec![course(0)]].concat(), "is a second course of definition 0"),
    ] {
        let mut shard = Shard::default();
        shard.apply(begin());
        let last = rows.len() as u64 - 1;
        let refused = Restored::Refused(RestoreRefusal::Row { row: last, why: why.into() });
        assert_eq!(became(shard.apply(bring(0, rows))), refused);
    }
}

#[test]
fn definitions_go_on_with_numbers_and_chunks_of_their_own() {
    let rows = rows(&lived());
    let mut after = restored(&rows, 1000);
    let made = after.define(Define { incarnation: 99, ..due("e", after.at + HOUR) });
    assert_eq!(made.number, 4);
    let fired = after.fire_next(4);
    assert_eq!(fired.seq, 5);
    let (namespace, id) = (NAMESPACE.into(), "a".into());
    let delete = Delete { namespace, id, incarnation: None, expected_version: None, request: None };
    let entry = Entry { at: after.at, body: Body::Delete(vec![delete]) };
    after.apply_together(&[entry.encode()]);
    assert!(Machine::open(&after.state).is_ok());
}
