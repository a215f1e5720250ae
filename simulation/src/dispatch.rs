//! From the outbox to Temporal, by the leader: reads chunks of firings, makes a start of each, sends them and has the answers written down.
//!
//! What is started is made by the real code, so that ids are; queue and waits are simpler than the node's dispatcher has them.

use crate::leader::{Leader, Message};
use crate::planted::Planted;
use crate::temporal;
use flintwheel_model::firing::{Start, StartOutcome};
use flintwheel_node::dispatch::{Launch, Route, Sink};
use flintwheel_shard::entry::{Ack, AckEnd, Decision};
use flintwheel_shard::occurrence::{End, Key, NO_CHUNK, Record};
use flintwheel_shard::query;
use flintwheel_shard::reply::OutboxRef;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// First part of every workflow id.
pub const PREFIX: &str = "sim";
/// Firings on their way at a time.
const WINDOW: usize = 32;

type Fault = String;

/// What a leader knows of its firings.
#[derive(Default)]
pub struct Dispatch {
    queue: VecDeque<OutboxRef>,
    active: BTreeMap<u64, Active>,
    in_flight: usize,
    launches: BTreeMap<(u64, u32), Launch>,
}

/// A chunk that has been read and is not done.
struct Active {
    lane: u32,
    left: usize,
    ends: Vec<AckEnd>,
}

/// One firing on its way.
#[derive(Clone)]
pub struct Firing {
    /// Its chunk; none where a bug has it started without one.
    seq: Option<u64>,
    record: u32,
    start: Start,
    due: i64,
    attempts: u32,
}

/// What the sink answered.
pub struct Finished {
    firing: Firing,
    outcome: StartOutcome,
    called: i64,
}

impl Dispatch {
    /// New work.
    pub fn enqueue(&mut self, chunks: &[OutboxRef]) {
        for chunk in chunks {
            let known = self.active.contains_key(&chunk.seq) || self.queue.iter().any(|other| other.seq == chunk.seq);
            if !known {
                self.queue.push_back(*chunk);
            }
        }
    }

    /// Answers of chunks that are not done.
    pub fn take_partial(&mut self) -> Vec<Ack> {
        let some = self.active.iter_mut().filter(|(_, active)| !active.ends.is_empty());
        some.map(|(seq, active)| Ack { lane: active.lane, seq: *seq, ends: std::mem::take(&mut active.ends) }).collect()
    }
}

fn route() -> Route {
    Route { sink: Sink::Null, temporal_namespace: "default".to_owned(), task_queue: "flintwheel".to_owned() }
}

impl Leader {
    /// What stands in the outbox when it begins.
    pub(crate) fn find_open_chunks(&mut self) -> Result<(), Fault> {
        let open = self.read(|machine| {
            let lanes = 0..machine.lanes().len() as u32;
            let of = |lane| machine.outbox().range(lane, 0).map(move |(seq, open)| (lane, seq, open.records));
            lanes.flat_map(of).map(|(lane, seq, records)| OutboxRef { lane, seq, records }).collect::<Vec<_>>()
        })?;
        self.dispatch.enqueue(&open);
        Ok(())
    }

    /// Sends as many as may be on their way.
    pub(crate) fn pump(&mut self) -> Result<(), Fault> {
        while self.dispatch.in_flight < WINDOW {
            let Some(chunk) = self.dispatch.queue.pop_front() else { return Ok(()) };
            self.send_chunk(chunk)?;
        }
        Ok(())
    }

    fn send_chunk(&mut self, chunk: OutboxRef) -> Result<(), Fault> {
        let Some(open) = self.read(|machine| machine.outbox().get(chunk.lane, chunk.seq).cloned())? else {
            return Ok(());
        };
        let found =
            query::outbox_chunk(&self.group.state(), chunk.lane, chunk.seq).map_err(|error| error.to_string())?;
        let Some((stored, payloads)) = found else { return Ok(()) };
        let (mut active, mut firings) = (Active { lane: chunk.lane, left: 0, ends: Vec::new() }, Vec::new());
        for (index, record) in stored.records.iter().enumerate() {
            let number = index as u32;
            if open.ends.get(index).is_some_and(|end| *end != End::Pending) {
                continue;
            }
            let Some(launch) = self.launch(record.number, record.version)? else { continue };
            let start = launch.start(PREFIX, &route(), record, stored.at, payloads.of(number))?;
            let due = if let Key::Time { due, .. } = record.key { due } else { i64::MIN };
            firings.push(Firing { seq: Some(chunk.seq), record: number, start, due, attempts: 0 });
            active.left += 1;
        }
        self.dispatch.active.insert(chunk.seq, active);
        for firing in firings {
            if self.here.stage.has(Planted::AcknowledgedBeforeStart) {
                self.end(&firing, self.here.now(), None);
            }
            self.send(firing, Duration::ZERO);
        }
        self.settle(chunk.seq);
        Ok(())
    }

