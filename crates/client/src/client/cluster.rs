//! Calls of `ClusterService`.

use flintwheel_proto::v1;

use super::definitions::understood;
use super::{Client, cluster_service};
use crate::convert::cluster_state as convert;
use crate::error::{Code, Error, reason};
use crate::types::{ClusterState, Granted, InitReply, InitRequest, PlannedStep, SettingsChange};

impl Client {
    /// Nodes, shards, what is moving, settings.
    pub async fn cluster_state(&self) -> Result<ClusterState, Error> {
        let request = v1::GetClusterStateRequest {};
        let answer = self.call(request, |t, q| async move { cluster_service(t).get_cluster_state(q).await }).await?;
        understood(convert::from_proto(answer.state))
    }

    /// Brings a replica of a shard to another node, in place of that on `from` or of one that the cluster chooses.
    pub async fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> Result<Granted, Error> {
        let request = v1::MoveShardRequest { shard, to_node: to, from_node: from };
        let answer = self.call(request, |t, q| async move { cluster_service(t).move_shard(q).await }).await?;
        understood(convert::granted_from_proto(answer.granted))
    }

    /// Hands the leadership of a shard to a node, or to one that the cluster chooses.
    pub async fn transfer_shard(&self, shard: u32, to: Option<u64>) -> Result<Granted, Error> {
        let request = v1::TransferShardRequest { shard, to_node: to };
        let answer = self.call(request, |t, q| async move { cluster_service(t).transfer_shard(q).await }).await?;
        understood(convert::granted_from_proto(answer.granted))
    }

    /// Brings all that a node holds elsewhere.
    pub async fn drain_node(&self, node: u64) -> Result<Granted, Error> {
        self.drain(node, false).await
    }

    /// Takes a drain back.
    pub async fn undrain_node(&self, node: u64) -> Result<Granted, Error> {
        self.drain(node, true).await
    }

    async fn drain(&self, node: u64, undo: bool) -> Result<Granted, Error> {
        let request = v1::DrainNodeRequest { node, undo };
        let answer = self.call(request, |t, q| async move { cluster_service(t).drain_node(q).await }).await?;
        understood(convert::granted_from_proto(answer.granted))
    }

    /// Takes a node out of the cluster for good; with `force` although it holds replicas.
    pub async fn remove_node(&self, node: u64, force: bool) -> Result<Granted, Error> {
        let request = v1::RemoveNodeRequest { node, force };
        let answer = self.call(request, |t, q| async move { cluster_service(t).remove_node(q).await }).await?;
        understood(convert::granted_from_proto(answer.granted))
    }

    /// Drains a node in whose place another one has joined, and removes it once it holds nothing: to be asked again then.
    pub async fn replace_node(&self, old: u64, new: u64) -> Result<Granted, Error> {
        let request = v1::ReplaceNodeRequest { old_node: old, new_node: new };
        let answer = self.call(request, |t, q| async move { cluster_service(t).replace_node(q).await }).await?;
        understood(convert::granted_from_proto(answer.granted))
    }

    /// Evens out nodes, or with `dry_run` tells what would be done for that.
    pub async fn rebalance(&self, dry_run: bool) -> Result<Vec<PlannedStep>, Error> {
        let request = v1::RebalanceRequest { dry_run };
        let answer = self.call(request, |t, q| async move { cluster_service(t).rebalance(q).await }).await?;
        understood(convert::steps_from_proto(answer.steps))
    }

    /// Changes settings of the cluster.
    pub async fn change_settings(&self, change: &SettingsChange) -> Result<Granted, Error> {
        let request = convert::change_to_proto(change);
        let call = self.call(request, |t, q| async move { cluster_service(t).update_cluster_settings(q).await });
        understood(convert::granted_from_proto(call.await?.granted))
    }

    /// Makes a cluster of a node that waits for one. Of exactly one address: a second try elsewhere would make a second cluster.
    pub async fn init_cluster(&self, init: &InitRequest) -> Result<InitReply, Error> {
        if self.transports.count() > 1 {
            let message = "a cluster is made of one node: give the address of that one alone; the others join it";
            return Err(Error::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, message));
        }
        let request = convert::init_to_proto(init);
        let answer = self.call(request, |t, q| async move { cluster_service(t).init_cluster(q).await }).await?;
        let v1::InitClusterResponse { cluster_id, node } = answer;
        Ok(InitReply { cluster_id, node })
    }
}
