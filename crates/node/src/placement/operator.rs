//! Placement as operators reach it, through the doors.

use flintwheel_client::{ClusterState, Granted, PlannedStep, SettingsChange};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{MetaError, Placement};
use crate::api::{OperateError, Operator};

type Answer<'a, T> = BoxFuture<'a, Result<T, OperateError>>;

fn told<'a, T>(asked: impl Future<Output = Result<T, MetaError>> + Send + 'a) -> Answer<'a, T> {
    let refused = |error| match error {
        MetaError::Refused(why) => OperateError::Refused(why),
        MetaError::NotFound(why) => OperateError::NotFound(why),
        MetaError::NotReached(_) => OperateError::Passing(error.to_string()),
    };
    asked.map(move |answer| answer.map_err(refused)).boxed()
}

impl Operator for Placement {
    fn status(&self) -> Answer<'_, ClusterState> {
        told(self.status())
    }

    fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> Answer<'_, Granted> {
        told(self.move_shard(shard, from, to))
    }

    fn transfer(&self, shard: u32, to: Option<u64>) -> Answer<'_, Granted> {
        told(self.transfer(shard, to))
    }

    fn drain(&self, node: u64, drain: bool) -> Answer<'_, Granted> {
        told(self.drain(node, drain))
    }

    fn remove(&self, node: u64, force: bool) -> Answer<'_, Granted> {
        told(self.remove(node, force))
    }

    fn replace(&self, old: u64, new: u64) -> Answer<'_, Granted> {
        told(self.replace(old, new))
    }

    fn rebalance(&self, dry_run: bool) -> Answer<'_, Vec<PlannedStep>> {
        told(self.rebalance(dry_run))
    }

    fn set_settings(&self, change: SettingsChange) -> Answer<'_, Granted> {
        told(self.set_settings(change))
    }
}
