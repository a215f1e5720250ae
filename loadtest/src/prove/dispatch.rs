//! How fast firings leave the outbox: into a real Temporal beside a bare client loop, and into the stand-in with every
//! acknowledgement durable.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::scene::{NAMESPACE, Target, directory, engine};
use super::{Scale, progress};
use crate::bare::{self, BareLoad};
use crate::door::{Door, Events};
use crate::engine::{Engine, Sink};
use crate::events::event;
use crate::ledger::Expected;
use crate::plan::{self, Planned};
use crate::raw_temporal::RawTemporal;
use crate::report::{Kind, Report, number};
use crate::standin::StandinProcess;

const CONNECTIONS: usize = 4;
const INPUT_BYTES: usize = 20;
const BATCH: u64 = 500;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("dispatch", "starts per second");
    beside_bare_loop(&mut report, scale).await?;
    into_standin(&mut report, scale).await?;
    Ok(report)
}

/// Starts on their way at a time in the bare loop: as many as the engine has where answers take longer with more of them. With 64 or 512
/// the bare loop starts no more.
const IN_FLIGHT: usize = 128;

/// Bare loop and engine take turns on one dev server, which gets slower as it fills; whoever was first is second in the next turn. Both
/// make the same number of starts, and both are measured between the first and the last twentieth of them.
async fn beside_bare_loop(report: &mut Report, scale: Scale) -> Result<()> {
    let dir = directory()?;
    // The server is the limit for both. In memory and on one processor it does not slow down when the engine, unlike the bare loop, writes to
    // the disk and takes a twentieth of a processor for it: what is compared is whether the dispatcher keeps the server as busy.
    let target = Target::real_apart(dir.path()).await?;
    let Sink::Temporal { address, .. } = target.sink() else { unreachable!("a target is a Temporal") };
    let client = Arc::new(RawTemporal::new(address, CONNECTIONS)?);
    let (engine, door) = engine(dir.path(), target.sink()).await?;
    door.apply(plan::subscriptions("default", 1)).await?;
    let events = door.events("default", 16);
    let count = scale.pick(4_000, 600);
    let load = BareLoad { in_flight: IN_FLIGHT, length: Duration::MAX, input_bytes: INPUT_BYTES };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    // The first turn counts for nothing: both sides connect, and the server's tables are no longer empty after it.
    for turn in 0..=scale.pick(10, 2) {
        let name = format!("real-{turn}");
        // Ids as long as the engine's: the server writes them down in half a dozen places.
        let ids = format!("flintwheel:default:bare-0:e:{name}");
        let bare_turn = || bare::steady_rate(Arc::clone(&client), NAMESPACE, &ids, load, count);
        let (theirs, mine) = if turn % 2 == 0 {
            let theirs = bare_turn().await?;
            (theirs, drain_rate(&engine, &events, &name, count).await?)
        } else {
            let mine = drain_rate(&engine, &events, &name, count).await?;
            (bare_turn().await?, mine)
        };
        progress(format!("bare loop: {theirs:.0} starts/s, engine: {mine:.0} starts/s"));
        if turn > 0 {
            bare.push(theirs);
            ours.push(mine);
        }
    }
    let (bare, ours) = (mean(&bare), mean(&ours));
    report.figure("real Temporal: bare loop", format!("{} starts/s", number(bare)));
    report.figure("real Temporal: engine", format!("{} starts/s", number(ours)));
    report.at_least(Kind::Bar, "real Temporal: engine / bare loop", ours / bare, 0.95);
    Ok(())
}

/// Fills the outbox with events and measures how fast it empties, between the first and last twentieth.
async fn drain_rate(engine: &Engine, events: &Events, run: &str, count: u64) -> Result<f64> {
    let before = engine.metrics().await?.count("flintwheel_acked_total");
    publish(events, run, count).await?;
    let begun = now_acked(engine, before + count / 20).await?;
    let ended = now_acked(engine, before + count - count / 20).await?;
    now_acked(engine, before + count).await?;
    rate(begun, ended)
}

fn rate(begun: (Instant, u64), ended: (Instant, u64)) -> Result<f64> {
    let elapsed = (ended.0 - begun.0).as_secs_f64();
    ensure!(ended.1 > begun.1 && elapsed > 0.0, "the outbox was empty before it could be measured: take more events");
    Ok((ended.1 - begun.1) as f64 / elapsed)
}

