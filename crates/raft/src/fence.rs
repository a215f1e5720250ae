//! Takes a group's replica out of use, from any thread: what it has on disk or in memory can't be trusted, so it votes no more, answers nobody,
//! leads nothing and is not read. Whoever is answered by a closed channel finds the reason here.
//!
//! Knows nothing of Raft: whoever runs the group waits for [`Fence::raised`], and ends it.

use crate::error::Stopped;
use std::sync::OnceLock;
use tokio::sync::watch;

/// Of one replica. It is never taken down: a replica that is made anew has another one.
pub(crate) struct Fence {
    pub(crate) group: u32,
    stopped: OnceLock<Stopped>,
    raised: watch::Sender<bool>,
}

impl Fence {
    pub(crate) fn new(group: u32) -> Self {
        Self { group, stopped: OnceLock::new(), raised: watch::Sender::new(false) }
    }

    /// From now on the replica stands still. The first reason is kept.
    pub(crate) fn raise(&self, stopped: Stopped) {
        let reason = stopped.reason.clone();
        if self.stopped.set(stopped).is_ok() {
            tracing::error!(shard = self.group, %reason, "the shard's replica here stopped; the others go on");
            self.raised.send_replace(true);
        }
    }

    /// The replica leaves this node: the same, and nothing to complain of.
    pub(crate) fn leave(&self) {
        if self.stopped.set(Stopped::because("the shard's replica has left this node")).is_ok() {
            self.raised.send_replace(true);
        }
    }

    /// Why the replica stands still, if it does.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stopped.get().cloned()
    }

    /// Waits until it stands still.
    pub(crate) async fn raised(&self) {
        // Its sender is here, so the wait ends with the value.
        let _ = self.raised.subscribe().wait_for(|raised| *raised).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_is_kept_and_whoever_waits_is_told() {
        let fence = Fence::new(3);
        assert_eq!(fence.stopped(), None);
        fence.raise(Stopped::damaged("a block"));
        fence.raise(Stopped::because("later"));
        fence.leave();
        fence.raised().await;
        assert_eq!(fence.stopped(), Some(Stopped::damaged("a block")));
    }
}
