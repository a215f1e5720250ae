//! The state machine of one shard: what it keeps in memory, and how an entry finds its handler in [`crate::apply`].

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::apply;
use crate::backfills::Backfills;
use crate::calendars::Calendars;
use crate::codec::DecodeError;
use crate::courses::{AfterEnd, Courses};
use crate::entry::{Body, Entry, Expire};
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::Chunk;
use crate::outbox::{Open, Outbox, Payloads};
use crate::pauses::Pauses;
use crate::query;
use crate::records::{Counters, Origin, PauseNote, Restoration};
use crate::replicated::{ApplyError, Replicated};
use crate::reply::{Applied, Outcome};
use crate::scan::{self, corrupt};
use crate::slots::{Slot, Slots};
use crate::tracks::Tracks;
use crate::zones::Zoned;

/// One hour in microseconds: the time bucket of the account and of retired versions.
const HOUR: i64 = 3_600_000_000;

/// One shard's state machine.
#[derive(Default)]
pub struct Machine {
    pub(crate) slots: Slots,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    pub(crate) tracks: Tracks,
    pub(crate) courses: Courses,
    pub(crate) backfills: Backfills,
    pauses: Pauses,
    pub(crate) calendars: Calendars,
    lanes: Lanes,
    paused: usize,
    restoration: Option<Restoration>,
    zoned: Option<Zoned>,
    /// Of restored definitions, by number.
    origins: Vec<Option<Origin>>,
}

impl Machine {
    /// The cursors of all definitions.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Firings decided and not ended.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The runs of definitions that ask for it.
    pub fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// How far schedules have come beyond their cursors, of definitions that ask for it.
    pub fn courses(&self) -> &Courses {
        &self.courses
    }

    /// What is to become of a definition now, because its schedule is over: none where it goes on, stays as it is, is paused, has runs that are
    /// open or wait, or others must still be told that one has ended.
    pub fn conclusion(&self, number: u64) -> Option<AfterEnd> {
        let after_end = self.courses.end_of(number)?;
        let paused = self.slots.get(number).is_none_or(Slot::is_paused);
        let busy = self.tracks.get(number).is_some_and(|track| track.is_busy());
        (!paused && !busy).then_some(after_end)
    }

    /// The backfills of definitions, those that have ended lately too.
    pub fn backfills(&self) -> &Backfills {
        &self.backfills
    }

    /// The pauses that end by themselves.
    pub fn pauses(&self) -> &Pauses {
        &self.pauses
    }

    /// Named calendars: those at home here, and those whose days this shard has.
    pub fn calendars(&self) -> &Calendars {
        &self.calendars
    }

    /// Positions and counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Definitions that are paused.
    pub fn paused(&self) -> usize {
        self.paused
    }

    /// The backup that was brought in, or is being.
    pub fn restoration(&self) -> Option<Restoration> {
        self.restoration
    }

    /// Whether a backup is being brought in: until all is here, nothing else is done.
    pub fn is_held(&self) -> bool {
        self.restoration.is_some_and(|restoration| !restoration.finished)
    }

    /// Nothing that was due before this fires, in microseconds since the epoch: whoever restored the shard said so.
    pub fn skip_before(&self) -> i64 {
        self.restoration.map_or(i64::MIN, |restoration| restoration.skip_before)
    }

    /// Under which number a definition's dedupe keys are made, where that is not its own.
    pub fn origin(&self, number: u64) -> Option<Origin> {
        *self.origins.get(usize::try_from(number).ok()?)?
    }

