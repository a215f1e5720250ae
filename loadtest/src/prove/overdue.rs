//! Definitions that are armed are let go of on purpose, as a fault would: one before it is due, one that comes due meanwhile. Both must be armed again
//! within a minute, and be told of, while a million others are watched. The program is not the server but one that does so when it is told to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::{DateTime, SecondsFormat};
use flintwheel_client::{ApplyOptions, OccurrenceQuery, Outcome, PageRequest};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use serde_json::{Value, json};

use super::scene::{SHARDS, directory};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::door::Door;
use crate::engine::{Engine, EngineOptions, Sink};
use crate::plan::{self, Planned};
use crate::report::{Kind, Report, number};

const PROGRAM: &str = "flintwheel-forgetful";
/// As the promise says.
const WITHIN_S: f64 = 60.0;
const PATIENCE: Duration = Duration::from_secs(120);
/// From when it is forgotten to when it is due: longer than the watcher takes, and shorter.
const FAR: i64 = 75;
const NEAR: i64 = 3;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("overdue", "an armed definition forgotten on purpose is found, armed again and told");
    let dir = directory()?;
    let orders = dir.path().join("orders");
    let more = vec![format!("--orders={}", orders.display())];
    let options = EngineOptions { data_dir: dir.path().join("engine"), sink: Sink::Null, shards: SHARDS, more };
    let mut engine = Engine::new(options)?.as_program(PROGRAM)?;
    engine.start_again().await?;
    let door = Door::new(engine.grpc())?;
    let count: u32 = scale.pick(1_000_000, 20_000);
    let others: Vec<_> = plan::daily("default", count).iter().map(Planned::definition).collect();
    door.load(&others).await?;
    drop(others);
    progress(format!("{count} others are loaded"));
    let stage = Stage { engine, door, orders };
    let quiet = stage.rearmed().await?;
    let far = stage.forget("far", FAR).await?;
    let near = stage.forget("near", NEAR).await?;
    let cpu = stage.cost().await?;
    report.figure("other definitions", number(count.into()));
    for (what, found) in [("forgotten long before it is due", &far), ("forgotten just before it is due", &near)] {
        report.figure(format!("{what}: armed again after"), format!("{:.1} s", found.after_s));
        report.figure(format!("{what}: fired after its due time"), format!("{:.2} s", found.late_s));
        report.at_most(Kind::Bar, &format!("{what}: seconds until it is armed again"), found.after_s, WITHIN_S);
        report.check(Kind::Bar, format!("{what}: the log names it"), found.named);
        report.check(Kind::Bar, format!("{what}: it fired once"), found.fired == 1);
    }
    report.at_most(Kind::Bar, "forgotten long before it is due: seconds late", far.late_s, 1.0);
    report.at_most(Kind::Bar, "forgotten just before it is due: seconds late", near.late_s, WITHIN_S);
    report.check(Kind::Bar, "the metric counts both, and nothing before", quiet == 0 && near.counted == 2);
    report.figure("processor time of an idle server that watches them", format!("{:.2} % of a core", cpu * 100.0));
    Ok(report)
}

struct Stage {
    engine: Engine,
    door: Door,
    orders: PathBuf,
}

struct Found {
    after_s: f64,
    late_s: f64,
    named: bool,
    counted: u64,
    fired: usize,
}

impl Stage {
    async fn rearmed(&self) -> Result<u64> {
        Ok(self.engine.metrics().await?.count("flintwheel_rearmed_total"))
    }

    /// Applies one that is due in so many seconds, has it forgotten, and waits until it is found and has fired.
    async fn forget(&self, id: &str, ahead: i64) -> Result<Found> {
        let due_us = (now_us() / 1_000_000 + ahead) * 1_000_000;
        self.door.client().apply(&definition(id, due_us)?, ApplyOptions::default()).await?;
        let before = self.rearmed().await?;
        order(&self.orders, &format!("default/{id}")).await?;
        progress(format!("{id} is forgotten, {ahead} s before it is due"));
        let begun = Instant::now();
        while self.rearmed().await? == before {
            if begun.elapsed() > PATIENCE {
                bail!("{id} is not armed again after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let after_s = begun.elapsed().as_secs_f64();
        progress(format!("{id} is armed again after {after_s:.1} s"));
        let (late_s, fired) = self.fired(id).await?;
        let log = std::fs::read_to_string(self.engine.log())?;
        let named = log.lines().any(|line| line.contains("was forgotten") && line.contains(&format!("id={id}")));
        Ok(Found { after_s, late_s, named, counted: self.rearmed().await?, fired })
    }

    /// How late it fired, and how often it has.
    async fn fired(&self, id: &str) -> Result<(f64, usize)> {
        let key = DefinitionKey::new("default", id);
        let DefinitionKey { namespace, id: definition_id } = key;
        let query = OccurrenceQuery { namespace, definition_id, ..OccurrenceQuery::default() };
        let begun = Instant::now();
        loop {
            let page = PageRequest { size: 10, token: String::new() };
            let mut all = self.door.client().occurrences(&query, page).await?.items;
            all.retain(|o| o.outcome == Outcome::Fired && o.started_at.is_some());
            if let Some(first) = all.first() {
                let started = first.started_at.unwrap_or(first.decided_at);
                return Ok(((started - first.due).as_seconds_f64(), all.len()));
            }
            if begun.elapsed() > PATIENCE {
                bail!("{id} has not fired {PATIENCE:?} after it was armed again");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Of a core, while nothing is due.
    async fn cost(&self) -> Result<f64> {
        let (begun, before) = (Instant::now(), self.engine.process()?.cpu_time()?);
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok((self.engine.process()?.cpu_time()? - before).as_secs_f64() / begun.elapsed().as_secs_f64())
    }
}

/// Written under another name first, so that it is read as a whole; gone when it has been carried out.
async fn order(orders: &Path, text: &str) -> Result<()> {
    let written = orders.with_extension("new");
    std::fs::write(&written, text)?;
    std::fs::rename(&written, orders)?;
    let begun = Instant::now();
    while orders.exists() {
        if begun.elapsed() > PATIENCE {
            bail!("{text:?} is not carried out after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn definition(id: &str, due_us: i64) -> Result<ActivityDefinition> {
    let due = DateTime::from_timestamp_micros(due_us).map(|due| due.to_rfc3339_opts(SecondsFormat::Secs, true));
    let document: Value = json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {
            "trigger": {"schedule": {"at": due}},
            "start_workflow": {"type": "LoadTest", "task_queue": "loadtest"},
        },
    });
    Ok(serde_json::from_value(document)?)
}
