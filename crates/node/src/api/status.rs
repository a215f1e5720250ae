//! How the node stands.

use std::time::{Duration, Instant};

use chrono::Utc;
use flintwheel_client::{ClusterStatus, NamespaceOutbox, NodeStatus, Rates, ShardCounts, TemporalTarget};
use flintwheel_shard::query;

use super::{Api, ApiError, time};
use crate::dispatch::Sink;
use crate::metrics::{Memory, Snapshot, Totals};

impl Api {
    /// Counts over all shards. A shard that has stopped counts nothing.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot { clock_held: self.shared.clock.is_held(), ..Snapshot::default() };
        for group in self.shared.groups.iter() {
            if !group.status().leadership.is_leader() {
                continue;
            }
            let counted = group.read(|machine, _| {
                sum.definitions += machine.slots().len() as u64;
                sum.paused += machine.paused() as u64;
                sum.outbox += machine.outbox().pending();
                sum.dead += machine.counters().dead;
            });
            sum.led += u32::from(counted.is_ok());
        }
        sum.memory = self.memory();
        sum.ready = sum.led == self.shared.shards() && !sum.clock_held;
        sum
    }

    fn memory(&self) -> Memory {
        let (log, state) = (self.shared.groups.log_stats(), self.shared.groups.state_stats());
        Memory {
            resident: resident_bytes(),
            log_buffers: log.buffers,
            state_buffers: state.buffers,
            block_cache: state.block_cache,
        }
    }

    /// Everything that `flintwheel status` shows.
    pub async fn status(&self) -> Result<ClusterStatus, ApiError> {
        let sum = self.snapshot();
        let node = &self.node;
        Ok(ClusterStatus {
            cluster_id: node.cluster_id.clone(),
            nodes: vec![NodeStatus {
                id: node.id,
                address: node.address.clone(),
                alive: true,
                leads: sum.led,
                started_at: node.started,
                resident_bytes: sum.memory.resident,
                disk_bytes: directory_bytes(&node.data_dir),
            }],
            shards: ShardCounts { total: self.shared.shards(), led: sum.led },
            definitions: sum.definitions,
            paused: sum.paused,
            armed: self.armed()?,
            outboxes: self.outboxes()?,
            dead_letters: sum.dead,
            rates: self.rates(),
            oldest_overdue: Duration::from_micros(self.shared.metrics.oldest_overdue().max(0) as u64),
            temporal_targets: vec![self.target().await],
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tzdata_version: flintwheel_schedule::TZDATA_VERSION.to_owned(),
            now: time(self.now()),
        })
    }

    fn armed(&self) -> Result<u64, ApiError> {
        let of = |shard| {
            let group = self.shared.group(shard);
            Ok(group.read(|m, _| m.slots().iter().filter(|(_, slot)| slot.is_armed()).count() as u64)?)
        };
        (0..self.shared.shards()).map(of).sum()
    }

    fn outboxes(&self) -> Result<Vec<NamespaceOutbox>, ApiError> {
        let mut by_namespace = std::collections::BTreeMap::<String, (u64, Option<i64>)>::new();
        for group in self.shared.groups.iter() {
            let lanes: Vec<(String, u64, Option<u64>)> = group.read(|machine, _| {
                let lane = |(lane, name): (usize, &String)| {
                    let lane = lane as u32;
                    let oldest = machine.outbox().range(lane, 0).next().map(|(seq, _)| seq);
                    (name.clone(), machine.outbox().pending_in(lane), oldest)
                };
                machine.lanes().iter().enumerate().map(lane).collect()
            })?;
            for (namespace, pending, oldest) in lanes {
                let at =
                    oldest.map(|seq| query::chunk(&group.state(), seq)).transpose()?.flatten().map(|chunk| chunk.at);
                let entry = by_namespace.entry(namespace).or_default();
                entry.0 += pending;
                entry.1 = [entry.1, at].into_iter().flatten().min();
            }
        }
        let now = self.now();
        let age = |at: Option<i64>| Duration::from_micros(at.map_or(0, |at| (now - at).max(0) as u64));
        Ok(by_namespace
            .into_iter()
            .filter(|(_, (pending, _))| *pending > 0)
            .map(|(namespace, (pending, oldest))| NamespaceOutbox { namespace, pending, oldest: age(oldest) })
            .collect())
    }

    /// Per second, since the last time that somebody asked (or since the start).
    fn rates(&self) -> Rates {
        let totals = self.shared.metrics.totals();
        let now = Instant::now();
        let before = self.node.sampled.lock().replace((now, totals));
        let uptime = (Utc::now() - self.node.started).to_std().unwrap_or_default();
        let (since, before) = before.map_or((uptime, Totals::default()), |(at, totals)| (now - at, totals));
        let per_second = |total: u64, before: u64| (total - before) as f64 / since.as_secs_f64().max(0.001);
        Rates {
            fired: per_second(totals.decided, before.decided),
            started: per_second(totals.started, before.started),
            events: per_second(totals.events, before.events),
        }
    }

    async fn target(&self) -> TemporalTarget {
        let route = self.shared.dispatchers.routes.default_route();
        let address = route.sink.address().to_owned();
        let name = route.temporal_namespace.clone();
        let Sink::Temporal(sink) = &route.sink else {
            let detail = "counts, and starts nothing".to_owned();
            return TemporalTarget { name, address, healthy: true, latency: Duration::ZERO, detail };
        };
        match sink.probe().await {
            Ok(probe) => {
                let detail = format!("server {}", probe.server_version);
                TemporalTarget { name, address, healthy: true, latency: probe.latency, detail }
            }
            Err(error) => {
                TemporalTarget { name, address, healthy: false, latency: Duration::ZERO, detail: error.to_string() }
            }
        }
    }
}

/// Of this process, from the kernel; 0 where it does not tell.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Of a directory and what is below it; what can't be read counts nothing.
fn directory_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => directory_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