    /// Whether any definition was restored.
    pub fn has_origins(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Whether it never had a definition, nor a calendar.
    pub fn is_unused(&self) -> bool {
        let has_decided = self.counters.next_chunk != Counters::default().next_chunk;
        self.counters.next_number == 0 && !has_decided && self.calendars.is_unused()
    }

    /// Notes why a definition is paused, and until when.
    pub(crate) fn put_pause_note(&mut self, txn: &mut Txn<'_>, number: u64, note: &PauseNote) {
        txn.put(Table::Meta, keys::pause_note(number), note.encode());
        self.pauses.set(number, note.until);
    }

    /// Of a definition that is resumed, or goes.
    pub(crate) fn forget_pause_note(&mut self, txn: &mut Txn<'_>, number: u64) {
        txn.delete(Table::Meta, keys::pause_note(number));
        self.pauses.set(number, None);
    }

    /// By which time-zone data its due times were computed, and how far that is done; none where nobody has said so yet.
    pub fn zoned(&self) -> Option<&Zoned> {
        self.zoned.as_ref()
    }

    pub(crate) fn set_zoned(&mut self, txn: &mut Txn<'_>, zoned: Zoned) {
        txn.put(Table::Meta, keys::ZONED.to_vec(), zoned.encode());
        self.zoned = Some(zoned);
    }

    pub(crate) fn set_restoration(&mut self, txn: &mut Txn<'_>, restoration: Option<Restoration>) {
        self.restoration = restoration;
        match restoration {
            Some(restoration) => txn.put(Table::Meta, keys::RESTORATION.to_vec(), restoration.encode()),
            None => txn.delete(Table::Meta, keys::RESTORATION.to_vec()),
        }
    }

    pub(crate) fn set_origin(&mut self, txn: &mut Txn<'_>, number: u64, origin: Origin) {
        txn.put(Table::Meta, keys::origin(number), origin.encode());
        self.keep_origin(number, origin);
    }

    /// Of a definition that goes.
    pub(crate) fn forget_origin(&mut self, txn: &mut Txn<'_>, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if self.origins.get_mut(place).and_then(Option::take).is_some() {
            txn.delete(Table::Meta, keys::origin(number));
        }
    }

    /// Numbers are counted up from zero, and those of restored definitions come first: the list is dense.
    fn keep_origin(&mut self, number: u64, origin: Origin) {
        let place = usize::try_from(number).expect("definition numbers are counted up from zero");
        if self.origins.len() <= place {
            self.origins.resize(place + 1, None);
        }
        self.origins[place] = Some(origin);
    }

    /// The namespaces that have a lane, by lane.
    pub fn lanes(&self) -> &[String] {
        &self.lanes.names
    }

    /// Whether an entry that drops what is old, proposed at that time, would drop anything. Reads little; call it where the disk may be
    /// waited for.
    pub fn expires(&self, state: &dyn Read, at: i64, expire: Expire) -> Result<bool, ReadError> {
        apply::expire::is_due(self, state, at, expire)
    }

    /// The lane of a namespace, given out at its first definition.
    pub(crate) fn lane(&mut self, txn: &mut Txn<'_>, namespace: &str) -> Option<u16> {
        if let Some(lane) = self.lanes.by_name.get(namespace) {
            return Some(*lane);
        }
        let lane = u16::try_from(self.lanes.names.len()).ok()?;
        self.lanes.push(namespace.to_owned());
        self.counters.lanes += 1;
        txn.put(Table::Meta, keys::lane(lane.into()), namespace.as_bytes().to_vec());
        Some(lane)
    }

    /// Writes a slot to memory and its cursor to disk.
    pub(crate) fn put_slot(&mut self, txn: &mut Txn<'_>, number: u64, slot: Slot) {
        let was_paused = self.slots.get(number).is_some_and(Slot::is_paused);
        self.paused = self.paused + usize::from(slot.is_paused()) - usize::from(was_paused);
        txn.put(Table::Cursors, keys::cursor(number), slot.encode());
        self.courses.follow(txn, number, &slot);
        self.tracks.pass(txn, number, slot.next);
        self.slots.set(number, slot);
    }

    /// Removes a slot and its cursor.
    pub(crate) fn remove_slot(&mut self, txn: &mut Txn<'_>, number: u64) {
        let was_paused = self.slots.get(number).is_some_and(Slot::is_paused);
        self.paused -= usize::from(was_paused);
        txn.delete(Table::Cursors, keys::cursor(number));
        self.slots.remove(number);
    }

