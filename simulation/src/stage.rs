//! What all parts of one run share: time, chance, the network, Temporal, the nodes, the ledger and the properties.

use crate::executor::Executor;
use crate::faults;
use crate::ledger::Ledger;
use crate::network::Network;
use crate::node::Node;
use crate::planted::Planted;
use crate::properties::{Properties, Violation};
use crate::random::Random;
use crate::temporal::Temporal;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shards of the cluster.
pub const SHARDS: u32 = 2;
/// Nodes, of which three have a replica of each shard.
pub const NODES: u64 = 5;
/// When it all begins, in microseconds since the Unix epoch: within a minute after this, so that time buckets end at any time of a run.
const EPOCH: i64 = 1_800_000_000_000_000;
const MINUTE: u64 = 60_000_000;
/// Of a thousand runs: those in which logs are so short that whoever lags a little needs a snapshot.
const SHORT_LOG: u64 = 500;
/// Of a thousand runs: those in which clients ask so little that groups get to sleep, and how soon they may, in milliseconds.
const QUIET: u64 = 300;
/// Of a thousand runs: those in which definitions ask for more than a rhythm. In the others there is more of everything else.
const RICH: u64 = 600;
const SLEEP_AFTER: std::ops::Range<u64> = 200..800;

/// How often things happened; for people, and to see that a run did what it was meant to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Between nodes.
    pub messages: u64,
    /// Of them, on the lane of snapshots.
    pub snapshot_messages: u64,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Faults of all kinds.
    pub faults: u64,
    /// Leaders that began.
    pub leaders: u64,
    /// Replicas moved to another node.
    pub moves: u64,
    /// Entries found to be the same wherever they were looked at.
    pub entries: u64,
    /// States compared.
    pub states: u64,
    /// Start calls that reached Temporal.
    pub starts: u64,
    /// Occurrences in the account at the end.
    pub occurrences: u64,
    /// Groups that were seen to sleep, each time that they were looked at.
    pub asleep: u64,
}

/// See the module.
pub struct Stage {
    /// Tasks and time.
    pub executor: Arc<Executor>,
    random: Mutex<Random>,
    /// The bug that is planted, if one is.
    pub planted: Option<Planted>,
    /// Clients ask little.
    pub is_quiet: bool,
    /// Definitions ask for more than a rhythm, and operators are at work.
    pub is_rich: bool,
    /// How long a group has nothing to do before it sleeps.
    pub sleep_after: Duration,
    /// Entries that a log keeps.
    pub log_kept: u64,
    epoch: i64,
    /// Between all.
    pub network: Mutex<Network>,
    /// Where firings go.
    pub temporal: Mutex<Temporal>,
    /// By number.
    pub nodes: BTreeMap<u64, Node>,
    /// What clients were told.
    pub ledger: Mutex<Ledger>,
    /// Some clock has been set wrong.
    pub clocks_wrong: AtomicBool,
    /// Shards of which a replica is on its way to another node.
    pub moving: Mutex<BTreeSet<u32>>,
    properties: Mutex<Properties>,
    counts: Mutex<Counts>,
}

impl Stage {
    /// Before anything runs.
    pub fn new(seed: u64, planted: Option<Planted>, root: &std::path::Path) -> Arc<Self> {
        let mut random = Random::new(seed);
        let executor = Executor::new(random.number());
        let is_quiet = random.chance(QUIET);
        let sleep_after = if is_quiet { Duration::from_millis(random.within(SLEEP_AFTER)) } else { Duration::MAX };
        let is_rich = random.chance(RICH);
        let log_kept = if random.chance(SHORT_LOG) { 4 } else { 64 };
        let epoch = EPOCH + random.below(MINUTE) as i64;
        let nodes = (1..=NODES).map(|number| (number, Node::new(number, root, planted, &mut random))).collect();
        Arc::new(Self {
            executor,
            random: Mutex::new(random),
            planted,
            is_quiet,
            is_rich,
            sleep_after,
            log_kept,
            epoch,
            network: Mutex::default(),
            temporal: Mutex::default(),
            nodes,
            ledger: Mutex::default(),
            clocks_wrong: AtomicBool::new(false),
            moving: Mutex::default(),
            properties: Mutex::default(),
            counts: Mutex::default(),
        })
    }

    /// The run's chance. Don't hold it across anything else.
    pub fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock()
    }

    /// Whether this bug is planted.
    pub fn has(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// Counts something.
    pub fn count(&self, what: impl FnOnce(&mut Counts)) {
        what(&mut self.counts.lock());
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    /// Looks at the properties; the first that does not hold is kept, and ends the run.
    pub fn check(&self, property: &'static str, look: impl FnOnce(&mut Properties) -> Result<(), String>) {
        let now = self.executor.now();
        let mut properties = self.properties.lock();
        if let Err(what) = look(&mut properties) {
            properties.violation.get_or_insert(Violation { property, what, at: Duration::from_nanos(now) });
        }
    }

    /// Whether a property did not hold.
    pub fn violation(&self) -> Option<Violation> {
        self.properties.lock().violation.clone()
    }

    /// The true time, in microseconds since the Unix epoch.
    pub fn wall(&self) -> i64 {
        self.epoch + (self.executor.now() / 1000) as i64
    }

    /// By how much the clock of a leader may be wrong in this run, as far as it is known now, in microseconds; with what else takes a moment.
    pub fn slack(&self) -> i64 {
        if self.clocks_wrong.load(Ordering::Relaxed) { faults::CLOCK + 2_000_000 } else { 500_000 }
    }

    /// Waits.
    pub async fn sleep(&self, millis: u64) {
        self.executor.sleep(Duration::from_millis(millis)).await;
    }

    /// Waits for one of these numbers of milliseconds.
    pub async fn sleep_within(&self, millis: std::ops::Range<u64>) {
        let micros = self.random().within(millis.start * 1000..millis.end * 1000);
        self.executor.sleep(Duration::from_micros(micros)).await;
    }
}
