//! Leaders given to other nodes that have their shards: by a node that stops, and by one whose clock is astray.

use std::time::Duration;

use flintwheel_cluster::Meta;
use flintwheel_raft::{Group, Groups};
use flintwheel_shard::{Machine, Replicated};
use futures::future::{join, join_all};

/// Gives away all that this node leads, each to the voter that has most of its log of those that are `fit`. Waits until it is so, at most
/// `within`; where nobody takes over, those that are left elect.
pub async fn all(shards: &Groups<Machine>, meta: &Groups<Meta>, me: u64, fit: impl Fn(u64) -> bool, within: Duration) {
    let of_shards = join_all(shards.iter().map(|group| one(group, me, &fit)));
    let of_meta = join_all(meta.iter().map(|group| one(group, me, &fit)));
    if tokio::time::timeout(within, join(of_shards, of_meta)).await.is_err() {
        tracing::warn!(?within, "not all shards found another leader; the others elect one");
    }
}

async fn one<M: Replicated>(group: Group<M>, me: u64, fit: &impl Fn(u64) -> bool) {
    let mut leadership = group.watch_leader();
    if !leadership.borrow().is_leader() {
        return;
    }
    let (voters, replication) = (group.members().voters, group.replication());
    let others = replication.into_iter().filter(|(node, _)| *node != me && voters.contains(node) && fit(*node));
    let Some((to, _)) = others.max_by_key(|(_, last)| *last) else { return };
    if let Err(error) = group.transfer_leader(to).await {
        tracing::debug!(shard = group.shard(), to, %error, "a leader was not handed over");
        return;
    }
    // An error means that the group has ended.
    let _ = leadership.wait_for(|now| !now.is_leader()).await;
}
