//! Brings the replicas that this node holds to what the directory says: those that it names come, those that it no longer names go.
//!
//! A member of a group must never lose what it has: its leader counts on it, and would stop. So:
//!
//! - **Coming** is safe at any time: an empty replica has no voice until its group's leader adds it. The leader first asks the node whether it
//!   holds the replica for the generation of the row by which it comes ([`Placement::ensure_hosted`]).
//! - **Going** happens only by a directory that is not older than the moment of asking, by the word of the meta group's confirmed leader: a copy
//!   from a file, or from a node that is behind, may be from before the replica came. The row names a node until its group has taken it
//!   out, so who is not named is no member. A shard without a row is not touched: its cluster is just being founded.
//! - Both, and the leader's question, take turns by one lock. So what was said to be held is not removed by a decision from before; and what
//!   is being removed is gone, and made anew, before it is said to be held.
//!
//! Crashes: after a replica was recorded and before anything was said of it, it is empty, and either named or removed at the next start.
//! While one is removed, the log has a mark, and the next start goes on. After a restart the directory's file may be older than what the node
//! holds: then nothing is removed until the meta group has been heard.
//!
//! A damaged replica (it is fenced: it does nothing) goes as any other, and may also go when its node is asked to hold a new one: who asks is about to
//! add it as a learner, so it is no member, and nobody counts on what it had.
//!
//! A node that was out of the group and comes back to it before it has removed its old replica (it was down meanwhile) keeps it: what is
//! committed in it is a beginning of what the group has, and the rest is overwritten, as in any follower that was away. A disk that has lost or
//! forgotten something is another matter, and is found by its epoch, at registration.

use std::time::Duration;

use flintwheel_cluster::rows::MoveStep;
use flintwheel_cluster::{META, Meta};
use flintwheel_raft::OpenError;
use tokio::time::Instant;

use super::Placement;
use super::change::Fault;

/// How long the directory is waited for, when another node knows more.
const NEWER: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(20);

/// So often a replica is made anew at once. Whatever damages it again and again (memory, an entry that no program applies) would else cost its peers a
/// snapshot each time.
const AT_ONCE: u32 = 2;
/// Before the next one; doubled with each further one up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// How often this node's replica of a shard was damaged, and when it was last removed for that.
#[derive(Default)]
pub(super) struct Relapses {
    times: u32,
    last: Option<Instant>,
}

impl Relapses {
    fn note(&mut self, now: Instant) {
        // What was long ago has nothing to do with it.
        let recent = self.last.is_some_and(|last| now - last < 2 * LONGEST);
        self.times = if recent { self.times.saturating_add(1) } else { 1 };
        self.last = Some(now);
    }

    /// How long the next replica has to wait.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let since = now - self.last?;
        let beyond = self.times.checked_sub(AT_ONCE + 1)?;
        let pause = FIRST.saturating_mul(1 << beyond.min(10)).min(LONGEST);
        pause.checked_sub(since).filter(|left| !left.is_zero())
    }
}

impl Placement {
    /// For all time.
    pub(super) async fn keep_hosted(&self) {
        let mut changed = self.peers.directory().watch();
        loop {
            self.reconcile().await;
            // Its sender is the directory, which this holds.
            let _ = tokio::time::timeout(self.pace.round, changed.changed()).await;
        }
    }

    async fn reconcile(&self) {
        let (me, meta) = (self.peers.me(), self.peers.directory().meta());
        let missing = meta.shards().filter(|(shard, row)| row.on(me).is_some() && !self.holds(*shard));
        for (shard, _) in missing {
            if let Err(error) = self.host(shard).await {
                tracing::warn!(shard, %error, "this node does not get its replica of a shard; it is tried again");
            }
        }
        let left_over = self.left_over(&meta);
        if left_over.is_empty() {
            return;
        }
        match self.bring_up_to_date().await {
            Ok(()) => self.retire(left_over).await,
            Err(why) => {
                tracing::debug!(?left_over, why, "replicas that are not wanted here stay until that is certain")
            }
        }
    }

    /// What this node holds, and a row does not name.
    fn left_over(&self, meta: &Meta) -> Vec<u32> {
        let held = self.shards.iter().map(|group| group.shard()).chain(self.meta.iter().map(|group| group.shard()));
        held.filter(|shard| self.is_left_over(meta, *shard)).collect()
    }

    fn is_left_over(&self, meta: &Meta, shard: u32) -> bool {
        meta.shard(shard).is_some_and(|row| row.on(self.peers.me()).is_none())
    }

