//! Temporal goes away for a minute, again and again: stopped, frozen, and for one namespace only. Due times and events go on.
//! Nothing may be lost, memory stays as it was, the oldest go out first afterwards, and a namespace that is not struck notices nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::outage_report::{Outage, Sample, tell_memory, tell_order, tell_other, tell_verdict};
use super::scene::{Asked, NAMESPACE, OTHER_NAMESPACE, Target, directory, engine_with, settle};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::door::Door;
use crate::engine::Engine;
use crate::events::{EventLoad, EventLog, EventStream};
use crate::plan::{self, Planned};
use crate::report::Report;
use crate::standin::{Fault, Rule};
use crate::temporal_dev::TemporalDev;

/// Flintwheel's namespaces: the one that is always struck, and the one that has another namespace in Temporal.
const STRUCK: &str = "default";
const OTHER: &str = "other";
const PATIENCE: Duration = Duration::from_secs(180);
/// Fewer firings than this wait at any moment under load.
const DRAINED: f64 = 300.0;
const UNAVAILABLE: i32 = 14;
/// At 5,000 events of 2 kB a second, which are started as they come: more than twice the 256 MiB of the database's buffers.
const FILLING: Duration = Duration::from_secs(60);

/// How Temporal is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Stopped,
    Frozen,
    /// For one of its namespaces.
    NamespaceUnavailable,
    /// For one of its namespaces.
    NamespaceStalled,
}

impl Way {
    pub(super) fn spares_other(self) -> bool {
        matches!(self, Self::NamespaceUnavailable | Self::NamespaceStalled)
    }
}

/// What is put on the engine, and what it goes through.
struct Load {
    what: &'static str,
    timed: Vec<Planned>,
    events_per_second: u32,
    filling_per_second: u32,
    ways: &'static [Way],
}

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new(
        "outage",
        "Temporal stopped or frozen: nothing lost, memory flat, drained in order, others unaffected",
    );
    let dir = directory()?;
    let standin = Target::standin(dir.path()).await?;
    let load = Load {
        what: "stand-in",
        timed: plan::mixed(STRUCK, 2000),
        events_per_second: 2000,
        filling_per_second: 5_000,
        ways: &[Way::Stopped, Way::Frozen, Way::NamespaceUnavailable, Way::NamespaceStalled],
    };
    strike(&mut report, standin, load, dir.path(), scale).await?;
    let dir = directory()?;
    let real = Target::real(dir.path()).await?;
    let load = Load {
        what: "real Temporal",
        timed: plan::even(STRUCK, 200, 10),
        events_per_second: 20,
        filling_per_second: 20,
        ways: &[Way::Stopped, Way::Frozen],
    };
    strike(&mut report, real, load, dir.path(), scale).await?;
    Ok(report)
}

/// A running proof.
struct Stage {
    target: Target,
    engine: Engine,
    samples: Vec<Sample>,
}

async fn strike(report: &mut Report, target: Target, load: Load, dir: &Path, scale: Scale) -> Result<()> {
    let (engine, door) = engine_with(dir, target.sink(), vec![second_route(dir)?]).await?;
    let subscriptions = plan::subscriptions(STRUCK, 20);
    let mut timed = door.apply(load.timed.clone()).await?;
    timed.extend(door.apply(plan::even(OTHER, 20, 2)).await?);
    door.apply(subscriptions.clone()).await?;
    let mut stage = Stage { target, engine, samples: Vec::new() };
    let begun_us = now_us();
    let filling = stage.fill(&door, &load).await?;
    let stream = events(&door, "outage", load.events_per_second, 200);
    stage.watch(Duration::from_secs(scale.pick(30, 8))).await?;
    let mut outages = Vec::new();
    for way in load.ways {
        outages.push(stage.outage(*way, Duration::from_secs(scale.pick(60, 10)), load.what).await?);
        stage.watch(Duration::from_secs(scale.pick(20, 5))).await?;
    }
    let log = stream.stop(PATIENCE).await?;
    let asked =
        Asked { timed: &timed, events: vec![(&log, &subscriptions), (&filling, &subscriptions)], end_us: now_us() };
    let verdict = settle(&stage.target, dir, &asked, PATIENCE).await?;
    let started = stage.target.started(dir).await?;
    tell_verdict(report, load.what, &verdict);
    tell_memory(report, load.what, &stage.samples, &outages, begun_us);
    tell_order(report, load.what, &started, &asked, &outages);
    tell_other(report, load.what, OTHER_NAMESPACE, &started, &asked, &outages);
    Ok(())
}

