//! Room on the disks: what would make a shard grow is refused before a majority of its replicas has none, and firing goes on from a reserve.
//!
//! Each node looks at its own disk and asks the others how theirs stand. One that is low gives its leaders to nodes that are not. There is
//! nothing to do when there is room again: it goes on by itself.

mod level;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::Meta;
use flintwheel_raft::Groups;
use flintwheel_shard::calendar_entry::CalendarStep;
use flintwheel_shard::entry::{BackfillStep, Body};
use flintwheel_store::{FreeSpace, free_space};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::error::EngineError;
use crate::hand_over;
use crate::peers::{Answers, Peers, Subject};
use crate::shared::Shared;
pub use level::Level;
use level::default_reserve;

/// How often disks are looked at. What a node takes in meanwhile must fit into the reserve: at a hundred megabytes a second it does.
const ROUND: Duration = Duration::from_secs(2);
/// For another node's answer.
const WITHIN: Duration = Duration::from_secs(1);
/// For the leaders of a node whose disk is low.
const HAND_OVER: Duration = Duration::from_secs(3);

/// How the disks of this node and of the others stand, as far as this node knows.
#[derive(Debug, Default)]
pub struct Rooms {
    own: AtomicU8,
    others: Mutex<BTreeMap<u64, Level>>,
    /// Any of them is not [`Level::Plenty`]: else nothing has to be looked up.
    any: AtomicBool,
}

impl Rooms {
    /// Of this node's disk.
    pub fn own(&self) -> Level {
        Level::from_code(self.own.load(Ordering::Acquire)).unwrap_or_default()
    }

    /// Of a node's disk; one that was never heard has room.
    pub fn of(&self, node: u64, me: u64) -> Level {
        if node == me { self.own() } else { self.others.lock().get(&node).copied().unwrap_or_default() }
    }

    /// Whether a shard with these voters takes what makes it grow; if not, which of them have no room.
    fn refuse(&self, me: u64, voters: &BTreeSet<u64>) -> Option<Vec<u64>> {
        let low: Vec<u64> = voters.iter().copied().filter(|node| self.of(*node, me) != Level::Plenty).collect();
        let with_room = voters.len() - low.len();
        (!low.is_empty() && with_room < voters.len() / 2 + 1).then_some(low)
    }

    pub(crate) fn set_own(&self, level: Level) {
        self.own.store(level as u8, Ordering::Release);
        self.note();
    }

    /// Those that did not answer stay as they were.
    fn set_others(&self, heard: BTreeMap<u64, Level>, nodes: &[u64]) {
        let mut others = self.others.lock();
        others.extend(heard);
        others.retain(|node, _| nodes.contains(node));
        drop(others);
        self.note();
    }

    fn note(&self) {
        let any = self.own() != Level::Plenty || self.others.lock().values().any(|level| *level != Level::Plenty);
        self.any.store(any, Ordering::Release);
    }
}

/// Whether a shard that this node leads takes what makes it grow.
pub fn admit(shared: &Shared, shard: u32) -> Result<(), EngineError> {
    let rooms = shared.peers.rooms();
    if !rooms.any.load(Ordering::Acquire) {
        return Ok(());
    }
    let Some(group) = shared.groups.find(shard) else { return Ok(()) };
    match rooms.refuse(shared.peers.me(), &group.members().voters) {
        Some(low) => Err(EngineError::DiskLow { shard, nodes: low }),
        None => Ok(()),
    }
}

/// Whether a decision makes the state grow by the will of a user. What is due, what has been answered and what goes away is always taken.
pub fn grows(body: &Body) -> bool {
    match body {
        Body::Define(_) | Body::Trigger(_) | Body::Ingest(_) | Body::Restore(_) => true,
        Body::Calendar(step) => matches!(step, CalendarStep::Put(_) | CalendarStep::Days { .. }),
        Body::Delete(_) | Body::Pause(_) | Body::Fire(_) | Body::Ack(_) | Body::Closed(_) => false,
        Body::Conclude(_) | Body::Rezone(_) | Body::Follow(_) => false,
        Body::Dead(_) | Body::Expire(_) => false,
        Body::Backfill(steps) => !steps.iter().all(|step| matches!(step, BackfillStep::Stop { .. })),
    }
}

/// Tells other nodes how this one's disk stands.
struct Tells(Arc<Peers>);

impl Answers for Tells {
    fn answer(&self, _from: u64, _body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let level = self.0.rooms().own();
        async move { Ok(Bytes::copy_from_slice(&[level as u8])) }.boxed()
    }
}

/// Answers other nodes from now on. [`Peers::close`] lets go of it again.
pub fn register(peers: &Arc<Peers>) {
    peers.register(Subject::Room, Arc::new(Tells(Arc::clone(peers))));
}

/// Looks and asks, for all time. `dir` is the data directory, `reserve` the bytes that are to stay free on its disk, where that is set.
pub async fn run(shared: Arc<Shared>, meta: Arc<Groups<Meta>>, dir: PathBuf, reserve: Option<u64>) {
    let mut every = tokio::time::interval(ROUND);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        every.tick().await;
        match look(&dir).await {
            Ok(space) => {
                take(shared.peers.rooms(), space, reserve.unwrap_or_else(|| default_reserve(space.total)));
                silent = false;
            }
            // Said once; the level stays what it was.
            Err(why) if !silent => {
                tracing::warn!(dir = %dir.display(), %why, "the disk does not say how much room it has");
                silent = true;
            }
            Err(_) => {}
        }
        ask(&shared).await;
        let (rooms, me) = (shared.peers.rooms(), shared.peers.me());
        if rooms.own() != Level::Plenty {
            let fit = |node| rooms.of(node, me) == Level::Plenty;
            hand_over::all(&shared.groups, &meta, me, fit, HAND_OVER).await;
        }
    }
}

async fn look(dir: &Path) -> Result<FreeSpace, String> {
    let dir = dir.to_owned();
    // A disk that hangs must not hold up a thread that serves others.
    let space = tokio::task::spawn_blocking(move || free_space(&dir)).await;
    space.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

fn take(rooms: &Rooms, space: FreeSpace, reserve: u64) {
    let before = rooms.own();
    let now = before.next(space.available, reserve);
    if now == before {
        return;
    }
    rooms.set_own(now);
    let free = space.available;
    match now {
        Level::Plenty => tracing::warn!(free, "there is room on the disk again: everything is taken in"),
        Level::Low => tracing::error!(
            free,
            reserve,
            "the disk has less free than its reserve: nothing new is taken in, what exists goes on firing. Make room there"
        ),
        Level::Out => tracing::error!(free, "the disk is nearly full: what is due waits. Make room there"),
    }
}

async fn ask(shared: &Shared) {
    let nodes: Vec<u64> = shared.peers.directory().nodes().iter().map(|node| node.id).collect();
    let read = |answer: &[u8]| answer.first().copied().and_then(Level::from_code);
    let told = shared.peers.ask_others(Subject::Room, WITHIN, read).await;
    let heard = told.into_iter().map(|(node, (level, _))| (node, level)).collect();
    shared.peers.rooms().set_others(heard, &nodes);
}
