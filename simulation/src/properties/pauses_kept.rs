//! What was due in a pause becomes what its definition says, or who resumed it: dropped, but for the latest, or all of it fires. A pause that ends by
//! itself ends at the instant that was said, whoever leads then and however late. (That each due time is accounted for, once, is another property's
//! business.)

use crate::ledger::{Known, Resumption};
use crate::rest::Rest;
use crate::workload::Kind;
use flintwheel_model::definition::OnResume;
use flintwheel_shard::occurrence::{Key, Reason};

/// Looks at the end of a run. `slack` is by how much clocks may be wrong.
pub fn check(rest: &Rest<'_>, slack: i64) -> Result<(), String> {
    // Of what waits for a run, each is skipped when its turn comes; and calendars have rhythms of their own.
    let plain = |known: &Known| matches!(known.kind, Some(Kind::Plain | Kind::Alone | Kind::Mixed | Kind::Bounded));
    let known = rest.ledger.definitions.iter().filter(|(_, known)| plain(known) && !known.may_wait());
    for (id, known) in known {
        let account = known.number.and_then(|number| rest.shards[known.shard as usize].account.get(&number));
        for one in account.into_iter().flatten().filter(|one| one.what.skip == Some(Reason::Paused)) {
            let (Key::Time { nominal, count, .. }, Some(timed)) = (&one.what.key, known.schedule(one.what.version))
            else {
                continue;
            };
            let skipped = Skipped { last: nominal + (i64::from(*count) - 1) * timed.every, every: timed.every };
            if !known.resumptions.iter().any(|resumption| skipped.follows_from(resumption, slack)) {
                let (last, ends) = (skipped.last, &known.resumptions);
                return Err(format!(
                    "definition {id}: what was due up to {last} is dropped by a pause; they end so: {ends:?}"
                ));
            }
        }
    }
    Ok(())
}

/// Due times that a pause has dropped.
struct Skipped {
    last: i64,
    every: i64,
}

impl Skipped {
    /// Whether the end of a pause drops just them.
    fn follows_from(&self, resumption: &Resumption, slack: i64) -> bool {
        let slack = if resumption.exact { 0 } else { slack };
        let (from, to) = (resumption.from.saturating_sub(slack), resumption.to.saturating_add(slack));
        // The instant lies at the last due time that it passes over, or after it, and before the next one.
        let passed = match resumption.missed {
            OnResume::Drop => self.last,
            OnResume::Latest => self.last + self.every,
            OnResume::All => return false,
        };
        passed <= to && from < passed + self.every
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_drops_what_its_end_says_and_no_more() {
        let ends = |from, to, missed| Resumption { from, to, exact: false, missed };
        let skipped = Skipped { last: 50, every: 10 };
        let (drop, latest, all) = (OnResume::Drop, OnResume::Latest, OnResume::All);
        for (from, to, missed, slack, expected) in [
            (50, 50, drop, 0, true),
            (59, 59, drop, 0, true),
            (60, 60, drop, 0, false),
            (49, 49, drop, 0, false),
            (49, 49, drop, 1, true),
            (20, 90, drop, 0, true),
            (60, 60, latest, 0, true),
            (59, 59, latest, 0, false),
            (70, 70, latest, 0, false),
            (50, 50, all, 0, false),
        ] {
            assert_eq!(
                skipped.follows_from(&ends(from, to, missed), slack),
                expected,
                "{from} {to} {missed:?} {slack}"
            );
        }
    }
}
