//! A million daily crons: how long they take to load, what they cost in memory and on disk, and how soon an engine that has
//! them is ready again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::scene::{directory, engine};
use super::{Scale, progress};
use crate::engine::{Engine, Sink};
use crate::plan::{self, Planned};
use crate::report::{Kind, Report, number};

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("footprint", "what a million daily crons cost");
    let dir = directory()?;
    let (mut engine, door) = engine(dir.path(), Sink::Null).await?;
    let count: u32 = scale.pick(1_000_000, 100_000);
    let (memory, disk) = (settled_memory(&engine).await?, engine.disk_bytes()?);
    // Made before the clock runs: making them is the proof's work, not the engine's.
    let definitions: Vec<_> = plan::daily("default", count).iter().map(Planned::definition).collect();
    let begun = Instant::now();
    door.load(&definitions).await?;
    let loading = begun.elapsed();
    drop(definitions);
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
    let resident = |after: Memory| each(after.resident, memory.resident);
    let own = |after: Memory| each(after.own, memory.own);
    let rate = f64::from(count) / loading.as_secs_f64();
    report.figure("definitions", number(count.into()));
    report.figure("loaded in", format!("{loading:.1?}"));
    for (when, after) in [("loading", after_load), ("a restart", after_restart)] {
        report.figure(
            format!(
                "memory a definition, after {when}: the whole process / beside the databases' bounded buffers and cache"
            ),
            format!("{} / {} B", number(resident(after)), number(own(after))),
        );
    }
    report.figure("ready again after a stop / after a kill", format!("{ready:.2?} / {ready_after_kill:.2?}"));
    report.at_least(Kind::Aim, "loads/s", rate, 100_000.0);
    let figure = "bytes of memory a definition, after a restart, beside the databases' bounded buffers and cache";
    report.at_most(Kind::Aim, figure, own(after_restart), 100.0);
    report.at_most(Kind::Aim, "bytes of disk a definition", each(on_disk, disk), 400.0);
    report.at_most(Kind::Aim, "seconds to be ready again", ready.as_secs_f64(), 3.0);
    Ok(report)
}

/// Bytes that the engine holds.
#[derive(Clone, Copy)]
struct Memory {
    resident: u64,
    /// Of them, not in the databases' buffers and cache: those are bounded, however many definitions there are.
    own: u64,
}

/// The least of fifteen seconds: what is only passing through doesn't count, and the allocator takes ten to give it back.
async fn settled_memory(engine: &Engine) -> Result<Memory> {
    let mut least = Memory { resident: u64::MAX, own: u64::MAX };
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (resident, bounded) = engine.memory().await?;
        least.resident = least.resident.min(resident);
        least.own = least.own.min(resident.saturating_sub(bounded));
    }
    Ok(least)
}
