//! What the sink answered.

use flintwheel_shard::entry::{Ack, AckEnd, Body};
use flintwheel_shard::occurrence::End;
use flintwheel_shard::query;
use flintwheel_shard::reply::{OutboxRef, Outcome};
use flintwheel_shard::{REFUSED, Table};

use crate::support::*;

/// A shard with three firings in one chunk.
fn three() -> (Shard, OutboxRef) {
    let mut shard = Shard::with(vec![due("a", START), due("b", START), due("c", START)]);
    let chunk = shard.fire((0..3).map(|number| decision(number, 1, START)).collect()).0[0];
    (shard, chunk)
}

fn end(at: i64) -> End {
    End::Started { at, note: String::new() }
}

#[test]
fn a_full_answer_closes_the_chunk_and_stands_in_the_account() {
    let (mut shard, chunk) = three();
    let late = AckEnd { note: "temporal unreachable".into(), ..started(1, START + 2) };
    let applied = shard.apply(ack(chunk, vec![started(2, START + 3), started(0, START + 1), late]));
    assert_eq!((applied.outcome, applied.chunks), (Outcome::Done, vec![]));
    assert_eq!((shard.machine.outbox().pending(), shard.machine.outbox().get(chunk.lane, chunk.seq)), (0, None));
    assert_eq!(shard.state.count(Table::Outbox), 0);
    let late = End::Started { at: START + 2, note: "temporal unreachable".into() };
    let ends = [end(START + 1), late, end(START + 3)];
    assert_eq!([0, 1, 2].map(|number| shard.occurrences(number)[0].end.clone()), ends);
}

#[test]
fn a_partial_answer_leaves_the_rest_open() {
    let (mut shard, chunk) = three();
    shard.apply(ack(chunk, vec![started(1, START + 1)]));
    let open = shard.machine.outbox().get(chunk.lane, chunk.seq).expect("is open");
    assert_eq!((open.left, &open.ends[..]), (2, &[End::Pending, end(START + 1), End::Pending][..]));
    assert_eq!((shard.machine.outbox().pending(), shard.machine.outbox().pending_in(chunk.lane)), (2, 2));
    shard.apply(ack(chunk, vec![started(0, START + 2), started(2, START + 2)]));
    assert_eq!(shard.machine.outbox().pending(), 0);
}

#[test]
fn the_first_answer_for_a_firing_stands() {
    let (mut shard, chunk) = three();
    shard.apply(ack(chunk, vec![started(0, START + 1), refused(0, START + 2), refused(1, START + 3)]));
    shard.apply(ack(chunk, vec![started(0, START + 4), started(1, START + 5)]));
    assert_eq!(shard.occurrences(0)[0].end, end(START + 1));
    assert!(matches!(shard.occurrences(1)[0].end, End::Failed { at, .. } if at == START + 3));
    assert_eq!((shard.machine.outbox().pending(), shard.machine.counters().dead), (1, 1));
    shard.apply(ack(chunk, vec![started(2, START + 6)]));
    let closed = shard.state.clone();
    shard.apply(ack(chunk, vec![started(2, START + 7), refused(0, START + 7)]));
    assert_eq!(shard.state, closed, "a closed chunk is not changed by an answer that comes again");
}

#[test]
fn an_answer_for_what_is_not_there_changes_nothing() {
    let (mut shard, chunk) = three();
    let before = shard.state.clone();
    let cases = [
        (chunk.lane, chunk.seq, 3),
        (chunk.lane, chunk.seq, u32::MAX),
        (chunk.lane, chunk.seq + 1, 0),
        (chunk.lane + 1, chunk.seq, 0),
        (u32::MAX, u64::MAX, 0),
    ];
    for (lane, seq, record) in cases {
        let ends = vec![started(record, START), refused(record, START)];
        shard.apply(Body::Ack(vec![Ack { lane, seq, ends }]));
        assert_eq!(shard.state, before, "lane {lane}, chunk {seq}, record {record}");
    }
    shard.apply(ack(chunk, vec![]));
    assert_eq!(shard.state, before, "an empty answer");
}

#[test]
fn one_entry_may_answer_many_chunks_and_one_of_them_twice() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let chunks = [shard.fire_next(0), shard.fire_next(0)];
    let item = |chunk: OutboxRef| Ack { lane: chunk.lane, seq: chunk.seq, ends: vec![started(0, START)] };
    shard.apply(Body::Ack(vec![item(chunks[1]), item(chunks[0]), item(chunks[1])]));
    assert_eq!(shard.machine.outbox().pending(), 0);
}

#[test]
fn what_is_refused_becomes_a_dead_letter_with_all_that_sending_it_again_needs() {
    let mut shard = Shard::with(vec![listening("a", "invoice"), listening("b", "invoice")]);
    let chunk = shard.apply(ingest(&["event"], vec![matched(0, "k"), matched(1, "k")])).chunks[0];
    shard.apply(ack(chunk, vec![refused(1, START + 1), started(0, START + 2)]));
    assert_eq!(shard.state.count(Table::Outbox), 0);
    let letters = query::dead_letters(&shard.state, 0, 10).expect("reads");
    let (seq, letter) = &letters[0];
    assert_eq!((letters.len(), *seq, shard.machine.counters().dead), (1, 1, 1));
    assert_eq!((letter.chunk, letter.record, letter.records, letter.lane), (chunk.seq, 1, 2, chunk.lane));
    assert_eq!((letter.at, letter.reason.as_str()), (START + 1, "namespace not found"));
    assert_eq!(letter.payload.as_deref(), Some(b"event".as_ref()));
    assert_eq!((shard.slot(0).failed, shard.slot(1).failed), (0, 1));
    let failed = shard.occurrences(1);
    assert_eq!(failed[0].end, End::Failed { at: START + 1, reason: "namespace not found".into() });
    assert_eq!(query::misses(&shard.state, REFUSED, u64::MAX, 10).expect("reads"), failed);
}

#[test]
fn each_refused_firing_of_a_chunk_has_a_letter_of_its_own() {
    let (mut shard, chunk) = three();
    shard.apply(ack(chunk, (0..3).map(|record| refused(record, START)).collect()));
    let letters = query::dead_letters(&shard.state, 0, 10).expect("reads");
    assert_eq!(letters.iter().map(|(seq, letter)| (*seq, letter.record)).collect::<Vec<_>>(), [(1, 0), (2, 1), (3, 2)]);
    assert!(letters.iter().all(|(_, letter)| letter.payload.is_none()), "a due time has no payload");
    assert_eq!([0, 1, 2].map(|number| shard.slot(number).failed), [1; 3]);
}
