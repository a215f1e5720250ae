//! A new node finds its cluster: it founds one, or asks the given nodes until one of them takes it in.

use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::Meta;
use flintwheel_proto::peer::join_service_client::JoinServiceClient;
use flintwheel_proto::peer::{JoinRequest, JoinResponse};
use flintwheel_raft::PROTOCOL_VERSIONS;
use flintwheel_store::Reserved;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use uuid::Uuid;

use super::Card;
use crate::engine::FOUNDER;
use crate::error::RunError;

/// For one question to one node.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two rounds over all given nodes.
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer: it holds the directory, of 65,536 nodes at most.
const LARGEST: usize = 64 << 20;

/// What part a node has in its cluster, when it starts.
pub enum Part {
    /// Its directory says so.
    Known,
    /// It makes a new cluster.
    Founder(New),
    /// It was taken in.
    Member {
        /// By which cluster.
        cluster: Uuid,
        /// Its id.
        node: u64,
        /// Shards of the cluster.
        shards: u32,
        /// Who is in the cluster, and which entry of the meta group that is of.
        directory: (u64, Box<Meta>),
    },
}

/// What a new cluster is to be; what is not set is as the node is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Its id, where that has been told already.
    pub cluster: Option<Uuid>,
    /// Partitions of the definitions.
    pub shards: Option<u32>,
    /// Replicas wanted of each shard.
    pub replication: Option<u32>,
}

/// Finds out which part it is. Waits for as long as nobody takes it in; a refusal ends it.
pub async fn settle(reserved: &Reserved, seeds: &[String], card: &Card) -> Result<Part, RunError> {
    match reserved.identity() {
        Some(_) if reserved.is_used() => return Ok(Part::Known),
        // Its first start was interrupted: it does the same again, and gets the same id by its token.
        Some(identity) if identity.node == FOUNDER => return Ok(Part::Founder(New::default())),
        None if seeds.is_empty() => return Ok(Part::Founder(New::default())),
        _ => {}
    }
    let mut told = String::new();
    loop {
        let mut why = Vec::new();
        for seed in seeds.iter().filter(|seed| **seed != card.addresses.peer) {
            match ask(seed, card).await {
                Ok(answer) => return read(&answer).map_err(|why| RunError(format!("{seed}: {why}"))),
                Err(status) if is_final(&status) => {
                    return Err(RunError(format!("{seed} does not take this node in: {}", status.message())));
                }
                Err(status) => why.push(format!("{seed}: {}", status.message())),
            }
        }
        let why = why.join("; ");
        if why != told {
            tracing::info!(%why, "waiting to be taken in by the cluster");
            told = why;
        }
        sleep(PAUSE).await;
    }
}

/// Somebody has to mend something first.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented)
}

async fn ask(seed: &str, card: &Card) -> Result<JoinResponse, Status> {
    let endpoint =
        Endpoint::from_shared(format!("http://{seed}")).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let asked = timeout(ANSWER, async {
        let connected = endpoint.connect().await.map_err(|e| Status::unavailable(causes(&e)))?;
        let mut client = JoinServiceClient::new(connected).max_decoding_message_size(LARGEST);
        client.join(request(card)).await
    });
    let late = |_| Status::unavailable(format!("no answer within {ANSWER:?}"));
    Ok(asked.await.map_err(late)??.into_inner())
}

fn request(card: &Card) -> JoinRequest {
    JoinRequest {
        name: card.name.clone(),
        peer_address: card.addresses.peer.clone(),
        client_address: card.addresses.client.clone(),
        http_address: card.addresses.http.clone(),
        zone: card.zone.clone(),
        capacity: card.capacity,
        token: Bytes::copy_from_slice(&card.token.to_be_bytes()),
        oldest_version: *PROTOCOL_VERSIONS.start(),
        newest_version: *PROTOCOL_VERSIONS.end(),
    }
}

fn read(answer: &JoinResponse) -> Result<Part, String> {
    let cluster = Uuid::from_slice(&answer.cluster).map_err(|e| format!("its cluster's id can't be read: {e}"))?;
    let meta = Meta::from_bytes(&answer.directory).map_err(|e| format!("its directory can't be read: {e}"))?;
    if answer.node == 0 || !(1..=flintwheel_cluster::limits::SHARDS).contains(&answer.shards) {
        return Err(format!("it answers node {} and {} shards", answer.node, answer.shards));
    }
    let directory = (answer.directory_version, Box::new(meta));
    Ok(Part::Member { cluster, node: answer.node, shards: answer.shards, directory })
}

/// An error with what is behind it: the outermost alone says "transport error".
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
