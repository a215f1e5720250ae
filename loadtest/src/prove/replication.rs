//! What three replicas on one machine cost: durable firings and events per second, beside the same with one. Both take turns, each turn in a
//! cluster of its own with nothing else on the machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::scene::{NAMESPACE, SHARDS, directory};
use super::{Scale, progress};
use crate::cluster::Cluster;
use crate::door::{Door, Events};
use crate::engine::Sink;
use crate::events::event;
use crate::plan;
use crate::report::{Kind, Report, number};

/// Of three replicas, what one does.
const AIM: f64 = 0.35;
/// Publishers, whatever the number of nodes.
const PUBLISHERS: usize = 3;
const TYPES: u32 = 48;
const DATA_BYTES: usize = 200;
const BATCH: u64 = 500;
/// Batches under way for each publisher.
const WINDOW: usize = 16;
/// A load that was met to this part limits more than the engine does.
const MET: f64 = 0.95;

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    per_second: f64,
    /// Cores that all nodes used together.
    cores: f64,
}

/// All turns with so many replicas.
#[derive(Default)]
struct Side {
    replicas: usize,
    /// Definitions due each second: more than can be decided.
    offered: u32,
    events: Vec<Rate>,
    firings: Vec<Rate>,
}

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("replication", "firings and events per second with three replicas, beside one");
    let mut sides = [
        Side { replicas: 1, offered: scale.pick(1_200_000, 400_000), ..Side::default() },
        Side { replicas: 3, offered: scale.pick(500_000, 150_000), ..Side::default() },
    ];
    for turn in 1..=scale.pick(3, 1) {
        for side in &mut sides {
            one_turn(side, scale).await?;
            let last = |rates: &[Rate]| rates.last().map_or(0.0, |rate| rate.per_second);
            let (events, firings) = (number(last(&side.events)), number(last(&side.firings)));
            progress(format!("turn {turn}, {} replicas: {events} events/s, {firings} firings/s", side.replicas));
        }
    }
    tell(&mut report, &sides);
    Ok(report)
}

fn tell(report: &mut Report, sides: &[Side; 2]) {
    for (what, of) in [("events", Side::event_rate as fn(&Side) -> Rate), ("firings", Side::firing_rate)] {
        let [one, three] = sides.each_ref().map(of);
        for (side, rate) in sides.iter().zip([one, three]) {
            let replicas = side.replicas;
            report.figure(format!("{what}/s, replicas {replicas}"), number(rate.per_second));
            let micros = rate.cores / rate.per_second * 1e6;
            report.figure(
                format!("{what}, replicas {replicas}: cores of all nodes, CPU of each"),
                format!("{:.2}, {micros:.2} us", rate.cores),
            );
        }
        report.check(Kind::Bar, format!("{what} were acknowledged"), one.per_second > 0.0 && three.per_second > 0.0);
        report.at_least(Kind::Aim, &format!("{what}: three replicas / one"), three.per_second / one.per_second, AIM);
    }
    for side in sides {
        let (replicas, offered) = (side.replicas, number(side.offered.into()));
        let exceeded = side.firing_rate().per_second < MET * f64::from(side.offered);
        // Where all was decided that was asked for, the rate is that of the load, and no ratio of it means anything.
        report.check(
            Kind::Bar,
            format!("replicas {replicas}: {offered} firings/s are more than it can decide"),
            exceeded,
        );
    }
}

impl Side {
    fn event_rate(&self) -> Rate {
        mean(&self.events)
    }

    fn firing_rate(&self) -> Rate {
        mean(&self.firings)
    }
}

fn mean(rates: &[Rate]) -> Rate {
    let of = |part: fn(&Rate) -> f64| rates.iter().map(part).sum::<f64>() / rates.len() as f64;
    Rate { per_second: of(|rate| rate.per_second), cores: of(|rate| rate.cores) }
}

async fn one_turn(side: &mut Side, scale: Scale) -> Result<()> {
    let dir = directory()?;
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, side.replicas, SHARDS).await?;
    let door = Door::of(&cluster.doors())?;
    door.apply(plan::subscriptions(NAMESPACE, TYPES)).await?;
    let length = Duration::from_secs(scale.pick(20, 4));
    flood(&cluster, "warm", length / 4).await?;
    side.events.push(flood(&cluster, "events", length).await?);
    door.apply(plan::even(NAMESPACE, side.offered, 1)).await?;
    tokio::time::sleep(length / 2).await;
    side.firings.push(firings(&cluster, length).await?);
    cluster.check_running()?;
    for node in &mut cluster.nodes {
        // It is full of work that nobody needs: nothing is handed over.
        node.kill().await?;
    }
    Ok(())
}

/// A closed loop for each publisher: as fast as acknowledgements come.
async fn flood(cluster: &Cluster, run: &str, length: Duration) -> Result<Rate> {
    let doors = cluster.doors();
    let (begun, cpu) = (Instant::now(), cpu_time(cluster)?);
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let events = Door::new(doors[publisher % doors.len()])?.events(NAMESPACE, WINDOW);
        publishers.spawn(publish(events, format!("{run}-{publisher}"), length));
    }
    let mut sent = 0;
    while let Some(ended) = publishers.join_next().await {
        sent += ended??;
    }
    let elapsed = begun.elapsed().as_secs_f64();
    Ok(Rate { per_second: sent as f64 / elapsed, cores: (cpu_time(cluster)? - cpu).as_secs_f64() / elapsed })
}

/// Returns how many were acknowledged.
async fn publish(events: Events, run: String, length: Duration) -> Result<u64> {
    let begun = Instant::now();
    let mut waiting = VecDeque::new();
    let (mut next, mut matched) = (0, 0);
    while begun.elapsed() < length || !waiting.is_empty() {
        if begun.elapsed() < length {
            waiting.push_back(events.send(batch(&run, next)).await?);
            next += BATCH;
        }
        if (waiting.len() > WINDOW || begun.elapsed() >= length)
            && let Some(ticket) = waiting.pop_front()
        {
            matched += ticket.await?.matched;
        }
    }
    ensure!(matched == next, "{next} events were acknowledged, but only {matched} of them matched");
    Ok(next)
}

fn batch(run: &str, first: u64) -> Vec<Bytes> {
    (first..first + BATCH).map(|n| event(run, n, TYPES, DATA_BYTES)).collect()
}

/// What is decided and acknowledged, durably, by all nodes together.
async fn firings(cluster: &Cluster, length: Duration) -> Result<Rate> {
    let (begun, cpu, first) = (Instant::now(), cpu_time(cluster)?, counted(cluster).await?);
    tokio::time::sleep(length).await;
    let (elapsed, last) = (begun.elapsed().as_secs_f64(), counted(cluster).await?);
    let done = (last.0 - first.0).min(last.1 - first.1);
    Ok(Rate { per_second: done as f64 / elapsed, cores: (cpu_time(cluster)? - cpu).as_secs_f64() / elapsed })
}

/// Decided and acknowledged since the nodes started.
async fn counted(cluster: &Cluster) -> Result<(u64, u64)> {
    let (mut decided, mut acked) = (0, 0);
    for node in &cluster.nodes {
        let metrics = node.metrics().await?;
        decided += metrics.count("flintwheel_decisions_total");
        acked += metrics.count("flintwheel_acked_total");
    }
    Ok((decided, acked))
}

fn cpu_time(cluster: &Cluster) -> Result<Duration> {
    cluster.nodes.iter().map(|node| node.process()?.cpu_time()).sum()
}