    fn launch(&mut self, number: u64, version: u32) -> Result<Option<&Launch>, Fault> {
        if !self.dispatch.launches.contains_key(&(number, version)) {
            let stored = query::version(&self.group.state(), number, version).map_err(|error| error.to_string())?;
            let Some(stored) = stored else { return Ok(None) };
            self.dispatch.launches.insert((number, version), Launch::new(&stored, version)?);
        }
        Ok(self.dispatch.launches.get(&(number, version)))
    }

    fn send(&mut self, mut firing: Firing, after: Duration) {
        self.dispatch.in_flight += 1;
        let (here, me) = (self.here.clone(), self.me.clone());
        if here.stage.has(Planted::RequestIdRandom) {
            firing.start.request_id = format!("request-{}", here.stage.random().number());
        }
        self.here.spawn(async move {
            here.stage.executor.sleep(after).await;
            let called = here.now();
            let outcome = temporal::start(&here.stage, here.number, &firing.start, firing.due).await;
            // Who led may lead no more: its successor sends the firing again.
            let _ = me.send(Message::Finished(Box::new(Finished { firing, outcome, called }))).await;
        });
    }

    pub(crate) fn finished(&mut self, finished: Finished) -> Result<(), Fault> {
        self.dispatch.in_flight -= 1;
        let Finished { mut firing, outcome, called } = finished;
        let forgets = self.here.stage.has(Planted::AcknowledgedBeforeStart);
        match outcome {
            _ if forgets => {}
            StartOutcome::Started { .. } => self.end(&firing, called, None),
            StartOutcome::Conflict { start_request_id, .. } => {
                let why = format!("{} was started by {start_request_id}", firing.start.workflow_id);
                self.end(&firing, called, Some(why));
            }
            StartOutcome::Refused { reason } => self.end(&firing, called, Some(reason)),
            StartOutcome::Retry { .. } => {
                let spread = self.here.stage.random().below(1000) as f64 / 1000.0;
                let wait = flintwheel_node::dispatch::backoff(firing.attempts, spread);
                firing.attempts += 1;
                self.send(firing, wait);
            }
        }
        Ok(())
    }

    fn end(&mut self, firing: &Firing, at: i64, refused: Option<String>) {
        let Some(seq) = firing.seq else { return };
        if let Some(active) = self.dispatch.active.get_mut(&seq) {
            active.left -= 1;
            active.ends.push(AckEnd { record: firing.record, at, refused, note: String::new() });
        }
        self.settle(seq);
    }

    fn settle(&mut self, seq: u64) {
        if self.dispatch.active.get(&seq).is_some_and(|active| active.left == 0)
            && let Some(active) = self.dispatch.active.remove(&seq)
        {
            self.acknowledge(Ack { lane: active.lane, seq, ends: active.ends });
        }
    }

    /// A planted bug: starts what has only been proposed.
    pub(crate) fn start_now(&mut self, decisions: &[Decision]) -> Result<(), Fault> {
        for decision in decisions.iter().filter(|decision| decision.skip.is_none()) {
            let version = self.read(|machine| machine.slots().get(decision.number).map(|slot| slot.version))?;
            let Some(version) = version else { continue };
            let key = Key::Time { nominal: decision.nominal, due: decision.due, count: 1 };
            let record = Record { number: decision.number, version, previous: NO_CHUNK, key, skip: None };
            let Some(launch) = self.launch(decision.number, version)? else { continue };
            let start = launch.start(PREFIX, &route(), &record, decision.due, None)?;
            self.send(Firing { seq: None, record: 0, start, due: decision.due, attempts: 0 }, Duration::ZERO);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_queued_once() {
        let mut dispatch = Dispatch::default();
        let chunk = OutboxRef { lane: 0, seq: 7, records: 1 };
        dispatch.enqueue(&[chunk, chunk]);
        assert_eq!(dispatch.queue.len(), 1);
    }
}
