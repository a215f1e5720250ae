//! What all actors and doors of a node share: the groups, the subscriptions, the clock, the ways to each actor.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use flintwheel_raft::{Group, Groups, Leadership};
use flintwheel_shard::Machine;
use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::actors::shard::{Command, IngestJob, ShardMessage};
use crate::calendars::Known;
use crate::clock::Clock;
use crate::dispatch::Dispatchers;
use crate::error::EngineError;
use crate::exports::Exports;
use crate::interest::Interest;
use crate::load::Load;
use crate::metrics::Metrics;
use crate::paces::Paces;
use crate::peers::Peers;
use crate::room;

/// Work of one shard that is admitted and not yet answered, in KiB. Beyond it producers wait, then are told to come back.
const ADMITTED_KIB: usize = 16 * 1024;

/// See the module.
pub struct Shared {
    /// The Raft groups of the shards that this node has a replica of.
    pub groups: Arc<Groups<Machine>>,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// All subscriptions, and until when events may be matched against them.
    pub interest: Interest,
    /// The time by which this node fires.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// The ways to the dispatchers.
    pub dispatchers: Dispatchers,
    /// What is being read for backups.
    pub exports: Arc<Exports>,
    /// How fast what is late is let through.
    pub paces: Paces,
    /// How much is due when.
    pub load: Load,
    /// The days of calendars, of which this node has plans.
    pub calendars: Known,
    /// Woken when a calendar is to be brought to all shards.
    pub spreading: Notify,
    doors: Vec<Door>,
    /// Shards that this node leads, or is about to.
    led: RwLock<BTreeSet<u32>>,
    /// The node closes: an actor that ends is not started anew.
    pub stopping: AtomicBool,
    /// Woken when a shard's next due time has come nearer.
    pub sooner: Notify,
}

/// Where a shard is led, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By this node.
    Here,
    /// By another one, or that one knows more.
    At(u64),
    /// Nobody knows who could be asked.
    Nowhere,
}

/// The way to one shard's actor.
struct Door {
    actor: ArcSwapOption<ActorRef<ShardMessage>>,
    /// The term whose actor this is to be: one of an earlier term that is late finds another one here. 0: none.
    term: Mutex<u64>,
    admitted: Arc<Semaphore>,
    wake_at: AtomicI64,
    /// Who was last said to lead it, where there is no replica here; 0 for nobody.
    hint: AtomicU64,
}

impl Shared {
    /// Before any actor runs.
    pub fn new(
        groups: Arc<Groups<Machine>>,
        peers: Arc<Peers>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        dispatchers: Dispatchers,
        paces: Paces,
    ) -> Self {
        let door = || Door {
            actor: ArcSwapOption::empty(),
            term: Mutex::new(0),
            admitted: Arc::new(Semaphore::new(ADMITTED_KIB)),
            wake_at: AtomicI64::new(i64::MAX),
            hint: AtomicU64::new(0),
        };
        let doors = (0..groups.shards()).map(|_| door()).collect();
        let interest = Interest::new(groups.shards());
        Self {
            groups,
            peers,
            interest,
            clock,
            metrics,
            dispatchers,
            exports: Arc::default(),
            paces,
            load: Load::default(),
            calendars: Known::default(),
            spreading: Notify::new(),
            doors,
            led: RwLock::default(),
            stopping: AtomicBool::new(false),
            sooner: Notify::new(),
        }
    }

    /// Shards of the cluster.
    pub fn shards(&self) -> u32 {
        self.groups.shards()
    }

    /// Where a shard is led. For one without a replica here, it is a node that has one.
    pub fn place(&self, shard: u32) -> Place {
        self.place_of(shard, self.groups.find(shard).map(|group| group.leadership()))
    }

    /// The same of all shards, by number: for who asks often.
    pub fn places(&self) -> Vec<Place> {
        let mut known: Vec<Option<Leadership>> = vec![None; self.doors.len()];
        self.groups.each(|group| known[group.shard() as usize] = Some(group.leadership()));
        (0..).zip(known).map(|(shard, known)| self.place_of(shard, known)).collect()
    }

    /// By this node's part in it, if it has a replica.
    fn place_of(&self, shard: u32, mine: Option<Leadership>) -> Place {
        let leader = match mine {
            Some(Leadership::Leader { .. }) => return Place::Here,
            Some(Leadership::Follower { leader }) => leader,
            Some(Leadership::Stopped(_)) | None => None,
        };
        let hint = Some(self.door(shard).hint.load(Ordering::Relaxed)).filter(|node| *node != 0);
        leader.or(hint).or_else(|| self.some_replica(shard, None)).map_or(Place::Nowhere, Place::At)
    }

    /// A node was asked for a shard and does not lead it; it says who does, if it knows. A node that did not answer says nothing.
    pub fn not_led_by(&self, shard: u32, asked: u64, leader: Option<u64>) {
        let me = self.peers.me();
        let next = leader.filter(|leader| *leader != me).or_else(|| self.some_replica(shard, Some(asked)));
        self.door(shard).hint.store(next.unwrap_or(0), Ordering::Relaxed);
    }

