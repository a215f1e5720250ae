//! After a calendar was changed, definitions that name it are due by it: one whose day is closed fires no more on that day, and one whose day is
//! open again goes on in its rhythm.

use crate::ledger::{Known, Turn};
use crate::rest::Rest;
use crate::workload::Kind;
use flintwheel_shard::occurrence::Key;

const DAY: i64 = 86_400_000_000;

/// Looks at the end of a run. `slack` is by how much clocks may be wrong.
pub fn check(rest: &Rest<'_>, now: i64, slack: i64) -> Result<(), String> {
    let turns = &rest.ledger.turns;
    for (id, known) in rest.ledger.definitions.iter().filter(|(_, known)| known.kind == Some(Kind::Calendar)) {
        let Some(number) = known.number else { continue };
        let shard = &rest.shards[known.shard as usize];
        if let Some(slot) = shard.slots.get(&number).filter(|slot| slot.is_armed()) {
            goes_on(turns, slot.next, now).map_err(|what| format!("definition {id}: {what}"))?;
        }
        for one in shard.account.get(&number).into_iter().flatten() {
            if let Key::Time { nominal, .. } = one.what.key
                && one.what.skip.is_none()
            {
                open(turns, nominal, slack).map_err(|what| format!("definition {id}: {what}"))?;
            }
        }
        rhythm(rest, known, number, slack).map_err(|what| format!("definition {id}: {what}"))?;
    }
    Ok(())
}

/// Its next due time is of this day if that is open, and of a later one if it is closed.
fn goes_on(turns: &[Turn], next: i64, now: i64) -> Result<(), String> {
    let Some(last) = turns.last().filter(|turn| turn.done < now) else { return Ok(()) };
    let today = next.div_euclid(DAY) == now.div_euclid(DAY);
    if today == last.closed {
        let is = if last.closed { "closed" } else { "open" };
        return Err(format!("this day is {is}, and its next due time is {next}; it is {now}"));
    }
    Ok(())
}

/// The last turn that was acknowledged before a time, and when the next one was asked for.
fn at(turns: &[Turn], time: i64) -> Option<(Turn, i64)> {
    let place = turns.partition_point(|turn| turn.done < time).checked_sub(1)?;
    Some((turns[place], turns.get(place + 1).map_or(i64::MAX, |next| next.begun)))
}

fn open(turns: &[Turn], nominal: i64, slack: i64) -> Result<(), String> {
    match at(turns, nominal - slack) {
        Some((turn, until)) if turn.closed && nominal + slack < until => {
            Err(format!("it was due at {nominal}, which was closed from {} until {until}", turn.done))
        }
        _ => Ok(()),
    }
}

/// While the day is open, no due time is left out.
fn rhythm(rest: &Rest<'_>, known: &Known, number: u64, slack: i64) -> Result<(), String> {
    let shard = &rest.shards[known.shard as usize];
    let Some(every) = known.timed().map(|timed| timed.every) else { return Ok(()) };
    let account = shard.account.get(&number).into_iter().flatten();
    let times = account.filter_map(|one| match one.what.key {
        Key::Time { nominal, count, .. } => Some((nominal, nominal + i64::from(count) * every)),
        _ => None,
    });
    let mut times: Vec<(i64, i64)> = times.collect();
    times.sort_unstable();
    let made = shard.made.get(&number).map_or(&[][..], Vec::as_slice);
    for pair in times.windows(2) {
        let ((_, expected), (next, _)) = (pair[0], pair[1]);
        let was_open =
            at(&rest.ledger.turns, expected - slack).is_some_and(|(turn, until)| !turn.closed && next + slack < until);
        let was_made = made.iter().any(|made| *made > expected - 2 * slack && *made < next + 2 * slack);
        if was_open && !was_made && expected != next {
            return Err(format!("after what comes before {expected} comes {next}, though the day was open"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_day_is_seen() {
        let turn = |begun, done, closed| Turn { begun, done, closed };
        let turns = [turn(0, 10, false), turn(100, 110, true), turn(200, 210, false)];
        assert!(open(&turns, 50, 5).is_ok() && open(&turns, 112, 5).is_ok() && open(&turns, 198, 5).is_ok());
        assert!(open(&turns, 150, 5).is_err());
        assert!(goes_on(&turns, 300, 250).is_ok() && goes_on(&turns[..2], 300, 250).is_err());
        assert!(goes_on(&turns[..2], DAY, 250).is_ok() && goes_on(&turns, DAY, 250).is_err());
    }
}
