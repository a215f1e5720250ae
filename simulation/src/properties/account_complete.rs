//! The account names every due time, from the first to the cursor, without a gap, and how each firing ended. Nobody is overdue.

use crate::ledger::{Cause, Known};
use crate::rest::Rest;
use flintwheel_shard::occurrence::{End, Key};
use flintwheel_shard::query::Occurrence;
use flintwheel_shard::slots::Slot;

/// How far behind the clock a cursor may be at rest, in microseconds.
const BEHIND: i64 = 3_000_000;

/// Looks at the end of a run. `now` is the true time.
pub fn check(rest: &Rest<'_>, now: i64) -> Result<(), String> {
    for (number, shard) in rest.shards.iter().enumerate() {
        let all = shard.account.values().flatten();
        for one in all.filter(|one| one.what.skip.is_none()) {
            match &one.end {
                End::Started { .. } => {}
                End::Failed { reason, .. } => return Err(format!("a firing of shard {number} was refused: {reason}")),
                other => return Err(format!("a firing of shard {number} has not ended, but is {other:?}: {one:?}")),
            }
        }
    }
    for (id, known) in &rest.ledger.definitions {
        let Some(definition) = known.number else { continue };
        let shard = &rest.shards[known.shard as usize];
        let slot = shard.slots.get(&definition);
        let occurrences = shard.account.get(&definition).map_or(&[][..], Vec::as_slice);
        due_times(known, slot, occurrences, now).map_err(|what| format!("definition {id}: {what}"))?;
    }
    Ok(())
}

fn due_times(known: &Known, slot: Option<&Slot>, occurrences: &[Occurrence], now: i64) -> Result<(), String> {
    let times = occurrences.iter().filter_map(|one| match one.what.key {
        Key::Time { nominal, count, .. } => Some((nominal, i64::from(count), one.what.version)),
        Key::Event(_) | Key::Manual(_) | Key::Backfill { .. } => None,
    });
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let every = |version| match known.versions.get(&version) {
        Some(Cause::Every(micros)) => Some(*micros),
        Some(Cause::Event(_)) | None => None,
    };
    let end = slot.filter(|slot| slot.is_armed()).map(|slot| (slot.next, 1, slot.version));
    for pair in times.iter().copied().chain(end).collect::<Vec<_>>().windows(2) {
        let ((nominal, count, version), (next, _, following)) = (pair[0], pair[1]);
        let expected = every(version).map(|every| nominal + count * every);
        // A changed schedule begins when it was changed.
        if version == following && expected.is_some_and(|expected| expected != next) {
            let missing = (next - nominal) / 1000;
            return Err(format!("after {nominal} comes {next}, {missing} ms later, which is not its rhythm"));
        }
    }
    match end {
        Some((next, ..)) if next < now - BEHIND => {
            Err(format!("its next due time is {} ms overdue", (now - next) / 1000))
        }
        _ => Ok(()),
    }
}
