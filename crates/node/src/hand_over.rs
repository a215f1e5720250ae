//! Leaders given to other nodes that have their shards: by a node that stops, and by one whose clock is astray or whose disk is nearly full.

use std::time::Duration;

use flintwheel_cluster::Meta;
use flintwheel_raft::{Group, Groups, Leadership};
use flintwheel_shard::{Machine, Replicated};
use futures::future::{join, join_all};
use futures::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Groups that are given away at a time, or this part of all, if that is more. Each fires nothing from when it is given until the other node has
/// read its state; if all were given at once, all would wait until the last one has been read.
const AT_ONCE: usize = 4;
const PART: usize = 64;
/// How long another node may take to fetch what it lacks, and then to lead; the next ones wait no longer for one that nobody takes. There may be
/// many, where a node is gone.
const TURN: Duration = Duration::from_millis(200);

/// Gives away all that this node leads, each to the voter that has most of its log of those that are `fit`. Waits until it is so, at most
/// `within`; where nobody takes over, those that are left elect.
pub async fn all(shards: &Groups<Machine>, meta: &Groups<Meta>, me: u64, fit: impl Fn(u64) -> bool, within: Duration) {
    let both = join(by_turns(shards, me, &fit), by_turns(meta, me, &fit));
    if timeout(within, both).await.is_err() {
        tracing::warn!(?within, "not all shards found another leader; the others elect one");
    }
}

async fn by_turns<M: Replicated>(groups: &Groups<M>, me: u64, fit: &impl Fn(u64) -> bool) {
    let led = groups.iter().filter(|group| group.watch_leader().borrow().is_leader()).collect::<Vec<_>>();
    let at_once = AT_ONCE.max(led.len() / PART);
    let given = stream::iter(led).map(|group| in_its_turn(group, me, fit)).buffer_unordered(at_once);
    let given = given.collect::<Vec<_>>().await;
    join_all(given.into_iter().flatten().map(led_elsewhere)).await;
}

type Seen = watch::Receiver<Leadership>;

async fn in_its_turn<M: Replicated>(group: Group<M>, me: u64, fit: &impl Fn(u64) -> bool) -> Option<Seen> {
    let seen = give(&group, me, fit).await?;
    // Who has not taken it by then may still do.
    let _ = timeout(TURN, led_elsewhere(seen.clone())).await;
    Some(seen)
}

/// None where there is nobody to give it to.
async fn give<M: Replicated>(group: &Group<M>, me: u64, fit: &impl Fn(u64) -> bool) -> Option<Seen> {
    let (voters, replication) = (group.members().voters, group.replication());
    let others = replication.into_iter().filter(|(node, _)| *node != me && voters.contains(node) && fit(*node));
    let (to, _) = others.max_by_key(|(_, last)| *last)?;
    // Nothing is proposed from when it is told until it has all. If it is not near by then, it still has most.
    group.is_near(to, TURN).await;
    if let Err(error) = group.transfer_leader(to).await {
        tracing::debug!(shard = group.shard(), to, %error, "a leader was not handed over");
        return None;
    }
    Some(group.watch_leader())
}

async fn led_elsewhere(mut seen: Seen) {
    // An error means that the group has ended.
    let _ = seen.wait_for(|now| !now.is_leader()).await;
}
