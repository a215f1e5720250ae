//! One simulated node: its disk, its clocks, and what runs of it while it runs. The groups are the real ones.

use crate::disk::Disk;
use crate::executor::{Executor, Owner};
use crate::leader;
use crate::network::Line;
use crate::planted::Planted;
use crate::random::Random;
use crate::stage::{NODES, SHARDS, Stage};
use flintwheel_node::clock::Believed;
use flintwheel_node::clocks::Clocks;
use flintwheel_node::clocks::judge::{Shown, confirmed};
use flintwheel_raft::{Founding, Groups, Limits, OpenOptions, Peer, World};
use flintwheel_shard::Machine;
use flintwheel_store::{DataDir, Shelf};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The way to a shard's leader here.
pub type Desk = mpsc::Sender<leader::Message>;

/// A node, whether it runs or not.
pub struct Node {
    /// Its id.
    pub number: u64,
    dir: PathBuf,
    /// What outlives a crash.
    pub disk: Arc<Disk>,
    /// Its wall clock minus the true time, in microseconds.
    pub clock_offset: AtomicI64,
    /// How much faster its monotonic clock runs, in millionths.
    drift: i64,
    /// Of a thousand writes: those that take long.
    pub slow_disk: Arc<AtomicU64>,
    starts: AtomicU64,
    running: Mutex<Option<Running>>,
}

/// What runs of a node.
struct Running {
    owner: Owner,
    world: Arc<Surroundings>,
    clock: Arc<Believed>,
    groups: Option<Arc<Groups<Machine>>>,
    desks: BTreeMap<u32, Desk>,
}

/// What it is while it runs, for its own tasks.
#[derive(Clone)]
pub struct Here {
    /// Where it all happens.
    pub stage: Arc<Stage>,
    /// Which node.
    pub number: u64,
    clock: Arc<Believed>,
    clocks: Arc<Clocks>,
}

impl Here {
    /// The time by which the node fires, in microseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        let (wall, boot) = self.node().shown(&self.stage);
        self.clock.now(wall, boot)
    }

    /// Whether it may fire by that: not before its clock was compared with others, nor while a majority contradicts it.
    pub fn may_fire(&self) -> bool {
        self.clocks.may_fire(self.number)
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.stage.nodes[&self.number]
    }

    /// Adds a task of the node.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.node().running.lock();
        let Some((owner, world)) = running.as_ref().map(|running| (running.owner, running.world.clone())) else {
            return;
        };
        drop(running);
        self.stage.executor.spawn(owner, Some(world), task.boxed());
    }
}

/// Where other nodes reach this one.
pub fn peer(number: u64) -> Peer {
    Peer { node: number, address: format!("node-{number}:1").into() }
}

impl Node {
    /// A new one, with an empty disk below `root`.
    pub fn new(number: u64, root: &Path, planted: Option<Planted>, random: &mut Random) -> Self {
        Self {
            number,
            dir: root.join(format!("node-{number}")),
            disk: Arc::new(Disk::new(planted)),
            clock_offset: AtomicI64::new(0),
            drift: random.below(20_000) as i64 - 10_000,
            slow_disk: Arc::default(),
            starts: AtomicU64::new(0),
            running: Mutex::default(),
        }
    }

    /// What its wall clock and the one that only counts show, in microseconds.
    fn shown(&self, stage: &Stage) -> (i64, i64) {
        (stage.wall() + self.clock_offset.load(Ordering::Relaxed), (stage.executor.now() / 1000) as i64)
    }

    /// The time by which it fires, while it runs.
    fn fires_by(&self, stage: &Stage) -> Option<i64> {
        let (wall, boot) = self.shown(stage);
        Some(self.running.lock().as_ref()?.clock.now(wall, boot))
    }

    /// Its wall clock is believed as it is now, whatever it shows: an operator says so.
    pub fn accept_clock(&self, stage: &Stage) {
        let (wall, boot) = self.shown(stage);
        if let Some(running) = &*self.running.lock() {
            running.clock.accept(wall, boot);
        }
    }

    /// Its groups, while it runs.
    pub fn groups(&self) -> Option<Arc<Groups<Machine>>> {
        self.running.lock().as_ref()?.groups.clone()
    }

    /// Whose its tasks are, while it runs.
    pub fn owner(&self) -> Option<Owner> {
        self.running.lock().as_ref().map(|running| running.owner)
    }

    /// Whether it runs, or is about to.
    pub fn is_running(&self) -> bool {
        self.running.lock().is_some()
    }

    /// The way to a shard's leader, if it is here.
    pub fn desk(&self, shard: u32) -> Option<Desk> {
        self.running.lock().as_ref()?.desks.get(&shard).cloned()
    }

