//! Due times met.

use flintwheel_shard::entry::{Body, Decision, Define, Fire, NEVER};
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::query;

use crate::support::*;

fn skip(reason: Reason, count: u32, next: i64, decision: Decision) -> Decision {
    Decision { skip: Some(reason), count, next, ..decision }
}

#[test]
fn the_cursor_moves_and_the_firing_is_in_account_and_outbox() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let jittered = Decision { due: START + 7, ..shard.next_decision(0) };
    let (chunks, stale) = shard.fire(vec![jittered]);
    assert_eq!((chunks.len(), stale.len()), (1, 0));
    assert_eq!((chunks[0].lane, chunks[0].records), (0, 1));
    let slot = shard.slot(0);
    assert_eq!((slot.last, slot.next, slot.fired, slot.chunk), (START, START + HOUR, 1, chunks[0].seq));
    assert_eq!(shard.machine.outbox().pending_in(0), 1);
    let (chunk, payloads) = query::outbox_chunk(&shard.state, 0, chunks[0].seq).expect("reads").expect("is open");
    assert_eq!((chunk.at, chunk.records.len(), payloads.of(0)), (START, 1, None));
    assert_eq!(chunk.records[0].key, Key::Time { nominal: START, due: START + 7, count: 1 });
    assert_eq!(shard.occurrences(0)[0].end, End::Pending);
}

#[test]
fn a_decision_is_stale_where_it_was_computed_from_something_else() {
    let sound = |shard: &Shard| shard.next_decision(0);
    type Flaw = fn(&mut Decision);
    let cases: [(&str, Flaw); 7] = [
        ("of another definition", |d| d.number = 9),
        ("of an older generation", |d| d.generation -= 1),
        ("of a newer generation", |d| d.generation += 1),
        ("of an earlier due time", |d| d.nominal -= 1),
        ("of a later due time", |d| d.nominal += 1),
        ("with a next one that is the same", |d| d.next = d.nominal),
        ("with a next one that is earlier", |d| d.next = d.nominal - 1),
    ];
    for (case, spoil) in cases {
        let mut shard = Shard::with(vec![due("a", START)]);
        let before = shard.slot(0);
        let mut decision = sound(&shard);
        spoil(&mut decision);
        assert_eq!(shard.fire(vec![decision]), (vec![], vec![0]), "{case}");
        assert_eq!((shard.slot(0), shard.machine.outbox().pending()), (before, 0), "{case}");
    }
}

#[test]
fn stale_decisions_are_named_and_the_others_fire() {
    let mut shard = Shard::with(vec![due("a", START), due("b", START), due("c", START)]);
    let decisions = (0..3).map(|number| decision(number, 1 + u32::from(number == 1), START)).collect();
    let (chunks, stale) = shard.fire(decisions);
    assert_eq!((chunks[0].records, stale), (2, vec![1]));
    assert_eq!([0, 1, 2].map(|number| shard.slot(number).fired), [1, 0, 1]);
}

#[test]
fn the_same_decision_proposed_twice_fires_once() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let decision = shard.next_decision(0);
    assert_eq!(shard.fire(vec![decision, decision]).1, [1], "in one entry");
    assert_eq!(shard.fire(vec![decision]).1, [0], "in the next");
    assert_eq!((shard.slot(0).fired, shard.machine.outbox().pending()), (1, 1));
}

#[test]
fn a_definition_that_is_changed_disabled_or_deleted_makes_what_was_decided_stale() {
    let disabled = Define { enabled: false, ..changed(due("a", START), "two") };
    let changes = [Body::Define(vec![changed(due("a", START), "two")]), Body::Define(vec![disabled]), delete("a")];
    for change in changes {
        let mut shard = Shard::with(vec![due("a", START)]);
        let decided = shard.next_decision(0);
        shard.apply(change.clone());
        assert_eq!(shard.fire(vec![decided]), (vec![], vec![0]), "{change:?}");
    }
}

#[test]
fn after_its_last_due_time_it_is_not_armed() {
    let mut shard = Shard::with(vec![due("a", START)]);
    shard.fire(vec![Decision { next: NEVER, ..shard.next_decision(0) }]);
    assert!(!shard.slot(0).is_armed());
    assert_eq!(shard.fire(vec![shard.next_decision(0)]).1, [0]);
}

