//! Why a definition is due at a time, or is not: what its schedule says, and what the account knows.

use flintwheel_client::{AskedTime, Explanation, LeftOut, Moment, Occurrence, Paused};
use flintwheel_model::{ActivityDefinition, DefinitionKey, FiringKey};
use flintwheel_schedule as schedule;
use flintwheel_schedule::{Asked, identity};
use flintwheel_shard::occurrence::{Key, NO_CHUNK};
use flintwheel_shard::query;
use flintwheel_shard::slots::Slot;

use super::ask::{Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, check_key, clock, time};
use crate::admission::{SCHEDULE, comes_after};
use crate::after::coming;
use crate::calendars;
use crate::error::EngineError;

/// Occurrences looked at for what became of one instant, newest first: those of a week of a definition that is due each second, in some seconds.
const LOOKED_AT: usize = 700_000;
/// Of them, read at a time.
const STEP: usize = 256;

impl Api {
    /// Why a definition is due at a time, or is not, and what became of it.
    pub async fn explain(&self, key: &DefinitionKey, at: AskedTime) -> Result<Explanation, ApiError> {
        check_key(key)?;
        match self.ask(self.shard_of(key), Look::Explain { key: key.clone(), at }).await? {
            Told::Explained(explanation) => Ok(*explanation),
            _ => Err(otherwise()),
        }
    }
}

impl Replica {
    pub(super) fn explain(&self, key: &DefinitionKey, at: AskedTime) -> Result<Told, ApiError> {
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let state = self.group.state();
        let number = query::number(&state, &key.namespace, &key.id)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let note = query::pause_note(&state, number)?;
        let definition: ActivityDefinition = serde_json::from_slice(&stored.document)
            .map_err(|e| EngineError::Read(format!("{key} can't be read: {e}")))?;
        let mut explanation = self.said(&definition, stored.incarnation, at)?;
        let coming = self.group.read(|machine, _| coming(machine, number))?;
        let after = !comes_after(&definition).is_empty();
        for moment in &mut explanation.moments {
            let nominal = moment.jittered_from.unwrap_or(moment.instant).timestamp_micros();
            let is_due = moment.is_nominal || moment.jittered_from.is_some();
            let became = self.became(key, (number, &slot), (nominal, is_due))?;
            moment.occurrences = became.occurrences;
            explanation.looked_back_to = explanation.looked_back_to.max(became.looked_back_to.map(time));
            let why =
                coming.iter().find(|(came, _)| *came == nominal).map(|(_, why)| format!("{SCHEDULE}.after ({why})"));
            // What has been decided is not coming any more; the account has it, and no other field has named it.
            let word = FiringKey::Time(nominal).text();
            let was_due = after && !moment.is_nominal && moment.occurrences.iter().any(|one| one.firing_key == word);
            if let Some(why) = why.or_else(|| was_due.then(|| format!("{SCHEDULE}.after"))) {
                (moment.is_nominal, moment.due) = (true, Some(moment.due.unwrap_or(moment.instant)));
                moment.named_by.push(why);
            }
        }
        explanation.enabled = slot.is_enabled();
        explanation.paused = note.filter(|_| slot.is_paused()).map(|note| Paused {
            note: note.note,
            at: time(note.at),
            until: note.until.map(time),
        });
        (explanation.version, explanation.version_since) = (slot.version.into(), time(stored.updated));
        explanation.offsets = clock::of_explanation(&explanation);
        Ok(Told::Explained(Box::new(explanation)))
    }

    /// What the schedule says, and nothing of how the definition stands.
    fn said(&self, definition: &ActivityDefinition, seed: u64, at: AskedTime) -> Result<Explanation, ApiError> {
        let Some(trigger) = &definition.spec.trigger.schedule else { return Ok(Explanation::default()) };
        let own = identity(&definition.metadata.namespace, &definition.metadata.id);
        let namespace = &definition.metadata.namespace;
        let days =
            |name: &str| calendars::find(&self.shared.calendars, &self.group, namespace, name).map(|(_, days)| days);
        let asked = match at {
            AskedTime::Instant(instant) => Asked::Instant(instant.timestamp_micros()),
            AskedTime::Local(local) => Asked::Local(local),
        };
        let found = schedule::explain(trigger, SCHEDULE, (own, seed), &days, asked)?;
        Ok(Explanation {
            timezone: found.zone.to_owned(),
            moments: found.moments.into_iter().map(moment).collect(),
            left_out: found.left_out.map(|left_out| LeftOut {
                change: time(left_out.change),
                forward: u32::try_from(left_out.forward).unwrap_or_default(),
                named_by: left_out.named_by,
                moves_to: left_out.moves_to.map(time),
            }),
            before: found.before.map(time),
            after: found.after.map(time),
            ..Explanation::default()
        })
    }

