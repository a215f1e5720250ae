//! A thousand shards on three nodes, and nothing to do: what they cost, and how soon all have leaders again when a node dies.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::scene::{NAMESPACE, directory};
use super::{Scale, progress};
use crate::cluster::Cluster;
use crate::door::Door;
use crate::engine::{Engine, Sink};
use crate::plan::{self, Planned};
use crate::report::{Kind, Report, number};

const NODES: usize = 3;
/// For all shards to fall asleep.
const PATIENCE: Duration = Duration::from_secs(120);
/// Processors a node may use for a thousand sleeping replicas, and what is aimed at.
const BAR_CORES: f64 = 0.05;
const AIM_CORES: f64 = 0.02;
/// Memory a node that is aimed at for a thousand replicas.
const AIM_MIB: f64 = 100.0;
/// Until all shards of a dead node have leaders.
const BAR_SECONDS: f64 = 2.0;
/// Between two looks at who leads.
const LOOK: Duration = Duration::from_millis(20);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report =
        Report::new("idle", "a thousand shards on each of three nodes without work: what they cost, and how they wake");
    let (dir, shards) = (directory()?, scale.pick(1000, 60));
    let mut cluster = Cluster::start_large(dir.path(), &Sink::Null, NODES, shards).await?;
    progress(format!("three nodes, {shards} replicas on each"));
    let asleep = fall_asleep(&cluster, shards).await?;
    let each = measure(&cluster, scale.pick(60, 10)).await?;
    for (index, cost) in each.iter().enumerate() {
        let Cost { cores, bytes } = cost;
        report.figure(format!("node {}: cores / memory", index + 1), format!("{cores:.4} / {} MiB", mib(*bytes)));
    }
    let wakes = wake(&mut cluster, shards).await?;
    let thousand = f64::from(shards) / 1000.0;
    let most = each.iter().map(|cost| cost.cores).fold(0.0, f64::max) / thousand;
    let memory = each.iter().map(|cost| cost.bytes).max().unwrap_or(0);
    report.figure("shards, replicas of each", format!("{shards}, {NODES}"));
    report.figure("from at rest to all asleep", format!("{asleep:.1?}"));
    report.figure("shards that lost their leader", wakes.lost);
    report.figure(
        "definitions applied then, to all shards",
        format!("{} in {:.2?}", number(wakes.applied as f64), wakes.applying),
    );
    report.check(Kind::Bar, format!("cores a node, for 1,000 replicas, {most:.4} <= {BAR_CORES}"), most <= BAR_CORES);
    report.check(Kind::Aim, format!("cores a node, for 1,000 replicas, {most:.4} <= {AIM_CORES}"), most <= AIM_CORES);
    report.at_most(Kind::Aim, "MiB of memory a node", memory as f64 / MIB, AIM_MIB);
    let led = wakes.led.as_secs_f64();
    report.check(
        Kind::Bar,
        format!("seconds until all shards of a dead node are led, {led:.2} <= {BAR_SECONDS}"),
        led <= BAR_SECONDS,
    );
    Ok(report)
}

/// What one node costs.
struct Cost {
    cores: f64,
    bytes: u64,
}

/// What came of the end of a node.
struct Wakes {
    /// Shards that it led.
    lost: u32,
    /// Until the others led all of them.
    led: Duration,
    applied: usize,
    applying: Duration,
}

fn mib(bytes: u64) -> String {
    number(bytes as f64 / MIB)
}

async fn gauge(node: &Engine, name: &str) -> Result<u32> {
    Ok(node.metrics().await?.sum(name, &[])? as u32)
}

async fn all(cluster: &Cluster, name: &str) -> Result<u32> {
    let mut sum = 0;
    for node in cluster.nodes.iter().filter(|node| node.process().is_ok()) {
        sum += gauge(node, name).await?;
    }
    Ok(sum)
}

async fn fall_asleep(cluster: &Cluster, shards: u32) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let asleep = all(cluster, "flintwheel_shards_asleep").await?;
        if asleep == shards * NODES as u32 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} {asleep} of {} replicas sleep", shards * NODES as u32);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Nobody asks them anything meanwhile.
async fn measure(cluster: &Cluster, seconds: u64) -> Result<Vec<Cost>> {
    let used = || cluster.nodes.iter().map(|node| node.process()?.cpu_time()).collect::<Result<Vec<_>>>();
    let (before, begun) = (used()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, passed) = (used()?, begun.elapsed().as_secs_f64());
    let cost = |((before, after), node): ((Duration, Duration), &Engine)| {
        Ok(Cost { cores: (after - before).as_secs_f64() / passed, bytes: node.process()?.own_bytes()? })
    };
    before.into_iter().zip(after).zip(&cluster.nodes).map(cost).collect()
}

/// Ends a node, and waits until the others lead and take work for everything.
async fn wake(cluster: &mut Cluster, shards: u32) -> Result<Wakes> {
    let mut led = Vec::new();
    for node in &cluster.nodes {
        led.push(gauge(node, "flintwheel_shards_led").await?);
    }
    let victim = (0..NODES).max_by_key(|index| led[*index]).context("there are nodes")?;
    cluster.nodes[victim].kill().await?;
    let begun = Instant::now();
    while all(cluster, "flintwheel_shards_led").await? < shards {
        ensure!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} not all shards have leaders");
        tokio::time::sleep(LOOK).await;
    }
    let waited = begun.elapsed();
    progress(format!(
        "node {} was killed, which led {} shards; all are led after {waited:.2?}",
        victim + 1,
        led[victim]
    ));
    // So many that no shard is without one, but for a chance of one in a thousand.
    let definitions: Vec<_> = plan::daily(NAMESPACE, shards * 15).iter().map(Planned::definition).collect();
    let left = cluster.nodes.iter().filter(|node| node.process().is_ok()).map(Engine::grpc).collect::<Vec<_>>();
    let begun = Instant::now();
    Door::of(&left)?.load(&definitions).await?;
    Ok(Wakes { lost: led[victim], led: waited, applied: definitions.len(), applying: begun.elapsed() })
}
