//! A cluster as its operator sees it: engines that joined each other, on free ports of this machine or each in a place of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chrono::Utc;
use flintwheel_client::{ClusterState, META_SHARD, NodeState, ReplicaRole};
use futures::future::select_ok;

use crate::engine::{Engine, EngineOptions, Sink};
use crate::http;
use crate::process::free_port;

/// For replicas to be where they belong.
const PATIENCE: Duration = Duration::from_secs(180);
/// The same for a thousand shards, with so many moves at once.
const LONG_PATIENCE: Duration = Duration::from_secs(900);
const MANY_MOVES: u32 = 64;
/// Between two looks.
const STEP: Duration = Duration::from_millis(200);

/// Where a node lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its state.
    pub data_dir: PathBuf,
    /// What it says; not in its state, which may be lost or damaged.
    pub log: PathBuf,
    /// Where clients reach it.
    pub host: IpAddr,
    /// Where other nodes reach it.
    pub peer_host: IpAddr,
    /// What it runs within; empty: nothing.
    pub within: Vec<String>,
    /// Another program than the one of this build.
    pub program: Option<PathBuf>,
}

impl Seat {
    /// On loopback, with its state below `dir`; `number` counts from one.
    pub fn local(dir: &Path, number: usize) -> Self {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            data_dir: dir.join(format!("n{number}")),
            log: dir.join(format!("n{number}.log")),
            host,
            peer_host: host,
            within: Vec::new(),
            program: None,
        }
    }
}

/// Several engines. Their places in the list stay; the ids that they gave each other are one more.
pub struct Cluster {
    /// The nodes, running or not.
    pub nodes: Vec<Engine>,
    sink: Sink,
    shards: u32,
    peers: Vec<SocketAddr>,
}

impl Cluster {
    /// Starts so many nodes, and waits until each shard has a voter on three of them (or on all, of fewer), and leaders are even.
    pub async fn start(dir: &Path, sink: &Sink, nodes: usize, shards: u32) -> Result<Self> {
        let seats: Vec<Seat> = (1..=nodes).map(|number| Seat::local(dir, number)).collect();
        Self::start_at(&seats, sink, shards).await
    }

    /// The same with a node at each of these places.
    pub async fn start_at(seats: &[Seat], sink: &Sink, shards: u32) -> Result<Self> {
        let mut cluster = Self::new(seats, sink, shards, |peers, index| if index == 0 { &[] } else { &peers[..1] })?;
        for node in &mut cluster.nodes {
            node.start_again().await?;
        }
        cluster.settle().await?;
        Ok(cluster)
    }

    /// The same for very many shards: with so many moves at once that it is over soon.
    pub async fn start_large(dir: &Path, sink: &Sink, nodes: usize, shards: u32) -> Result<Self> {
        let seats: Vec<Seat> = (1..=nodes).map(|number| Seat::local(dir, number)).collect();
        let mut cluster = Self::new(&seats, sink, shards, |peers, index| if index == 0 { &[] } else { &peers[..1] })?;
        for (index, node) in cluster.nodes.iter_mut().enumerate() {
            node.start_again().await?;
            if index == 0 {
                let settings = format!("{{\"most_moves\": {MANY_MOVES}}}");
                http::send(node.http(), "PATCH", "/v1/cluster/settings", Some(&settings)).await?.ok()?;
            }
        }
        cluster.settle_within(LONG_PATIENCE).await?;
        Ok(cluster)
    }

    /// Starts so many nodes that are all told the same: they wait until one of them is told to make the cluster.
    pub fn waiting(dir: &Path, sink: &Sink, nodes: usize, shards: u32) -> Result<Self> {
        let seats: Vec<Seat> = (1..=nodes).map(|number| Seat::local(dir, number)).collect();
        let mut cluster = Self::new(&seats, sink, shards, |peers, _| peers)?;
        cluster.nodes.iter_mut().try_for_each(Engine::spawn)?;
        Ok(cluster)
    }

    /// `join` says whom a node is told to join, of all.
    fn new(
        seats: &[Seat],
        sink: &Sink,
        shards: u32,
        join: impl Fn(&[SocketAddr], usize) -> &[SocketAddr],
    ) -> Result<Self> {
        let peers: Vec<SocketAddr> = seats.iter().map(peer).collect::<Result<_>>()?;
        let mut cluster = Self { nodes: Vec::new(), sink: sink.clone(), shards, peers };
        for (index, seat) in seats.iter().enumerate() {
            let node = cluster.node(seat, index, join(&cluster.peers, index))?;
            cluster.nodes.push(node);
        }
        Ok(cluster)
    }

    fn node(&self, seat: &Seat, index: usize, join: &[SocketAddr]) -> Result<Engine> {
        let mut more = vec![format!("--peer-listen={}", self.peers[index]), format!("--name=n{}", index + 1)];
        let join: Vec<String> = join.iter().map(ToString::to_string).collect();
        if !join.is_empty() {
            more.push(format!("--join={}", join.join(",")));
        }
        let (data_dir, sink) = (seat.data_dir.clone(), self.sink.clone());
        let mut engine = Engine::new(EngineOptions { data_dir, sink, shards: self.shards, more })?;
        if let Some(program) = &seat.program {
            engine.set_program(program.clone());
        }
        Ok(engine.at(seat.host, seat.within.clone()).logging_to(seat.log.clone()))
    }