    /// What the account says of a nominal time.
    fn became(
        &self,
        key: &DefinitionKey,
        (number, slot): (u64, &Slot),
        (nominal, is_due): (i64, bool),
    ) -> Result<Became, ApiError> {
        let word = crate::dispatch::firing_key(&Key::Time { nominal, due: nominal, count: 1 }).text();
        let mut occurrences = self.waiting(key, number)?;
        occurrences.retain(|occurrence| occurrence.firing_key == word);
        let state = self.group.state();
        let (mut from, mut looked_at, mut later) = (slot.chunk, 0, slot.next);
        while from != NO_CHUNK {
            let (found, next) = query::occurrences(&state, number, from, STEP)?;
            // (A chunk may hold none of it any more.)
            looked_at += found.len().max(1);
            for stored in &found {
                if covers(&stored.what.key, (nominal, is_due), later) {
                    occurrences.push(self.show_one(key, stored));
                }
                if let Key::Time { nominal, .. } = stored.what.key {
                    later = nominal;
                }
            }
            // Nothing is decided before it is due.
            if found.last().is_some_and(|stored| stored.decided < nominal) {
                break;
            }
            if let Some(last) = found.last().filter(|_| looked_at >= LOOKED_AT) {
                return Ok(Became { occurrences, looked_back_to: Some(last.decided) });
            }
            from = next;
        }
        Ok(Became { occurrences, looked_back_to: None })
    }
}

/// What became of a nominal time.
struct Became {
    /// Newest first; what waits for a run first of all.
    occurrences: Vec<Occurrence>,
    /// Where that was not all that the account holds: what was decided before was not looked at.
    looked_back_to: Option<i64>,
}

/// Whether an occurrence is of a nominal time. Due times that were skipped together are one, with the time of their first; they go on to the time
/// that was decided next, and what is not due is none of them.
fn covers(key: &Key, (instant, is_due): (i64, bool), later: i64) -> bool {
    match key {
        Key::Time { nominal, count: 0 | 1, .. } | Key::Backfill { nominal, .. } => *nominal == instant,
        Key::Time { nominal, .. } => *nominal == instant || is_due && (*nominal..later).contains(&instant),
        Key::Event(_) | Key::Manual(_) => false,
    }
}

fn moment(found: schedule::Moment) -> Moment {
    Moment {
        instant: time(found.instant),
        is_nominal: found.is_nominal,
        due: found.due.map(time),
        jittered_from: found.jittered_from.map(time),
        named_by: found.named_by,
        closed_by: found.closed_by,
        rolled_from: found.rolled_from.into_iter().map(time).collect(),
        rolls_to: found.rolls_to.map(time),
        is_other_of_fold: found.is_other_of_fold,
        before_start: found.before_start,
        after_end: found.after_end,
        occurrences: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_range_covers_all_that_was_due_in_it() {
        let of = |nominal, due, count| Key::Time { nominal, due, count };
        let (due, not_due) = (true, false);
        for (key, instant, expected) in [
            (of(60, 67, 1), (60, due), true),
            (of(60, 67, 1), (67, not_due), false),
            (of(60, 60, 1), (0, due), false),
            (of(60, 60, 10), (60, due), true),
            (of(60, 67, 10), (300, due), true),
            (of(60, 60, 10), (330, not_due), false),
            (of(60, 60, 10), (600, due), true),
            // The next one that was decided.
            (of(60, 60, 10), (660, due), false),
            (of(60, 60, 10), (0, due), false),
            (Key::Manual("60".into()), (60, due), false),
        ] {
            assert_eq!(covers(&key, instant, 660), expected, "{key:?} {instant:?}");
        }
    }
}