    /// The next account chunk's sequence; notes the first of each hour, by which old ones are dropped.
    pub(crate) fn next_chunk(&mut self, txn: &mut Txn<'_>, at: i64) -> u64 {
        let seq = self.counters.next_chunk;
        self.counters.next_chunk += 1;
        let hour = hour_of(at);
        if hour > self.counters.account_hour {
            self.counters.account_hour = hour;
            txn.put(Table::Meta, keys::account_hour(hour), seq.to_be_bytes().to_vec());
        }
        seq
    }

    /// Counts a firing as failed, or as pending again, where its definition still exists.
    pub(crate) fn count_failed(&mut self, txn: &mut Txn<'_>, chunk: &Chunk, record: u32, failed: bool) {
        let number = chunk.records.get(record as usize).map(|record| record.number);
        let Some((number, mut slot)) = number.and_then(|n| self.slots.get(n).map(|slot| (n, *slot))) else { return };
        slot.failed = if failed { slot.failed.saturating_add(1) } else { slot.failed.saturating_sub(1) };
        self.put_slot(txn, number, slot);
    }

    fn apply_body(&mut self, txn: &mut Txn<'_>, at: i64, body: Body) -> Result<Applied, ApplyError> {
        // Old data may go at any time; what is brought in meanwhile is not older than what is kept.
        if self.is_held() && !matches!(body, Body::Restore(_) | Body::Expire(_)) {
            return Ok(Outcome::Held.into());
        }
        Ok(match body {
            Body::Define(items) => apply::define::apply(self, txn, at, items)?,
            Body::Delete(items) => apply::delete::apply(self, txn, at, &items)?.into(),
            Body::Pause(items) => apply::pause::apply(self, txn, at, items)?,
            Body::Fire(fire) => apply::fire::apply(self, txn, at, &fire)?,
            Body::Ingest(ingest) => apply::ingest::apply(self, txn, at, ingest)?,
            Body::Trigger(items) => apply::trigger::apply(self, txn, at, items)?,
            Body::Ack(items) => apply::ack::apply(self, txn, at, items)?,
            Body::Closed(items) => apply::closed::apply(self, txn, at, items)?,
            Body::Conclude(items) => apply::conclude::apply(self, txn, at, &items)?,
            Body::Dead(items) => apply::dead::apply(self, txn, at, &items)?,
            Body::Expire(expire) => {
                apply::expire::apply(self, txn, at, expire)?;
                Outcome::Done.into()
            }
            Body::Restore(restore) => apply::restore::apply(self, txn, restore)?,
            Body::Backfill(steps) => apply::backfill::apply(self, txn, at, steps)?,
            Body::Calendar(step) => apply::calendar::apply(self, txn, at, step)?.into(),
            Body::Rezone(rezone) => apply::rezone::apply(self, txn, &rezone).into(),
            Body::Follow(steps) => apply::follow::apply(self, txn, at, &steps).into(),
        })
    }
}

/// Hours since the epoch.
pub(crate) fn hour_of(at: i64) -> u32 {
    (at.max(0) / HOUR) as u32
}

/// Namespaces by lane and lanes by namespace.
#[derive(Default)]
struct Lanes {
    names: Vec<String>,
    by_name: HashMap<String, u16>,
}

impl Lanes {
    fn push(&mut self, name: String) {
        let lane = u16::try_from(self.names.len()).expect("checked by whoever gives out a lane");
        self.by_name.insert(name.clone(), lane);
        self.names.push(name);
    }
}

impl Replicated for Machine {
    type Reply = Applied;

