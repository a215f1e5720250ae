//! Decisions per second, durable, into a sink that only counts: everything due in one second, and a steady load of more than
//! the engine can carry.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::scene::{directory, engine};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::engine::{Engine, Sink};
use crate::metrics::Metrics;
use crate::plan;
use crate::report::{Kind, Report, number};

const AIM: f64 = 400_000.0;
const BAR: f64 = 150_000.0;
const BURST_EVERY: u32 = 10;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("firing", "decisions per second, durable, no sink");
    burst(&mut report, scale).await?;
    steady(&mut report, scale).await?;
    Ok(report)
}

fn decided(metrics: &Metrics) -> u64 {
    metrics.count("flintwheel_decisions_total")
}

fn acked(metrics: &Metrics) -> u64 {
    metrics.count("flintwheel_acked_total")
}

/// All due in the same second: from the due instant until the last one is decided, durably.
async fn burst(report: &mut Report, scale: Scale) -> Result<()> {
    let dir = directory()?;
    let (mut engine, door) = engine(dir.path(), Sink::Null).await?;
    let count = scale.pick(100_000, 20_000);
    door.apply(plan::burst("default", count, BURST_EVERY)).await?;
    let mut lengths = Vec::new();
    for _ in 0..scale.pick(6, 2) {
        lengths.push(one_burst(&engine, u64::from(count)).await?);
    }
    engine.stop().await?;
    lengths.sort();
    let median = lengths[lengths.len() / 2];
    report
        .figure(format!("{} due in one second: decided after, median", number(count.into())), format!("{median:.0?}"));
    let rate = f64::from(count) / median.as_secs_f64();
    report.figure("so in the burst", format!("{} decisions/s", number(rate)));
    Ok(())
}

async fn one_burst(engine: &Engine, count: u64) -> Result<Duration> {
    let period = i64::from(BURST_EVERY) * 1_000_000;
    let due_us = (now_us() / period + 1) * period;
    wait_until(due_us - 500_000).await;
    let before = decided(&engine.metrics().await?);
    wait_until(due_us).await;
    for _ in 0..2000 {
        let metrics = engine.metrics().await?;
        if decided(&metrics) >= before + count {
            let late = Duration::from_micros((now_us() - due_us).unsigned_abs());
            progress(format!("{count} decided {late:.0?} after they were due"));
            return Ok(late);
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    bail!("{count} definitions due at one time are not decided after 10 s")
}

async fn wait_until(us: i64) {
    let ahead = u64::try_from(us - now_us()).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(ahead)).await;
}

/// More due each second than can be decided: what is decided is the capacity.
async fn steady(report: &mut Report, scale: Scale) -> Result<()> {
    let dir = directory()?;
    let (mut engine, door) = engine(dir.path(), Sink::Null).await?;
    let count = scale.pick(600_000, 100_000);
    door.apply(plan::even("default", count, 1)).await?;
    tokio::time::sleep(Duration::from_secs(scale.pick(10, 3))).await;
    let (begun, first, cpu) = (Instant::now(), engine.metrics().await?, engine.process()?.cpu_time()?);
    tokio::time::sleep(Duration::from_secs(scale.pick(30, 5))).await;
    let (elapsed, last) = (begun.elapsed().as_secs_f64(), engine.metrics().await?);
    let cpu = (engine.process()?.cpu_time()? - cpu).as_secs_f64();
    let resident = engine.process()?.resident_bytes()?;
    engine.stop().await?;

    let decisions = (decided(&last) - decided(&first)) as f64 / elapsed;
    let acknowledged = (acked(&last) - acked(&first)) as f64 / elapsed;
    report.figure("steady: offered", format!("{} decisions/s", number(count.into())));
    report.figure("steady: decided, durable", format!("{} /s", number(decisions)));
    report.figure("steady: acknowledged, durable", format!("{} /s", number(acknowledged)));
    report.figure("steady: cores, resident", format!("{:.2}, {} MiB", cpu / elapsed, resident >> 20));
    let both = decisions.min(acknowledged);
    report.at_least(Kind::Bar, "steady: decisions/s", both, BAR.min(f64::from(count) * 0.9));
    report.at_least(Kind::Aim, "steady: decisions/s", both, AIM);
    Ok(())
}
