//! Catching up: what is late is decided when nothing else is, no faster than the paces of its namespace and its definition, the oldest first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use flintwheel_model::Pace;
use flintwheel_schedule::catchup::LATE_AFTER;
use flintwheel_shard::Machine;
use flintwheel_shard::entry::{Decision, NEVER};
use flintwheel_shard::slots::Slot;

use super::{DECISIONS, State};
use crate::actors::coming::Found;
use crate::after;
use crate::calendars;
use crate::decide::{Armed, Circumstances, decide};
use crate::error::EngineError;
use crate::paces::Asks;
use crate::plans::{Plans, Timing};

/// Late definitions of one entry: reading and compiling them takes some ten milliseconds, in which nothing else of the shard is decided.
const AT_ONCE: usize = 256;
/// Schedules of late definitions that are kept compiled: many share one, and where none do, they cost no memory.
const COMPILED: usize = 1024;
/// How soon what could not go is looked at again, at least and at most, in microseconds.
const SOON: i64 = 100_000;
const LATER: i64 = 500_000;
/// Of a definition with a pace of its own, what comes together in this time goes at once, in nanoseconds.
const TOGETHER: u64 = 200_000_000;

/// What all is met so late goes behind what is due now, in microseconds: after a restart or a pause of the process, as much may have come together as
/// takes the sink seconds. A change of leader takes less, and changes nothing of the order.
const BEHIND: i64 = 5_000_000;

/// Decisions of one entry, and how their definitions go on.
pub(super) struct Batch {
    /// Among those that are on their way.
    pub(super) id: u64,
    /// In order.
    pub(super) decisions: Vec<Decision>,
    /// Those that are met in time, armed for their next time.
    pub(super) due: Vec<Armed>,
    /// Those that are late. A batch has these or the others.
    pub(super) late: Vec<Late>,
}

/// A late definition that has been decided.
pub(super) struct Late {
    lane: u16,
    /// Its next nominal time, or [`NEVER`].
    pub(super) next: Found,
    /// When that is due.
    due: i64,
    /// It does not go on before.
    not_before: i64,
}

impl Batch {
    /// Of those that are met in time.
    pub(super) fn live(due: Vec<Armed>, decisions: Vec<Decision>) -> Self {
        Self { id: 0, decisions, due, late: Vec::new() }
    }

    pub(super) fn is_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Whether its firings go behind those that are in time.
    pub(super) fn goes_behind(&self, now: i64) -> bool {
        self.is_late() || self.decisions.iter().all(|decision| now - decision.due >= BEHIND)
    }
}

/// What decides about a definition beside its schedule.
pub(super) fn circumstances(machine: &Machine, number: u64, now: i64) -> Circumstances {
    let course = machine.courses().get(number);
    Circumstances {
        now,
        skip_before: machine.skip_before(),
        wanted_through: course.and_then(|course| course.wanted_through),
        firings: course.and_then(|course| course.left()).map_or(usize::MAX, |left| left as usize),
    }
}

/// A late definition whose cursor stands where it was found.
struct Candidate {
    lane: u16,
    found: Found,
    with: Circumstances,
}

/// What one namespace may decide in this entry.
struct Allowance {
    namespace: String,
    granted: usize,
    used: usize,
    next_at: i64,
}

impl State {
    /// Decides some late definitions, if nothing else is to be decided.
    pub(super) fn propose_late(&mut self) -> Result<(), EngineError> {
        let now = self.shared.clock.now();
        let ready = self.backlog.wake_at().is_some_and(|at| at <= now) && self.due.is_empty();
        if !ready || self.late_in_flight || self.held_until().is_some() {
            return Ok(());
        }
        if self.backlog.is_to_search() {
            self.search(now)?;
        }
        let batch = self.take_late(now)?;
        if batch.is_late() {
            self.late_in_flight = true;
            self.propose_batch(now, i64::MIN, batch);
        }
        Ok(())
    }

    fn search(&mut self, now: i64) -> Result<(), EngineError> {
        let (wheeled, unreadable, backlog) = (&self.wheeled, &self.unreadable, &mut self.backlog);
        self.group.read(|machine, _| {
            let slots = machine.slots().iter().filter(|_| !machine.is_held());
            // What is in the wheel has a due time ahead, by its jitter or its own pace.
            let elsewhere = |number| wheeled.has(number) || unreadable.has(number);
            let late =
                slots.filter(|(number, slot)| slot.is_armed() && slot.next <= now - LATE_AFTER && !elsewhere(*number));
            backlog.search(
                late.map(|(number, slot)| {
                    (slot.lane, Found { number, generation: slot.generation, nominal: slot.next })
                }),
            );
        })?;
        Ok(())
    }

