//! The cluster as its operators see it: what stands where, what moves, and wishes about it.
//!
//! Knows how a wish is worded and how long it may take. Whether it can be, and how it is carried out, is the business of the [`Operator`].

use std::sync::Arc;
use std::time::Duration;

use flintwheel_client::{ClusterState, Granted, PlannedStep, SettingsChange};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Api, ApiError};

/// For one wish: the leader of the meta group may have to be found first.
const PATIENCE: Duration = Duration::from_secs(9);

/// Who carries out what operators wish. Asked for again, each wish is answered with `changed` false.
pub trait Operator: Send + Sync + 'static {
    /// The cluster as the leader of its meta group sees it.
    fn status(&self) -> BoxFuture<'_, Result<ClusterState, OperateError>>;
    /// Brings a replica of a shard to a node, in place of that on `from` or of one that is chosen.
    fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> BoxFuture<'_, Result<Granted, OperateError>>;
    /// Hands the leadership of a shard to a node, or to one that is chosen.
    fn transfer(&self, shard: u32, to: Option<u64>) -> BoxFuture<'_, Result<Granted, OperateError>>;
    /// Brings all that a node holds elsewhere; with `drain` false, takes that back.
    fn drain(&self, node: u64, drain: bool) -> BoxFuture<'_, Result<Granted, OperateError>>;
    /// Takes a node out of the cluster for good; with `force` although it holds replicas.
    fn remove(&self, node: u64, force: bool) -> BoxFuture<'_, Result<Granted, OperateError>>;
    /// Drains a node in whose place another one has joined, and removes it once it holds nothing: asked again until then, it goes on.
    fn replace(&self, old: u64, new: u64) -> BoxFuture<'_, Result<Granted, OperateError>>;
    /// Evens out nodes; with `dry_run` only tells what would be done.
    fn rebalance(&self, dry_run: bool) -> BoxFuture<'_, Result<Vec<PlannedStep>, OperateError>>;
    /// Changes settings of the cluster.
    fn set_settings(&self, change: SettingsChange) -> BoxFuture<'_, Result<Granted, OperateError>>;
}

/// Why a wish was not carried out; nothing has changed. Each text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OperateError {
    /// The cluster as it stands does not allow it.
    #[error("{0}")]
    Refused(String),
    /// There is no such node or shard.
    #[error("{0}")]
    NotFound(String),
    /// Nobody leads the meta group at the moment, or it could not be reached; try again shortly.
    #[error("{0}")]
    Passing(String),
}

impl Api {
    /// Who carries out wishes from now on; `None` when the node closes, for an operator holds on to much of it.
    pub fn set_operator(&self, operator: Option<Arc<dyn Operator>>) {
        *self.operator.write() = operator;
    }

    fn operator(&self) -> Result<Arc<dyn Operator>, ApiError> {
        self.operator.read().clone().ok_or(ApiError::Alone)
    }

    /// Nodes, shards, what is moving, settings.
    pub async fn cluster_state(&self) -> Result<ClusterState, ApiError> {
        in_time(self.operator()?.status()).await
    }

    /// See [`Operator::move_shard`].
    pub async fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> Result<Granted, ApiError> {
        in_time(self.operator()?.move_shard(shard, from, to)).await
    }

    /// See [`Operator::transfer`].
    pub async fn transfer_shard(&self, shard: u32, to: Option<u64>) -> Result<Granted, ApiError> {
        in_time(self.operator()?.transfer(shard, to)).await
    }

    /// See [`Operator::drain`].
    pub async fn drain_node(&self, node: u64, drain: bool) -> Result<Granted, ApiError> {
        in_time(self.operator()?.drain(node, drain)).await
    }

    /// See [`Operator::remove`].
    pub async fn remove_node(&self, node: u64, force: bool) -> Result<Granted, ApiError> {
        in_time(self.operator()?.remove(node, force)).await
    }

    /// See [`Operator::replace`].
    pub async fn replace_node(&self, old: u64, new: u64) -> Result<Granted, ApiError> {
        in_time(self.operator()?.replace(old, new)).await
    }

    /// See [`Operator::rebalance`].
    pub async fn rebalance(&self, dry_run: bool) -> Result<Vec<PlannedStep>, ApiError> {
        in_time(self.operator()?.rebalance(dry_run)).await
    }

    /// See [`Operator::set_settings`].
    pub async fn change_settings(&self, change: SettingsChange) -> Result<Granted, ApiError> {
        in_time(self.operator()?.set_settings(change)).await
    }

    /// A node by its id or its name, as people write it.
    pub async fn node_named(&self, text: &str) -> Result<u64, ApiError> {
        let state = self.cluster_state().await?;
        let unknown = || {
            let text = flintwheel_model::ids::short(text);
            OperateError::NotFound(format!(
                "there is no node {text:?} in this cluster: `flintwheel cluster nodes` lists them"
            ))
        };
        Ok(state.node_id(text).ok_or_else(unknown)?)
    }

    /// What a node that has its cluster says to those who want to make one.
    pub fn refuse_init(&self) -> ApiError {
        let why = format!(
            "there is a cluster already, {}: nothing was changed; other nodes join it with `flintwheel server --join`",
            self.node.cluster_id
        );
        OperateError::Refused(why).into()
    }
}

async fn in_time<T>(wish: BoxFuture<'_, Result<T, OperateError>>) -> Result<T, ApiError> {
    let late = |_| OperateError::Passing(format!("the cluster did not answer within {PATIENCE:?}; ask how it stands"));
    Ok(tokio::time::timeout(PATIENCE, wish).await.map_err(late)??)
}
