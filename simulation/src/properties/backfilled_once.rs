//! A backfill decides each due time of its range, in its order, up to where it stands; all of them when it has ended, and none after it was stopped.
//! (That none of them is decided or started twice is another property's business.)

use crate::ledger::Backfilling;
use crate::rest::{Rest, Shard};
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::entry::NEVER;
use flintwheel_shard::occurrence::Key;
use std::collections::BTreeSet;

/// Looks at the end of a run.
pub fn check(rest: &Rest<'_>) -> Result<(), String> {
    for ((id, backfill), asked) in &rest.ledger.backfills {
        let Some(known) = rest.ledger.definitions.get(id).filter(|known| !known.leaving) else { continue };
        let (Some(number), Some(timed)) = (known.number, known.timed()) else { continue };
        let shard = &rest.shards[known.shard as usize];
        let Some(stands) = shard.backfills.get(&(number, backfill.clone())) else {
            return Err(format!("backfill {backfill} of definition {id} was acknowledged, and nobody knows it"));
        };
        let decided = decided(shard, number, backfill);
        one(asked, stands, timed.every, &decided)
            .map_err(|what| format!("backfill {backfill} of definition {id}: {what}"))?;
    }
    Ok(())
}

/// Due times of a backfill that fire, wait or are skipped.
fn decided(shard: &Shard, number: u64, backfill: &str) -> BTreeSet<i64> {
    let nominal = |key: &Key| match key {
        Key::Backfill { id, nominal } if id == backfill => Some(*nominal),
        _ => None,
    };
    let account = shard.account.get(&number).into_iter().flatten().filter_map(|one| nominal(&one.what.key));
    let track = shard.tracks.get(&number);
    let waiting = track.into_iter().flat_map(|track| track.waiting()).filter_map(|(_, waiting)| nominal(&waiting.key));
    account.chain(waiting).collect()
}

fn one(asked: &Backfilling, stands: &Backfill, every: i64, decided: &BTreeSet<i64>) -> Result<(), String> {
    if asked.stopped && stands.ended.is_none() {
        return Err("it was stopped, and goes on".to_owned());
    }
    let range = &asked.range;
    let first = (range.from + every - 1).div_euclid(every) * every;
    let all = (0..).map(|nth| first + nth * every).take_while(|time| *time <= range.to);
    let expected: BTreeSet<i64> =
        all.filter(|time| stands.next == NEVER || stands.is_before(*time, stands.next)).collect();
    if expected != *decided {
        let (missing, more) = (expected.difference(decided), decided.difference(&expected));
        let (missing, more): (Vec<_>, Vec<_>) = (missing.collect(), more.collect());
        return Err(format!("it stands at {}; without {missing:?}, and with {more:?} too many", stands.next));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flintwheel_shard::entry::Range;

    #[test]
    fn what_is_missing_and_what_is_too_much_is_seen() {
        let range = Range { from: 11, to: 50, newest_first: true, rate: 1, policy: None };
        let asked = Backfilling { range, stopped: false };
        let stands = |next, ended| Backfill { range, begun: 0, next, total: 4, decided: 0, skipped: 0, ended };
        let check =
            |next, ended, times: &[i64]| one(&asked, &stands(next, ended), 10, &times.iter().copied().collect());
        assert!(check(30, None, &[50, 40]).is_ok() && check(NEVER, Some(1), &[50, 40, 30, 20]).is_ok());
        assert!(check(30, None, &[50]).is_err() && check(30, None, &[50, 40, 30]).is_err());
        let stopped = Backfilling { stopped: true, ..asked };
        assert!(one(&stopped, &stands(30, None), 10, &[50, 40].into()).is_err());
    }
}
