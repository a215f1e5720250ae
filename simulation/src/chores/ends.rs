//! Definitions whose schedule is over: has done what they say becomes of them.

use super::{Chore, Fault};
use crate::leader::{Leader, What};
use crate::planted::Planted;
use flintwheel_model::ActivityDefinition;
use flintwheel_shard::entry::{Body, Conclude, Decision, NEVER};

/// How often it is asked who is over, in microseconds.
const EVERY: i64 = 1_000_000;

impl Leader {
    /// Proposes what becomes of those that are over. Proposed twice, it is done once.
    pub(super) fn conclude(&mut self, now: i64) -> Result<(), Fault> {
        if now < self.chores.conclude_at {
            return Ok(());
        }
        self.chores.conclude_at = now + EVERY;
        let items: Vec<Conclude> = self.read(|machine| {
            let over = machine.courses().over_from(0).filter(|number| machine.conclusion(*number).is_some());
            let item = |number| {
                let slot = machine.slots().get(number)?;
                Some(Conclude { number, generation: slot.generation })
            };
            over.filter_map(item).collect()
        })?;
        if !items.is_empty() {
            self.propose(Body::Conclude(items), What::Chore(Chore::Conclude));
        }
        Ok(())
    }

    /// A planted bug: the leader counts firings by itself, from when it began.
    pub(crate) fn note_bound(&mut self, number: u64, document: &[u8]) {
        if !self.has(Planted::BoundCountedInMemory) {
            return;
        }
        let definition: Option<ActivityDefinition> = serde_json::from_slice(document).ok();
        let max = definition.and_then(|definition| definition.spec.trigger.schedule?.max_firings);
        if let Some(max) = max {
            self.chores.bounds.entry(number).or_insert((max, 0)).0 = max;
        }
    }

    /// And ends a schedule by what it has counted.
    pub(crate) fn keep_bound(&mut self, decisions: &mut Vec<Decision>) {
        for decision in decisions.iter_mut().filter(|decision| decision.skip.is_none()) {
            let Some((max, used)) = self.chores.bounds.get_mut(&decision.number) else { continue };
            *used += 1;
            if used >= max {
                decision.next = NEVER;
            }
        }
        let mut over: Vec<u64> = Vec::new();
        decisions.retain(|decision| {
            let goes_on = !over.contains(&decision.number);
            if decision.next == NEVER {
                over.push(decision.number);
            }
            goes_on
        });
    }
}
