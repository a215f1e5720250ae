//! Each occurrence is decided once, and what fires is one run of one workflow; nothing runs that was not decided.

use crate::rest::Rest;
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
        if !decided.contains(workflow) {
            return Err(format!("{workflow} runs, and nobody has decided it"));
        }
    }
    let missing = decided.iter().find(|workflow| !rest.runs.contains_key(*workflow));
    missing.map_or(Ok(()), |workflow| Err(format!("{workflow} was decided, and has no run")))
}
