//! Restarts all nodes of a cluster, one after the other, under load: nothing is late by much, lost or doubled.

use std::time::Duration;

use anyhow::Result;

use super::scene::{Busy, Load, percentile};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::report::{Kind, Report};

/// Between two restarts.
const CALM: Duration = Duration::from_secs(2);
/// No start later than this after its due time, in milliseconds.
const AIM_MS: f64 = 250.0;

pub(super) async fn run(scale: Scale, real: bool) -> Result<Report> {
    let name = if real { "rolling --real" } else { "rolling" };
    let mut report =
        Report::new(name, "all nodes restarted, one after the other, under load: no start is late by much");
    // Two hundred at each second: more at the same instant wait for each other, which is not what is asked here.
    let full = Load { run: "rolling", definitions: 2000, events_per_second: scale.pick(2000, 500), real: false };
    let mut busy = Busy::start(if real { Load::real("rolling") } else { full }).await?;
    let cluster = &mut busy.cluster;
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
    let nodes = cluster.nodes.len();
    let outcome = busy.judge().await?;
    let due = outcome.timed_starts().filter(|(due, _)| *due >= begun_us);
    let mut late: Vec<f64> = due.map(|(due, at)| (at - due) as f64 / 1000.0).collect();
    late.sort_by(f64::total_cmp);
    let at = |part| percentile(&late, part);
    report.figure("restarts", rounds * nodes);
    outcome.tell(&mut report);
    let lag = [0.5, 0.99, 0.999, 1.0].map(|part| format!("{:.0}", at(part))).join(" / ");
    report.figure("from due to start, p50 / p99 / p99.9 / most", format!("{lag} ms"));
    let (sent, acknowledged) = outcome.events.counts();
    report.check(Kind::Bar, "every event was acknowledged", sent == acknowledged);
    if real {
        // Some milliseconds of a processor that all share go into each start there.
        report.note("how late a start is, is judged by the run against the stand-in");
        return Ok(report);
    }
    report.at_most(Kind::Aim, "from due to start, most in ms", at(1.0), AIM_MS);
    Ok(report)
}
