//! What an entry has changed of its shard's subscriptions, and whether nodes that don't know it yet make a difference to who proposed it.

use flintwheel_shard::entry::{Body, Restore};
use flintwheel_shard::reply::{Concluded, Defined, Definite, Deleted, Outcome, Restored};
use flintwheel_shard::rows::{CursorRow, Row};

use super::restoring;
use super::wire::Change;

/// The changes of an entry; none where it found what it wanted. `None` where its answer says nothing of what events match.
///
/// Who is told that a definition is as it was, or was gone before, or that the same request was carried out before, may have asked for that
/// earlier, of somebody who died before the answer. So that waits for the other nodes too. Only what is new and listens to nothing can't have been matched by anybody.
pub fn changes(body: &Body, outcome: &Outcome) -> Option<Vec<Change>> {
    match (body, outcome) {
        (Body::Define(items), Outcome::Defined(results)) => {
            let mut changes = Vec::new();
            let mut tells = false;
            for (item, result) in items.iter().zip(results) {
                let listens = item.enabled && !item.subscriptions.is_empty();
                let (Defined::Created(now) | Defined::Configured(now)) = result else {
                    tells |= matches!(result, Defined::Unchanged(_) | Defined::Repeated(_));
                    continue;
                };
                tells |= listens || matches!(result, Defined::Configured(_));
                let subscriptions = if listens { item.subscriptions.clone() } else { Vec::new() };
                let Definite { number, version, .. } = *now;
                changes.push(Change { number, version, namespace: item.namespace.clone(), subscriptions });
            }
            tells.then_some(changes)
        }
        (Body::Delete(items), Outcome::Deleted(results)) => {
            let change = |(item, result): (&flintwheel_shard::entry::Delete, &Deleted)| {
                let Deleted::Gone { number, .. } = *result else { return None };
                Some(Change { number, version: 0, namespace: item.namespace.clone(), subscriptions: Vec::new() })
            };
            Some(items.iter().zip(results).filter_map(change).collect())
        }
        (Body::Conclude(_), Outcome::Concluded(results)) => Some(results.iter().filter_map(concluded).collect()),
        (Body::Restore(Restore::Rows { rows, .. }), Outcome::Restored(_)) => Some(restored(rows)),
        // Who is told that it has begun may count on all nodes to take no event.
        (Body::Restore(Restore::Begin { .. }), Outcome::Restored(Restored::At { finished, .. })) => {
            Some(if *finished { Vec::new() } else { vec![restoring::begun()] })
        }
        // Who is told that all is there may count on all nodes to match it.
        (Body::Restore(Restore::Finish { .. } | Restore::Cancel { .. }), Outcome::Restored(Restored::At { .. })) => {
            Some(vec![restoring::ended()])
        }
        _ => None,
    }
}

/// Of a definition whose schedule is over, and that listens no more.
fn concluded(result: &Concluded) -> Option<Change> {
    let (number, version, namespace) = match result {
        Concluded::Deleted { number, namespace, .. } => (*number, 0, namespace),
        Concluded::Disabled { number, version, namespace, .. } => (*number, *version, namespace),
        Concluded::Stale => return None,
    };
    Some(Change { number, version, namespace: namespace.clone(), subscriptions: Vec::new() })
}

