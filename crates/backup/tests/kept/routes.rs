//! Rows on their way into clusters with other numbers of shards.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use flintwheel_backup::{Backup, Router};
use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::calendar_home;
use flintwheel_shard::calendars::{Head, UsedNames};
use flintwheel_shard::entry::{Body, Entry, Restore};
use flintwheel_shard::export::export;
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::reply::{Outcome, Restored};
use flintwheel_shard::rows::{CalendarRow, Row, SeenRow, UsesRow, decode_all};
use flintwheel_shard::{Machine, Read, ReadError, Replicated, Table, Txn, Visit, Write, query};
use uuid::Uuid;

use crate::support::*;

/// A store that is a map.
#[derive(Default)]
struct Memory(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Read for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let mut range = self.0.range((table, from.to_vec())..(table, to.to_vec()));
        let _ = range.try_for_each(|((_, key), value)| visit(key, value));
        Ok(())
    }
}

/// A shard that rows are brought into.
#[derive(Default)]
struct Shard {
    state: Memory,
    machine: Machine,
    rows: u64,
}

impl Shard {
    fn apply(&mut self, step: Restore) -> Restored {
        let mut txn = Txn::new(&self.state);
        let entry = Entry { at: 1_000, body: Body::Restore(step) }.encode();
        let applied = self.machine.apply(&mut txn, &entry).expect("sound");
        for write in txn.into_writes() {
            match write {
                Write::Put(table, key, value) => drop(self.state.0.insert((table, key), value)),
                Write::Delete(table, key) => drop(self.state.0.remove(&(table, key))),
                Write::DeleteRange(..) => panic!("a restore removes nothing"),
            }
        }
        match applied.outcome {
            Outcome::Restored(restored) => restored,
            other => panic!("{other:?}"),
        }
    }

    fn bring(&mut self, backup: [u8; 16], row: Row) {
        let from = self.rows;
        self.rows += 1;
        let became = self.apply(Restore::Rows { backup, from, rows: vec![row.clone()] });
        assert_eq!(became, Restored::At { rows: self.rows, finished: false }, "{row:?}");
    }

