//! A million daily crons: how long they take to load, what they cost in memory and on disk, and how soon an engine that has
//! them is ready again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::scene::{directory, engine};
use super::{Scale, progress};
use crate::engine::{Engine, Sink};
use crate::plan;
use crate::report::{Kind, Report, number};

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("footprint", "what a million daily crons cost");
    let dir = directory()?;
    let (mut engine, door) = engine(dir.path(), Sink::Null).await?;
    let count: u32 = scale.pick(1_000_000, 100_000);
    let (memory, disk) = (engine.process()?.resident_bytes()?, engine.disk_bytes()?);
    let begun = Instant::now();
    door.apply(plan::daily("default", count)).await?;
    let loading = begun.elapsed();
    progress(format!("{count} loaded in {loading:.1?}"));
    let after_load = settled_memory(&engine).await?;
    engine.stop().await?;
    let on_disk = engine.disk_bytes()?;
    let ready = engine.start_again().await?;
    let after_restart = settled_memory(&engine).await?;
    let stored = engine.metrics().await?.sum("flintwheel_definitions", &[])?;
    ensure!(stored == f64::from(count), "{stored} definitions are there after the restart, {count} were applied");
    engine.kill().await?;
    let ready_after_kill = engine.start_again().await?;

    let each = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / f64::from(count);
    let rate = f64::from(count) / loading.as_secs_f64();
    report.figure("definitions", number(count.into()));
    report.figure("loaded in", format!("{loading:.1?}"));
    report.figure("memory a definition, after loading", format!("{} B", number(each(after_load, memory))));
    report.figure("ready again after a stop / after a kill", format!("{ready:.2?} / {ready_after_kill:.2?}"));
    report.at_least(Kind::Aim, "loads/s", rate, 100_000.0);
    report.at_most(Kind::Aim, "bytes of memory a definition, after a restart", each(after_restart, memory), 100.0);
    report.at_most(Kind::Aim, "bytes of disk a definition", each(on_disk, disk), 400.0);
    report.at_most(Kind::Aim, "seconds to be ready again", ready.as_secs_f64(), 3.0);
    Ok(report)
}

/// The least of ten seconds: buffers that are only passing through don't count.
async fn settled_memory(engine: &Engine) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        least = least.min(engine.process()?.resident_bytes()?);
    }
    Ok(least)
}
