//! What a node does for all its groups that sleep: beats to the other nodes and answers theirs, looks whether its disk is well, and wakes what has
//! lost its leader.

use super::beat::{Beat, Beaten};
use super::pairs::{End, Pairs};
use super::{BEAT, LOST, PAIR, Sleeper};
use crate::log_writer::LogWriter;
use crate::runtime::{Moment, Tasks, random, sleep, sleep_until};
use crate::transport::{Lane, Peer, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For the answer to a beat.
const WITHIN: Duration = Duration::from_millis(400);
/// How often it is looked whether a node is lost.
const LOOK: Duration = Duration::from_millis(100);
/// In how many of those looks the groups are looked at too, and nodes that take part in nothing are forgotten.
const GROUPS: u32 = 3;
const FORGET: u32 = 600;
/// Between the end of one probe of the disk and the next one.
const PROBE: Duration = Duration::from_millis(500);
/// A disk that has not answered for so long is not well.
const SLOW: Duration = Duration::from_millis(400);
/// A leader whose disk has not answered for so long falls silent also for groups that are awake.
const STALLED: Duration = Duration::from_secs(1);
/// Groups that ask their followers to sleep at a time.
const AT_A_TIME: usize = 64;

/// See the module.
pub(crate) struct Sleepers {
    pub(crate) node: u64,
    /// This start of the program.
    pub(super) boot: u64,
    pub(super) pairs: Pairs,
    pub(super) transport: Arc<dyn Transport>,
    /// How long a group has had nothing to do before it sleeps.
    pub(super) after: Duration,
    groups: Mutex<BTreeMap<u32, Weak<dyn Sleeper>>>,
    tasks: OnceLock<Tasks>,
    turns: Arc<Semaphore>,
    tokens: AtomicU64,
    /// Since when the disk has been asked for an answer.
    probing: Mutex<Option<Moment>>,
}

impl Sleepers {
    pub(crate) fn new(node: u64, transport: Arc<dyn Transport>, after: Duration) -> Arc<Self> {
        Arc::new(Self {
            node,
            boot: random(),
            pairs: Pairs::default(),
            transport,
            after,
            groups: Mutex::default(),
            tasks: OnceLock::new(),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            tokens: AtomicU64::new(random()),
            probing: Mutex::new(None),
        })
    }

    /// Begins. The tasks end with what runs them, and so does their hold on the writer.
    pub(crate) fn start(self: &Arc<Self>, tasks: &Tasks, writer: LogWriter) {
        if self.tasks.set(tasks.clone()).is_ok() {
            drop(tasks.spawn(self.clone().probe(writer)));
            drop(tasks.spawn(self.clone().watch()));
        }
    }

    /// A group of this node that can sleep; the one before of that number is gone.
    pub(crate) fn enter(&self, number: u32, group: Weak<dyn Sleeper>) {
        self.groups.lock().insert(number, group);
    }

    /// Another node takes part in a group of this one: from now on they beat to each other.
    pub(crate) fn meet(self: &Arc<Self>, peer: &Peer) {
        if self.pairs.meet(peer)
            && let Some(tasks) = self.tasks.get()
        {
            drop(tasks.spawn(self.clone().beat(peer.node)));
        }
    }

    /// For a group that is about to ask its followers to sleep. `None` where enough do.
    pub(super) fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// One that was never given before, by this start of the program.
    pub(super) fn token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// Answers a beat of another node. `None` if it is none.
    pub(crate) fn answer(&self, from: u64, message: &[u8]) -> Option<Bytes> {
        let beat = Beat::decode(message).ok()?;
        self.end(self.pairs.hear(from, beat.boot, &beat.notices));
        if beat.well {
            self.pairs.beaten(from, Moment::now());
        }
        Some(Beaten { boot: self.boot, notices: self.pairs.owed(from) }.encode())
    }

    fn end(&self, ends: Vec<End>) {
        for End { notice, why } in ends {
            let group = self.groups.lock().get(&notice.group).and_then(Weak::upgrade);
            if let Some(group) = group {
                group.end(notice.token, why);
            }
        }
    }

    async fn beat(self: Arc<Self>, node: u64) {
        let mut next = Moment::now();
        loop {
            sleep_until(next).await;
            next = Moment::now() + BEAT;
            let Some((peer, notices)) = self.pairs.due(node) else { return };
            let beat = Beat { boot: self.boot, well: self.is_well(), notices };
            // A lease counts from here.
            let sent = Moment::now();
            match self.transport.call(&peer, Lane::Beat, PAIR, beat.encode(), WITHIN).await {
                Ok(answer) => match Beaten::decode(&answer) {
                    Ok(beaten) => {
                        self.end(self.pairs.hear(node, beaten.boot, &beaten.notices));
                        self.pairs.answered(node, beaten.boot, sent, &beat.notices);
                    }
                    Err(_) => self.pairs.not_understood(node),
                },
                Err(error) => {
                    tracing::trace!(node, %error, "a beat was not answered");
                    self.pairs.unanswered(node, sent);
                }
            }
        }
    }

    async fn watch(self: Arc<Self>) {
        for round in 0_u32.. {
            sleep(LOOK).await;
            let now = Moment::now();
            let lost = self.pairs.lost(now);
            if !lost.is_empty() {
                tracing::info!(groups = lost.len(), within = ?LOST, "nothing is heard of their leader's node: they wake");
            }
            self.end(lost);
            if round.is_multiple_of(GROUPS) {
                self.groups().iter().for_each(|group| group.look(now));
            }
            if round % FORGET == FORGET - 1 {
                self.pairs.keep(&self.groups().iter().flat_map(|group| group.members()).collect::<BTreeSet<_>>());
            }
        }
    }

    fn groups(&self) -> Vec<Arc<dyn Sleeper>> {
        let mut groups = self.groups.lock();
        groups.retain(|_, group| group.strong_count() > 0);
        groups.values().filter_map(Weak::upgrade).collect()
    }

    /// A disk that stands still takes no entry: a node with such a one must not be taken for alive because its network is.
    async fn probe(self: Arc<Self>, writer: LogWriter) {
        loop {
            *self.probing.lock() = Some(Moment::now());
            // An error ends the process, or the node stops: nothing more is well then.
            if writer.probe().await.is_err() {
                return;
            }
            *self.probing.lock() = None;
            sleep(PROBE).await;
        }
    }

    /// Whether the disk does what it is asked.
    pub(super) fn is_well(&self) -> bool {
        self.probing.lock().is_none_or(|since| since.elapsed() < SLOW)
    }

    /// Whether the disk has done nothing for so long that this node should lead no more.
    pub(super) fn is_stalled(&self) -> bool {
        self.probing.lock().is_some_and(|since| since.elapsed() >= STALLED)
    }
}
