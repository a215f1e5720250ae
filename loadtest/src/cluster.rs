//! A cluster as its operator sees it: engines that joined each other, on free ports of this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flintwheel_client::{ClusterState, NodeState, ReplicaRole};

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

/// Several engines. Their places in the list stay; the ids that they gave each other are one more.
pub struct Cluster {
    /// The nodes, running or not.
    pub nodes: Vec<Engine>,
}

impl Cluster {
    /// Starts so many nodes, and waits until each shard has a voter on three of them (or on all, of fewer), and leaders are even.
    pub async fn start(dir: &Path, sink: &Sink, nodes: usize, shards: u32) -> Result<Self> {
        let mut cluster =
            Self::new(dir, sink, nodes, shards, |peers, index| if index == 0 { &[] } else { &peers[..1] })?;
        for node in &mut cluster.nodes {
            node.start_again().await?;
        }
        cluster.settle().await?;
        Ok(cluster)
    }

    /// The same for very many shards: with so many moves at once that it is over soon.
    pub async fn start_large(dir: &Path, sink: &Sink, nodes: usize, shards: u32) -> Result<Self> {
        let mut cluster =
            Self::new(dir, sink, nodes, shards, |peers, index| if index == 0 { &[] } else { &peers[..1] })?;
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
        let mut cluster = Self::new(dir, sink, nodes, shards, |peers, _| peers)?;
        cluster.nodes.iter_mut().try_for_each(Engine::spawn)?;
        Ok(cluster)
    }

    /// `join` says whom a node is told to join, of all.
    fn new(
        dir: &Path,
        sink: &Sink,
        nodes: usize,
        shards: u32,
        join: impl Fn(&[SocketAddr], usize) -> &[SocketAddr],
    ) -> Result<Self> {
        let peers: Vec<SocketAddr> = (0..nodes).map(|_| free_port()).collect::<Result<_>>()?;
        let node = |(index, peer): (usize, &SocketAddr)| {
            let mut more = vec![format!("--peer-listen={peer}"), format!("--name=n{}", index + 1)];
            let seeds: Vec<String> = join(&peers, index).iter().map(ToString::to_string).collect();
            if !seeds.is_empty() {
                more.push(format!("--join={}", seeds.join(",")));
            }
            let data_dir = dir.join(format!("n{}", index + 1));
            Engine::new(EngineOptions { data_dir, sink: sink.clone(), shards, more })
        };
        Ok(Self { nodes: peers.iter().enumerate().map(node).collect::<Result<_>>()? })
    }

    /// The gRPC doors of all.
    pub fn doors(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Engine::grpc).collect()
    }

    /// As any running node tells it.
    pub async fn state(&self) -> Result<ClusterState> {
        let mut last = None;
        for node in &self.nodes {
            match state_of(node).await {
                Ok(state) => return Ok(state),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no node")?)
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
    Ok(serde_json::from_str(&http::get(node.http(), "/v1/cluster").await?.ok()?)?)
}

/// What is still to come.
fn unsettled(state: &ClusterState) -> Option<String> {
    let up: Vec<_> = state.nodes.iter().filter(|node| node.state == NodeState::Up).collect();
    if let Some(gone) = up.iter().find(|node| !node.alive) {
        return Some(format!("node {} does not answer", gone.id));
    }
    if let Some(moving) = state.moves.first() {
        return Some(format!("shard {} moves", moving.shard));
    }
    let wanted = up.len().min(state.settings.replication as usize);
    for shard in &state.shards {
        let voters = shard.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count();
        if voters != wanted || shard.leader.is_none() {
            return Some(format!("shard {} has {voters} voters of {wanted}, leader {:?}", shard.shard, shard.leader));
        }
    }
    let leaders = || up.iter().map(|node| node.leaders);
    match (leaders().min(), leaders().max()) {
        (Some(least), Some(most)) if most > least + 2 => Some(format!("nodes lead {least} to {most} shards")),
        _ => None,
    }
}
