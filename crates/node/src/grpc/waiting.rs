//! The gRPC door of a node that waits for its cluster: `InitCluster` makes one, everything else is told to wait.

use flintwheel_client::convert::cluster_state::init_from_proto;
use flintwheel_client::{Code, InitReply, InitRequest, reason};
use flintwheel_proto::v1;
use flintwheel_proto::v1::cluster_service_server::{ClusterService, ClusterServiceServer};
use futures::future::BoxFuture;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::health;
use crate::server::{Fault, NOT_INITIALISED};

/// The services of such a node. An error of the handler is for people: why no cluster was made, and what to do.
pub async fn init_only_routes(
    handler: impl Fn(InitRequest) -> BoxFuture<'static, Result<InitReply, String>> + Send + Sync + 'static,
) -> Routes {
    let routes = Routes::new(ClusterServiceServer::new(Waiting(handler))).add_service(health::not_serving().await);
    routes.into_axum_router().fallback(async || not_yet().into_http::<axum::body::Body>()).into()
}

fn not_yet() -> Status {
    Fault::new(Code::Unavailable, reason::NOT_READY, NOT_INITIALISED).into()
}

struct Waiting<F>(F);

#[tonic::async_trait]
impl<F> ClusterService for Waiting<F>
where
    F: Fn(InitRequest) -> BoxFuture<'static, Result<InitReply, String>> + Send + Sync + 'static,
{
    async fn init_cluster(
        &self,
        request: Request<v1::InitClusterRequest>,
    ) -> Result<Response<v1::InitClusterResponse>, Status> {
        let made = (self.0)(init_from_proto(request.into_inner())).await;
        let refused = |why| Fault::new(Code::FailedPrecondition, reason::REFUSED, why);
        let InitReply { cluster_id, node } = made.map_err(refused)?;
        Ok(Response::new(v1::InitClusterResponse { cluster_id, node }))
    }

    async fn get_cluster_state(
        &self,
        _: Request<v1::GetClusterStateRequest>,
    ) -> Result<Response<v1::GetClusterStateResponse>, Status> {
        Err(not_yet())
    }

    async fn move_shard(&self, _: Request<v1::MoveShardRequest>) -> Result<Response<v1::MoveShardResponse>, Status> {
        Err(not_yet())
    }

    async fn transfer_shard(
        &self,
        _: Request<v1::TransferShardRequest>,
    ) -> Result<Response<v1::TransferShardResponse>, Status> {
        Err(not_yet())
    }

    async fn drain_node(&self, _: Request<v1::DrainNodeRequest>) -> Result<Response<v1::DrainNodeResponse>, Status> {
        Err(not_yet())
    }

    async fn remove_node(&self, _: Request<v1::RemoveNodeRequest>) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        Err(not_yet())
    }

    async fn replace_node(
        &self,
        _: Request<v1::ReplaceNodeRequest>,
    ) -> Result<Response<v1::ReplaceNodeResponse>, Status> {
        Err(not_yet())
    }

    async fn rebalance(&self, _: Request<v1::RebalanceRequest>) -> Result<Response<v1::RebalanceResponse>, Status> {
        Err(not_yet())
    }

    async fn update_cluster_settings(
        &self,
        _: Request<v1::UpdateClusterSettingsRequest>,
    ) -> Result<Response<v1::UpdateClusterSettingsResponse>, Status> {
        Err(not_yet())
    }
}
