//! Three nodes become four and three again, under load: how long that takes, how much it moves, and how much longer those wait who publish events.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use flintwheel_client::ClusterState;
use flintwheel_model::ActivityDefinition;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::json;

use super::scene::{Busy, Load, NAMESPACE, percentile};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::cluster::Seat;
use crate::events::EventLog;
use crate::report::{Kind, Report};

/// Of each definition that only takes room; as hexadecimal digits twice as many.
const FILLING_BYTES: usize = 4096;
/// Of each text in it: a text may be a template, and those are limited.
const TEXT_BYTES: usize = 1024;
/// Loaded at a time.
const CHUNK: u32 = 1000;
/// What acknowledgements take before anything is moved is measured for so long. Nodes tell the sizes of shards with up to half a minute's delay.
const BEFORE: Duration = Duration::from_secs(35);
/// Acknowledgements during a move may take this many times as long as before.
const MOST_TIMES: f64 = 3.0;
/// For all replicas to come or to go.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks.
const STEP: Duration = Duration::from_millis(500);

/// One change of the cluster.
struct Change {
    what: &'static str,
    from_us: i64,
    until_us: i64,
    /// Of the replicas that came or went.
    bytes: u64,
}

pub(super) async fn run(scale: Scale, real: bool) -> Result<Report> {
    let name = if real { "rebalance --real" } else { "rebalance" };
    let mut report = Report::new(name, "three nodes become four and three again under load");
    let full = Load {
        run: "rebalance",
        definitions: scale.pick(10_000, 500),
        events_per_second: scale.pick(2000, 300),
        real: false,
    };
    let mut busy = Busy::start(if real { Load::real("rebalance") } else { full }).await?;
    fill(&busy, scale.pick(40_000, 2000)).await?;
    busy.cluster.settle().await?;
    let begun_us = now_us();
    tokio::time::sleep(BEFORE).await;
    let before = waits(&busy.events(), begun_us, now_us());

    let (node, grown) = grow(&mut busy).await?;
    tokio::time::sleep(Duration::from_secs(scale.pick(10, 2))).await;
    let shrunk = shrink(&mut busy, node).await?;
    let outcome = busy.judge().await?;
    outcome.tell(&mut report);
    report.figure("acknowledged before, p50 / p99", milliseconds(&before));
    for change in [grown, shrunk] {
        tell(&mut report, &change, &before, &outcome.events);
    }
    Ok(report)
}

/// Definitions that never fire and whose text does not compress to nothing: what is to be moved.
async fn fill(busy: &Busy, count: u32) -> Result<()> {
    let begun = Instant::now();
    // Any bytes will do, and the same ones each time.
    let mut random = StdRng::seed_from_u64(1);
    for first in (0..count).step_by(CHUNK as usize) {
        let definitions: Vec<_> = (first..count.min(first + CHUNK)).map(|n| filling(n, &mut random)).collect();
        busy.door.load(&definitions).await?;
    }
    progress(format!("{count} definitions loaded in {:.1?}", begun.elapsed()));
    Ok(())
}

fn filling(n: u32, random: &mut StdRng) -> ActivityDefinition {
    let mut bytes = [0; FILLING_BYTES];
    random.fill_bytes(&mut bytes);
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let texts: Vec<String> = bytes.chunks(TEXT_BYTES).map(digits).collect();
    let resource = json!({
        "apiVersion": "flintwheel.dev/v1",
        "kind": "ActivityDefinition",
        "metadata": {"namespace": NAMESPACE, "id": format!("filling-{n}")},
        "spec": {"start_workflow": {"type": "LoadTest", "task_queue": "loadtest", "input": texts}},
    });
    serde_json::from_value(resource).expect("a definition that takes room is a valid one")
}