    fn export(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let flow = export(&self.state, &mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        assert!(flow.expect("reads").is_continue());
        rows
    }
}

/// Brings shards into so many others: all but chunks source by source, then these.
fn restored(backup: Uuid, sources: &[Vec<Row>], targets: u32, skip_before: i64) -> Vec<Shard> {
    let mut router = Router::new(backup, sources.len() as u32, targets, skip_before);
    let mut shards: Vec<Shard> = (0..targets).map(|_| Shard::default()).collect();
    let id = backup.into_bytes();
    for shard in &mut shards {
        shard.apply(Restore::Begin { backup: id, skip_before });
    }
    for chunks in [false, true] {
        for (source, rows) in (0..).zip(sources) {
            for row in rows.iter().filter(|row| matches!(row, Row::Chunk(_)) == chunks) {
                for (target, row) in router.route(source, row.clone()).expect("sound") {
                    shards[target as usize].bring(id, row);
                }
            }
        }
    }
    for shard in &mut shards {
        let rows = shard.rows;
        assert_eq!(shard.apply(Restore::Finish { backup: id, rows }), Restored::At { rows, finished: true });
    }
    shards
}

/// By id: the number, the shard, and the firings that wait.
fn found(shards: &[Shard]) -> BTreeMap<String, (u32, Vec<String>)> {
    let mut all = BTreeMap::new();
    for (place, shard) in (0..).zip(shards) {
        for (_, id, number) in query::names(&shard.state, None, None, 1000).expect("reads") {
            let chunk = shard.machine.slots().get(number).expect("has a cursor").chunk;
            let (occurrences, _) = query::occurrences(&shard.state, number, chunk, 100).expect("reads");
            let waiting = occurrences.iter().filter(|one| one.end == End::Pending);
            let keys = waiting.map(|one| match &one.what.key {
                Key::Event(key) => key.clone(),
                other => format!("{other:?}"),
            });
            assert_eq!(all.insert(id.clone(), (place, keys.collect())), None, "{id} is there twice");
        }
    }
    all
}

#[test]
fn each_definition_comes_to_the_shard_of_its_name_with_all_that_speaks_of_it() {
    for (from, to) in [(1, 1), (4, 4), (4, 8), (8, 4), (3, 5), (1, 7), (6, 4)] {
        let sources = shards(from, 40);
        let shards = restored(BACKUP, &sources, to, i64::MIN);
        let found = found(&shards);
        let deleted = sources.iter().filter(|rows| !rows.is_empty()).count();
        assert_eq!(found.len(), 40 - deleted, "{from} to {to}");
        for (id, (shard, waiting)) in &found {
            assert_eq!(DefinitionKey::new("ns", id).shard(to), *shard, "{from} to {to}: {id}");
            assert_eq!(waiting.len(), 1, "{from} to {to}: {id}");
        }
        let pending: u64 = shards.iter().map(|shard| shard.machine.outbox().pending()).sum();
        assert_eq!(pending, 40, "what was deleted fires what it had decided");
        let payload = |shard: &Shard| {
            let lane = shard.machine.outbox().range(0, 0).map(|(seq, open)| (seq, open.records)).collect::<Vec<_>>();
            lane.into_iter().all(|(seq, records)| {
                let (_, payloads) = query::outbox_chunk(&shard.state, 0, seq).expect("reads").expect("open");
                (0..records).all(|record| payloads.of(record).is_some())
            })
        };
        assert!(shards.iter().all(payload), "{from} to {to}: each has its payload");
    }
}

#[test]
fn a_key_that_was_seen_is_found_under_the_definitions_origin_after_any_number_of_restores() {
    let mut backup = BACKUP;
    let mut sources = shards(3, 30);
    // The digest of definition n of a shard is n, sixteen times: the first cluster's, whatever number it has by now.
    for targets in [5, 2, 6] {
        let shards = restored(backup, &sources, targets, i64::MIN);
        for shard in &shards {
            for (number, _) in shard.machine.slots().iter() {
                let origin = shard.machine.origin(number).expect("restored");
                let digest = origin.masked([origin.number as u8; 16]);
                let seen = shard.state.get(Table::Dedupe, &flintwheel_shard::keys::dedupe(0, 0, &digest));
                assert!(seen.expect("reads").is_some(), "definition {number}, {origin:?}");
            }
        }
        sources = shards.iter().map(Shard::export).collect();
        backup = Uuid::from_u128(backup.as_u128() + 1);
    }
}

#[test]
fn keys_go_to_the_shards_that_could_hold_their_definition_and_to_no_other() {
    for (from, to, copies) in [(4, 4, 1), (4, 8, 2), (8, 4, 1), (3, 5, 5), (6, 4, 2)] {
        let sources = shards(from, 40);
        let seen = |rows: &[Row]| rows.iter().filter(|row| matches!(row, Row::Seen(_))).count();
        let before: usize = sources.iter().map(|rows| seen(rows)).sum();
        let after: usize = restored(BACKUP, &sources, to, i64::MIN).iter().map(|shard| seen(&shard.export())).sum();
        assert_eq!(after, before * copies, "{from} to {to}");
    }
}

#[test]
fn what_is_remembered_by_a_definitions_name_goes_unmasked() {
    let mut router = Router::new(BACKUP, 2, 2, i64::MIN);
    let row = |more: &'static [u8]| SeenRow { class: 0, at: 1, digest: [9; 16], more: more.into() };
    for (more, same) in [(&b""[..], false), (b"answer", true)] {
        let routed = router.route(1, Row::Seen(row(more))).expect("sound");
        let [(1, Row::Seen(found))] = &routed[..] else { panic!("{routed:?}") };
        assert_eq!((found.digest == [9; 16], &found.more[..]), (same, more));
    }
}

#[test]
fn firings_that_were_due_before_what_the_operator_named_are_skipped() {
    // Events were decided at 50; due times at 100 and their number.
    for (skip_before, waits) in [(i64::MIN, 9), (50, 9), (51, 4), (102, 3), (i64::MAX, 0)] {
        let shards = restored(BACKUP, &shards(1, 9), 2, skip_before);
        let pending: u64 = shards.iter().map(|shard| shard.machine.outbox().pending()).sum();
        assert_eq!(pending, waits, "{skip_before}");
        let skipped = shards.iter().map(|shard| {
            let missed = query::misses(&shard.state, Reason::Restored.code(), u64::MAX, 100).expect("reads");
            missed.len() as u64
        });
        assert_eq!(skipped.sum::<u64>(), 9 - waits, "{skip_before}");
    }
}

#[test]
fn calendars_go_to_the_home_of_their_namespace_and_uses_with_their_definition() {
    let (sources, targets) = (shards(2, 12), 5);
    let head = Head {
        version: 1,
        revision: 7,
        created: 1,
        updated: 2,
        refers: vec![],
        pending: false,
        leaving: None,
        users: 0,
        moved: 0,
        bytes: 2,
    };
    let used = UsedNames { namespace: "ns".into(), names: vec!["de".into()] };
    let mut router = Router::new(BACKUP, 2, targets, i64::MIN);
    for (source, rows) in (0..).zip(&sources) {
        for row in rows.iter().filter(|row| matches!(row, Row::Version(_))) {
            let routed = router.route(source, row.clone()).expect("sound").remove(0);
            let (Row::Version(before), (target, Row::Version(after))) = (row, &routed) else { panic!("a version") };
            let uses = Row::Uses(UsesRow { number: before.number, used: used.clone() });
            let expected = Row::Uses(UsesRow { number: after.number, used: used.clone() });
            assert_eq!(router.route(source, uses), Ok(vec![(*target, expected)]));
        }
    }
    let (namespace, name, document) = ("ns".to_owned(), "de".to_owned(), "{}".into());
    let calendar = Row::Calendar(CalendarRow { namespace, name, head, document });
    let home = calendar_home("ns", targets);
    assert_eq!(router.route(1, calendar.clone()), Ok(vec![(home, calendar)]));
    let unknown = Row::Uses(UsesRow { number: 99, used });
    assert!(router.route(0, unknown).is_err());
}

#[tokio::test]
async fn batches_bring_the_same_and_go_on_where_a_restore_broke_off() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("backup");
    write(&place(&path), &shards(3, 30)).await.expect("written");
    let backup = Backup::open(place(&path)).await.expect("there");
    let mut whole: Vec<Shard> = (0..4).map(|_| Shard::default()).collect();
    let all = brought(&backup, &mut whole, usize::MAX).await.expect("all of it");
    let mut broken: Vec<Shard> = (0..4).map(|_| Shard::default()).collect();
    for batches in 0..3 {
        assert_eq!(brought(&backup, &mut broken, batches).await, None, "{batches} batches");
    }
    assert_eq!(brought(&backup, &mut broken, usize::MAX).await, Some(all.clone()));
    for ((one, other), rows) in whole.iter_mut().zip(&mut broken).zip(all) {
        assert_eq!(
            one.apply(Restore::Finish { backup: BACKUP.into_bytes(), rows }),
            Restored::At { rows, finished: true }
        );
        other.apply(Restore::Finish { backup: BACKUP.into_bytes(), rows });
        assert_eq!(one.state.0, other.state.0);
    }
    assert_eq!(found(&whole), found(&restored(BACKUP, &shards(3, 30), 4, i64::MIN)));
}

