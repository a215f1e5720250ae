//! Whether a member has nearly all of the log, so that it can be told to lead.
//!
//! From when a leader tells another node to lead it proposes nothing until that one has all of its log. A node that was away is heard again at
//! once, but fetches what it missed for some hundred milliseconds; it is told when that is done.

use crate::group::Group;
use crate::runtime::Moment;
use crate::types::{LogId, Types};
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use openraft::{RaftMetrics, ServerState};
use std::time::Duration;

/// A member that has what the log held so long ago can lead: about what it takes to be sent an entry, write it and say so on a busy
/// machine. It is also how long nothing is proposed when it is told to lead.
const NEAR: Duration = Duration::from_millis(50);

impl<M: Replicated> Group<M> {
    /// For a leader: waits, at most `within`, until a member has what the log held 50 ms before. Whether it has.
    pub async fn is_near(&self, node: u64, within: Duration) -> bool {
        let Some(raft) = &self.inner.raft else { return false };
        let began = Moment::now();
        loop {
            let asked = Moment::now();
            let last = raft.metrics().borrow_watched().last_log_index;
            let left = within.saturating_sub(began.elapsed());
            let has =
                |metrics: &RaftMetrics<Types>| metrics.state != ServerState::Leader || matched(metrics, node) >= last;
            match raft.wait(Some(left)).metrics(has, "a member is near the end of the log").await {
                Ok(now) if now.state != ServerState::Leader => return false,
                Ok(_) if asked.elapsed() <= NEAR => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

fn matched(metrics: &RaftMetrics<Types>, node: u64) -> Option<u64> {
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&node));
    matched.and_then(Option::as_ref).map(LogId::index)
}
