//! Streams of events at a given rate, and the memory of which of them were acknowledged.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use flintwheel_proto::cloudevents::CloudEvent;
use flintwheel_proto::cloudevents::cloud_event::Data;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::clock::now_us;
use crate::ledger::Expected;
use crate::plan::{Planned, event_type};

/// What became of a batch that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that matched a definition.
    pub matched: u64,
    /// Firings that were not made, because their key had fired before.
    pub duplicate: u64,
    /// Firings that were made.
    pub fired: u64,
}

/// Where events of one namespace go in. A clone is the same door.
pub trait EventDoor: Clone + Send + Sync + 'static {
    /// Sends encoded CloudEvents; resolves when they are durable. After an error it isn't known whether they are.
    fn publish(&self, events: Vec<Bytes>) -> impl Future<Output = Result<Taken>> + Send;
}

/// The n-th event of a run, encoded: `types` event types in turn, and so many bytes of data.
pub fn event(run: &str, n: u64, types: u32, data_bytes: usize) -> Bytes {
    let event = CloudEvent {
        id: event_id(run, n),
        source: "/loadtest".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: event_type((n % u64::from(types)) as u32),
        attributes: Default::default(),
        data: Some(Data::TextData(format!("\"{}\"", "x".repeat(data_bytes.saturating_sub(2))))),
    };
    event.encode_to_vec().into()
}

/// Its id, which is its dedupe key too.
pub fn event_id(run: &str, n: u64) -> String {
    format!("{run}-{n}")
}

/// A stream of events to send.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLoad {
    /// Names the run; part of each event's id.
    pub run: String,
    /// Event types, in turn.
    pub types: u32,
    /// Events a second, in batches of one per tick of [`TICK`].
    pub per_second: u32,
    /// Bytes of data of each event.
    pub data_bytes: usize,
}

/// How often a batch leaves.
pub const TICK: Duration = Duration::from_millis(20);
/// Batches under way: a minute of them, so that the stream goes on through a restart and nothing grows without end.
const IN_FLIGHT: usize = 3_000;
const RETRY: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Batch {
    first: u64,
    count: u64,
    sent_us: i64,
    acked_us: Option<i64>,
}

/// What was sent and what was acknowledged.
#[derive(Clone, Debug)]
pub struct EventLog {
    load: EventLoad,
    batches: Arc<Mutex<Vec<Batch>>>,
}

impl EventLog {
    /// Events sent, and of those acknowledged.
    pub fn counts(&self) -> (u64, u64) {
        let batches = self.batches.lock();
        let acked = batches.iter().filter(|batch| batch.acked_us.is_some()).map(|batch| batch.count).sum();
        (batches.iter().map(|batch| batch.count).sum(), acked)
    }

    /// What the ledger may expect of these subscriptions, the n-th of which waits for the n-th type.
    pub fn expected(&self, subscriptions: &[Planned]) -> Vec<Expected> {
        let batches = self.batches.lock();
        batches
            .iter()
            .flat_map(|batch| (batch.first..batch.first + batch.count).map(move |n| (*batch, n)))
            .map(|(batch, n)| {
                let definition = &subscriptions[(n % u64::from(self.load.types)) as usize];
                Expected {
                    workflow_id: definition.event_workflow_id(&event_id(&self.load.run, n)),
                    due_us: batch.sent_us,
                    must: batch.acked_us.is_some(),
                }
            })
            .collect()
    }

    /// Whether nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        self.batches.lock().iter().all(|batch| batch.acked_us.is_some())
    }

    /// Of each batch that was acknowledged: when it was sent and when its acknowledgement came, in microseconds since the Unix epoch.
    pub fn acknowledged(&self) -> Vec<(i64, i64)> {
        let batches = self.batches.lock();
        batches.iter().filter_map(|batch| Some((batch.sent_us, batch.acked_us?))).collect()
    }
}

/// A running stream.
pub struct EventStream {
    log: EventLog,
    stop: watch::Sender<bool>,
    done: tokio::task::JoinHandle<()>,
}