    /// A shard's leader takes work here, or no more.
    pub fn set_desk(&self, shard: u32, desk: Option<Desk>) {
        let Some(running) = &mut *self.running.lock() else { return };
        match desk {
            Some(desk) => drop(running.desks.insert(shard, desk)),
            None => drop(running.desks.remove(&shard)),
        }
    }
}

/// Starts a node that does not run.
pub fn start(stage: &Arc<Stage>, number: u64) {
    let node = &stage.nodes[&number];
    let owner = number + NODE_STARTS * (node.starts.fetch_add(1, Ordering::Relaxed) + 1);
    let world = Surroundings::new(stage, node, owner);
    let (wall, boot) = node.shown(stage);
    let clock = Arc::new(Believed::new(wall, boot));
    let running = Running { owner, world: world.clone(), clock: clock.clone(), groups: None, desks: BTreeMap::new() };
    *node.running.lock() = Some(running);
    let here = Here { stage: stage.clone(), number, clock, clocks: Arc::default() };
    stage.executor.spawn(owner, Some(world), boot_up(here).boxed());
}

/// By how much an answer may be wrong that says what time it is, in microseconds.
const ASKED: i64 = 20_000;
/// Owners are told apart by their node and its start.
const NODE_STARTS: u64 = 1000;

async fn boot_up(here: Here) {
    let node = here.node();
    let opened = match options(&here, node) {
        Ok(options) => Groups::<Machine>::open(options).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let groups = match opened {
        Ok(groups) => Arc::new(groups),
        Err(error) => {
            let what = format!("node {} did not start again: {error}", node.number);
            return here.stage.check("a node comes back with its disk", |_| Err(what));
        }
    };
    let inbound = Arc::new(groups.receiver());
    {
        let mut running = node.running.lock();
        let Some(running) = &mut *running else { return };
        running.groups = Some(groups.clone());
        here.stage.network.lock().open(node.number, inbound, running.owner, running.world.clone());
    }
    here.spawn(maintain(here.clone(), groups.clone()));
    here.spawn(compare_clocks(here.clone(), groups.clone()));
    lead_all(here, groups).await;
}

fn options(here: &Here, node: &Node) -> Result<OpenOptions, String> {
    let data = DataDir::open(&node.dir, node.number, None).map_err(|error| error.to_string())?;
    let limits = Limits {
        // Little, so that entries are read from disk, flushes and purges come often, and who lags needs a snapshot.
        log_memory: SHARDS as usize * 4096,
        replay_bytes: 32 << 10,
        flush_interval: Duration::from_secs(4),
        log_kept: here.stage.log_kept,
        apply_threads: 1,
        sleep_after: here.stage.sleep_after,
        ..Limits::default()
    };
    let founding = if node.number == 1 { Founding::Alone } else { Founding::Member };
    let transport = Arc::new(Line { from: node.number, stage: here.stage.clone() });
    let address = peer(node.number).address;
    Ok(OpenOptions { limits, founding, transport, address, ..OpenOptions::new(data, SHARDS) })
}

/// Flushes, as a node does about once a second.
async fn maintain(here: Here, groups: Arc<Groups<Machine>>) {
    loop {
        here.stage.sleep_within(500..1500).await;
        if let Err(error) = groups.maintain().await {
            return here.stage.check("the disk does not fail", |_| Err(error.to_string()));
        }
    }
}

/// Asks the others what time it is, as a node does: soon until it has heard of a majority, and then now and then. Whoever is contradicted by a majority
/// gives its leaders away.
async fn compare_clocks(here: Here, groups: Arc<Groups<Machine>>) {
    while !here.may_fire() && here.clocks.astray(here.number).is_none() {
        here.stage.sleep_within(50..150).await;
        compare(&here);
    }
    loop {
        here.stage.sleep_within(1500..2500).await;
        compare(&here);
        if here.clocks.astray(here.number).is_some() {
            give_away(&here, &groups).await;
        }
    }
}

/// One round; a wall clock that has jumped ahead is believed where a majority of the others shows the same.
fn compare(here: &Here) {
    let (stage, me, now) = (&here.stage, here.number, here.now());
    let is_reached = |other: u64| {
        let cut = &stage.network.lock().cut;
        other != me && !cut.contains(&(me, other)) && !cut.contains(&(other, me))
    };
    let reached: Vec<u64> = (1..=NODES).filter(|other| is_reached(*other)).collect();
    let mut shown = Shown::from([(me, 0)]);
    for other in reached {
        // Half the time that question and answer take is not known.
        let error = stage.random().below(2 * ASKED as u64) as i64 - ASKED;
        shown.extend(stage.nodes[&other].fires_by(stage).map(|theirs| (other, theirs - now + error)));
    }
    here.clocks.take(me, &shown, NODES as usize);
    let (wall, boot) = here.node().shown(stage);
    if here.clock.is_held() && confirmed(wall - now, me, &shown, NODES as usize) {
        here.clock.accept(wall, boot);
    }
}

async fn give_away(here: &Here, groups: &Groups<Machine>) {
    let led: Vec<_> = groups.iter().filter(|group| group.status().leadership.is_leader()).collect();
    for group in led {
        let fit = |node: &u64| *node != here.number && here.clocks.astray(*node).is_none();
        let others: Vec<u64> = group.members().voters.iter().copied().filter(fit).collect();
        let to = here.stage.random().pick(&others).copied();
        if let Some(to) = to {
            // Again in the next round, if it did not succeed.
            drop(group.transfer_leader(to).await);
        }
    }
}

/// Leads whatever comes, as long as it is here.
async fn lead_all(here: Here, groups: Arc<Groups<Machine>>) {
    let mut changed = groups.watch();
    let led: Arc<Mutex<BTreeSet<u32>>> = Arc::default();
    loop {
        changed.borrow_and_update();
        for group in groups.iter().filter(|group| led.lock().insert(group.shard())) {
            let (here, led, shard) = (here.clone(), led.clone(), group.shard());
            here.clone().spawn(async move {
                leader::lead_when_elected(here, group).await;
                led.lock().remove(&shard);
            });
        }
        // Again after a while: one that left and came back at once is told of once.
        let again = here.stage.executor.sleep(Duration::from_millis(300));
        tokio::select! {
            biased;
            _ = changed.changed() => {}
            () = again => {}
        }
    }
}

/// A node that runs loses its power.
pub fn crash(stage: &Arc<Stage>, number: u64) {
    let node = &stage.nodes[&number];
    let Some(running) = node.running.lock().take() else { return };
    stage.count(|counts| counts.crashes += 1);
    stage.network.lock().close(number);
    stage.executor.end(running.owner);
    drop(running);
    node.disk.crash(&mut stage.random());
}

/// Runs something as a task of a node, and tells what came of it, if the node lived to see it.
pub fn on_node<T, F>(
    stage: &Arc<Stage>,
    number: u64,
    work: impl FnOnce(Arc<Groups<Machine>>) -> F,
) -> oneshot::Receiver<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (done, result) = oneshot::channel();
    let node = &stage.nodes[&number];
    let running =
        node.running.lock().as_ref().map(|running| (running.owner, running.world.clone(), running.groups.clone()));
    if let Some((owner, world, Some(groups))) = running {
        let work = work(groups);
        let task = async move { drop(done.send(work.await)) };
        stage.executor.spawn(owner, Some(world), task.boxed());
    }
    result
}

