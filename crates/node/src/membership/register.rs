//! Registers a node each time that its program starts; a founder makes the cluster first.

use std::sync::Arc;
use std::time::Duration;

use flintwheel_cluster::entry::{Body, Entry, Init, Join, Register};
use flintwheel_cluster::rows::{Formats, Settings};
use flintwheel_cluster::{Meta, Refusal};
use flintwheel_raft::{Groups, META, PROTOCOL_VERSIONS, Starts};

use super::Card;
use crate::clock::Clock;
use crate::engine::FOUNDER;
use crate::error::{RunError, failed};
use crate::placement::{MetaError, Placement};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a node may be gone before its replicas are replaced, until an operator sets it otherwise: longer than a reboot, in microseconds.
const REPAIR_AFTER: i64 = 5 * 60 * 1_000_000;
/// Moves at once, until an operator sets it otherwise.
const MOVES: u32 = 8;

/// See the module.
pub struct Registrar {
    /// The meta group, where this node has a replica of it.
    pub meta: Arc<Groups<Meta>>,
    /// The way to it from anywhere.
    pub placement: Arc<Placement>,
    /// What entries are dated by.
    pub clock: Arc<dyn Clock>,
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// Shards of the cluster.
    pub shards: u32,
    /// Replicas that a new cluster wants.
    pub replication: u32,
    /// This node's id.
    pub node: u64,
    /// Which start of its program this is.
    pub epoch: u64,
    /// Random, of this start.
    pub incarnation: u64,
    /// Where it is noted that the cluster has recorded it.
    pub starts: Starts,
    /// What it says of itself.
    pub card: Card,
}

impl Registrar {
    /// Returns when the cluster has taken note of this start. An error means that it never will.
    pub async fn run(self) -> Result<(), RunError> {
        while self.is_new() {
            self.found().await?;
        }
        let mut told = String::new();
        loop {
            match self.placement.propose(Body::Register(self.registration())).await {
                Ok(_) => break,
                Err(MetaError::Refused(why) | MetaError::NotFound(why)) => return Err(RunError(why)),
                Err(other) => {
                    let why = other.to_string();
                    if why != told {
                        tracing::info!(%why, "this node is not registered yet");
                        told = why;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.starts.confirm(self.epoch).await.map_err(|e| failed("data_dir", &e))?;
        tracing::info!(node = self.node, epoch = self.epoch, "this node is registered with its cluster");
        self.place().await
    }

    /// This node has the meta group, and nobody has made the cluster.
    fn is_new(&self) -> bool {
        let read = self.meta.find(META).map(|group| group.read(|meta, _| meta.settings().is_none()));
        matches!(read, Some(Ok(true))) && self.node == FOUNDER
    }

    async fn found(&self) -> Result<(), RunError> {
        let Some(group) = self.meta.find(META) else { return Ok(()) };
        let settings = Settings {
            cluster: self.cluster,
            shards: self.shards,
            replication: self.replication,
            repair_after: REPAIR_AFTER,
            most_moves: MOVES,
        };
        let Card { name, addresses, zone, capacity, token } = self.card.clone();
        let first = Join { name, addresses, zone, capacity, token };
        let entry = Entry { at: self.clock.now(), body: Body::Init(Init { settings, first }) };
        match group.propose(entry.encode()).await {
            Ok(Ok(_) | Err(Refusal::AlreadyInitialised { .. })) => Ok(()),
            Ok(Err(refusal)) => Err(RunError(refusal.to_string())),
            Err(error) => {
                tracing::debug!(%error, "the cluster is not made yet");
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
        }
    }

    /// The founder has all shards: their first replicas are its own.
    async fn place(&self) -> Result<(), RunError> {
        while self.node == FOUNDER && self.is_unplaced() {
            match self.placement.record_founding().await {
                Ok(_) | Err(MetaError::Refused(_) | MetaError::NotFound(_)) => return Ok(()),
                Err(error) => tracing::debug!(%error, "the first replicas are not recorded yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn is_unplaced(&self) -> bool {
        let first = self.meta.find(META).map(|group| group.read(|meta, _| meta.shard(0).is_none()));
        matches!(first, Some(Ok(true)))
    }

    fn registration(&self) -> Register {
        Register {
            node: self.node,
            epoch: self.epoch,
            incarnation: self.incarnation,
            addresses: self.card.addresses.clone(),
            zone: self.card.zone.clone(),
            capacity: self.card.capacity,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            formats: Formats { least: *PROTOCOL_VERSIONS.start(), most: *PROTOCOL_VERSIONS.end() },
        }
    }
}
