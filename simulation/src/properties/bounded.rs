//! A definition with `max_firings` never fires more often, and does as often, unless something holds it up; a version that allows more goes on where
//! the one before ended.

use crate::ledger::Known;
use crate::rest::{Rest, Shard};
use crate::workload::{Kind, Timed};
use flintwheel_shard::entry::NEVER;
use flintwheel_shard::occurrence::Key;

/// Looks at the end of a run.
pub fn check(rest: &Rest<'_>) -> Result<(), String> {
    let bounded = rest.ledger.definitions.iter().filter(|(_, known)| known.kind == Some(Kind::Bounded));
    bounded.into_iter().try_for_each(|(id, known)| {
        let Some(number) = known.number else { return Ok(()) };
        let shard = &rest.shards[known.shard as usize];
        bound(known, shard, number).map_err(|what| format!("definition {id}: {what}"))
    })
}

fn bound(known: &Known, shard: &Shard, number: u64) -> Result<(), String> {
    let due = shard.firings(number).filter(|one| matches!(one.what.key, Key::Time { .. }));
    let versions: Vec<u32> = due.map(|one| one.what.version).collect();
    let max = |version: &u32| known.schedule(*version).and_then(|timed| timed.max);
    within(&versions, max)?;
    let (Some(slot), Some(Timed { max: Some(max), .. })) = (shard.slots.get(&number), known.schedule(known.version()))
    else {
        return Ok(());
    };
    let fired = versions.len() as u32;
    let is_over = slot.next == NEVER;
    // One that was deleted, or that a later version of the program changed, has no slot or another one.
    if slot.version == known.version() && slot.is_enabled() && is_over != (fired >= *max) {
        return Err(format!("it has fired {fired} of {max} times, and its next due time is {}", slot.next));
    }
    Ok(())
}

/// Firings in their order, by version, each of which may bound them otherwise.
fn within(versions: &[u32], max: impl Fn(&u32) -> Option<u32>) -> Result<(), String> {
    let beyond =
        versions.iter().enumerate().find(|(before, version)| max(version).is_some_and(|max| *before as u32 >= max));
    beyond.map_or(Ok(()), |(before, version)| {
        Err(format!("it fires for the {}th time, and its version {version} allows less", before + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_firing_too_many_is_seen() {
        let max = |version: &u32| Some(if *version == 1 { 2 } else { 3 });
        assert!(within(&[1, 1], max).is_ok() && within(&[1, 1, 2], max).is_ok());
        assert!(within(&[1, 1, 1], max).is_err() && within(&[1, 2, 2, 2], max).is_err());
    }
}