    /// Starts one more node, which joins the first, and waits until it is part of the cluster. Its id.
    pub async fn add(&mut self, seat: &Seat) -> Result<u64> {
        self.peers.push(peer(seat)?);
        let mut node = self.node(seat, self.nodes.len(), &self.peers[..1])?;
        node.start_again().await?;
        self.nodes.push(node);
        let (begun, name) = (Instant::now(), format!("n{}", self.nodes.len()));
        while begun.elapsed() < PATIENCE {
            // It is asked in vain now and then while leaders change.
            if let Ok(state) = self.state().await {
                let mut up = state.nodes.iter().filter(|node| node.state == NodeState::Up && node.alive);
                if let Some(node) = up.find(|node| node.name == name) {
                    return Ok(node.id);
                }
            }
            tokio::time::sleep(STEP).await;
        }
        bail!("node {name} is ready, but no part of the cluster")
    }

    /// Starts all nodes that don't run, side by side: some of them may need others to be ready.
    pub async fn start_all(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().filter(|node| node.process().is_err()) {
            node.spawn()?;
        }
        for node in &mut self.nodes {
            node.wait_ready().await?;
        }
        Ok(())
    }

    /// An error with the end of its log if a node has ended by itself.
    pub fn check_running(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Engine::check_running)
    }

    /// The gRPC doors of all.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Engine::grpc).collect()
    }

    /// As any running node tells it.
    pub async fn state(&self) -> Result<ClusterState> {
        // All are asked at once: one that is frozen or cut off answers late or never.
        let asks = self.nodes.iter().map(|node| Box::pin(state_of(node)));
        Ok(select_ok(asks).await?.0)
    }

    /// Waits until every node answers and every shard is led, with all its voters, for at most so long. How long it took, or what was still
    /// to come.
    pub async fn serving(&self, patience: Duration) -> Result<Duration, String> {
        let (begun, begun_at) = (Instant::now(), Utc::now());
        loop {
            let why = match self.state().await {
                Ok(state) if state.observed_at < begun_at => Some("nobody has looked since".to_owned()),
                Ok(state) => not_serving(&state),
                Err(error) => Some(error.to_string()),
            };
            match why {
                None => return Ok(begun.elapsed()),
                Some(why) if begun.elapsed() > patience => return Err(why),
                Some(_) => tokio::time::sleep(STEP / 4).await,
            }
        }
    }

    /// The node that leads most shards, by its place in the list.
    pub async fn busiest(&self) -> Result<usize> {
        let state = self.state().await?;
        let leaders = state.shards.iter().filter(|shard| shard.shard != META_SHARD).filter_map(|shard| shard.leader);
        let mut led = vec![0; self.nodes.len()];
        for leader in leaders {
            let place = usize::try_from(leader)?.checked_sub(1).filter(|place| *place < led.len());
            led[place.with_context(|| format!("node {leader} was not started here"))?] += 1;
        }
        (0..led.len()).max_by_key(|place| led[*place]).context("no node")
    }

    /// Waits until nothing moves, every shard has as many voters as it can have, and leaders are even.
    pub async fn settle(&self) -> Result<ClusterState> {
        self.settle_within(PATIENCE).await
    }

    async fn settle_within(&self, patience: Duration) -> Result<ClusterState> {
        let begun = Instant::now();
        loop {
            let state = self.state().await;
            let why = match &state {
                Ok(state) => unsettled(state),
                Err(error) => Some(error.to_string()),
            };
            match (state, why) {
                (Ok(state), None) => return Ok(state),
                (_, Some(why)) if begun.elapsed() > patience => bail!("the cluster is not at rest: {why}"),
                _ => tokio::time::sleep(STEP).await,
            }
        }
    }
}

async fn state_of(node: &Engine) -> Result<ClusterState> {
    Ok(serde_json::from_str(&node.page("/v1/cluster").await?.ok()?)?)
}

/// The door for other nodes.
fn peer(seat: &Seat) -> Result<SocketAddr> {
    Ok(SocketAddr::new(seat.peer_host, free_port()?.port()))
}

/// What is still to come until all nodes take part in all that they should.
fn not_serving(state: &ClusterState) -> Option<String> {
    let up: Vec<_> = state.nodes.iter().filter(|node| node.state == NodeState::Up).collect();
    if let Some(gone) = up.iter().find(|node| !node.alive) {
        return Some(format!("node {} does not answer", gone.id));
    }
    let wanted = up.len().min(state.settings.replication as usize);
    for shard in &state.shards {
        let voters = shard.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count();
        if voters < wanted || shard.leader.is_none() {
            return Some(format!("shard {} has {voters} voters of {wanted}, leader {:?}", shard.shard, shard.leader));
        }
    }
    None
}

/// What is still to come until the cluster is as it would be if nothing had happened.
fn unsettled(state: &ClusterState) -> Option<String> {
    if let Some(why) = not_serving(state) {
        return Some(why);
    }
    if let Some(moving) = state.moves.first() {
        return Some(format!("shard {} moves", moving.shard));
    }
    let up: Vec<_> = state.nodes.iter().filter(|node| node.state == NodeState::Up).collect();
    let wanted = up.len().min(state.settings.replication as usize);
    if let Some(shard) = state.shards.iter().find(|shard| shard.replicas.len() != wanted) {
        return Some(format!("shard {} has {} replicas of {wanted}", shard.shard, shard.replicas.len()));
    }
    let leaders = || up.iter().map(|node| node.leaders);
    match (leaders().min(), leaders().max()) {
        (Some(least), Some(most)) if most > least + 2 => Some(format!("nodes lead {least} to {most} shards")),
        _ => None,
    }
}
