//! The state machine of one shard: what it keeps in memory, and how an entry finds its handler in [`crate::apply`].

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::apply;
use crate::codec::DecodeError;
use crate::entry::{Body, Entry};
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::{self, Chunk, Record};
use crate::outbox::{Open, Outbox, Payloads};
use crate::records::Counters;
use crate::replicated::{ApplyError, Replicated};
use crate::reply::{Applied, OutboxRef, Outcome};
use crate::slots::{Slot, Slots};

/// One hour in microseconds: the time bucket of the account and of retired versions.
const HOUR: i64 = 3_600_000_000;

/// One shard's state machine.
#[derive(Default)]
pub struct Machine {
    pub(crate) slots: Slots,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    lanes: Lanes,
    paused: usize,
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

    /// Positions and counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Definitions that are paused.
    pub fn paused(&self) -> usize {
        self.paused
    }

    /// The namespaces that have a lane, by lane.
    pub fn lanes(&self) -> &[String] {
        &self.lanes.names
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

    /// Writes a chunk of firings, opens it in the outbox, and says where it is.
    pub(crate) fn put_firings(&mut self, txn: &mut Txn<'_>, at: i64, batch: LaneBatch) -> OutboxRef {
        let records = crate::codec::count(batch.records.len());
        let lane = batch.lane;
        txn.put(Table::Outbox, keys::outbox(lane, batch.seq), batch.payloads.encode(records));
        txn.put(Table::Account, keys::account(batch.seq), Chunk { at, records: batch.records }.encode());
        self.outbox.insert(lane, batch.seq, Open::new(records));
        OutboxRef { lane, seq: batch.seq, records }
    }

    /// Writes a chunk of skipped occurrences, and notes it by reason.
    pub(crate) fn put_skips(&mut self, txn: &mut Txn<'_>, at: i64, seq: u64, records: Vec<Record>) {
        let mut reasons: Vec<u8> = records.iter().filter_map(|r| r.skip).map(occurrence::Reason::code).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            txn.put(Table::Misses, keys::miss(reason, seq), Vec::new());
        }
        txn.put(Table::Account, keys::account(seq), Chunk { at, records }.encode());
    }

    fn apply_body(&mut self, txn: &mut Txn<'_>, at: i64, body: Body) -> Result<Applied, ApplyError> {
        Ok(match body {
            Body::Define(items) => apply::define::apply(self, txn, at, items)?.into(),
            Body::Delete(items) => apply::delete::apply(self, txn, at, &items)?.into(),
            Body::Pause(items) => apply::pause::apply(self, txn, at, items)?,
            Body::Fire(fire) => apply::fire::apply(self, txn, at, &fire),
            Body::Ingest(ingest) => apply::ingest::apply(self, txn, at, ingest)?,
            Body::Trigger(items) => apply::trigger::apply(self, txn, at, items)?,
            Body::Ack(items) => {
                apply::ack::apply(self, txn, items)?;
                Outcome::Done.into()
            }
            Body::Dead(items) => apply::dead::apply(self, txn, at, &items)?,
            Body::Expire(expire) => {
                apply::expire::apply(self, txn, at, expire)?;
                Outcome::Done.into()
            }
        })
    }
}

/// Hours since the epoch.
pub(crate) fn hour_of(at: i64) -> u32 {
    (at.max(0) / HOUR) as u32
}

/// The firings of one lane that an entry decided.
pub(crate) struct LaneBatch {
    pub lane: u32,
    pub seq: u64,
    pub records: Vec<Record>,
    pub payloads: Payloads,
    /// Which of the entry's events each blob is.
    pub events: Vec<u32>,
}

impl LaneBatch {
    /// Adds a firing whose payload is one of the entry's events; each event is kept once.
    pub fn push(&mut self, record: Record, event: u32, events: &[Bytes]) {
        let blob = match self.events.iter().rposition(|known| *known == event) {
            Some(index) => index,
            None => {
                self.events.push(event);
                self.payloads.blobs.push(events.get(event as usize).cloned().unwrap_or_default());
                self.payloads.blobs.len() - 1
            }
        };
        self.payloads.by_record.push(Some(crate::codec::count(blob)));
        self.records.push(record);
    }

    /// Adds a firing with a payload of its own.
    pub fn push_own(&mut self, record: Record, payload: Bytes) {
        self.payloads.by_record.push(Some(crate::codec::count(self.payloads.blobs.len())));
        self.payloads.blobs.push(payload);
        self.records.push(record);
    }
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
        Ok(machine)
    }

    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<Applied, ApplyError> {
        let entry = Entry::decode(entry).map_err(|e| ApplyError::Unknown(e.to_string()))?;
        let applied = self.apply_body(txn, entry.at, entry.body)?;
        txn.put(Table::Meta, keys::COUNTERS.to_vec(), self.counters.encode());
        Ok(applied)
    }
}

impl Machine {
    fn load_slots(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        each(state, Table::Cursors, |key, value| {
            let slot = Slot::decode(value)?;
            self.paused += usize::from(slot.is_paused());
            self.slots.set(keys::parse_cursor(key)?, slot);
            Ok(())
        })
    }

    fn load_outbox(&mut self, state: &dyn Read) -> Result<(), ReadError> {
        let mut chunks = Vec::new();
        each(state, Table::Outbox, |key, value| {
            chunks.push((keys::parse_outbox(key)?, Payloads::decode(value)?.0));
            Ok(())
        })?;
        for ((lane, seq), records) in chunks {
            let open = match state.get(Table::Account, &keys::account_ends(seq))? {
                None => Open::new(records),
                Some(bytes) => Open::with_ends(records, occurrence::decode_ends(&bytes).map_err(corrupt)?),
            };
            self.outbox.insert(lane, seq, open);
        }
        Ok(())
    }
}

/// Visits a whole table; a record that can't be read is corruption.
fn each(
    state: &dyn Read,
    table: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), DecodeError>,
) -> Result<(), ReadError> {
    let mut fault = None;
    state.scan(table, &[], &keys::after(&[]), &mut |key, value| match visit(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(()), |error| Err(corrupt(error)))
}

pub(crate) fn corrupt(error: DecodeError) -> ReadError {
    ReadError(format!("a record can't be read: {error}"))
}
