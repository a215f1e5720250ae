//! What was acknowledged is there: each definition at its version, each event and each firing by hand with every firing that it must have
//! caused.

use crate::rest::Rest;
use crate::workload::Timed;
use flintwheel_model::FiringKey;
use flintwheel_node::dispatch::firing_key;

/// Looks at the end of a run.
pub fn check(rest: &Rest<'_>) -> Result<(), String> {
    definitions(rest)?;
    for (event, sent) in rest.ledger.events.iter().filter(|(_, sent)| sent.acknowledged) {
        for id in &sent.listeners {
            fired(rest, id, &Rest::event_key(event))
                .map_err(|what| format!("event {event} was acknowledged, {what}"))?;
        }
    }
    for (id, request) in &rest.ledger.triggers {
        accounted(rest, id, &FiringKey::Manual(request.clone()))
            .map_err(|what| format!("request {request} was acknowledged, {what}"))?;
    }
    Ok(())
}

fn definitions(rest: &Rest<'_>) -> Result<(), String> {
    for (id, known) in rest.ledger.definitions.iter().filter(|(_, known)| known.version() > 0) {
        let shard = &rest.shards[known.shard as usize];
        let there = shard.names.get(id).and_then(|number| shard.slots.get(number)).map(|slot| slot.version);
        let expected = (!known.gone).then(|| known.version());
        // One that goes by itself may have gone.
        let may_go = known.timed().is_some_and(Timed::ends_deleted);
        if there != expected && !(may_go && there.is_none()) {
            return Err(format!("definition {id} was acknowledged at version {expected:?}, found is {there:?}"));
        }
    }
    Ok(())
}

fn fired(rest: &Rest<'_>, id: &str, key: &FiringKey) -> Result<(), String> {
    let known = &rest.ledger.definitions[id];
    let shard = &rest.shards[known.shard as usize];
    let number = known.number.unwrap_or(u64::MAX);
    if shard.firings(number).any(|occurrence| firing_key(&occurrence.what.key) == *key) {
        return Ok(());
    }
    Err(format!("but definition {id} (number {number} of shard {}) has no firing of it", known.shard))
}

/// It fires, or it waits for a run or was skipped because of one.
fn accounted(rest: &Rest<'_>, id: &str, key: &FiringKey) -> Result<(), String> {
    let known = &rest.ledger.definitions[id];
    let shard = &rest.shards[known.shard as usize];
    let number = known.number.unwrap_or(u64::MAX);
    let mut account = shard.account.get(&number).into_iter().flatten();
    let mut waiting = shard.tracks.get(&number).into_iter().flat_map(|track| track.waiting());
    if account.any(|one| firing_key(&one.what.key) == *key) || waiting.any(|(_, one)| firing_key(&one.key) == *key) {
        return Ok(());
    }
    fired(rest, id, key)
}