    pub(super) fn holds(&self, shard: u32) -> bool {
        if shard == META { self.meta.find(META).is_some() } else { self.shards.find(shard).is_some() }
    }

    async fn host(&self, shard: u32) -> Result<(), OpenError> {
        let _alone = self.hosting.lock().await;
        let meta = self.peers.directory().meta();
        if self.holds(shard) || meta.shard(shard).is_none_or(|row| row.on(self.peers.me()).is_none()) {
            return Ok(());
        }
        if shard == META {
            self.meta.host(META).await?
        } else {
            self.shards.host(shard).await?
        }
        tracing::info!(shard, "this node has a new replica of a shard");
        Ok(())
    }

    /// Why this node's replica of a shard has to be made anew, if it has to.
    fn damage(&self, shard: u32) -> Option<String> {
        if shard == META { self.meta.find(META)?.damage() } else { self.shards.find(shard)?.damage() }
    }

    async fn remove_replica(&self, shard: u32) -> Result<(), OpenError> {
        if self.damage(shard).is_some() {
            self.relapses.lock().entry(shard).or_default().note(Instant::now());
        }
        if shard == META { self.meta.retire(META).await } else { self.shards.retire(shard).await }
    }

    async fn retire(&self, shards: Vec<u32>) {
        let _alone = self.hosting.lock().await;
        let meta = self.peers.directory().meta();
        for shard in shards.into_iter().filter(|shard| self.is_left_over(&meta, *shard)) {
            match self.remove_replica(shard).await {
                Ok(()) => tracing::info!(shard, "this node's replica of a shard was moved away; it is removed"),
                Err(error) => {
                    tracing::warn!(shard, %error, "a replica that was moved away is not removed; the next start does")
                }
            }
        }
    }

    /// What this node has of a shard is damaged, and of no use to the replica that comes in its place.
    async fn clear_damaged(&self, shard: u32) -> Result<(), Fault> {
        let _alone = self.hosting.lock().await;
        let meta = self.peers.directory().meta();
        let comes = meta
            .shard(shard)
            .and_then(|row| row.pending)
            .is_some_and(|pending| pending.step == MoveStep::AddLearner && pending.to == Some(self.peers.me()));
        if comes && let Some(why) = self.damage(shard) {
            self.remove_replica(shard).await.map_err(|error| Fault(error.to_string()))?;
            tracing::info!(shard, why, "this node's damaged replica of a shard is removed");
        }
        let pause = self.relapses.lock().get(&shard).and_then(|relapses| relapses.pause(Instant::now()));
        pause.map_or(Ok(()), |pause| {
            Err(Fault(format!(
                "its replicas of the shard were damaged again and again; it takes the next one in {pause:?}"
            )))
        })
    }

    /// For the leader of a shard, before it adds this node: makes sure that there is a replica, by this generation of the row or a later one.
    pub(super) async fn ensure_hosted(&self, shard: u32, generation: u64) -> Result<(), Fault> {
        self.row_reaches(shard, generation).await?;
        self.clear_damaged(shard).await?;
        self.host(shard).await.map_err(|error| Fault(error.to_string()))?;
        let _alone = self.hosting.lock().await;
        let meta = self.peers.directory().meta();
        let named = meta.shard(shard).is_some_and(|row| row.on(self.peers.me()).is_some());
        if named && self.holds(shard) { Ok(()) } else { Err(Fault("it is not to have a replica any more".to_owned())) }
    }

    /// Waits until this node's directory has this generation of a shard's row, or a later one, which is returned.
    pub(super) async fn row_reaches(&self, shard: u32, generation: u64) -> Result<u64, Fault> {
        let until = Instant::now() + NEWER;
        loop {
            let mine = self.peers.directory().meta().shard(shard).map_or(0, |row| row.generation);
            if mine >= generation {
                return Ok(mine);
            }
            if Instant::now() >= until {
                return Err(Fault(format!(
                    "its directory knows generation {mine} of the shard, {generation} is needed"
                )));
            }
            self.copy_own();
            self.outdated.notify_one();
            tokio::time::sleep(GLANCE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_is_damaged_again_and_again_comes_back_ever_later() {
        let (mut relapses, now) = (Relapses::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            relapses.note(now);
            pauses.push(relapses.pause(now).map_or(0, |pause| pause.as_secs()));
        }
        assert_eq!(pauses, [0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(relapses.pause(now + Duration::from_secs(3599)), Some(Duration::from_secs(1)));
        assert_eq!(relapses.pause(now + Duration::from_secs(3600)), None);
        let later = now + 2 * LONGEST;
        relapses.note(later);
        assert_eq!((relapses.times, relapses.pause(later)), (1, None));
    }
}