impl EventStream {
    /// Sends until it is stopped. A batch that fails is sent again, unchanged, until it is acknowledged.
    pub fn start(door: impl EventDoor, load: EventLoad) -> Self {
        let log = EventLog { load, batches: Arc::default() };
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(pump(door, log.clone(), stopped));
        Self { log, stop, done }
    }

    /// What it has sent so far, and what it will.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    /// Sends nothing new, and waits at most so long for acknowledgements that are still due.
    pub async fn stop(self, patience: Duration) -> Result<EventLog> {
        self.stop.send_replace(true);
        self.done.await?;
        let begun = Instant::now();
        while !self.log.is_settled() && begun.elapsed() < patience {
            tokio::time::sleep(RETRY).await;
        }
        Ok(self.log)
    }
}

async fn pump(door: impl EventDoor, log: EventLog, stopped: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut owed = 0.0;
    let mut next = 0;
    while !*stopped.borrow() {
        ticks.tick().await;
        owed += f64::from(log.load.per_second) * TICK.as_secs_f64();
        let count = owed as u64;
        if count == 0 {
            continue;
        }
        owed -= count as f64;
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let index = begin(&log, next, count);
        let (door, log, stopped) = (door.clone(), log.clone(), stopped.clone());
        next += count;
        tokio::spawn(async move {
            deliver(door, &log, index, stopped).await;
            drop(permit);
        });
    }
}

fn begin(log: &EventLog, first: u64, count: u64) -> usize {
    let mut batches = log.batches.lock();
    batches.push(Batch { first, count, sent_us: now_us(), acked_us: None });
    batches.len() - 1
}

/// Until it is acknowledged, or the stream has been stopped for a minute.
async fn deliver(door: impl EventDoor, log: &EventLog, index: usize, stopped: watch::Receiver<bool>) {
    let Batch { first, count, .. } = log.batches.lock()[index];
    let load = &log.load;
    let events: Vec<Bytes> = (first..first + count).map(|n| event(&load.run, n, load.types, load.data_bytes)).collect();
    let mut tries_after_stop = 0;
    while tries_after_stop < 600 {
        if door.publish(events.clone()).await.is_ok() {
            log.batches.lock()[index].acked_us = Some(now_us());
            return;
        }
        tries_after_stop += u32::from(*stopped.borrow());
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::plan::subscriptions;

    /// Takes every other batch, and counts events.
    #[derive(Clone, Default)]
    struct Moody {
        calls: Arc<AtomicU64>,
        events: Arc<AtomicU64>,
    }

    impl EventDoor for Moody {
        async fn publish(&self, events: Vec<Bytes>) -> Result<Taken> {
            if self.calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                anyhow::bail!("not this time");
            }
            self.events.fetch_add(events.len() as u64, Ordering::SeqCst);
            Ok(Taken::default())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_sent_again_and_each_event_is_expected_once() {
        let door = Moody::default();
        let load = EventLoad { run: "r".to_owned(), types: 3, per_second: 130, data_bytes: 10 };
        let stream = EventStream::start(door.clone(), load);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let log = stream.stop(Duration::from_secs(60)).await.expect("stopped");
        let (sent, acked) = log.counts();
        assert!((1290..=1310).contains(&sent), "{sent}");
        assert_eq!((acked, door.events.load(Ordering::SeqCst)), (sent, sent));
        let expected = log.expected(&subscriptions("a", 3));
        assert_eq!(expected.len() as u64, sent);
        assert!(expected.iter().all(|e| e.must));
        assert_eq!(expected[4].workflow_id, "flintwheel:a:sub-1:e:r-4");
    }

    #[test]
    fn an_event_has_what_cloudevents_asks_for() {
        let event = CloudEvent::decode(event("r", 7, 5, 200)).expect("event");
        assert_eq!((event.id.as_str(), event.r#type.as_str()), ("r-7", "dev.flintwheel.loadtest.2"));
        assert_eq!((event.source.as_str(), event.spec_version.as_str()), ("/loadtest", "1.0"));
        let Some(Data::TextData(data)) = event.data else { panic!("no text") };
        assert_eq!(data.len(), 200);
    }
}