    /// A node other than this one that has a replica, after the given one.
    fn some_replica(&self, shard: u32, after: Option<u64>) -> Option<u64> {
        let meta = self.peers.directory().meta();
        let me = self.peers.me();
        let nodes: Vec<u64> = meta.shard(shard)?.replicas.iter().map(|r| r.node).filter(|node| *node != me).collect();
        let place = after.and_then(|after| nodes.iter().position(|node| *node == after)).map_or(0, |at| at + 1);
        nodes.get(place % nodes.len().max(1)).copied()
    }

    /// A shard's Raft group. Panics where this node has no replica: only for those who know that it leads.
    pub fn group(&self, shard: u32) -> Group<Machine> {
        self.groups.group(shard)
    }

    /// A shard's Raft group, if this node leads it.
    pub fn led(&self, shard: u32) -> Option<Group<Machine>> {
        self.groups.find(shard).filter(Group::leads)
    }

    /// The Raft groups of all shards that this node leads, by shard: for who looks at them again and again, most of them asleep.
    pub fn led_groups(&self) -> Vec<Group<Machine>> {
        let shards = self.led.read().clone();
        let mut led = Vec::with_capacity(shards.len());
        self.groups.each_of(shards.into_iter().map(|shard| (shard, ())), |(), group| {
            if group.leads() {
                led.push(group.clone());
            }
        });
        led
    }

    /// From now on a shard's actor is that of this term, 0 for none. The one before is not reached any more.
    pub fn expect_actor(&self, shard: u32, term: u64) {
        let door = self.door(shard);
        let mut expected = door.term.lock();
        match (*expected, term) {
            (0, 1..) => {
                self.led.write().insert(shard);
            }
            (1.., 0) => {
                self.led.write().remove(&shard);
                // Whoever leads it now tells of it.
                self.metrics.set_overdue(shard, 0, 0);
            }
            _ => {}
        }
        *expected = term;
        door.wake_at.store(i64::MAX, Ordering::Release);
        door.actor.store(None);
    }

    /// This node's part of all shards: how many it leads, of how many.
    pub fn share(&self) -> (u32, u32) {
        (self.led.read().len() as u32, self.shards())
    }

    /// Whether a shard has an actor that takes work.
    pub fn has_actor(&self, shard: u32) -> bool {
        self.door(shard).actor.load().is_some()
    }

    /// A shard's actor of a term takes work; one of another term than is expected is not wanted any more.
    pub fn set_actor(&self, shard: u32, term: u64, actor: ActorRef<ShardMessage>) {
        let door = self.door(shard);
        let expected = door.term.lock();
        if *expected == term {
            door.actor.store(Some(Arc::new(actor)));
        }
    }

    /// Room for this many bytes of work at a shard: waits while it is full.
    pub async fn admit(&self, shard: u32, bytes: usize) -> Result<OwnedSemaphorePermit, EngineError> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(ADMITTED_KIB as u32);
        let admitted = Arc::clone(&self.door(shard).admitted);
        admitted.acquire_many_owned(kib).await.map_err(|_| EngineError::Stopping)
    }

    /// Sends a message to a shard's actor.
    pub fn send(&self, shard: u32, message: ShardMessage) -> Result<(), EngineError> {
        let actor = self.door(shard).actor.load();
        let actor = actor.as_ref().ok_or(EngineError::Restarting { shard })?;
        actor.cast(message).map_err(|_| EngineError::Restarting { shard })
    }

    /// Proposes cold work (definitions, triggers ...) and waits until it is durable and applied.
    pub async fn command(
        &self,
        shard: u32,
        body: flintwheel_shard::entry::Body,
        bytes: usize,
    ) -> Result<flintwheel_shard::Applied, EngineError> {
        if room::grows(&body) {
            room::admit(self, shard)?;
        }
        let _permit = self.admit(shard, bytes).await?;
        let (reply, answer) = oneshot::channel();
        self.send(shard, ShardMessage::Command(Command { body, reply }))?;
        answer.await.map_err(|_| EngineError::Restarting { shard })?
    }

    /// Hands matched events to a shard.
    pub fn ingest(&self, shard: u32, job: IngestJob) -> Result<(), EngineError> {
        room::admit(self, shard)?;
        self.send(shard, ShardMessage::Ingest(job))
    }

    /// When the shard's wheel is to be looked at next (microseconds).
    pub fn wake_at(&self, shard: u32) -> i64 {
        self.door(shard).wake_at.load(Ordering::Acquire)
    }

    /// Sets it, and wakes the ticker where it has come nearer.
    pub fn set_wake_at(&self, shard: u32, at: i64) {
        let before = self.door(shard).wake_at.swap(at, Ordering::AcqRel);
        if at < before {
            self.sooner.notify_one();
        }
    }

    fn door(&self, shard: u32) -> &Door {
        &self.doors[shard as usize]
    }
}
