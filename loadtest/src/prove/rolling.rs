//! Restarts all nodes of a cluster, one after the other, under load: nothing is late by much, lost or doubled.

use std::time::Duration;

use anyhow::Result;

use super::scene::{Asked, SHARDS, Target, directory, settle, timed};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::cluster::Cluster;
use crate::door::Door;
use crate::events::{EventLoad, EventStream};
use crate::plan;
use crate::report::{Kind, Report};

/// Batches of events under way.
const WINDOW: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two restarts.
const CALM: Duration = Duration::from_secs(2);
/// No start later than this after its due time, in milliseconds.
const AIM_MS: f64 = 250.0;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report =
        Report::new("rolling", "all nodes restarted, one after the other, under load: no start is late by much");
    let dir = directory()?;
    let target = Target::standin(dir.path()).await?;
    let mut cluster = Cluster::start(dir.path(), &target.sink(), 3, SHARDS).await?;
    progress("three nodes, at rest");
    let door = Door::of(&cluster.doors())?;
    let subscriptions = plan::subscriptions("default", 20);
    // Two hundred at each second: more at the same instant wait for each other, which is not what is asked here.
    let schedules = door.apply(plan::even("default", 2000, 10)).await?;
    door.apply(subscriptions.clone()).await?;
    let per_second = scale.pick(2000, 500);
    let load = EventLoad { run: "rolling".to_owned(), types: 20, per_second, data_bytes: 200 };
    let stream = EventStream::start(door.events("default", WINDOW), load);
    let rounds = scale.pick(5, 1);
    let begun_us = now_us();
    for round in 1..=rounds {
        for node in 0..cluster.nodes.len() {
            tokio::time::sleep(CALM).await;
            cluster.settle().await?;
            cluster.nodes[node].stop().await?;
            cluster.nodes[node].start_again().await?;
            progress(format!("round {round} of {rounds}: node {} is back", node + 1));
        }
    }
    cluster.settle().await?;
    let log = stream.stop(PATIENCE).await?;
    let asked = Asked { timed: &schedules, events: vec![(&log, &subscriptions)], end_us: now_us() };
    let verdict = settle(&target, dir.path(), &asked, PATIENCE).await?;
    let started = target.started(dir.path()).await?;
    let due = started.iter().filter_map(|line| Some((timed(&line.workflow_id)?.1, line.first_us)));
    let mut late: Vec<f64> =
        due.filter(|(due, _)| *due >= begun_us).map(|(due, at)| (at - due) as f64 / 1000.0).collect();
    late.sort_by(f64::total_cmp);
    let at = |part: f64| late.get(((late.len() as f64 * part).ceil() as usize).max(1) - 1).copied().unwrap_or(f64::MAX);
    let (sent, acknowledged) = log.counts();
    report.figure("restarts", rounds * cluster.nodes.len());
    report.figure("firings due", verdict.due);
    report.figure("events sent / acknowledged", format!("{sent} / {acknowledged}"));
    let lag = [0.5, 0.99, 0.999, 1.0].map(|part| format!("{:.0}", at(part))).join(" / ");
    report.figure("from due to start, p50 / p99 / p99.9 / most", format!("{lag} ms"));
    report.check(Kind::Bar, "nothing missing, twice, early or unknown", verdict.is_clean() && verdict.due > 0);
    report.check(Kind::Bar, "every event was acknowledged", sent == acknowledged && sent > 0);
    report.at_most(Kind::Aim, "from due to start, most in ms", at(1.0), AIM_MS);
    Ok(report)
}