/// Waits until so many answers of the sink are durable; when that was seen, and how many there were.
async fn now_acked(engine: &Engine, at_least: u64) -> Result<(Instant, u64)> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        let acked = engine.metrics().await?.count("flintwheel_acked_total");
        if acked >= at_least {
            return Ok((Instant::now(), acked));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("after ten minutes less than {at_least} starts are acknowledged")
}

async fn publish(events: &Events, run: &str, count: u64) -> Result<()> {
    let mut tickets = Vec::new();
    for first in (0..count).step_by(BATCH as usize) {
        let batch: Vec<Bytes> = (first..count.min(first + BATCH)).map(|n| event(run, n, 1, 100)).collect();
        tickets.push(events.send(batch).await?);
    }
    for ticket in tickets {
        ticket.await?;
    }
    Ok(())
}

/// A full outbox, and then the door opens.
async fn into_standin(report: &mut Report, scale: Scale) -> Result<()> {
    let dir = directory()?;
    let target = Target::standin(dir.path()).await?;
    let Target::Standin(standin) = &target else { unreachable!("just made") };
    let (engine, door) = engine(dir.path(), target.sink()).await?;
    let count = scale.pick(400_000, 60_000);
    let measured = open_the_door(&engine, &door, standin, count).await?;
    report.figure("stand-in: engine, from the outbox", format!("{} starts/s", number(measured.rate)));
    report.figure(
        "stand-in: engine / stand-in, CPU a start",
        format!("{:.0} us / {:.0} us", measured.ours_us, measured.theirs_us),
    );
    let verdict = settle_events(&target, dir.path(), &measured.subscriptions, count).await?;
    report.check(Kind::Bar, format!("stand-in: {} of {count} started, once each", verdict.0), verdict.1);
    drop(engine);
    let bare = bare_into(standin, scale).await?;
    report.figure("stand-in: bare loop", format!("{} starts/s", number(bare)));
    report.at_least(Kind::Aim, "stand-in: starts/s", measured.rate, 15_000.0);
    Ok(())
}

struct Measured {
    rate: f64,
    ours_us: f64,
    theirs_us: f64,
    subscriptions: Vec<Planned>,
}

async fn open_the_door(engine: &Engine, door: &Door, standin: &StandinProcess, count: u64) -> Result<Measured> {
    let subscriptions = plan::subscriptions("default", 1);
    door.apply(subscriptions.clone()).await?;
    standin.down().await?;
    publish(&door.events("default", 16), "standin", count).await?;
    progress(format!("{count} firings wait"));
    let before = (engine.process()?.cpu_time()?, standin.process().cpu_time()?);
    standin.up().await?;
    let begun = now_acked(engine, count / 20).await?;
    let ended = now_acked(engine, count - count / 20).await?;
    now_acked(engine, count).await?;
    let cpu = |after: Duration, before: Duration| (after - before).as_secs_f64() * 1e6 / count as f64;
    Ok(Measured {
        rate: rate(begun, ended)?,
        ours_us: cpu(engine.process()?.cpu_time()?, before.0),
        theirs_us: cpu(standin.process().cpu_time()?, before.1),
        subscriptions,
    })
}

/// How many were started, and whether that is all of them, once.
async fn settle_events(target: &Target, dir: &Path, subscriptions: &[Planned], count: u64) -> Result<(u64, bool)> {
    let started = target.started(dir).await?;
    let mut ledger = crate::ledger::Ledger::default();
    for n in 0..count {
        let workflow_id = subscriptions[0].event_workflow_id(&crate::events::event_id("standin", n));
        ledger.expect(Expected { workflow_id, due_us: 0, must: true });
    }
    started.iter().for_each(|line| ledger.saw(line));
    let verdict = ledger.verdict();
    Ok((verdict.started, verdict.is_clean()))
}

async fn bare_into(standin: &StandinProcess, scale: Scale) -> Result<f64> {
    let client = Arc::new(RawTemporal::new(standin.address(), CONNECTIONS)?);
    let load = BareLoad { in_flight: 64, length: Duration::from_secs(scale.pick(10, 3)), input_bytes: INPUT_BYTES };
    Ok(bare::run(client, NAMESPACE, "bare", load).await.context("bare loop")?.rate())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