/// Brings at most so many batches into shards, which may have some; the rows of each where that was all.
async fn brought(backup: &Backup, shards: &mut [Shard], most: usize) -> Option<Vec<u64>> {
    let id = BACKUP.into_bytes();
    for shard in &mut *shards {
        shard.apply(Restore::Begin { backup: id, skip_before: i64::MIN });
    }
    let there: Vec<u64> = shards.iter().map(|shard| shard.rows).collect();
    let mut restore = flintwheel_backup::Restore::new(backup, &there, i64::MIN);
    for _ in 0..most {
        let Some(batch) = restore.next().await.expect("sound") else { return Some(restore.rows()) };
        let shard = &mut shards[batch.shard as usize];
        assert_eq!(batch.from, shard.rows);
        let rows = decode_all(&batch.rows).expect("rows");
        assert_eq!(rows.len() as u64, batch.count);
        shard.rows += batch.count;
        let became = shard.apply(Restore::Rows { backup: id, from: batch.from, rows });
        assert_eq!(became, Restored::At { rows: shard.rows, finished: false });
    }
    None
}

#[test]
fn the_same_backup_gives_the_same_rows_each_time() {
    let sources = shards(3, 30);
    let states: Vec<Vec<_>> = (0..2)
        .map(|_| restored(BACKUP, &sources, 4, i64::MIN).into_iter().map(|shard| shard.state.0).collect())
        .collect();
    assert_eq!(states[0], states[1]);
}

#[test]
fn a_row_of_a_definition_that_is_not_there_is_an_error_where_it_fires_and_passed_over_where_it_does_not() {
    let mut rows = shards(1, 3).remove(0);
    let Some(Row::Chunk(mut chunk)) = rows.pop() else { panic!("the chunk is last") };
    let mut router = Router::new(BACKUP, 1, 1, i64::MIN);
    let error = router.route(0, Row::Chunk(chunk.clone())).expect_err("it waits");
    assert_eq!(error.to_string(), "definition 0 of shard 0 is named, and no version of it is there");
    for one in &mut chunk.occurrences {
        one.end = End::Started { at: 1, note: String::new() };
        one.payload = None;
    }
    assert_eq!(router.route(0, Row::Chunk(chunk)), Ok(vec![]));
}
