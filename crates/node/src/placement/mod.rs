//! Stub.
use crate::clock::Clock;
use crate::peers::Peers;
use flintwheel_cluster::{Accepted, Meta, entry::Body};
use flintwheel_raft::Groups;
use flintwheel_shard::Machine;
use flintwheel_store::DataDir;
use std::sync::Arc;
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Passing(String),
}
pub struct MetaGroup;
impl MetaGroup {
    pub fn new(_: Arc<Groups<Meta>>, _: Arc<Peers>, _: Arc<dyn Clock>) -> Self {
        Self
    }
    pub async fn propose(&self, _: Body) -> Result<Accepted, MetaError> {
        Err(MetaError::Passing("".into()))
    }
}
pub struct Placement;
impl Placement {
    pub fn new(_: Arc<Groups<Machine>>, _: Arc<Groups<Meta>>, _: Arc<MetaGroup>, _: DataDir) -> Self {
        Self
    }
    pub fn register(&self) {}
    pub async fn run(self) {
        std::future::pending().await
    }
}
