//! Each occurrence is decided once, and what fires is one run of one workflow; nothing runs that was not decided.

use crate::rest::Rest;
use crate::workload::Timed;
use flintwheel_node::dispatch::firing_key;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at the end of a run.
pub fn check(rest: &Rest<'_>) -> Result<(), String> {
    let mut decided = BTreeSet::new();
    for (number, shard) in rest.shards.iter().enumerate() {
        for (definition, occurrences) in &shard.account {
            let mut keys = BTreeMap::new();
            for one in occurrences {
                let key = firing_key(&one.what.key).text();
                if let Some(chunk) = keys.insert(key.clone(), one.chunk) {
                    let place = format!("definition {definition} of shard {number}");
                    return Err(format!("{key} of {place} is decided in chunks {chunk} and {}", one.chunk));
                }
                if let Some(id) = rest.id_of(number as u32, *definition).filter(|_| one.what.skip.is_none()) {
                    decided.insert(Rest::workflow_id(id, one));
                }
            }
        }
    }
    for (workflow, runs) in rest.runs {
        if runs.len() > 1 {
            return Err(format!("{workflow} has {} runs", runs.len()));
        }
        if !decided.contains(workflow) && !nobody_knows(rest, workflow) {
            return Err(format!("{workflow} runs, and nobody has decided it"));
        }
    }
    let missing = decided.iter().find(|workflow| !rest.runs.contains_key(*workflow));
    missing.map_or(Ok(()), |workflow| Err(format!("{workflow} was decided, and has no run")))
}

/// Whether it is of a definition whose number nobody was told before it went by itself.
fn nobody_knows(rest: &Rest<'_>, workflow: &str) -> bool {
    let known = workflow.split(':').nth(2).and_then(|id| rest.ledger.definitions.get(id));
    known.is_some_and(|known| known.number.is_none() && known.timed().is_some_and(Timed::ends_deleted))
}
