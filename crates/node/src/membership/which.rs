//! Which cluster the nodes are of that a node was told to join: asked by one that has a cluster of its own already, and before a new one is made.
//!
//! Knows nothing of joining: what it asks changes nothing anywhere.

use std::time::Duration;

use flintwheel_proto::peer::WhichRequest;
use flintwheel_proto::peer::join_service_client::JoinServiceClient;
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use uuid::Uuid;

use super::join::causes;
use crate::error::RunError;

/// For one question to one node. One that waits for its cluster takes connections and never answers: whoever makes a cluster waits so long for it.
const ANSWER: Duration = Duration::from_secs(2);
/// Between two rounds over those that have not answered.
const PAUSE: Duration = Duration::from_secs(3);
/// Rounds after a start. Not for ever: an address may be given to somebody else while the node runs, which is no reason to end it.
const ROUNDS: usize = 20;

/// The cluster that one node is of.
async fn ask(seed: &str) -> Result<Uuid, Status> {
    let endpoint =
        Endpoint::from_shared(format!("http://{seed}")).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let asked = timeout(ANSWER, async {
        let connected = endpoint.connect().await.map_err(|e| Status::unavailable(causes(&e)))?;
        JoinServiceClient::new(connected).which(WhichRequest {}).await
    });
    let late = |_| Status::unavailable(format!("no answer within {ANSWER:?}"));
    let answer = asked.await.map_err(late)??.into_inner();
    Uuid::from_slice(&answer.cluster).map_err(|e| Status::internal(format!("its cluster's id can't be read: {e}")))
}

/// The first of these nodes that has a cluster, and which; none where no answer says so.
pub(super) async fn existing(seeds: &[String]) -> Option<(String, Uuid)> {
    let answers = join_all(seeds.iter().map(async |seed| Some((seed.clone(), ask(seed).await.ok()?)))).await;
    answers.into_iter().flatten().next()
}

/// Looks whether the nodes that this one was told to join are of its own cluster, as far as they answer soon after its start. Returns an error for one
/// that is of another: whoever started this node meant it to be there.
pub async fn same_cluster(mut seeds: Vec<String>, mine: Uuid) -> Result<(), RunError> {
    for _ in 0..ROUNDS {
        let answers = join_all(seeds.iter().map(|seed| ask(seed))).await;
        let mut silent = Vec::new();
        for (seed, answer) in seeds.into_iter().zip(answers) {
            match answer {
                Ok(theirs) => check(&seed, mine, theirs)?,
                // An older version, or no door for nodes at all.
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(_) => silent.push(seed),
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        seeds = silent;
        sleep(PAUSE).await;
    }
    Ok(())
}

fn check(seed: &str, mine: Uuid, theirs: Uuid) -> Result<(), RunError> {
    if mine == theirs {
        return Ok(());
    }
    Err(RunError(format!(
        "data_dir belongs to cluster {mine}, but {seed} in join is of cluster {theirs}: choose another directory, or empty it and join"
    )))
}

#[cfg(test)]
mod tests {
    use flintwheel_proto::peer::join_service_server::{JoinService, JoinServiceServer};
    use flintwheel_proto::peer::{JoinRequest, JoinResponse, WhichResponse};
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response};

    use super::*;

    #[test]
    fn a_node_of_another_cluster_is_told_apart() {
        let (mine, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(check("a:1", mine, mine).is_ok());
        let told = check("a:1", mine, theirs).unwrap_err().to_string();
        let expected = format!("data_dir belongs to cluster {mine}, but a:1 in join is of cluster {theirs}: ");
        assert!(told.starts_with(&expected), "{told}");
    }

    /// A door for nodes of this cluster.
    struct Door(Uuid);

    #[tonic::async_trait]
    impl JoinService for Door {
        async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
            Err(Status::unavailable("nobody decides"))
        }

        async fn which(&self, _: Request<WhichRequest>) -> Result<Response<WhichResponse>, Status> {
            Ok(Response::new(WhichResponse { cluster: self.0.as_bytes().to_vec().into() }))
        }
    }

    #[tokio::test]
    async fn a_door_tells_its_cluster_although_nobody_decides_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = listener.local_addr().unwrap().to_string();
        let (mine, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let server = tonic::transport::Server::builder().add_service(JoinServiceServer::new(Door(theirs)));
        let served = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        assert_eq!(existing(std::slice::from_ref(&seed)).await, Some((seed.clone(), theirs)));
        assert!(same_cluster(vec![seed.clone()], theirs).await.is_ok());
        assert!(same_cluster(vec![seed], mine).await.is_err());
        served.abort();
    }

    #[tokio::test]
    async fn who_does_not_answer_has_no_cluster() {
        // Bound and closed again: nobody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert_eq!(existing(&[nobody]).await, None);
    }
}