/// What a backup brings. Told again, it changes nothing. Rows that were refused are of definitions that will never be there: what matches
/// them is matched again.
fn restored(rows: &[Row]) -> Vec<Change> {
    let cursors = rows.iter().filter_map(|row| if let Row::Cursor(row) = row { Some(row) } else { None });
    let change = |row: &CursorRow| Change {
        number: row.number,
        version: row.slot.version,
        namespace: row.namespace.clone(),
        subscriptions: row.subscriptions.clone(),
    };
    cursors.filter(|row| !row.subscriptions.is_empty()).map(change).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flintwheel_shard::entry::{Define, Delete, NEVER};
    use flintwheel_shard::reply::{Before, Change as Made, RestoreRefusal};
    use flintwheel_shard::slots::Slot;

    use super::*;

    fn define(listens: bool, enabled: bool) -> Define {
        Define {
            namespace: "n".into(),
            id: "d".into(),
            document: Bytes::new(),
            enabled,
            next: NEVER,
            subscriptions: if listens { vec![("t".into(), Bytes::new())] } else { Vec::new() },
            incarnation: 1,
            expected_version: None,
            tracking: None,
            bounds: None,
            calendars: None,
            request: None,
        }
    }

    #[test]
    fn an_answer_waits_for_the_other_nodes_if_it_says_what_events_match() {
        let now = Definite { number: 9, generation: 1, version: 4 };
        let before = Before { change: Made::Created, version: 1, next: NEVER };
        // Whether it listens, whether it is enabled, what became of it; event types that change, if the answer waits.
        for (listens, enabled, result, changed) in [
            (true, true, Defined::Created(now), Some(vec![1])),
            (false, true, Defined::Created(now), None),
            (true, false, Defined::Created(now), None),
            (true, true, Defined::Configured(now), Some(vec![1])),
            (false, true, Defined::Configured(now), Some(vec![0])),
            (true, false, Defined::Configured(now), Some(vec![0])),
            (true, true, Defined::Unchanged(now), Some(vec![])),
            (false, true, Defined::Unchanged(now), Some(vec![])),
            (true, true, Defined::Conflict { actual: 1 }, None),
            (true, true, Defined::Behind { last: 1 }, None),
            (true, true, Defined::TooManyNamespaces, None),
            (false, true, Defined::Repeated(before), Some(vec![])),
            (true, true, Defined::Reused, None),
        ] {
            let found = changes(&Body::Define(vec![define(listens, enabled)]), &Outcome::Defined(vec![result]));
            let types = found.map(|all| all.iter().map(|change| change.subscriptions.len()).collect::<Vec<_>>());
            assert_eq!(types, changed, "{listens} {enabled} {result:?}");
        }
        let delete = |id: &str| Delete {
            namespace: "n".into(),
            id: id.into(),
            incarnation: None,
            expected_version: None,
            request: None,
        };
        let results =
            vec![Deleted::NotFound, Deleted::Gone { number: 7, version: 1 }, Deleted::Repeated { version: 1 }];
        let gone = changes(&Body::Delete(["a", "b", "c"].map(delete).into()), &Outcome::Deleted(results));
        assert_eq!(gone.map(|all| all.iter().map(|change| change.number).collect::<Vec<_>>()), Some(vec![7]));
        assert_eq!(changes(&Body::Pause(Vec::new()), &Outcome::Paused(Vec::new())), None);
        let (namespace, id) = ("n".to_owned(), "d".to_owned());
        let deleted = Concluded::Deleted { number: 7, namespace: namespace.clone(), id: id.clone() };
        let disabled = Concluded::Disabled { number: 8, version: 3, namespace, id };
        let ended = Outcome::Concluded(vec![Concluded::Stale, deleted, disabled]);
        let ended = changes(&Body::Conclude(Vec::new()), &ended).expect("it says what events match");
        assert_eq!(ended.iter().map(|c| (c.number, c.version)).collect::<Vec<_>>(), [(7, 0), (8, 3)]);
        assert!(ended.iter().all(|change| change.subscriptions.is_empty()));
    }

    #[test]
    fn what_a_backup_brings_is_told_as_it_comes_and_so_are_its_begin_and_its_end() {
        let mut slot = Slot::new(0);
        (slot.generation, slot.version) = (1, 4);
        let cursor = |number, subscriptions| {
            let (namespace, id) = ("n".into(), "d".into());
            Row::Cursor(CursorRow { number, namespace, id, slot, origin: None, subscriptions, pause: None })
        };
        let rows = vec![cursor(1, vec![("t".into(), Bytes::new())]), cursor(2, Vec::new())];
        let restored = Outcome::Restored(Restored::At { rows: 2, finished: false });
        let found = changes(&Body::Restore(Restore::Rows { backup: [0; 16], from: 0, rows }), &restored);
        let found: Vec<_> = found.into_iter().flatten().map(|change| (change.number, change.version)).collect();
        assert_eq!(found, [(1, 4)]);
        let finish = Body::Restore(Restore::Finish { backup: [0; 16], rows: 2 });
        assert_eq!(changes(&finish, &restored), Some(vec![restoring::ended()]));
        assert_eq!(
            changes(&Body::Restore(Restore::Cancel { backup: [0; 16] }), &restored),
            Some(vec![restoring::ended()])
        );
        let begin = Body::Restore(Restore::Begin { backup: [0; 16], skip_before: 0 });
        for (finished, told) in [(false, vec![restoring::begun()]), (true, Vec::new())] {
            let restored = Outcome::Restored(Restored::At { rows: 2, finished });
            assert_eq!(changes(&begin, &restored), Some(told), "finished: {finished}");
        }
        let refused = Outcome::Restored(Restored::Refused(RestoreRefusal::NotBegun));
        assert_eq!(changes(&finish, &refused), None);
        assert_eq!(changes(&begin, &refused), None);
    }
}
