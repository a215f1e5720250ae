//! Wakes each shard when its next due time has come. One task for all shards: an idle shard costs a load of an atomic now and then.

use std::sync::Arc;
use std::time::Duration;

use crate::actors::shard::ShardMessage;
use crate::shared::Shared;

/// The longest sleep: wall clocks are set, and machines are suspended, without telling us.
const LONGEST: Duration = Duration::from_millis(100);

/// Runs until it is dropped.
pub async fn run(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now();
        let mut nearest = i64::MAX;
        for shard in 0..shared.shards() {
            let at = shared.wake_at(shard);
            if at <= now {
                // The shard sets its own next time when it has looked; until then it is not woken again.
                shared.set_wake_at(shard, i64::MAX);
                if shared.send(shard, ShardMessage::Tick).is_err() {
                    tracing::debug!(shard, "a tick found no actor; its successor starts with one");
                }
            } else {
                nearest = nearest.min(at);
            }
        }
        let sleep = Duration::from_micros(nearest.saturating_sub(now).clamp(0, i64::MAX) as u64).min(LONGEST);
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = shared.sooner.notified() => {}
        }
    }
}
