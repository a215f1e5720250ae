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
        Some(identity) if identity.node == FOUNDER && reserved.is_founding() => {
            return Ok(Part::Founder(New::default()));
        }
        // A founder asks nobody for its id, and without others nobody could give it again.
        Some(identity) if identity.node == FOUNDER || seeds.is_empty() => return Err(lost(identity.node)),
        None if seeds.is_empty() => return Ok(Part::Founder(New::default())),
        _ => {}
    }
    let mut told = None;
    loop {
        let mut why = Vec::new();
        for seed in others(seeds, card) {
            match ask(&seed, card).await {
                Ok(answer) => return read(&answer).map_err(|why| RunError(format!("{seed}: {why}"))),
                Err(status) => match refusal(&status) {
                    Some(refusal) => return Err(RunError(format!("{seed} does not take this node in: {refusal}"))),
                    None => why.push(format!("{seed}: {}", status.message())),
                },
            }
        }
        let why = if why.is_empty() { "join names only this node".to_owned() } else { why.join("; ") };
        if told.as_ref() != Some(&why) {
            tracing::info!(
                %why,
                "waiting to be taken in by the cluster; if there is none yet, run `flintwheel cluster init` on one node"
            );
            told = Some(why);
        }
        sleep(PAUSE).await;
    }
}

/// Whom this node was told to join, but itself.
pub(super) fn others(seeds: &[String], card: &Card) -> Vec<String> {
    seeds.iter().filter(|seed| **seed != card.addresses.peer).cloned().collect()
}

fn lost(node: u64) -> RunError {
    RunError(format!(
        "data_dir: it has the identity of node {node} and no log: it was copied in part, or has lost it; put the whole directory back, or empty it \
         and start with --join"
    ))
}

/// Why this node is not taken in, where somebody has to mend something first.
fn refusal(status: &Status) -> Option<String> {
    const WRONG_DOOR: &str =
        "something else than a door for nodes answers there: name its peer_listen, not grpc_listen or http_listen";
    match status.code() {
        Code::FailedPrecondition | Code::InvalidArgument => Some(status.message().to_owned()),
        Code::Unimplemented => Some(WRONG_DOOR.to_owned()),
        // What `tonic` says where an HTTP door has answered with a text of its own.
        Code::Internal if status.message().contains("invalid compression flag") => Some(WRONG_DOOR.to_owned()),
        _ => None,
    }
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
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_has_to_mend_ends_the_waiting() {
        let door = Some("something else than a door for nodes answers there");
        let cases = [
            (Code::FailedPrecondition, "the name is taken", Some("the name is taken")),
            (Code::InvalidArgument, "the token has not 16 bytes", Some("the token has not 16 bytes")),
            (Code::Unimplemented, "", door),
            (Code::Internal, "protocol error: received message with invalid compression flag: 123", door),
            (Code::Internal, "the cluster gave no id", None),
            (Code::Unavailable, "the cluster is just being made", None),
        ];
        for (code, message, expected) in cases {
            let told = refusal(&Status::new(code, message));
            match expected {
                Some(expected) => assert!(told.as_ref().is_some_and(|told| told.starts_with(expected)), "{told:?}"),
                None => assert_eq!(told, None, "{message}"),
            }
        }
    }

    fn settled(dir: &std::path::Path) -> impl Future<Output = Result<Part, RunError>> {
        let reserved = flintwheel_store::DataDir::reserve(dir).unwrap();
        async move { settle(&reserved, &[], &Card::default()).await }
    }

    #[tokio::test]
    async fn a_directory_that_was_copied_in_part_makes_no_second_cluster() {
        for node in [FOUNDER, 2] {
            let (whole, part) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let data = flintwheel_store::DataDir::open(whole.path(), node, None).unwrap();
            std::fs::copy(whole.path().join("identity"), part.path().join("identity")).unwrap();
            let told = settled(part.path()).await.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(&format!("it has the identity of node {node} and no log")), "{told}");
            drop(data);
        }
    }

    #[tokio::test]
    async fn a_first_start_that_was_interrupted_goes_on_as_the_founder() {
        let dir = tempfile::tempdir().unwrap();
        drop(flintwheel_store::DataDir::open(dir.path(), FOUNDER, None).unwrap());
        assert!(matches!(settled(dir.path()).await, Ok(Part::Founder(_))));
    }
}