#[test]
fn a_skip_is_accounted_with_its_reason_and_sends_nothing() {
    for reason in Reason::ALL {
        let mut shard = Shard::with(vec![due("a", START)]);
        let skipped = skip(reason, 1, START + HOUR, shard.next_decision(0));
        assert_eq!(shard.fire(vec![skipped]), (vec![], vec![]), "{reason:?}");
        let slot = shard.slot(0);
        assert_eq!((slot.fired, slot.skipped, slot.last, slot.next), (0, 1, START, START + HOUR), "{reason:?}");
        let found = query::misses(&shard.state, reason.code(), u64::MAX, 10).expect("reads");
        assert_eq!(found, shard.occurrences(0), "{reason:?}");
        assert_eq!((found[0].what.skip, &found[0].end), (Some(reason), &End::Skipped));
    }
}

#[test]
fn a_range_is_one_occurrence_that_counts_for_many() {
    let mut shard = Shard::with(vec![due("a", START)]);
    let range = skip(Reason::Superseded, 5, START + 5 * HOUR, shard.next_decision(0));
    let latest = decision(0, 1, START + 5 * HOUR);
    let (chunks, stale) = shard.fire(vec![range, latest]);
    assert_eq!((chunks[0].records, stale.len()), (1, 0));
    let slot = shard.slot(0);
    assert_eq!((slot.skipped, slot.fired, slot.next), (5, 1, START + 6 * HOUR));
    let found = shard.occurrences(0);
    assert_eq!(found.iter().map(|o| key_of(&o.what)).collect::<Vec<_>>(), ["t:5", "t:0"]);
    assert_eq!(found[1].what.key, Key::Time { nominal: START, due: START, count: 5 });
}

#[test]
fn fired_skipped_fired_of_one_definition_in_one_entry_are_all_in_its_chain() {
    let orders: [&[bool]; 4] =
        [&[true, false, true], &[false, true, false], &[true, false, true, false, true], &[false, true, true, false]];
    for order in orders {
        let mut shard = Shard::with(vec![due("a", START), due("b", START)]);
        let decisions = order.iter().enumerate().flat_map(|(hour, fires)| {
            let of = |number| {
                let fired = decision(number, 1, START + hour as i64 * HOUR);
                if *fires { fired } else { skip(Reason::Late, 1, fired.next, fired) }
            };
            [of(0), of(1)]
        });
        let decisions: Vec<_> = decisions.collect();
        assert_eq!(shard.fire(decisions).1, [0; 0], "{order:?}");
        for number in [0, 1] {
            let found = shard.occurrences(number);
            let fired: Vec<bool> = found.iter().rev().map(|o| o.what.skip.is_none()).collect();
            assert_eq!(fired, order, "definition {number}");
            let keys: Vec<String> = (0..order.len()).rev().map(|hour| format!("t:{hour}")).collect();
            assert_eq!(found.iter().map(|o| key_of(&o.what)).collect::<Vec<_>>(), keys);
        }
    }
}

#[test]
fn each_namespace_has_a_chunk_of_its_own() {
    let elsewhere = |id: &str| Define { namespace: "ops".into(), ..due(id, START) };
    let mut shard = Shard::with(vec![due("a", START), elsewhere("a"), due("b", START), elsewhere("b")]);
    let (chunks, stale) = shard.fire((0..4).map(|number| decision(number, 1, START)).collect());
    assert_eq!((chunks.len(), stale.len()), (2, 0));
    for (chunk, (namespace, numbers)) in chunks.iter().zip([(NAMESPACE, [0, 2]), ("ops", [1, 3])]) {
        assert_eq!(shard.machine.lanes()[chunk.lane as usize], namespace);
        assert_eq!(shard.machine.outbox().pending_in(chunk.lane), 2);
        let (account, _) = query::outbox_chunk(&shard.state, chunk.lane, chunk.seq).expect("reads").expect("is open");
        assert_eq!(account.records.iter().map(|r| r.number).collect::<Vec<_>>(), numbers);
        assert_eq!(query::outbox_chunk(&shard.state, 1 - chunk.lane, chunk.seq).expect("reads"), None);
    }
}

#[test]
fn what_is_decided_through_never_moves_back() {
    let mut shard = Shard::default();
    for (through, expected) in [(START, START), (START - 1, START), (START + 1, START + 1)] {
        shard.apply(Body::Fire(Fire { through, decisions: Vec::new() }));
        assert_eq!(shard.machine.counters().fired_through, expected);
    }
}
