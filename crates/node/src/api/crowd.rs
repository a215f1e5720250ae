//! Whether a definition is due together with very many others: told to whoever applies it, who can spread it.

use flintwheel_model::ids::rfc3339;
use flintwheel_shard::entry::NEVER;
use flintwheel_shard::query;

use super::desk::Replica;
use crate::admission::Admitted;

/// Definitions at one instant: fewer are started within the second by one node.
const CROWD: u64 = 1_000;
/// Of them, looked at for whether jitter spreads them already.
const SAMPLE: usize = 16;
/// Applied together of which it is told: nobody reads a thousand warnings, and each costs a look at all cursors.
pub(super) const FEW: usize = 16;

impl Replica {
    /// A warning, if about a thousand or more are due at `next`, the definition's own due time. Shards hold definitions by chance, so that this one is
    /// enough to tell how many there are.
    pub(super) fn crowd(&self, admitted: &Admitted, next: i64) -> Option<String> {
        let is_spread = admitted.plan.as_ref().is_none_or(|plan| plan.jitter_window() > 0);
        if next == NEVER || is_spread {
            return None;
        }
        let (count, sample) = self
            .group
            .read(|machine, _| {
                let mut due = machine.slots().iter().filter(|(_, slot)| slot.is_armed() && slot.next == next);
                let sample: Vec<_> = due.by_ref().take(SAMPLE).map(|(number, slot)| (number, slot.version)).collect();
                (sample.len() + due.count(), sample)
            })
            .ok()?;
        let about = count as u64 * u64::from(self.shared.shards());
        if about < CROWD {
            return None;
        }
        let state = self.group.state();
        let has_jitter = |(number, version): &(u64, u32)| {
            let stored = query::version(&state, *number, *version).ok().flatten();
            stored.is_some_and(|stored| stored.document.windows(8).any(|part| part == b"\"jitter\""))
        };
        let steady = sample.iter().filter(|one| !has_jitter(one)).count() as u64;
        warning(about * steady / sample.len().max(1) as u64, next)
    }
}

fn warning(about: u64, next: i64) -> Option<String> {
    (about >= CROWD).then(|| {
        format!(
            "about {about} definitions are due at {}; `jitter: {{window: 5m, mode: stable}}` would spread them (see `flintwheel hotspots`)",
            rfc3339(next)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crowd_is_warned_of() {
        assert_eq!(warning(999, 0), None);
        let said = warning(4_812, 1_795_420_800_000_000).expect("a warning");
        assert!(
            said.starts_with(
                "about 4812 definitions are due at 2026-11-23T08:00:00Z; `jitter: {window: 5m, mode: stable}`"
            ),
            "{said}"
        );
    }
}
