//! The clocks of the cluster, compared: a node whose clock a majority contradicts gives its leaders away, and says so.
//!
//! It would fire too early or too late; as a follower it does no harm, for leaders decide. The same comparison confirms a wall clock that
//! has jumped ahead, where the others' have too. Times are those by which nodes fire ([`crate::clock`]); leases and elections go by other
//! clocks, which nobody sets.

pub mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::Meta;
use flintwheel_raft::Groups;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::hand_over;
use crate::peers::{Answers, Subject};
use crate::shared::Shared;
use judge::Shown;

/// How often clocks are compared: so long may a node go by a clock that has been set wrong.
const ROUND: Duration = Duration::from_secs(2);
/// Until a node that has started has heard a majority: what is due waits for it.
const AT_FIRST: Duration = Duration::from_millis(100);
/// An answer that takes longer says too little of the time: half of it is the error.
const WITHIN: Duration = Duration::from_secs(1);
/// For the leaders of a node whose clock is astray.
const HAND_OVER: Duration = Duration::from_secs(3);

/// A jump ahead by no more than this, in microseconds, is somebody who sets the clock right, where there are no other nodes to ask.
const SET_BY_HAND: i64 = 60_000_000;

/// Nodes whose clocks a majority contradicts, as this node sees it.
#[derive(Debug, Default)]
pub struct Clocks {
    judged: Mutex<Judged>,
    /// It was compared with those of others, or there are no others that could tell.
    compared: AtomicBool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Judged {
    /// Microseconds ahead of the majority.
    astray: BTreeMap<u64, i64>,
    /// Nobody knows which of the clocks is wrong.
    disputed: bool,
}

impl Clocks {
    /// How far a node's clock is ahead of those of a majority, in microseconds, or behind where negative. `None`: it goes with them, or nobody
    /// can tell.
    pub fn astray(&self, node: u64) -> Option<i64> {
        self.judged.lock().astray.get(&node).copied()
    }

    /// Whether this node may fire by its clock. Not before that was compared with those of the others: a node that starts with a wrong one may be elected
    /// at once. And not while they contradict it: until its leaders are given away, what is due waits.
    pub fn may_fire(&self, me: u64) -> bool {
        self.compared.load(Ordering::Acquire) && !self.judged.lock().astray.contains_key(&me)
    }

    /// Takes in what the clocks show; says what has changed.
    pub fn take(&self, me: u64, shown: &Shown, nodes: usize) {
        let mut judged = self.judged.lock();
        let disputed = judge::disputed(shown, nodes);
        let now = Judged { astray: judge::astray(shown, nodes, &judged.astray), disputed: disputed.is_some() };
        for (node, ahead) in now.astray.iter().filter(|(node, _)| !judged.astray.contains_key(node)) {
            say(*node, me, *ahead);
        }
        for node in judged.astray.keys().filter(|node| !now.astray.contains_key(node)) {
            tracing::warn!(node, "the clock of a node goes with those of the others again");
        }
        if let Some(gap) = disputed.filter(|_| !judged.disputed) {
            let seconds = gap / 1_000_000;
            tracing::error!(seconds, "clocks of nodes are apart, and no majority says which is wrong; set them right");
        }
        *judged = now;
        if !judge::can_tell(nodes) || shown.len() > nodes / 2 {
            self.compared.store(true, Ordering::Release);
        }
    }
}

fn say(node: u64, me: u64, ahead: i64) {
    let seconds = ahead / 1_000_000;
    if node == me {
        tracing::error!(
            ahead_by_seconds = seconds,
            "this node's clock is not that of the others; it gives its leaders away and leads nothing until the clock is set right"
        );
    } else {
        tracing::error!(
            node,
            ahead_by_seconds = seconds,
            "the clock of a node is not that of the others; set it right"
        );
    }
}

/// Tells other nodes the time by which this one fires.
struct Tells(Arc<dyn Clock>);

impl Answers for Tells {
    fn answer(&self, _from: u64, _body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let now = self.0.now();
        async move { Ok(Bytes::copy_from_slice(&now.to_le_bytes())) }.boxed()
    }
}

/// Answers other nodes from now on.
pub fn register(shared: &Shared) {
    shared.peers.register(Subject::Clock, Arc::new(Tells(Arc::clone(&shared.clock))));
}

/// Compares, for all time.
pub async fn run(shared: Arc<Shared>, meta: Arc<Groups<Meta>>) {
    while !shared.peers.clocks().compared.load(Ordering::Acquire) {
        compare(&shared).await;
        tokio::time::sleep(AT_FIRST).await;
    }
    let mut every = tokio::time::interval(ROUND);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        compare(&shared).await;
        let (clocks, me) = (shared.peers.clocks(), shared.peers.me());
        if clocks.astray(me).is_some() {
            // Again in each round: whoever is elected while others are away may be elected again.
            let fit = |node| clocks.astray(node).is_none();
            hand_over::all(&shared.groups, &meta, me, fit, HAND_OVER).await;
        }
    }
}

/// One round: what all clocks show is judged, and a wall clock that has jumped is believed if the others' have too.
pub(crate) async fn compare(shared: &Shared) {
    let (me, nodes) = (shared.peers.me(), shared.peers.directory().nodes().len());
    let shown = ask(shared).await;
    shared.peers.clocks().take(me, &shown, nodes);
    let Some(wall) = shared.clock.doubted() else { return };
    let ahead = wall - shared.clock.now();
    if judge::confirmed(ahead, me, &shown, nodes) {
        tracing::warn!("the other nodes' clocks have gone on as the wall clock here has; it is believed");
        shared.clock.accept();
    } else if !judge::can_tell(nodes) && ahead <= SET_BY_HAND {
        let seconds = ahead as f64 / 1e6;
        tracing::warn!(
            seconds,
            "the wall clock was set ahead, and there are no others to say that it is wrong; it is believed"
        );
        shared.clock.accept();
    }
}

/// How far each clock is ahead of this node's: each answer is taken to be of the middle of the time that it took.
async fn ask(shared: &Shared) -> Shown {
    let before = shared.clock.now();
    let read = |answer: &[u8]| answer.try_into().ok().map(i64::from_le_bytes);
    let told = shared.peers.ask_others(Subject::Clock, WITHIN, read).await;
    let ahead =
        |theirs: i64, took: Duration| theirs - (before + i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX));
    let others = told.into_iter().map(|(node, (theirs, took))| (node, ahead(theirs, took)));
    others.chain([(shared.peers.me(), 0)]).collect()
}