/// A configuration file that sends the other namespace to another one of Temporal's; returns the flag.
fn second_route(dir: &Path) -> Result<String> {
    let path = dir.join("flintwheel.toml");
    std::fs::write(&path, format!("[namespaces.{OTHER}]\ntemporal_namespace = \"{OTHER_NAMESPACE}\"\n"))?;
    Ok(format!("--config={}", path.display()))
}

fn events(door: &Door, run: &str, per_second: u32, data_bytes: usize) -> EventStream {
    let load = EventLoad { run: run.to_owned(), types: 20, per_second, data_bytes };
    EventStream::start(door.events(STRUCK, 3_000), load)
}

impl Stage {
    /// Writes so much that the database's buffers have been full once: they are memory that comes with any load, and would be taken for a
    /// backlog if they filled during the first outage.
    async fn fill(&mut self, door: &Door, load: &Load) -> Result<EventLog> {
        let stream = events(door, "fill", load.filling_per_second, 2_000);
        self.watch(FILLING).await?;
        let log = stream.stop(PATIENCE).await?;
        self.wait_drained().await?;
        progress(format!(
            "{}: {} MiB resident after filling",
            load.what,
            self.engine.process()?.resident_bytes()? >> 20
        ));
        Ok(log)
    }

    /// Notes the engine's memory each second.
    async fn watch(&mut self, length: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < length {
            self.engine.check_running()?;
            self.samples.push(self.sample().await?);
            tokio::time::sleep(Duration::from_secs(1).min(length)).await;
        }
        Ok(())
    }

    async fn sample(&self) -> Result<Sample> {
        let (resident, buffers) = self.engine.memory().await?;
        Ok(Sample { at_us: now_us(), resident, buffers })
    }

    async fn outage(&mut self, way: Way, length: Duration, what: &str) -> Result<Outage> {
        progress(format!("{what}: {way:?} for {length:?}"));
        let begun_us = now_us();
        self.away(way).await?;
        self.watch(length).await?;
        let healed_us = now_us();
        self.back(way).await?;
        self.wait_drained().await?;
        let drained_us = now_us();
        progress(format!("{what}: drained {:.1} s after it was back", (drained_us - healed_us) as f64 / 1e6));
        Ok(Outage { way, begun_us, healed_us, drained_us })
    }

    async fn away(&mut self, way: Way) -> Result<()> {
        match (&mut self.target, way) {
            (Target::Standin(standin), Way::Stopped) => standin.down().await,
            (Target::Standin(standin), Way::Frozen) => standin.process().freeze(),
            (Target::Standin(standin), Way::NamespaceUnavailable) => {
                standin.set_faults(&[rule(Fault::Fail { code: UNAVAILABLE })]).await
            }
            (Target::Standin(standin), Way::NamespaceStalled) => standin.set_faults(&[rule(Fault::Stall)]).await,
            (Target::Real(server), Way::Stopped) => server.stop().await,
            (Target::Real(server), Way::Frozen) => server.freeze(),
            (Target::Real(_), _) => bail!("a real Temporal has no faults of one namespace"),
        }
    }

    async fn back(&mut self, way: Way) -> Result<()> {
        match (&mut self.target, way) {
            (Target::Standin(standin), Way::Stopped) => standin.up().await,
            (Target::Standin(standin), Way::Frozen) => standin.process().thaw(),
            (Target::Standin(standin), _) => standin.set_faults(&[]).await,
            (Target::Real(server), Way::Stopped) => TemporalDev::start_again(server).await,
            (Target::Real(server), _) => server.thaw(),
        }
    }

    async fn wait_drained(&mut self) -> Result<()> {
        let begun = Instant::now();
        while self.engine.metrics().await?.sum("flintwheel_outbox_pending", &[])? > DRAINED {
            if begun.elapsed() > Duration::from_secs(600) {
                bail!("the outbox is not drained ten minutes after Temporal is back");
            }
            self.watch(Duration::from_millis(100)).await?;
        }
        Ok(())
    }
}

fn rule(fault: Fault) -> Rule {
    Rule { namespace: Some(NAMESPACE.to_owned()), rate: 1.0, fault }
}