/// What surrounds one start of a node.
struct Surroundings {
    me: Weak<Self>,
    executor: Arc<Executor>,
    stage: Weak<Stage>,
    owner: Owner,
    drift: i64,
    disk: Arc<Disk>,
    slow_disk: Arc<AtomicU64>,
}

impl Surroundings {
    fn new(stage: &Arc<Stage>, node: &Node, owner: Owner) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            executor: stage.executor.clone(),
            stage: Arc::downgrade(stage),
            owner,
            drift: node.drift,
            disk: node.disk.clone(),
            slow_disk: node.slow_disk.clone(),
        })
    }

    fn below(&self, end: u64) -> u64 {
        self.stage.upgrade().map_or(0, |stage| stage.random().below(end))
    }
}

const MILLION: i128 = 1_000_000;

impl World for Surroundings {
    fn now(&self) -> Duration {
        let local = i128::from(self.executor.now()) * (MILLION + i128::from(self.drift)) / MILLION;
        Duration::from_nanos(local as u64)
    }

    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()> {
        // A moment later rather than sooner.
        let true_time = at.as_nanos() as i128 * MILLION / (MILLION + i128::from(self.drift)) + 2;
        self.executor.sleep_until(true_time as u64).boxed()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        if let Some(me) = self.me.upgrade() {
            self.executor.spawn(self.owner, Some(me), task);
        }
    }

    fn random(&self) -> u64 {
        self.stage.upgrade().map_or(0, |stage| stage.random().number())
    }

    fn queues(&self) -> Duration {
        let most = if self.below(50) == 0 { 20_000 } else { 300 };
        Duration::from_micros(self.below(most))
    }

    fn writes(&self) -> BoxFuture<'static, ()> {
        let slow = self.below(1000) < self.slow_disk.load(Ordering::Relaxed);
        let most = if slow { 400_000 } else { 2_000 };
        self.executor.sleep(Duration::from_micros(100 + self.below(most))).boxed()
    }

    fn log(&self) -> Arc<dyn Shelf> {
        self.disk.log.clone()
    }

    fn state(&self) -> Arc<dyn Shelf> {
        self.disk.state.clone()
    }
}
