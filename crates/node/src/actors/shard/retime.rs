//! Definitions whose calendars have changed, due anew: page by page, one entry after the other, so that a calendar of a hundred thousand
//! definitions holds nobody up. How far it is stands in the shard's state: whoever leads next goes on from there.

use flintwheel_shard::Applied;
use flintwheel_shard::calendar_entry::{CalendarMark, CalendarStep, Retime, Retimed};
use flintwheel_shard::calendars::{used_by, users};
use flintwheel_shard::entry::{Body, NEVER};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Calendared, Outcome};
use flintwheel_shard::slots::Slot;
use flintwheel_wheel::Wheel;

use super::{Proposed, ShardMessage, State};
use crate::actors::bits::Bits;
use crate::actors::coming::Coming;
use crate::calendars;
use crate::due_anew::due_anew;
use crate::error::EngineError;
use crate::plans::Plans;

/// Definitions of one entry: some ten milliseconds of work, in which nothing of the shard is fired.
const PAGE: usize = 256;
/// Plans that are kept from one page to the next: most definitions of a calendar share a few.
const KEPT_PLANS: usize = 4096;

/// Due times computed anew, and the definitions that were looked at for them.
type Anew = (Vec<Retimed>, Vec<u64>);

/// What is under way.
#[derive(Default)]
pub(super) struct Retiming {
    /// One page at a time.
    in_flight: bool,
    plans: Plans,
    /// The actor's own plans hold days that are of the past.
    worn: bool,
}

impl State {
    /// Proposes the next page, if there is one and none is under way.
    pub(super) fn retime(&mut self) -> Result<(), EngineError> {
        if self.retiming.in_flight {
            return Ok(());
        }
        let found = match self.page()? {
            Some((retime, numbers)) => Some((CalendarStep::Retime(retime), numbers)),
            None => self.again()?.map(|(items, numbers)| (CalendarStep::Again(items), numbers)),
        };
        let Some((step, numbers)) = found else {
            self.retiming.plans = Plans::default();
            return Ok(());
        };
        self.retiming.in_flight = true;
        let body = Body::Calendar(step);
        self.propose(self.shared.clock.now(), &body, Proposed::Retime { numbers });
        Ok(())
    }

    fn page(&mut self) -> Result<Option<(Retime, Vec<u64>)>, EngineError> {
        let unfinished = self.group.read(|machine, _| {
            let found = machine.calendars().unfinished().filter(|_| !machine.is_held());
            found.map(|(namespace, name, local)| {
                let revision = local.revision;
                (CalendarMark { namespace: namespace.to_owned(), name: name.to_owned(), revision }, local.from)
            })
        })?;
        let Some((mark, from)) = unfinished else { return Ok(None) };
        let numbers = users(&self.group.state(), (&mark.namespace, &mark.name), from, PAGE)?;
        let mut items = Vec::with_capacity(numbers.len());
        for number in &numbers {
            items.extend(self.due_anew(*number)?);
        }
        let last = numbers.len() < PAGE;
        let from = numbers.last().map_or(from, |number| number + 1);
        let numbers = items.iter().map(|item| item.number).collect();
        Ok(Some((Retime { mark, items, from, last }, numbers)))
    }

    /// Definitions that were resumed.
    fn again(&mut self) -> Result<Option<Anew>, EngineError> {
        let numbers: Vec<u64> = self.group.read(|machine, _| {
            let all = machine.calendars().again().filter(|_| !machine.is_held());
            all.take(PAGE).collect()
        })?;
        let mut items = Vec::with_capacity(numbers.len());
        for number in &numbers {
            items.extend(self.due_anew(*number)?);
        }
        Ok((!items.is_empty()).then_some((items, numbers)))
    }

    /// None for one that was deleted meanwhile.
    fn due_anew(&mut self, number: u64) -> Result<Option<Retimed>, EngineError> {
        let Some(slot) = self.group.read(|machine, _| machine.slots().get(number).copied())? else { return Ok(None) };
        let Some(stored) = query::version(&self.group.state(), number, slot.version)? else { return Ok(None) };
        if self.retiming.plans.len() >= KEPT_PLANS {
            self.retiming.plans = Plans::default();
        }
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        let next = due_anew(&mut self.retiming.plans, &stored, &slot, self.shared.clock.now(), &find);
        let next = next.unwrap_or_else(|why| {
            let (namespace, id) = (&stored.namespace, &stored.id);
            tracing::warn!(%namespace, %id, %why, "by its calendars, a definition is not due any more");
            NEVER
        });
        let Slot { generation, next: nominal, .. } = slot;
        Ok(Some(Retimed { number, generation, nominal, next }))
    }

    /// Brings the wheel up to what has been written, and goes on.
    pub(super) fn retimed(&mut self, result: Result<Applied, EngineError>, numbers: &[u64]) -> Result<(), EngineError> {
        self.retiming.in_flight = false;
        let done = match &result {
            Ok(Applied { outcome: Outcome::Calendar(Calendared::Retimed { items }), .. }) => *items as usize,
            _ => numbers.len(),
        };
        match result {
            Ok(Applied { outcome: Outcome::Calendar(Calendared::Retimed { .. } | Calendared::Done), .. }) => {
                self.retiming.worn = true;
                for number in &numbers[..numbers.len().min(done)] {
                    self.arm_from_cursor(*number)?;
                }
                self.retime()?;
            }
            Ok(_) => return Err(EngineError::Read("a retime entry was answered with another outcome".into())),
            Err(error) if !error.is_passing() => return Err(error),
            // Looked at again by the next tick, which comes soon.
            Err(_) => self.tell_myself_soon(ShardMessage::Tick),
        }
        self.sleep();
        Ok(())
    }

    /// When nothing is on its way and no calendar is being followed, all is armed anew: so plans of days that are of the past are forgotten,
    /// however often calendars change in a shard that never rests.
    pub(super) fn forget_worn(&mut self, now: i64) -> Result<(), EngineError> {
        if !self.retiming.worn || !self.is_idle() || self.retiming.in_flight {
            return Ok(());
        }
        self.retiming.worn = false;
        (self.wheel, self.plans, self.coming) = (Wheel::new(now), Plans::default(), Coming::default());
        (self.wheeled, self.late_plans) = (Bits::default(), Plans::default());
        self.filled_to = i64::MIN;
        self.refill(now)
    }

    /// Whether a definition uses a calendar whose days have not come to this shard.
    pub(super) fn waits_for_calendars(&self, number: u64) -> Result<bool, EngineError> {
        let Some(used) = used_by(&self.group.state(), number)? else { return Ok(false) };
        let missing = self.group.read(|machine, _| {
            let calendars = machine.calendars();
            used.names.iter().any(|name| calendars.local(&used.namespace, name).is_none())
        });
        Ok(missing?)
    }
}
