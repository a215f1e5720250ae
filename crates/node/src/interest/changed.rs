//! What an entry has changed of its shard's subscriptions, and whether nodes that don't know it yet make a difference to who proposed it.

use flintwheel_shard::entry::Body;
use flintwheel_shard::reply::{Defined, Definite, Outcome};

use super::wire::Change;

/// The changes of an entry; none where it found what it wanted. `None` where its answer says nothing of what events match.
///
/// Who is told that a definition is as it was, or was gone before, may have asked for that earlier, of somebody who died before the answer. So
/// that waits for the other nodes too. Only what is new and listens to nothing can't have been matched by anybody.
pub fn changes(body: &Body, outcome: &Outcome) -> Option<Vec<Change>> {
    match (body, outcome) {
        (Body::Define(items), Outcome::Defined(results)) => {
            let mut changes = Vec::new();
            let mut tells = false;
            for (item, result) in items.iter().zip(results) {
                let listens = item.enabled && !item.subscriptions.is_empty();
                let (Defined::Created(now) | Defined::Configured(now)) = result else {
                    tells |= matches!(result, Defined::Unchanged(_));
                    continue;
                };
                tells |= listens || matches!(result, Defined::Configured(_));
                let subscriptions = if listens { item.subscriptions.clone() } else { Vec::new() };
                let Definite { number, version, .. } = *now;
                changes.push(Change { number, version, namespace: item.namespace.clone(), subscriptions });
            }
            tells.then_some(changes)
        }
        (Body::Delete(items), Outcome::Deleted(numbers)) => {
            let gone = items.iter().zip(numbers).filter_map(|(item, number)| Some((item, (*number)?)));
            let change = |(item, number): (&flintwheel_shard::entry::Delete, u64)| Change {
                number,
                version: 0,
                namespace: item.namespace.clone(),
                subscriptions: Vec::new(),
            };
            Some(gone.map(change).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flintwheel_shard::entry::{Define, Delete, NEVER};

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
        }
    }

    #[test]
    fn an_answer_waits_for_the_other_nodes_if_it_says_what_events_match() {
        let now = Definite { number: 9, generation: 1, version: 4 };
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
        ] {
            let found = changes(&Body::Define(vec![define(listens, enabled)]), &Outcome::Defined(vec![result]));
            let types = found.map(|all| all.iter().map(|change| change.subscriptions.len()).collect::<Vec<_>>());
            assert_eq!(types, changed, "{listens} {enabled} {result:?}");
        }
        let delete = |id: &str| Delete { namespace: "n".into(), id: id.into() };
        let gone = changes(&Body::Delete(vec![delete("a"), delete("b")]), &Outcome::Deleted(vec![None, Some(7)]));
        assert_eq!(gone.map(|all| all.iter().map(|change| change.number).collect::<Vec<_>>()), Some(vec![7]));
        assert_eq!(changes(&Body::Pause(Vec::new()), &Outcome::Paused(Vec::new())), None);
    }
}
