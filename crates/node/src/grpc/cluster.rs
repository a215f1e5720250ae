//! `ClusterService`: of what the cluster is made, and what an operator may ask of it.

use flintwheel_client::Granted;
use flintwheel_client::convert::cluster_state as convert;
use flintwheel_proto::v1;
use flintwheel_proto::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

use crate::api::ApiError;
use crate::server::{Doors, Fault};

/// See the module.
pub struct Cluster(pub Doors);

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn get_cluster_state(
        &self,
        _: Request<v1::GetClusterStateRequest>,
    ) -> Result<Response<v1::GetClusterStateResponse>, Status> {
        let state = self.0.api.cluster_state().await.map_err(Fault::from)?;
        Ok(Response::new(v1::GetClusterStateResponse { state: Some(convert::to_proto(&state)) }))
    }

    async fn move_shard(
        &self,
        request: Request<v1::MoveShardRequest>,
    ) -> Result<Response<v1::MoveShardResponse>, Status> {
        let v1::MoveShardRequest { shard, to_node, from_node } = request.into_inner();
        given(to_node, "to_node")?;
        let granted = told(self.0.api.move_shard(shard, from_node, to_node).await)?;
        Ok(Response::new(v1::MoveShardResponse { granted }))
    }

    async fn transfer_shard(
        &self,
        request: Request<v1::TransferShardRequest>,
    ) -> Result<Response<v1::TransferShardResponse>, Status> {
        let v1::TransferShardRequest { shard, to_node } = request.into_inner();
        let granted = told(self.0.api.transfer_shard(shard, to_node).await)?;
        Ok(Response::new(v1::TransferShardResponse { granted }))
    }

    async fn drain_node(
        &self,
        request: Request<v1::DrainNodeRequest>,
    ) -> Result<Response<v1::DrainNodeResponse>, Status> {
        let v1::DrainNodeRequest { node, undo } = request.into_inner();
        given(node, "node")?;
        let granted = told(self.0.api.drain_node(node, !undo).await)?;
        Ok(Response::new(v1::DrainNodeResponse { granted }))
    }

    async fn remove_node(
        &self,
        request: Request<v1::RemoveNodeRequest>,
    ) -> Result<Response<v1::RemoveNodeResponse>, Status> {
        let v1::RemoveNodeRequest { node, force } = request.into_inner();
        given(node, "node")?;
        let granted = told(self.0.api.remove_node(node, force).await)?;
        Ok(Response::new(v1::RemoveNodeResponse { granted }))
    }

    async fn replace_node(
        &self,
        request: Request<v1::ReplaceNodeRequest>,
    ) -> Result<Response<v1::ReplaceNodeResponse>, Status> {
        let v1::ReplaceNodeRequest { old_node, new_node } = request.into_inner();
        given(old_node, "old_node")?;
        given(new_node, "new_node")?;
        let granted = told(self.0.api.replace_node(old_node, new_node).await)?;
        Ok(Response::new(v1::ReplaceNodeResponse { granted }))
    }

    async fn rebalance(
        &self,
        request: Request<v1::RebalanceRequest>,
    ) -> Result<Response<v1::RebalanceResponse>, Status> {
        let steps = self.0.api.rebalance(request.into_inner().dry_run).await.map_err(Fault::from)?;
        Ok(Response::new(v1::RebalanceResponse { steps: steps.iter().map(convert::step_to_proto).collect() }))
    }

    async fn update_cluster_settings(
        &self,
        request: Request<v1::UpdateClusterSettingsRequest>,
    ) -> Result<Response<v1::UpdateClusterSettingsResponse>, Status> {
        let change = convert::change_from_proto(request.into_inner()).map_err(Fault::from)?;
        let granted = told(self.0.api.change_settings(change).await)?;
        Ok(Response::new(v1::UpdateClusterSettingsResponse { granted }))
    }

    async fn init_cluster(
        &self,
        _: Request<v1::InitClusterRequest>,
    ) -> Result<Response<v1::InitClusterResponse>, Status> {
        Err(Fault::from(self.0.api.refuse_init()).into())
    }
}

/// A node's id can't be left out.
fn given(node: u64, field: &str) -> Result<(), Fault> {
    if node == 0 { Err(Fault::field(field, "is required: the id of a node, from 1")) } else { Ok(()) }
}

fn told(granted: Result<Granted, ApiError>) -> Result<Option<v1::Granted>, Fault> {
    Ok(Some(convert::granted_to_proto(granted?)))
}
