//! Definitions due by other time-zone data than that by which the shard's due times were computed: all are looked at once, page by page, after
//! whoever leads has begun with newer data, and those that are due otherwise are moved. How far it is stands in the shard's state.

use flintwheel_model::ids::rfc3339;
use flintwheel_schedule::tzdata_version;
use flintwheel_shard::calendar_entry::Retimed;
use flintwheel_shard::entry::{Body, NEVER};
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::Outcome;
use flintwheel_shard::slots::Slot;
use flintwheel_shard::zones::{Rezone, ZONES_SINCE};
use flintwheel_shard::{Applied, query};

use super::{Proposed, ShardMessage, State};
use crate::due_anew::due_anew;
use crate::error::EngineError;
use crate::plans::Plans;
use crate::{calendars, interest};

/// Definitions looked at for one entry: some ten milliseconds of work, in which nothing of the shard is fired.
const PAGE: usize = 512;
/// Plans that are kept from one page to the next.
const KEPT_PLANS: usize = 4096;

/// How far this leader is.
#[derive(Default)]
pub(super) struct Rezoning {
    /// One page at a time.
    in_flight: bool,
    /// All of the shard is due by the data of this program, which stays the same.
    finished: bool,
    plans: Plans,
}

impl State {
    /// Proposes the next page, if there is one and none is under way.
    pub(super) fn rezone(&mut self) -> Result<(), EngineError> {
        if self.rezoning.finished || self.rezoning.in_flight || !self.all_know_zones() {
            return Ok(());
        }
        let Some((rezone, moved)) = self.rezone_page()? else { return Ok(()) };
        self.rezoning.in_flight = true;
        self.propose(self.shared.clock.now(), &Body::Rezone(rezone), Proposed::Rezone { numbers: moved });
        Ok(())
    }

    fn all_know_zones(&self) -> bool {
        match self.shared.peers.directory().meta().format() {
            Some(format) => format >= ZONES_SINCE,
            None => interest::is_alone(&self.shared, &self.group),
        }
    }

    fn rezone_page(&mut self) -> Result<Option<(Rezone, Vec<u64>)>, EngineError> {
        let version = tzdata_version();
        let (done, page) = self.group.read(|machine, _| {
            let known = machine.zoned().filter(|zoned| zoned.version == version);
            let (done, from) = known.map_or((false, 0), |zoned| (zoned.done, zoned.from));
            // Until all of a backup is there, nothing of it is computed.
            if done || machine.is_held() || machine.slots().is_empty() {
                return (done, None);
            }
            let slots = machine.slots().range(from..machine.counters().next_number).take(PAGE);
            (false, Some((from, slots.map(|(number, slot)| (number, *slot)).collect::<Vec<_>>())))
        })?;
        self.rezoning.finished = done;
        let Some((from, slots)) = page else {
            self.rezoning.plans = Plans::default();
            return Ok(None);
        };
        let last = slots.len() < PAGE;
        let from = slots.last().map_or(from, |(number, _)| number + 1);
        let mut items = Vec::new();
        for (number, slot) in slots {
            items.extend(self.due_elsewhen(number, slot)?);
        }
        let numbers = items.iter().map(|item| item.number).collect();
        Ok(Some((Rezone { version: version.to_owned(), items, from, last }, numbers)))
    }

    /// If the definition is due at another time by the zones of this program.
    fn due_elsewhen(&mut self, number: u64, slot: Slot) -> Result<Option<Retimed>, EngineError> {
        let Some(stored) = query::version(&self.group.state(), number, slot.version)?.filter(names_a_zone) else {
            return Ok(None);
        };
        if self.rezoning.plans.len() >= KEPT_PLANS {
            self.rezoning.plans = Plans::default();
        }
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        // One that can't be read is told of when it is to be armed.
        let next = due_anew(&mut self.rezoning.plans, &stored, &slot, self.shared.clock.now(), &find).ok();
        let soonest = |next: i64| self.group.read(|machine, _| machine.tracks().soonest(number, next));
        let next = next.map(soonest).transpose()?;
        let Some(next) = next.filter(|next| *next != slot.next) else { return Ok(None) };
        let shown = |at: i64| if at == NEVER { "never".to_owned() } else { rfc3339(at) };
        let (namespace, id, tzdata) = (&stored.namespace, &stored.id, tzdata_version());
        tracing::info!(%namespace, %id, tzdata, was = shown(slot.next), is = shown(next), "due at another time by other time-zone data");
        Ok(Some(Retimed { number, generation: slot.generation, nominal: slot.next, next }))
    }

    /// Brings the wheel up to what has been written, and goes on.
    pub(super) fn rezoned(&mut self, result: Result<Applied, EngineError>, numbers: &[u64]) -> Result<(), EngineError> {
        self.rezoning.in_flight = false;
        match result {
            Ok(Applied { outcome: Outcome::Rezoned { moved }, .. }) => {
                self.shared.metrics.rezoned(moved.into());
                for number in numbers {
                    self.arm_from_cursor(*number)?;
                }
                self.rezone()?;
            }
            Ok(_) => return Err(EngineError::Read("a rezone entry was answered with another outcome".into())),
            Err(error) if !error.is_passing() => return Err(error),
            // Looked at again by the next tick, which comes soon.
            Err(_) => self.tell_myself_soon(ShardMessage::Tick),
        }
        self.sleep();
        Ok(())
    }
}

/// Whether its schedule may depend on a zone: by a field of its own, or in the text of a cron line or a rule.
fn names_a_zone(stored: &Version) -> bool {
    let has = |word: &[u8]| stored.document.windows(word.len()).any(|part| part == word);
    has(b"\"timezone\"") || has(b"TZ")
}
