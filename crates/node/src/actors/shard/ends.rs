//! Definitions whose schedule is over: has done what they say becomes of them.

use flintwheel_shard::entry::{Body, Conclude};
use flintwheel_shard::reply::Concluded;
use tokio::sync::oneshot;

use super::{Command, State};
use crate::error::EngineError;

/// How often it is asked who is over, in microseconds.
const EVERY: i64 = 1_000_000;
/// Those that are asked about at a time: some must wait for a run, or to be resumed.
const ASKED: usize = 10_000;
/// Those of one entry.
const AT_ONCE: usize = 256;

impl State {
    /// When to ask again; far away where nobody is over.
    pub(super) fn ends_at(&self) -> i64 {
        let none = self.group.read(|machine, _| machine.courses().none_is_over()).unwrap_or(true);
        if none { i64::MAX } else { self.conclusions.0 }
    }

    /// Proposes what becomes of some of those that are over. Proposed twice, it is done once.
    pub(super) fn conclude(&mut self, now: i64) -> Result<(), EngineError> {
        let (at, from) = self.conclusions;
        if now < at {
            return Ok(());
        }
        let (items, next) = self.group.read(|machine, _| {
            let (mut items, mut next, mut asked) = (Vec::new(), 0, 0);
            for number in machine.courses().over_from(from).filter(|_| !machine.is_held()) {
                if asked == ASKED || items.len() == AT_ONCE {
                    next = number;
                    break;
                }
                asked += 1;
                let slot = machine.slots().get(number).filter(|_| machine.conclusion(number).is_some());
                items.extend(slot.map(|slot| Conclude { number, generation: slot.generation }));
            }
            (items, next)
        })?;
        // More are there: they need not wait for those that must.
        self.conclusions = (if next == 0 { now + EVERY } else { now + EVERY / 10 }, next);
        if !items.is_empty() {
            // Nobody waits for the answer: what was not done is found again.
            let (reply, _) = oneshot::channel();
            self.command(Command { body: Body::Conclude(items), reply });
        }
        Ok(())
    }
}

/// What became of them, for operators.
pub(super) fn tell(shard: u32, results: &[Concluded]) {
    for result in results {
        match result {
            Concluded::Deleted { namespace, id, .. } => {
                tracing::info!(shard, %namespace, %id, "the schedule is over; the definition is deleted, as it asks for");
            }
            Concluded::Disabled { namespace, id, .. } => {
                tracing::info!(shard, %namespace, %id, "the schedule is over; the definition is disabled, as it asks for");
            }
            Concluded::Stale => {}
        }
    }
}
