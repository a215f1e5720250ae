//! The network between the nodes, their clients and Temporal: messages take time, get lost, and some come late; links can be cut in one
//! direction.
//!
//! Messages of one lane between two nodes arrive in order, as the transport promises. One that failed may still arrive, after later ones.

use crate::executor::{Owner, Sleep};
use crate::stage::Stage;
use bytes::Bytes;
use flintwheel_raft::{CallError, Inbound, Lane, Peer, Transport, World, enter};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

/// Where clients and Temporal are.
pub const ELSEWHERE: u64 = 0;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;

/// What the network is like in a run, and who is on it.
#[derive(Default)]
pub struct Network {
    /// From, to: nothing gets through.
    pub cut: BTreeSet<(u64, u64)>,
    /// Of a thousand messages.
    pub lost: u64,
    /// Of a thousand messages: those that take up to a second.
    pub slow: u64,
    /// When the last message of a lane arrives.
    last: BTreeMap<(u64, u64, u8), u64>,
    doors: BTreeMap<u64, Door>,
}

/// How a node that runs is reached.
#[derive(Clone)]
struct Door {
    inbound: Arc<dyn Inbound>,
    owner: Owner,
    world: Arc<dyn World>,
}

impl Network {
    /// A node can be reached from now on.
    pub fn open(&mut self, node: u64, inbound: Arc<dyn Inbound>, owner: Owner, world: Arc<dyn World>) {
        self.doors.insert(node, Door { inbound, owner, world });
    }

    /// And no more.
    pub fn close(&mut self, node: u64) {
        self.doors.remove(&node);
    }
}

/// What becomes of a message.
enum Fate {
    Arrives(u64),
    /// Nobody hears that it did.
    Late(u64),
    Lost,
}

/// One way between two places: how long a message takes now, or that it does not get through.
pub fn hop(stage: &Stage, from: u64, to: u64) -> Option<Duration> {
    let network = stage.network.lock();
    let mut random = stage.random();
    if network.cut.contains(&(from, to)) || random.chance(network.lost) {
        return None;
    }
    let slow = random.chance(network.slow);
    let takes = if slow { random.below(1000 * MILLISECOND) } else { random.within(50 * MICROSECOND..2 * MILLISECOND) };
    Some(Duration::from_nanos(takes))
}

fn fate(stage: &Stage, from: u64, to: u64, lane: Lane) -> Fate {
    let now = stage.executor.now();
    let Some(takes) = hop(stage, from, to) else {
        let mut random = stage.random();
        let late = random.chance(300);
        return if late { Fate::Late(now + random.below(3000 * MILLISECOND)) } else { Fate::Lost };
    };
    let mut network = stage.network.lock();
    let last = network.last.entry((from, to, lane as u8)).or_default();
    *last = (*last + 1).max(now + takes.as_nanos() as u64);
    Fate::Arrives(*last)
}

/// A node's end of the network.
pub struct Line {
    /// Which node.
    pub from: u64,
    /// Where it all happens.
    pub stage: Arc<Stage>,
}

impl Transport for Line {
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (stage, from, to) = (self.stage.clone(), self.from, to.node);
        stage.executor.note(xxh3_64(&message) ^ to);
        stage.count(|counts| counts.messages += 1);
        if lane == Lane::Bulk {
            stage.count(|counts| counts.snapshot_messages += 1);
        }
        let (done, answer) = oneshot::channel();
        let delivery =
            |at, done| deliver(stage.clone(), (from, to), group, message, stage.executor.sleep_until(at), done);
        match fate(&stage, from, to, lane) {
            Fate::Arrives(at) => stage.executor.spawn_outside(delivery(at, Some(done))),
            Fate::Late(at) => stage.executor.spawn_outside(delivery(at, None)),
            Fate::Lost => {}
        }
        wait(stage, answer, within).boxed()
    }
}

async fn wait(stage: Arc<Stage>, answer: oneshot::Receiver<Bytes>, within: Duration) -> Result<Bytes, CallError> {
    let deadline = stage.executor.sleep(within);
    tokio::select! {
        biased;
        answered = answer => match answered {
            Ok(answer) => Ok(answer),
            Err(_) => {
                // A broken link is seen after a while.
                let seen = stage.random().below(200 * MILLISECOND);
                stage.executor.sleep(Duration::from_nanos(seen)).await;
                Err(CallError::Unreachable("the message was lost".to_owned()))
            }
        },
        () = deadline => Err(CallError::TimedOut(within)),
    }
}

async fn deliver(
    stage: Arc<Stage>,
    (from, to): (u64, u64),
    group: u32,
    message: Bytes,
    arrives: Sleep,
    done: Option<oneshot::Sender<Bytes>>,
) {
    arrives.await;
    let door = {
        let network = stage.network.lock();
        if network.cut.contains(&(from, to)) { None } else { network.doors.get(&to).cloned() }
    };
    let Some(Door { inbound, owner, world }) = door else { return };
    let answering = enter(&world, || inbound.answer(from, group, message));
    let back = stage.clone();
    let answer = async move {
        let answer = answering.await;
        if let (Some(takes), Some(done)) = (hop(&back, to, from), done) {
            let sleep = back.executor.sleep(takes);
            // The answer is on its way, whatever becomes of who sent it.
            back.executor.spawn_outside(async move {
                sleep.await;
                drop(done.send(answer));
            });
        }
    };
    stage.executor.spawn(owner, Some(world), answer.boxed());
}
