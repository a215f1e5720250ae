//! Takes new nodes in: the service behind `--join`.

use std::sync::Arc;

use flintwheel_cluster::entry::{Body, Join};
use flintwheel_cluster::rows::Addresses;
use flintwheel_cluster::{Accepted, Meta};
use flintwheel_proto::peer::join_service_server::JoinService;
use flintwheel_proto::peer::{JoinRequest, JoinResponse, WhichRequest, WhichResponse};
use flintwheel_raft::PROTOCOL_VERSIONS;
use tonic::{Request, Response, Status};

use crate::placement::{MetaError, Placement};

/// See the module.
pub struct Admission {
    /// The way to the meta group.
    pub placement: Arc<Placement>,
    /// Shows who is in the cluster.
    pub directory: Arc<crate::peers::Directory>,
}

#[tonic::async_trait]
impl JoinService for Admission {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        check_versions(&request)?;
        let join = read(request)?;
        // The door opens a moment before there is a cluster, and who is refused gives up: nobody has to mend anything here.
        if self.directory.meta().settings().is_none() {
            return Err(being_made());
        }
        let name = join.name.clone();
        let accepted = self.placement.propose(Body::Join(join)).await.map_err(|error| match error {
            MetaError::Refused(why) | MetaError::NotFound(why) => Status::failed_precondition(why),
            other => Status::unavailable(other.to_string()),
        })?;
        let Accepted::Node(node) = accepted else { return Err(Status::internal("the cluster gave no id")) };
        let (version, meta) = self.with_node(node).await?;
        let settings = meta.settings().ok_or_else(being_made)?;
        tracing::info!(node, %name, "a node was taken in");
        Ok(Response::new(JoinResponse {
            cluster: settings.cluster.to_vec().into(),
            node,
            shards: settings.shards,
            directory_version: version,
            directory: meta.to_bytes().into(),
        }))
    }

    async fn which(&self, _: Request<WhichRequest>) -> Result<Response<WhichResponse>, Status> {
        let meta = self.directory.meta();
        let settings = meta.settings().ok_or_else(being_made)?;
        Ok(Response::new(WhichResponse { cluster: settings.cluster.to_vec().into() }))
    }
}

fn being_made() -> Status {
    Status::unavailable("the cluster is just being made")
}

impl Admission {
    /// The directory, as soon as it holds the new node.
    async fn with_node(&self, node: u64) -> Result<(u64, Arc<Meta>), Status> {
        let mut changes = self.directory.watch();
        loop {
            let version = *changes.borrow_and_update();
            let meta = self.directory.meta();
            if meta.node(node).is_some() {
                return Ok((version, meta));
            }
            changes.changed().await.map_err(|_| Status::unavailable("this node is stopping"))?;
        }
    }
}

fn check_versions(request: &JoinRequest) -> Result<(), Status> {
    let theirs = request.oldest_version..=request.newest_version;
    if theirs.start() <= PROTOCOL_VERSIONS.end() && PROTOCOL_VERSIONS.start() <= theirs.end() {
        return Ok(());
    }
    let text = format!(
        "this node speaks protocol versions {PROTOCOL_VERSIONS:?}, the new one {theirs:?}: upgrade the older one"
    );
    Err(Status::failed_precondition(text))
}

fn read(request: JoinRequest) -> Result<Join, Status> {
    let token: [u8; 16] =
        request.token[..].try_into().map_err(|_| Status::invalid_argument("the token has not 16 bytes"))?;
    Ok(Join {
        name: request.name,
        addresses: Addresses { peer: request.peer_address, client: request.client_address, http: request.http_address },
        zone: request.zone,
        capacity: request.capacity,
        token: u128::from_be_bytes(token),
    })
}
