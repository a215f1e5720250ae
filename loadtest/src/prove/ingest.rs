//! Events per second over gRPC, acknowledged when durable, duplicates dropped, one matching definition; NATS JetStream with the
//! same bytes and message ids takes turns with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::scene::{directory, engine};
use super::{Scale, progress};
use crate::door::Events;
use crate::engine::Sink;
use crate::events::{Taken, event};
use crate::nats::{Nats, NatsLoad};
use crate::plan;
use crate::report::{Kind, Report, number};

const DATA_BYTES: usize = 200;
const BATCH: u64 = 500;
const WINDOW: usize = 16;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("ingest", "events per second, acknowledged and durable");
    let (our_dir, their_dir) = (directory()?, directory()?);
    let (mut engine, door) = engine(our_dir.path(), Sink::Null).await?;
    door.apply(plan::subscriptions("default", 1)).await?;
    let events = door.events("default", WINDOW);
    let nats = Nats::start(their_dir.path()).await?;
    let length = Duration::from_secs(scale.pick(10, 3));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..scale.pick(4, 2) {
        let rate = publish(&events, &format!("turn-{turn}"), length).await?;
        progress(format!("flintwheel: {rate:.0} events/s"));
        ours.push(rate);
        let rate = nats_rate(&nats, turn, length).await?;
        progress(format!("nats: {rate:.0} messages/s"));
        theirs.push(rate);
    }
    let dropped = duplicates(&events).await?;
    engine.check_running()?;
    engine.stop().await?;
    let (ours, theirs) = (mean(&ours), mean(&theirs));
    report.figure("flintwheel, fsync before each acknowledgement", format!("{} events/s", number(ours)));
    report.figure("nats jetstream, file storage, no fsync", format!("{} messages/s", number(theirs)));
    report.check(
        Kind::Bar,
        format!("duplicates: {} of {} sent again are dropped", dropped.0, dropped.1),
        dropped.0 == dropped.1,
    );
    report.at_least(Kind::Bar, "flintwheel / nats", ours / theirs, 0.7);
    report.at_least(Kind::Aim, "flintwheel / nats", ours / theirs, 1.5);
    Ok(report)
}

/// A closed loop: as fast as acknowledgements come. Returns acknowledged events per second.
async fn publish(events: &Events, run: &str, length: Duration) -> Result<f64> {
    let begun = Instant::now();
    let mut waiting = VecDeque::new();
    let (mut next, mut total) = (0, Taken::default());
    while begun.elapsed() < length {
        waiting.push_back(events.send(batch(run, next)).await?);
        next += BATCH;
        if waiting.len() > WINDOW {
            add(&mut total, waiting.pop_front()).await?;
        }
    }
    while !waiting.is_empty() {
        add(&mut total, waiting.pop_front()).await?;
    }
    ensure!(total.fired == next, "{next} new events were acknowledged, but {} fired", total.fired);
    Ok(next as f64 / begun.elapsed().as_secs_f64())
}

async fn add(total: &mut Taken, ticket: Option<impl Future<Output = Result<Taken>>>) -> Result<()> {
    if let Some(ticket) = ticket {
        let taken = ticket.await?;
        total.matched += taken.matched;
        total.duplicate += taken.duplicate;
        total.fired += taken.fired;
    }
    Ok(())
}

fn batch(run: &str, first: u64) -> Vec<Bytes> {
    (first..first + BATCH).map(|n| event(run, n, 1, DATA_BYTES)).collect()
}

/// Sends the first events of the first turn again. How many were dropped, of how many.
async fn duplicates(events: &Events) -> Result<(u64, u64)> {
    let mut total = Taken::default();
    let count = 20 * BATCH;
    for first in (0..count).step_by(BATCH as usize) {
        add(&mut total, Some(events.send(batch("turn-0", first)).await?)).await?;
    }
    Ok((total.duplicate, count))
}

/// The better of two ways to drive it.
async fn nats_rate(nats: &Nats, turn: u32, length: Duration) -> Result<f64> {
    let payload = event("nats", 0, 1, DATA_BYTES);
    let mut best = 0.0_f64;
    for (connections, window) in [(1, 2000), (2, 2000)] {
        let load = NatsLoad { connections, window, length: length / 2 };
        let run = format!("{turn}-{connections}-{window}");
        best = best.max(nats.publish(&run, payload.clone(), load).await?);
    }
    Ok(best)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