/// A fourth node joins, and gets its share. Its id.
async fn grow(busy: &mut Busy) -> Result<(u64, Change)> {
    let from_us = now_us();
    let seat = Seat::local(busy.dir.path(), busy.cluster.nodes.len() + 1);
    let node = busy.cluster.add(&seat).await?;
    progress(format!("node {node} has joined"));
    let begun = Instant::now();
    let state = loop {
        let state = busy.cluster.settle().await?;
        // The planner has the last word: while it would move something, nothing is even.
        if busy.door.client().rebalance(true).await.map_err(|e| anyhow!("{e}"))?.is_empty() {
            break state;
        }
        if begun.elapsed() > PATIENCE {
            bail!("after {PATIENCE:?} there is still something to move");
        }
        tokio::time::sleep(STEP).await;
    };
    let until_us = now_us();
    let bytes = held(&state, node);
    progress(format!("four nodes, at rest; node {node} has {} MB", bytes / 1_000_000));
    Ok((node, Change { what: "3 to 4 nodes", from_us, until_us, bytes }))
}

/// The fourth node is drained, stopped and removed.
async fn shrink(busy: &mut Busy, node: u64) -> Result<Change> {
    let client = busy.door.client().clone();
    let state = busy.cluster.state().await?;
    let bytes = held(&state, node);
    let from_us = now_us();
    client.drain_node(node).await.map_err(|e| anyhow!("{e}")).context("drain the fourth node")?;
    let begun = Instant::now();
    loop {
        let state = busy.cluster.state().await;
        // A node is asked in vain now and then while leaders change.
        if state.is_ok_and(|state| state.nodes.iter().any(|one| one.id == node && one.replicas == 0)) {
            break;
        }
        if begun.elapsed() > PATIENCE {
            bail!("node {node} is not empty after {PATIENCE:?}");
        }
        tokio::time::sleep(STEP).await;
    }
    let until_us = now_us();
    progress(format!("node {node} is empty"));
    busy.cluster.nodes.pop().context("the fourth node")?.stop().await?;
    client.remove_node(node, false).await.map_err(|e| anyhow!("{e}")).context("remove the fourth node")?;
    busy.cluster.settle().await?;
    progress("three nodes, at rest");
    Ok(Change { what: "4 to 3 nodes", from_us, until_us, bytes })
}

/// Bytes of the replicas on a node.
fn held(state: &ClusterState, node: u64) -> u64 {
    let here = state.shards.iter().filter(|shard| shard.replicas.iter().any(|replica| replica.node == node));
    here.map(|shard| shard.bytes).sum()
}

/// Milliseconds from sending to acknowledgement of what was sent in between, in order of length.
fn waits(events: &EventLog, from_us: i64, until_us: i64) -> Vec<f64> {
    let acknowledged = events.acknowledged();
    let within = acknowledged.iter().filter(|(sent, _)| (from_us..until_us).contains(sent));
    let mut waits: Vec<f64> = within.map(|(sent, acked)| (acked - sent) as f64 / 1000.0).collect();
    waits.sort_by(f64::total_cmp);
    waits
}

fn milliseconds(waits: &[f64]) -> String {
    format!("{:.1} / {:.1} ms", percentile(waits, 0.5), percentile(waits, 0.99))
}

fn tell(report: &mut Report, change: &Change, before: &[f64], events: &EventLog) {
    let Change { what, from_us, until_us, bytes } = *change;
    let seconds = (until_us - from_us) as f64 / 1e6;
    let megabytes = bytes as f64 / 1e6;
    report.figure(format!("{what}: took"), format!("{seconds:.1} s"));
    report.figure(format!("{what}: moved"), format!("{megabytes:.0} MB, {:.1} MB/s", megabytes / seconds));
    let during = waits(events, from_us, until_us);
    report.figure(format!("{what}: acknowledged meanwhile, p50 / p99"), milliseconds(&during));
    let times = percentile(&during, 0.99) / percentile(before, 0.99);
    report.at_most(Kind::Bar, &format!("{what}: p99 of acknowledgement, times that before"), times, MOST_TIMES);
    report.check(Kind::Bar, format!("{what}: something was moved"), bytes > 0);
}
