//! Where a definition's runs must not overlap, at most one of them is open, by the sink's own word; and those that had to wait begin in the
//! order in which they came.

use crate::ledger::Known;
use crate::rest::Rest;
use flintwheel_shard::occurrence::Key;

/// A run of such a definition begins, while another one is open or is not.
pub fn begins(workflow: &str, open: Option<&str>) -> Result<(), String> {
    open.map_or(Ok(()), |other| Err(format!("{workflow} begins while {other} is open")))
}

/// Looks at the end of a run.
pub fn check(rest: &Rest<'_>) -> Result<(), String> {
    let alone = rest.ledger.definitions.iter().filter(|(_, known)| known.is_alone());
    alone.into_iter().try_for_each(|(id, known)| in_order(rest, id, known))
}

fn in_order(rest: &Rest<'_>, id: &str, known: &Known) -> Result<(), String> {
    let Some(number) = known.number else { return Ok(()) };
    let shard = &rest.shards[known.shard as usize];
    let mut begun = Vec::new();
    for one in shard.firings(number) {
        if let (Key::Time { nominal, .. }, Some(run)) =
            (&one.what.key, rest.runs.get(&Rest::workflow_id(id, one)).and_then(|runs| runs.first()))
        {
            begun.push((*nominal, run.at));
        }
    }
    begun.sort_unstable();
    increases(&begun).map_err(|what| format!("definition {id}: {what}"))?;
    let idle = shard.tracks.get(&number).filter(|track| track.open_len() == 0 && track.waiting_len() > 0);
    idle.map_or(Ok(()), |track| Err(format!("definition {id}: {} wait, and nothing is open", track.waiting_len())))
}

fn increases(begun: &[(i64, i64)]) -> Result<(), String> {
    let wrong = begun.windows(2).find(|pair| pair[1].1 <= pair[0].1);
    wrong
        .map_or(Ok(()), |pair| Err(format!("what was due at {} began before what was due at {}", pair[1].0, pair[0].0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_and_another_order_are_seen() {
        assert!(begins("b", None).is_ok() && begins("b", Some("a")).is_err());
        assert!(increases(&[(1, 10), (2, 20)]).is_ok());
        assert!(increases(&[(1, 20), (2, 10)]).is_err());
    }
}
