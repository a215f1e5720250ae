//! How the cluster stands, and this node in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use flintwheel_client::{ClusterStatus, NamespaceOutbox, NodeStatus, Rates, ShardCounts, TemporalTarget};
use flintwheel_cluster::rows::Node;
use flintwheel_raft::{Group, Leadership};
use flintwheel_shard::{Machine, query};
use futures::{StreamExt, stream};

use super::ask::{Ask, Look, NodePart, Question, Reply, Standing, Told, Waiting, read, write};
use super::desk::Replica;
use super::route::SIDE_BY_SIDE;
use super::{Api, ApiError, time};
use crate::dispatch::Sink;
use crate::metrics::{Memory, Snapshot, Totals};
use crate::peers::Subject;

/// For a shard or a node to say how it stands.
const GLANCE: Duration = Duration::from_secs(1);

impl Api {
    /// Counts over the shards that this node leads, whether it knows who leads those of which it has a replica, and its memory.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { memory: self.memory(), ..self.counts() }
    }

    /// The same without memory, which has to be asked of kernel and databases.
    pub(super) fn counts(&self) -> Snapshot {
        let clock_ahead = self.shared.peers.clocks().astray(self.node.id);
        let (clock_held, disk) = (self.shared.clock.is_held(), self.shared.peers.rooms().own());
        let mut sum = Snapshot { clock_held, clock_ahead, disk, ..Snapshot::default() };
        // Read after the look at all: who reads one may wait until what is being applied to it is.
        let mut led = Vec::new();
        self.shared.groups.each(|group| {
            sum.asleep += u32::from(group.is_asleep());
            if group.damage().is_some() {
                sum.damaged += 1;
                sum.awaited += u32::from(self.is_awaited(group.shard()));
                return;
            }
            match group.leadership() {
                Leadership::Leader { .. } => led.push(group.clone()),
                Leadership::Follower { leader: Some(_) } => {}
                _ => sum.unled += 1,
            }
        });
        for group in led {
            let counted = group.read(|machine, _| {
                sum.definitions += machine.slots().len() as u64;
                sum.paused += machine.paused() as u64;
                sum.outbox += machine.outbox().pending();
                sum.dead += machine.counters().dead;
                sum.runs_open += machine.tracks().open() as u64;
                sum.runs_waiting += machine.tracks().waiting() as u64;
                sum.runs_stuck += machine.tracks().stuck().count() as u64;
            });
            let led = counted.is_ok() && self.shared.has_actor(group.shard());
            sum.led += u32::from(led);
            sum.unled += u32::from(!led);
        }
        sum.ready = sum.unled == 0 && sum.awaited == 0 && !sum.clock_held && sum.clock_ahead.is_none();
        sum
    }

    /// A damaged replica here is made anew from others. Where there are none, nothing comes of waiting.
    fn is_awaited(&self, shard: u32) -> bool {
        let meta = self.shared.peers.directory().meta();
        meta.shard(shard).is_some_and(|row| row.voters().any(|voter| voter != self.node.id))
    }

    /// The replicas here that are damaged, and why.
    pub fn damaged(&self) -> Vec<String> {
        let words = |group: Group<Machine>| {
            let (shard, why) = (group.shard(), group.damage()?);
            Some(match self.is_awaited(shard) {
                true => format!("shard {shard} is damaged here and is being made anew from its other replicas: {why}"),
                false => format!("shard {shard} is damaged and has no other replica; restore it from a backup: {why}"),
            })
        };
        self.shared.groups.iter().filter_map(words).collect()
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

    /// Everything that `flintwheel status` shows: of all shards that have a leader, and of all nodes.
    pub async fn status(&self) -> Result<ClusterStatus, ApiError> {
        let total = self.shared.shards();
        let (standings, nodes, target) = tokio::join!(self.standings(), self.nodes(), self.target());
        let led = u32::try_from(standings.len()).unwrap_or(total);
        let sum = |of: fn(&Standing) -> u64| standings.iter().map(of).sum();
        let overdue = nodes.iter().map(|node| node.oldest_overdue).max().unwrap_or(0);
        Ok(ClusterStatus {
            cluster_id: self.node.cluster_id.clone(),
            shards: ShardCounts { total, led },
            definitions: sum(|standing| standing.definitions),
            paused: sum(|standing| standing.paused),
            armed: sum(|standing| standing.armed),
            outboxes: outboxes(&standings, self.now()),
            dead_letters: sum(|standing| standing.dead),
            rates: nodes.iter().fold(Rates::default(), |sum, node| add(sum, node.rates)),
            oldest_overdue: Duration::from_micros(overdue.max(0) as u64),
            nodes: nodes.into_iter().map(|node| node.status).collect(),
            temporal_targets: vec![target],
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tzdata_version: flintwheel_schedule::tzdata_version().to_owned(),
            now: time(self.now()),
        })
    }

    /// Of the shards that could be asked. A status that waits for those which can't be would be of no use when it is needed.
    async fn standings(&self) -> Vec<Standing> {
        let asks: Vec<_> =
            (0..self.shared.shards()).map(|shard| self.ask_within(shard, Look::Standing, GLANCE)).collect();
        let told: Vec<_> = stream::iter(asks).buffered(SIDE_BY_SIDE).collect().await;
        let standing = |told| if let Ok(Told::Standing(standing)) = told { Some(standing) } else { None };
        told.into_iter().filter_map(standing).collect()
    }

    /// This node, and all others that take part, in order of id.
    async fn nodes(&self) -> Vec<NodePart> {
        let me = self.node.id;
        let others = self.shared.peers.directory().nodes().into_iter().filter(|node| node.id != me);
        let asks: Vec<_> = others.map(|node| self.node_of(node)).collect();
        let mut nodes: Vec<NodePart> = stream::iter(asks).buffered(SIDE_BY_SIDE).collect().await;
        nodes.push(self.node_part());
        nodes.sort_by_key(|node| node.status.id);
        nodes
    }

    async fn node_of(&self, node: Node) -> NodePart {
        match self.ask_node(node.id).await {
            Some(part) => part,
            None => NodePart {
                status: NodeStatus {
                    id: node.id,
                    address: node.addresses.client,
                    alive: false,
                    leads: 0,
                    started_at: time(node.since),
                    resident_bytes: 0,
                    disk_bytes: 0,
                },
                rates: Rates::default(),
                oldest_overdue: 0,
            },
        }
    }

    async fn ask_node(&self, node: u64) -> Option<NodePart> {
        let question = write(&Question::<Ask>::Node).ok()?;
        let answer = self.shared.peers.call(node, Subject::Ask, question, GLANCE).await.ok()?;
        if let Reply::Told(Told::Node(part)) = read(&answer).ok()? { Some(part) } else { None }
    }

    /// This node's part of the status.
    pub(super) fn node_part(&self) -> NodePart {
        let (sum, node) = (self.snapshot(), &self.node);
        let status = NodeStatus {
            id: node.id,
            address: node.address.clone(),
            alive: true,
            leads: sum.led,
            started_at: node.started,
            resident_bytes: sum.memory.resident,
            disk_bytes: directory_bytes(&node.data_dir),
        };
        NodePart { status, rates: self.rates(), oldest_overdue: self.shared.metrics.oldest_overdue() }
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

impl Replica {
    pub(super) fn standing(&self) -> Result<Told, ApiError> {
        let (mut standing, lanes) = self.group.read(|machine, _| {
            let standing = Standing {
                definitions: machine.slots().len() as u64,
                paused: machine.paused() as u64,
                armed: machine.slots().iter().filter(|(_, slot)| slot.is_armed()).count() as u64,
                dead: machine.counters().dead,
                outboxes: Vec::new(),
            };
            let lane = |(lane, namespace): (usize, &String)| {
                let lane = lane as u32;
                let oldest = machine.outbox().range(lane, 0).next().map(|(seq, _)| seq);
                (namespace.clone(), machine.outbox().pending_in(lane), oldest)
            };
            let lanes: Vec<_> = machine.lanes().iter().enumerate().map(lane).collect();
            (standing, lanes)
        })?;
        let state = self.group.state();
        for (namespace, pending, oldest) in lanes.into_iter().filter(|(_, pending, _)| *pending > 0) {
            let chunk = oldest.map(|seq| query::chunk(&state, seq)).transpose()?.flatten();
            standing.outboxes.push(Waiting { namespace, pending, oldest: chunk.map(|chunk| chunk.at) });
        }
        Ok(Told::Standing(standing))
    }
}

/// Over all shards, by namespace.
fn outboxes(standings: &[Standing], now: i64) -> Vec<NamespaceOutbox> {
    let mut by_namespace = BTreeMap::<&str, (u64, Option<i64>)>::new();
    for waiting in standings.iter().flat_map(|standing| &standing.outboxes) {
        let entry = by_namespace.entry(&waiting.namespace).or_default();
        entry.0 += waiting.pending;
        entry.1 = [entry.1, waiting.oldest].into_iter().flatten().min();
    }
    let age = |at: Option<i64>| Duration::from_micros(at.map_or(0, |at| (now - at).max(0) as u64));
    let outbox = |(namespace, (pending, oldest)): (&str, (u64, Option<i64>))| NamespaceOutbox {
        namespace: namespace.to_owned(),
        pending,
        oldest: age(oldest),
    };
    by_namespace.into_iter().map(outbox).collect()
}

fn add(a: Rates, b: Rates) -> Rates {
    Rates { fired: a.fired + b.fired, started: a.started + b.started, events: a.events + b.events }
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
