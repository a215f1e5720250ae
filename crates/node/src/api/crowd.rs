//! Whether a definition is due together with very many others: told to whoever applies it, who can spread it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flintwheel_client::Applied;
use flintwheel_model::ids::rfc3339;
use flintwheel_shard::entry::NEVER;
use flintwheel_shard::query;

use super::ApiError;
use super::desk::Replica;
use crate::admission::Admitted;

/// Definitions at one instant: fewer are started within the second by one node.
const CROWD: u64 = 1_000;
/// Of them, looked at for whether jitter spreads them already.
const SAMPLE: usize = 16;
/// Instants of which it is told where many are applied together: nobody reads more warnings.
const INSTANTS: usize = 16;
/// The words between how many are due and when.
const DUE_AT: &str = " definitions are due at ";

/// Definitions due at one instant: how many, and some of them, by number and version.
#[derive(Default)]
struct Due {
    count: u64,
    sample: Vec<(u64, u32)>,
}

/// Those of many that were applied together of which it is told, by their places: one for each instant, of the instants at which most are due. Of what
/// jitter spreads, none.
pub(super) fn told<'a>(applied: impl IntoIterator<Item = (&'a Admitted, i64)>) -> Vec<usize> {
    let mut instants: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for (place, (admitted, next)) in applied.into_iter().enumerate() {
        let is_spread = admitted.plan.as_ref().is_none_or(|plan| plan.jitter_window() > 0);
        if next != NEVER && !is_spread {
            instants.entry(next).or_insert((0, place)).0 += 1;
        }
    }
    let mut instants: Vec<_> = instants.into_values().collect();
    // Stable: of those with as many, the earliest.
    instants.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    instants.truncate(INSTANTS);
    instants.into_iter().map(|(_, place)| place).collect()
}

/// Of warnings of the same instant, which each shard gives, leaves the first.
pub(super) fn once(applied: &mut [Option<Result<Applied, ApiError>>]) {
    let mut told = BTreeSet::new();
    for applied in applied.iter_mut().flatten().flatten() {
        applied.warnings.retain(|warning| match warning.split_once(DUE_AT) {
            Some((_, when)) => told.insert(when.to_owned()),
            None => true,
        });
    }
}

impl Replica {
    /// A warning, if about a thousand or more are due at `next`, the definition's own due time.
    pub(super) fn crowd(&self, admitted: &Admitted, next: i64) -> Option<String> {
        let is_told = !told([(admitted, next)]).is_empty();
        if is_told { self.crowds(&[next]).pop().flatten() } else { None }
    }

    /// The same for what was applied together: the place of a definition, and its warning.
    pub(super) fn crowds_of(&self, applied: &[(usize, Arc<Admitted>, i64)]) -> Vec<(usize, String)> {
        let told = told(applied.iter().map(|(_, admitted, next)| (&**admitted, *next)));
        let instants: Vec<i64> = told.iter().map(|place| applied[*place].2).collect();
        let warnings = told.iter().zip(self.crowds(&instants));
        warnings.filter_map(|(place, warning)| Some((applied[*place].0, warning?))).collect()
    }

    /// Of each instant, a warning if about a thousand or more are due then. Shards hold definitions by chance, so that this one is enough to tell how
    /// many there are. One look at all cursors, however many instants.
    fn crowds(&self, instants: &[i64]) -> Vec<Option<String>> {
        if instants.is_empty() {
            return Vec::new();
        }
        let mut due: BTreeMap<i64, Due> = instants.iter().map(|instant| (*instant, Due::default())).collect();
        let looked = self.group.read(|machine, _| {
            for (number, slot) in machine.slots().iter().filter(|(_, slot)| slot.is_armed()) {
                let Some(due) = due.get_mut(&slot.next) else { continue };
                due.count += 1;
                if due.sample.len() < SAMPLE {
                    due.sample.push((number, slot.version));
                }
            }
        });
        let due = looked.map(|()| due).unwrap_or_default();
        instants.iter().map(|instant| self.crowd_of(due.get(instant)?, *instant)).collect()
    }

    fn crowd_of(&self, Due { count, sample }: &Due, next: i64) -> Option<String> {
        let about = count * u64::from(self.shared.shards());
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
            "about {about}{DUE_AT}{}; `jitter: {{window: 5m, mode: stable}}` would spread them (see `flintwheel hotspots`)",
            rfc3339(next)
        )
    })
}

#[cfg(test)]
mod tests {
    use flintwheel_client::ApplyOutcome;
    use serde_json::json;

    use super::*;
    use crate::admission::admit;

    fn admitted(schedule: &serde_json::Value) -> Admitted {
        let document = json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"namespace": "n", "id": "d"},
            "spec": {"trigger": {"schedule": schedule}, "start_workflow": {"type": "W", "task_queue": "q"}},
        });
        admit(&serde_json::from_value(document).expect("a definition")).expect("is admitted")
    }

    #[test]
    fn of_many_one_is_told_for_each_of_the_instants_at_which_most_are_due() {
        let steady = admitted(&json!({"cron": "0 9 * * *"}));
        let spread = admitted(&json!({"cron": "0 9 * * *", "jitter": {"window": "5m", "mode": "stable"}}));
        let of = |instants: &[i64]| told(instants.iter().map(|instant| (&steady, *instant)));
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[7, 5, 7, 9, 9, 9, NEVER]), [3, 0, 1], "the first of each, most first");
        assert_eq!(of(&(0..100).chain([40, 30]).collect::<Vec<_>>()).len(), INSTANTS);
        assert_eq!(of(&(0..100).chain([40, 30]).collect::<Vec<_>>())[..3], [30, 40, 0]);
        assert_eq!(told([(&spread, 7), (&steady, 7), (&spread, 8)]), [1], "what is spread is in no crowd");
    }

    #[test]
    fn a_crowd_that_several_shards_tell_of_is_told_once() {
        let (nine, ten) = (1_795_420_800_000_000, 1_795_424_400_000_000);
        let crowd = |about, instant| warning(about, instant).expect("a warning");
        let applied = |warnings: &[String]| {
            Some(Ok(Applied {
                outcome: ApplyOutcome::Created,
                old_version: 0,
                new_version: 1,
                next_due: None,
                warnings: warnings.to_vec(),
                offsets: Vec::new(),
            }))
        };
        let other = "another warning".to_owned();
        let mut results = [
            applied(&[]),
            applied(&[other.clone(), crowd(1_024, nine)]),
            None,
            applied(&[crowd(1_100, ten)]),
            applied(&[crowd(1_100, nine), other.clone()]),
        ];
        once(&mut results);
        let left: Vec<_> = results.iter().flatten().flatten().flat_map(|applied| applied.warnings.clone()).collect();
        assert_eq!(left, [other.clone(), crowd(1_024, nine), crowd(1_100, ten), other]);
    }

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
