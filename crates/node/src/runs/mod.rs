//! Runs watched until they end, where the shards that this node leads depend on it: asked of Temporal for many at a time, and what it says is
//! written down by the shards. One task for each of Temporal's namespaces, so that one that is gone holds no other one up.
//!
//! Nothing is kept here that the shards do not hold: who leads next begins with the runs that are open there.

mod check;
mod open;
mod pages;
mod watch;

pub use pages::Position;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::shared::Shared;

/// How often is asked what has ended: as soon a run that waits for another one begins, at the latest.
const ROUND: Duration = Duration::from_secs(1);

/// Watches for all time.
pub async fn run(shared: Arc<Shared>) {
    let mut watchers: JoinSet<String> = JoinSet::new();
    let mut running: HashMap<String, AbortHandle> = HashMap::new();
    let mut every = tokio::time::interval(ROUND);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        while let Some(ended) = watchers.try_join_next() {
            match ended {
                Ok(namespace) => _ = running.remove(&namespace),
                // It begins anew with what the shards hold.
                Err(error) => {
                    tracing::error!(%error, "watching runs has failed; it begins anew");
                    running.retain(|_, handle| !handle.is_finished());
                }
            }
        }
        for namespace in open::namespaces(&shared) {
            running.entry(namespace.clone()).or_insert_with(|| {
                let shared = Arc::clone(&shared);
                watchers.spawn(async move {
                    watch::run(&shared, &namespace).await;
                    namespace
                })
            });
        }
    }
}
