//! The occurrences that an entry decides, gathered into chunks: the firings of each lane, and what is skipped.

use bytes::Bytes;

use crate::codec::count;
use crate::keys;
use crate::kv::{Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{Chunk, End, Key, Reason, Record, encode_ends};
use crate::outbox::{Open, Payloads};
use crate::reply::OutboxRef;
use crate::slots::Slot;

/// What a firing needs beside its account record.
pub(crate) enum Payload<'a> {
    /// Nothing: a due time.
    None,
    /// One of the entry's events, which a chunk keeps once, however many definitions it matched.
    Event(u32, &'a [Bytes]),
    /// An input of its own.
    Own(Bytes),
}

/// Gathers the occurrences of an entry; most entries have one chunk.
///
/// A record is never put into a chunk that is older than its definition's newest one: the chain of occurrences goes back in time.
pub(crate) struct Decided {
    at: i64,
    firings: Vec<Firings>,
    skips: Vec<Skips>,
}

impl Decided {
    /// Nothing yet; decided at this time.
    pub fn new(at: i64) -> Self {
        Self { at, firings: Vec::new(), skips: Vec::new() }
    }

    /// When they are decided.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Decides that a definition fires; says in which chunk that stands, and where there.
    pub fn fire(
        &mut self,
        m: &mut Machine,
        txn: &mut Txn<'_>,
        (number, slot): (u64, &mut Slot),
        key: Key,
        payload: Payload<'_>,
    ) -> (u64, u32) {
        let batch = self.firings_of(m, txn, slot);
        batch.records.push(record(number, slot, key, None));
        batch.attach(payload);
        slot.chunk = batch.seq;
        slot.fired = slot.fired.saturating_add(1);
        (batch.seq, count(batch.records.len() - 1))
    }

    /// Decides that so many occurrences of a definition, as one record, are skipped.
    pub fn skip(
        &mut self,
        m: &mut Machine,
        txn: &mut Txn<'_>,
        (number, slot): (u64, &mut Slot),
        key: Key,
        reason: Reason,
    ) {
        self.skip_by(m, txn, (number, slot), key, reason, End::Skipped);
    }

    /// The same, with an end that says more.
    pub fn skip_by(
        &mut self,
        m: &mut Machine,
        txn: &mut Txn<'_>,
        (number, slot): (u64, &mut Slot),
        key: Key,
        reason: Reason,
        end: End,
    ) {
        let many = if let Key::Time { count, .. } = key { count } else { 1 };
        let batch = self.skips_of(m, txn, slot);
        batch.records.push(record(number, slot, key, Some(reason)));
        batch.ends.push(end);
        slot.chunk = batch.seq;
        slot.skipped = slot.skipped.saturating_add(many);
    }

    /// Writes them to the account; says which chunks are open in the outbox.
    pub fn put(self, m: &mut Machine, txn: &mut Txn<'_>) -> Vec<OutboxRef> {
        let at = self.at;
        self.skips.into_iter().for_each(|batch| batch.put(txn, at));
        self.firings.into_iter().map(|batch| batch.put(m, txn, at)).collect()
    }

    fn firings_of(&mut self, m: &mut Machine, txn: &mut Txn<'_>, slot: &Slot) -> &mut Firings {
        let lane = slot.lane.into();
        let newest = self.firings.iter().rposition(|batch| batch.lane == lane);
        let index = match newest.filter(|index| self.firings[*index].seq >= slot.chunk) {
            Some(index) => index,
            None => {
                self.firings.push(Firings { lane, seq: m.next_chunk(txn, self.at), ..Firings::default() });
                self.firings.len() - 1
            }
        };
        &mut self.firings[index]
    }

    fn skips_of(&mut self, m: &mut Machine, txn: &mut Txn<'_>, slot: &Slot) -> &mut Skips {
        if self.skips.last().is_none_or(|batch| batch.seq < slot.chunk) {
            self.skips.push(Skips { seq: m.next_chunk(txn, self.at), records: Vec::new(), ends: Vec::new() });
        }
        self.skips.last_mut().expect("there is one, or it was just pushed")
    }
}

fn record(number: u64, slot: &Slot, key: Key, skip: Option<Reason>) -> Record {
    Record { number, version: slot.version, previous: slot.chunk, key, skip }
}

/// A chunk of firings of one lane.
#[derive(Default)]
struct Firings {
    lane: u32,
    seq: u64,
    records: Vec<Record>,
    payloads: Payloads,
    /// The blob of each of the entry's events, as far as they are in here.
    blobs: Vec<Option<usize>>,
}

impl Firings {
    /// Gives the newest record its payload. Those before it that have none are counted only when there is one: mostly there is none.
    fn attach(&mut self, payload: Payload<'_>) {
        let blob = match payload {
            Payload::None => return,
            Payload::Own(input) => self.keep(input),
            Payload::Event(event, events) => {
                self.blobs.resize(events.len(), None);
                match self.blobs[event as usize] {
                    Some(blob) => blob,
                    None => {
                        let blob = self.keep(events[event as usize].clone());
                        self.blobs[event as usize] = Some(blob);
                        blob
                    }
                }
            }
        };
        self.payloads.by_record.resize(self.records.len() - 1, None);
        self.payloads.by_record.push(Some(count(blob)));
    }

    fn keep(&mut self, blob: Bytes) -> usize {
        self.payloads.blobs.push(blob);
        self.payloads.blobs.len() - 1
    }

    fn put(self, m: &mut Machine, txn: &mut Txn<'_>, at: i64) -> OutboxRef {
        let Self { lane, seq, records, payloads, .. } = self;
        let many = count(records.len());
        txn.put(Table::Outbox, keys::outbox(lane, seq), payloads.encode(many));
        txn.put(Table::Account, keys::account(seq), Chunk { at, records }.encode());
        m.outbox.insert(lane, seq, Open::new(many));
        OutboxRef { lane, seq, records: many }
    }
}

/// A chunk of skipped occurrences.
struct Skips {
    seq: u64,
    records: Vec<Record>,
    /// By record.
    ends: Vec<End>,
}

impl Skips {
    /// Writes the chunk, and notes it by reason.
    fn put(self, txn: &mut Txn<'_>, at: i64) {
        let Self { seq, records, ends } = self;
        let mut reasons: Vec<u8> = records.iter().filter_map(|r| r.skip).map(Reason::code).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            txn.put(Table::Misses, keys::miss(reason, seq), Vec::new());
        }
        if ends.iter().any(|end| *end != End::Skipped) {
            txn.put(Table::Account, keys::account_ends(seq), encode_ends(&ends));
        }
        txn.put(Table::Account, keys::account(seq), Chunk { at, records }.encode());
    }
}
