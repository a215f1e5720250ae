//! The account names every due time, from the first to the cursor, without a gap, and how each firing ended. Nobody is overdue.

use crate::faults::CLOCK;
use crate::ledger::Known;
use crate::rest::{Rest, Shard};
use crate::workload::Kind;
use flintwheel_shard::occurrence::{End, Key};

/// How far behind the clock a cursor may be at rest, in microseconds.
const BEHIND: i64 = 3_000_000;
/// How far from the first due time of a version the time may be at which it was made. That one is the latest that any leader has shown, and the first due
/// time is by the clock of the leader that made it: one may be as far ahead as the other is behind.
const CHANGED: i64 = 2 * CLOCK + 2_000_000;

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
        let Some(number) = known.number else { continue };
        let shard = &rest.shards[known.shard as usize];
        let times = times(shard, number);
        rhythm(known, shard.made.get(&number), &times).map_err(|what| format!("definition {id}: {what}"))?;
        let overdue = shard.slots.get(&number).filter(|slot| slot.is_armed() && slot.next < now - BEHIND);
        if let Some(slot) = overdue {
            return Err(format!("definition {id}: its next due time is {} ms overdue", (now - slot.next) / 1000));
        }
    }
    Ok(())
}

/// A due time, or several that were passed over together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
    nominal: i64,
    count: i64,
    version: u32,
}

/// All due times that were decided, those that wait for a run, and the one that comes next.
fn times(shard: &Shard, number: u64) -> Vec<Time> {
    let time = |key: &Key, version| match key {
        Key::Time { nominal, count, .. } => Some(Time { nominal: *nominal, count: i64::from(*count), version }),
        Key::Event(_) | Key::Manual(_) | Key::Backfill { .. } => None,
    };
    let account = shard.account.get(&number).into_iter().flatten();
    let mut times: Vec<Time> = account.filter_map(|one| time(&one.what.key, one.what.version)).collect();
    if let Some(slot) = shard.slots.get(&number) {
        let waiting = shard.tracks.get(&number).into_iter().flat_map(|track| track.waiting());
        times.extend(waiting.filter_map(|(_, waiting)| time(&waiting.key, slot.version)));
        if slot.is_armed() {
            times.push(Time { nominal: slot.next, count: 1, version: slot.version });
        }
    }
    times.sort_unstable();
    times
}

/// One after the other, without a gap but where the schedule was changed.
fn rhythm(known: &Known, made: Option<&Vec<i64>>, times: &[Time]) -> Result<(), String> {
    for pair in times.windows(2) {
        let (before, next) = (pair[0], pair[1].nominal);
        let Some(every) = known.schedule(before.version).map(|timed| timed.every) else { continue };
        let expected = before.nominal + before.count * every;
        // A changed schedule begins when it was changed.
        let changed = match known.kind {
            Some(Kind::Calendar) => true,
            Some(Kind::Plain) | None => before.version != pair[1].version,
            // What has waited has the version of when it fired: here all have the same rhythm.
            Some(Kind::Alone | Kind::Mixed | Kind::Bounded) => {
                let between = |made: &i64| *made > expected - CHANGED && *made < next + CHANGED;
                // Of one that is gone nobody knows when it was changed.
                made.map_or(known.versions.len() > 1, |made| made.iter().skip(1).any(between))
            }
        };
        if expected > next && known.kind != Some(Kind::Plain) || expected != next && !changed {
            let (nominal, missing) = (before.nominal, (next - expected) / 1000);
            return Err(format!("after {nominal} comes {next}, {missing} ms later than its rhythm has it"));
        }
    }
    Ok(())
}