    fn open(state: &dyn Read) -> Result<Self, ReadError> {
        let mut machine = Self::default();
        if let Some(bytes) = state.get(Table::Meta, keys::COUNTERS)? {
            machine.counters = Counters::decode(&bytes).map_err(corrupt)?;
        }
        for lane in 0..machine.counters.lanes {
            let name = state.get(Table::Meta, &keys::lane(lane))?;
            let name = name.and_then(|bytes| String::from_utf8(bytes).ok());
            machine.lanes.push(name.ok_or_else(|| ReadError(format!("lane {lane} has no namespace")))?);
        }
        machine.load_slots(state)?;
        machine.load_outbox(state)?;
        let slots = &machine.slots;
        machine.tracks = Tracks::load(state, |number| slots.get(number).map(|slot| slot.lane))?;
        machine.courses = Courses::load(state, |number| slots.get(number).copied())?;
        machine.backfills = Backfills::load(state, |number| slots.get(number).is_some())?;
        machine.load_restored(state)?;
        machine.load_pauses(state)?;
        machine.calendars = Calendars::load(state)?;
        Ok(machine)
    }

    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<Applied, ApplyError> {
        let entry = Entry::decode(entry).map_err(|e| ApplyError::Unknown(e.to_string()))?;
        // Leaders follow each other, and their clocks differ: a window that has begun must not begin again.
        self.counters.clock = self.counters.clock.max(entry.at);
        let applied = self.apply_body(txn, self.counters.clock, entry.body)?;
        txn.put(Table::Meta, keys::COUNTERS.to_vec(), self.counters.encode());
        Ok(applied)
    }
}

impl Machine {
    fn load_slots(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        let (numbers, lanes) = (self.counters.next_number, self.lanes.names.len());
        scan::each(state, Table::Cursors, (&[], &keys::after(&[])), |key, value| {
            let (number, slot) = (keys::parse_cursor(key)?, Slot::decode(value)?);
            if number >= numbers || usize::from(slot.lane) >= lanes {
                let lane = slot.lane;
                return Err(DecodeError(format!("definition {number} in lane {lane}: there are {numbers} in {lanes}")));
            }
            self.paused += usize::from(slot.is_paused());
            self.slots.set(number, slot);
            Ok(ControlFlow::Continue(()))
        })
    }

    fn load_pauses(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        scan::each(state, Table::Meta, (keys::PAUSE_NOTES, &keys::after(keys::PAUSE_NOTES)), |key, value| {
            self.pauses.set(keys::parse_pause_note(key)?, PauseNote::decode(value)?.until);
            Ok(ControlFlow::Continue(()))
        })
    }

    fn load_restored(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        let zoned = state.get(Table::Meta, keys::ZONED)?;
        self.zoned = zoned.map(|bytes| Zoned::decode(&bytes).map_err(corrupt)).transpose()?;
        let restoration = state.get(Table::Meta, keys::RESTORATION)?;
        self.restoration = restoration.map(|bytes| Restoration::decode(&bytes).map_err(corrupt)).transpose()?;
        let numbers = self.counters.next_number;
        scan::each(state, Table::Meta, (keys::ORIGINS, &keys::after(keys::ORIGINS)), |key, value| {
            let number = keys::parse_origin(key)?;
            if number >= numbers {
                return Err(DecodeError(format!("the origin of definition {number}: there are {numbers}")));
            }
            self.keep_origin(number, Origin::decode(value)?);
            Ok(ControlFlow::Continue(()))
        })
    }

    fn load_outbox(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        let read = |key: &[u8], value: &[u8]| Ok((keys::parse_outbox(key)?, Payloads::count(value)?));
        for ((lane, seq), records) in scan::all(state, Table::Outbox, read)? {
            let ends = query::ends(state, seq)?;
            let open = if ends.is_empty() { Open::new(records) } else { Open::with_ends(records, ends) };
            if !open.ends.is_empty() && open.ends.len() != records as usize {
                let known = open.ends.len();
                return Err(ReadError(format!("open chunk {seq} has {records} firings, and ends of {known}")));
            }
            self.outbox.insert(lane, seq, open);
        }
        Ok(())
    }
}
