//! Dead letters retried and dropped.

use flintwheel_shard::entry::{Body, DeadAction};
use flintwheel_shard::occurrence::End;
use flintwheel_shard::query;
use flintwheel_shard::reply::{Applied, OutboxRef, Outcome};
use flintwheel_shard::{REFUSED, Table};

use crate::support::*;

/// A shard in which one event has fired two definitions: the first firing was refused, the second is open or has been started.
fn refused_first(open: bool) -> (Shard, OutboxRef) {
    let mut shard = Shard::with(vec![listening("a", "invoice"), listening("b", "invoice")]);
    let chunk = shard.apply(ingest(&["event"], vec![matched(0, "k"), matched(1, "k")])).chunks[0];
    shard.apply(ack(chunk, vec![refused(0, START)]));
    if !open {
        shard.apply(ack(chunk, vec![started(1, START)]));
    }
    (shard, chunk)
}

fn act(shard: &mut Shard, items: &[(u64, bool)]) -> Applied {
    shard.apply(Body::Dead(items.iter().map(|(seq, retry)| DeadAction { seq: *seq, retry: *retry }).collect()))
}

fn found(items: &[bool]) -> Outcome {
    Outcome::Dead(items.to_vec())
}

fn payload(shard: &Shard, chunk: OutboxRef, record: u32) -> Option<Vec<u8>> {
    let (_, payloads) = query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
    payloads.of(record).map(|payload| payload.to_vec())
}

#[test]
fn a_letter_is_acted_upon_once() {
    for retry in [true, false] {
        let (mut shard, _) = refused_first(true);
        assert_eq!(act(&mut shard, &[(7, retry), (1, retry), (1, retry)]).outcome, found(&[false, true, false]));
        assert_eq!(act(&mut shard, &[(1, !retry)]).outcome, found(&[false]));
        assert_eq!((shard.machine.counters().dead, shard.state.count(Table::Dead)), (0, 0));
    }
}

#[test]
fn a_retried_firing_is_pending_again_with_its_payload() {
    for open in [true, false] {
        let (mut shard, chunk) = refused_first(open);
        let applied = act(&mut shard, &[(1, true)]);
        assert_eq!(applied.chunks, [chunk], "chunk open: {open}");
        assert_eq!(shard.machine.outbox().pending(), 1 + u64::from(open));
        assert_eq!(payload(&shard, chunk, 0).as_deref(), Some(b"event".as_ref()));
        assert_eq!(shard.occurrences(0)[0].end, End::Pending);
        assert_eq!(query::misses(&shard.state, REFUSED, u64::MAX, 10).expect("reads"), []);
        shard.apply(ack(chunk, vec![started(0, START + 9), started(1, START + 9)]));
        assert_eq!(shard.occurrences(0)[0].end, End::Started { at: START + 9, note: String::new() });
        assert_eq!((shard.machine.outbox().pending(), shard.state.count(Table::Outbox)), (0, 0));
    }
}

#[test]
fn what_has_started_is_not_opened_again() {
    let (mut shard, chunk) = refused_first(false);
    act(&mut shard, &[(1, true)]);
    let open = shard.machine.outbox().get(chunk.lane, chunk.seq).expect("is open");
    assert_eq!((open.left, &open.ends[1]), (1, &End::Started { at: START, note: String::new() }));
}

#[test]
fn the_count_of_failed_is_of_those_that_stand_as_failed() {
    let (mut shard, chunk) = refused_first(false);
    assert_eq!(shard.slot(0).failed, 1);
    act(&mut shard, &[(1, true)]);
    assert_eq!(shard.slot(0).failed, 0, "pending again");
    shard.apply(ack(chunk, vec![refused(0, START + 1)]));
    assert_eq!(shard.slot(0).failed, 1, "refused again");
    act(&mut shard, &[(2, false)]);
    assert_eq!(shard.slot(0).failed, 1, "dropped, so it never ran");
}

#[test]
fn a_firing_may_be_refused_and_retried_again_and_again_without_growing() {
    let (mut shard, chunk) = refused_first(true);
    let mut sizes = Vec::new();
    for letter in 1..=5 {
        act(&mut shard, &[(letter, true)]);
        let (_, payloads) = query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
        sizes.push(payloads.blobs.len());
        shard.apply(ack(chunk, vec![refused(0, START)]));
    }
    assert_eq!(sizes, [1; 5]);
}

#[test]
fn letters_of_one_chunk_retried_together_open_it_once_and_share_their_event() {
    let (mut shard, chunk) = refused_first(true);
    shard.apply(ack(chunk, vec![refused(1, START)]));
    let applied = act(&mut shard, &[(1, true), (2, true)]);
    assert_eq!((applied.chunks, applied.outcome), (vec![chunk], found(&[true, true])));
    assert_eq!(shard.machine.outbox().pending(), 2);
    let (_, payloads) = query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
    assert_eq!((payloads.blobs.len(), payloads.of(0), payloads.of(1)), (1, payloads.of(1), payloads.of(0)));
}

#[test]
fn a_retried_due_time_has_no_payload_beside_one_that_has() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let chunk = shard.fire_next(0);
    shard.apply(ack(chunk, vec![refused(0, START)]));
    assert_eq!(act(&mut shard, &[(1, true)]).chunks, [chunk]);
    assert_eq!(payload(&shard, chunk, 0), None);
}

#[test]
fn a_dropped_firing_stays_dropped_when_the_rest_of_its_chunk_is_acknowledged() {
    for open in [true, false] {
        let (mut shard, chunk) = refused_first(open);
        shard.at += 5;
        assert_eq!(act(&mut shard, &[(1, false)]), Applied { chunks: vec![], outcome: found(&[true]) });
        shard.apply(ack(chunk, vec![started(0, START + 6), started(1, START + 6)]));
        let dropped = End::Dropped { at: START + 5, reason: "namespace not found".into() };
        assert_eq!(shard.occurrences(0)[0].end, dropped, "chunk open: {open}");
        assert_eq!(query::misses(&shard.state, REFUSED, u64::MAX, 10).expect("reads"), shard.occurrences(0));
        assert_eq!(shard.machine.outbox().pending(), 0);
    }
}

#[test]
fn a_dropped_firing_does_not_come_back_with_the_retry_of_another() {
    let (mut shard, chunk) = refused_first(true);
    shard.apply(ack(chunk, vec![refused(1, START)]));
    act(&mut shard, &[(1, false), (2, true)]);
    let open = shard.machine.outbox().get(chunk.lane, chunk.seq).expect("is open");
    assert!(matches!(open.ends[..], [End::Dropped { .. }, End::Pending]), "{open:?}");
}

#[test]
fn a_letter_of_a_deleted_definition_can_be_retried() {
    let (mut shard, chunk) = refused_first(false);
    shard.apply(delete("a"));
    assert_eq!(act(&mut shard, &[(1, true)]).chunks, [chunk]);
    shard.apply(ack(chunk, vec![started(0, START)]));
    assert_eq!(shard.machine.outbox().pending(), 0);
}