    /// Takes from the backlog what one entry holds.
    fn take_late(&mut self, now: i64) -> Result<Batch, EngineError> {
        let mut batch = Batch::live(Vec::new(), Vec::new());
        let mut lanes: HashMap<u16, Allowance> = HashMap::new();
        let (mut turns, mut rest, mut seen) = (self.backlog.turns(), Vec::new(), 0);
        while seen < AT_ONCE
            && batch.decisions.len() < DECISIONS
            && let Some(lane) = turns.oldest()
        {
            let allowed = match lanes.entry(lane) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(self.allowance(lane, now)?),
            };
            // A lane without allowance has no turn any more.
            if allowed.used >= allowed.granted {
                continue;
            }
            let found = self.backlog.take(lane);
            turns.again(lane, &self.backlog);
            let candidate = found.map(|found| self.candidate(lane, found, now)).transpose()?.flatten();
            let Some(candidate) = candidate else { continue };
            seen += 1;
            let found = candidate.found;
            if !self.take_one(candidate, allowed, &mut batch)? {
                rest.push((lane, found));
            }
        }
        for Allowance { namespace, granted, used, .. } in lanes.values() {
            self.shared.paces.give_back(namespace, granted - used);
        }
        rest.into_iter().for_each(|(lane, found)| self.backlog.come(lane, found));
        if seen == 0 && !lanes.is_empty() {
            let next_at = lanes.values().map(|allowed| allowed.next_at).min().unwrap_or(now);
            self.backlog.rest_until(next_at.clamp(now + SOON, now + LATER));
        }
        Ok(batch)
    }

    /// One that was found, if its cursor has not moved since.
    fn candidate(&self, lane: u16, found: Found, now: i64) -> Result<Option<Candidate>, EngineError> {
        let candidate = self.group.read(|machine, _| {
            let slot: &Slot = machine.slots().get(found.number)?;
            let fresh = slot.is_armed() && slot.generation == found.generation && slot.next == found.nominal;
            fresh.then(|| Candidate { lane, found, with: circumstances(machine, found.number, now) })
        });
        Ok(candidate?)
    }

    fn allowance(&self, lane: u16, now: i64) -> Result<Allowance, EngineError> {
        let namespace = self.group.read(|machine, _| machine.lanes().get(usize::from(lane)).cloned())?;
        let namespace = namespace.unwrap_or_default();
        let (paces, share) = (&self.shared.paces, self.shared.share());
        let granted = paces.take(&namespace, Asks::Shard(self.shard), share, now, DECISIONS);
        Ok(Allowance { namespace, granted: granted.count, used: 0, next_at: granted.next_at })
    }

    /// Decides one, as far as it may go; says whether it is done with for now.
    fn take_one(
        &mut self,
        Candidate { lane, found, with }: Candidate,
        allowed: &mut Allowance,
        batch: &mut Batch,
    ) -> Result<bool, EngineError> {
        let Found { number, generation, nominal } = found;
        let Some(timing) = self.late_timing(number)? else { return Ok(true) };
        let due = timing.due(nominal);
        if with.now - due < LATE_AFTER {
            // By its jitter it is not late.
            self.arm(found)?;
            return Ok(true);
        }
        let paced = timing.misfire.pace.map_or(usize::MAX, at_once);
        let firings = with.firings.min(paced).min(allowed.granted - allowed.used);
        let armed = Armed { number, nominal, generation, plan: 0 };
        let came = decide(&armed, &timing, Circumstances { firings, ..with }, &mut batch.decisions);
        if came.next == nominal {
            return Ok(false);
        }
        allowed.used += came.fired;
        let next = Found { number, generation, nominal: came.next };
        let due = if came.next == NEVER { NEVER } else { timing.due(came.next) };
        let pause = timing.misfire.pace.map_or(0, |pace| pace.interval_nanos() / 1_000 * came.fired as u64);
        let not_before = with.now.saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
        batch.late.push(Late { lane, next, due, not_before });
        Ok(true)
    }

    fn late_timing(&mut self, number: u64) -> Result<Option<Arc<Timing>>, EngineError> {
        let Some(stored) = self.stored(number)? else { return Ok(None) };
        if self.late_plans.len() > COMPILED {
            self.late_plans = Plans::default();
        }
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        match self.late_plans.of_document(&stored.document, stored.incarnation, &find) {
            Ok(plan) => {
                let timing = self.late_plans.get(plan);
                let with_coming = self.group.read(|machine, _| after::with_coming(machine, number, timing))?;
                Ok(Some(with_coming.map_or_else(|| Arc::clone(timing), Arc::new)))
            }
            Err(why) => self.cannot_read(number, &stored, &why).map(|()| None),
        }
    }

    /// A late definition has been decided: it may still be late.
    pub(super) fn late_goes_on(&mut self, late: Late, now: i64) -> Result<(), EngineError> {
        let Late { lane, next, due, not_before } = late;
        if next.nominal == NEVER {
            return Ok(());
        }
        if now - due < LATE_AFTER {
            // Beyond the horizon nothing is armed: not even read.
            return if next.nominal <= self.filled_to { self.arm(next) } else { Ok(()) };
        }
        if not_before <= now {
            self.backlog.look_behind(lane);
            return Ok(());
        }
        // Its own pace: it waits in the wheel.
        let Found { number, generation, nominal } = next;
        let Some(stored) = self.stored(number)? else { return Ok(()) };
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        match self.plans.of_document(&stored.document, stored.incarnation, &find) {
            Ok(plan) => self.insert_at(not_before, Armed { number, nominal, generation, plan }),
            Err(why) => self.cannot_read(number, &stored, &why)?,
        }
        Ok(())
    }
}

/// How many of one definition go at once: so few that its pace is kept, and one at least.
fn at_once(pace: Pace) -> usize {
    usize::try_from(TOGETHER / pace.interval_nanos()).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_by_seconds_goes_behind_unless_some_of_it_is_in_time() {
        let at = |due: i64| Decision { number: 1, generation: 1, nominal: due, due, next: NEVER, skip: None, count: 1 };
        let now = 1_000_000_000;
        for (lates, expected) in [(vec![0], false), (vec![30, 20, 5], true), (vec![30, 4], false), (vec![59, 0], false)]
        {
            let decisions = lates.iter().map(|late| at(now - late * 1_000_000)).collect();
            assert_eq!(Batch::live(Vec::new(), decisions).goes_behind(now), expected, "{lates:?}");
        }
    }

    #[test]
    fn a_definition_with_a_pace_goes_one_by_one_or_some_at_a_time() {
        for (pace, expected) in [("1/s", 1), ("1/15m", 1), ("5/s", 1), ("50/s", 10), ("1000/s", 200)] {
            assert_eq!(at_once(pace.parse().expect(pace)), expected, "{pace}");
        }
    }
}
