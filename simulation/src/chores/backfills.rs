//! Due times of the past: backfills begun, gone on with at their pace, and stopped. Where each stands is in the shard's state.

use super::{Chore, Done, Fault};
use crate::clients::NAMESPACE;
use crate::leader::{Leader, Told, What};
use crate::operators::Begin;
use crate::planted::Planted;
use flintwheel_node::backfills::{coming, count, first, of_policy, timing};
use flintwheel_node::calendars;
use flintwheel_node::plans::Timing;
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::entry::{AdvanceBackfill, BackfillStep, BeginBackfill, Body, NEVER};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Backfilled, Outcome};
use flintwheel_shard::slots::Slot;
use std::sync::Arc;
use tokio::sync::oneshot;

const SECOND: i64 = 1_000_000;
/// Due times of one entry.
const BATCH: u64 = 4;
/// What could not go on is looked at again.
const AGAIN: i64 = 200_000;
/// Firings of a shard's namespace that wait for the sink, beyond which backfills wait.
const AHEAD: u64 = 16;

pub(super) fn begun(outcome: &Done) -> Told {
    match first_of(outcome) {
        Some(Backfilled::Begun | Backfilled::Repeated) => Told::Begun,
        Some(Backfilled::Reused | Backfilled::TooMany) => Told::Refused,
        Some(Backfilled::NotFound) => Told::Gone,
        _ => Told::Failed,
    }
}

pub(super) fn stopped(outcome: &Done) -> Told {
    match first_of(outcome) {
        Some(Backfilled::Stopped | Backfilled::Ended) => Told::Stopped,
        Some(Backfilled::NotFound | Backfilled::NoBackfill) => Told::Gone,
        _ => Told::Failed,
    }
}

fn first_of(outcome: &Done) -> Option<Backfilled> {
    match outcome {
        Ok(Outcome::Backfilled(steps)) => steps.first().copied(),
        _ => None,
    }
}

/// A definition, and what it says about time; without that it can't be read by the days of this moment.
type Timed = (Slot, Option<Arc<Timing>>);

impl Leader {
    /// Has due times of the past fire.
    pub(crate) fn begin_backfill(&mut self, begin: Begin, to: oneshot::Sender<Told>) -> Result<(), Fault> {
        let Begin { id, backfill, range } = begin;
        let number = query::number(&self.group.state(), NAMESPACE, &id).map_err(|error| error.to_string())?;
        let timing = number.map(|number| self.timing_of(number)).transpose()?.flatten();
        let Some((_, timing)) = timing else {
            let _ = to.send(Told::Gone);
            return Ok(());
        };
        let (next, total) = timing.map_or((NEVER, 0), |timing| {
            (first(&timing.plan, &range), count(&timing.plan, range.from, range.to).total)
        });
        let namespace = NAMESPACE.to_owned();
        let begin = BackfillStep::Begin(BeginBackfill { namespace, id, backfill, range, next, total });
        self.propose(Body::Backfill(vec![begin]), What::Chore(Chore::Begin(to)));
        Ok(())
    }

    /// Stops that.
    pub(crate) fn stop_backfill(&mut self, id: String, backfill: String, to: oneshot::Sender<Told>) {
        if self.has(Planted::BackfillStoppedInMemory) {
            // For as long as this one leads.
            let stops = |which: &(u64, String)| which.1 == backfill;
            self.chores.backfills.iter_mut().filter(|(which, _)| stops(which)).for_each(|(_, at)| *at = None);
            let _ = to.send(Told::Stopped);
            return;
        }
        let stop = BackfillStep::Stop { namespace: NAMESPACE.to_owned(), id, backfill };
        self.propose(Body::Backfill(vec![stop]), What::Chore(Chore::Stop(to)));
    }

    fn timing_of(&self, number: u64) -> Result<Option<Timed>, Fault> {
        let Some(slot) = self.read(|machine| machine.slots().get(number).copied())? else { return Ok(None) };
        let stored = query::version(&self.group.state(), number, slot.version).map_err(|error| error.to_string())?;
        let Some(stored) = stored else { return Ok(None) };
        let (known, group) = (&self.chores.known, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        let timing = timing(&stored, &find).map_err(|error| error.to_string())?;
        Ok(Some((slot, timing)))
    }

    /// Decides the next due times of those that may go on.
    pub(super) fn go_on_with_backfills(&mut self, now: i64) -> Result<(), Fault> {
        let running: Vec<(u64, String)> =
            self.read(|machine| machine.backfills().running().map(|(number, id)| (number, id.to_owned())).collect())?;
        self.chores.backfills.retain(|which, _| running.contains(which));
        for which in running {
            let at = self.chores.backfills.entry(which.clone()).or_insert(Some(now));
            if at.is_some_and(|at| at <= now) {
                let again = self.advance(&which, now)?;
                self.chores.backfills.insert(which, again);
            }
        }
        Ok(())
    }

    /// Decides its next due times, if it may; none while that is on its way.
    fn advance(&mut self, (number, id): &(u64, String), now: i64) -> Result<Option<i64>, Fault> {
        let stands = self.read(|machine| {
            let known = machine.backfills().get(*number, id)?.clone();
            let lane = machine.slots().get(*number)?.lane;
            let room = AHEAD.saturating_sub(machine.outbox().pending_in(lane.into()));
            let most = (room as usize).min(of_policy(&known, machine.tracks().get(*number)));
            Some((known, most))
        })?;
        let Some((known, most)) = stands else { return Ok(Some(now + AGAIN)) };
        let some = self.here.stage.random().within(1..BATCH) as usize;
        let Some(step) = self.next_step((*number, id), &known, some.min(most))? else { return Ok(Some(now + AGAIN)) };
        self.propose(
            Body::Backfill(vec![BackfillStep::Advance(step)]),
            What::Chore(Chore::Advance(*number, id.clone())),
        );
        Ok(None)
    }

    fn next_step(
        &self,
        (number, id): (u64, &str),
        known: &Backfill,
        count: usize,
    ) -> Result<Option<AdvanceBackfill>, Fault> {
        if count == 0 {
            return Ok(None);
        }
        let Some((slot, timing)) = self.timing_of(number)? else { return Ok(None) };
        let (times, next) =
            timing.map_or((Vec::new(), NEVER), |timing| coming(&timing.plan, &known.range, known.next, count));
        Ok(Some(AdvanceBackfill { number, backfill: id.to_owned(), version: slot.version, times, next }))
    }

    /// What came of it stands in the state; it goes on by its pace.
    pub(super) fn advanced(&mut self, number: u64, id: String) {
        let rate = self.read(|machine| machine.backfills().get(number, &id).map(|known| known.range.rate));
        let rate = i64::from(rate.ok().flatten().unwrap_or(1).max(1));
        self.chores.backfills.insert((number, id), Some(self.here.now() + BATCH as i64 * SECOND / rate));
    }
}
