//! Placement: this node's part in keeping replicas where the meta group wants them, and its way to the meta group.
//!
//! What should be done is decided by the planner (`flintwheel_cluster`), from what the meta group has recorded and the nodes have observed.
//! Here it is observed, proposed and done: each file has one part. Knows groups by their numbers and members, not what is in them.

mod change;
mod directory;
mod drive;
mod file;
mod host;
mod meta;
mod operator;
mod report;
mod seen;
mod status;
#[cfg(test)]
mod tests;
mod wish;

pub use file::load as load_directory;
pub use meta::MetaError;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::Meta;
use flintwheel_cluster::entry::{Body, Placement as FirstReplicas};
use flintwheel_raft::Groups;
use flintwheel_shard::Machine;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::peers::{Answers, Peers, Subject};
use seen::Observed;

/// How often what happens by itself is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A round of the meta group's leader: observe, plan, do. Nodes without the meta group ask as often what is new.
    pub(crate) round: Duration,
    /// This node's own copy of the meta group is looked at.
    pub(crate) copy: Duration,
    /// The copy is written to disk at most so often: it is only needed to find the others after a restart.
    pub(crate) save: Duration,
    /// How old the size of a shard may be.
    pub(crate) sizes: Duration,
    /// A node that was never heard counts as gone only after this long.
    pub(crate) grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            round: Duration::from_secs(1),
            copy: Duration::from_millis(50),
            save: Duration::from_secs(2),
            sizes: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// See the module.
pub struct Placement {
    shards: Arc<Groups<Machine>>,
    meta: Arc<Groups<Meta>>,
    peers: Arc<Peers>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    pace: Pace,
    /// Who was last said to lead the meta group; 0 for nobody.
    hint: AtomicU64,
    /// Somebody knows that there is a newer directory.
    outdated: Notify,
    /// There may be something to do before the next round.
    sooner: Notify,
    /// Held while a replica comes or goes.
    hosting: tokio::sync::Mutex<()>,
    /// What the leader of the meta group has observed; none elsewhere.
    observed: watch::Sender<Option<Arc<Observed>>>,
    /// Shards of which a step is being done by this node, the leader of the meta group.
    busy: Mutex<BTreeSet<u32>>,
    sizes: Mutex<BTreeMap<u32, report::Size>>,
    /// Of replicas here that were damaged.
    relapses: Mutex<BTreeMap<u32, host::Relapses>>,
}

impl Placement {
    /// For a node whose groups are open. `dir` is its data directory.
    pub fn new(
        shards: Arc<Groups<Machine>>,
        meta: Arc<Groups<Meta>>,
        peers: Arc<Peers>,
        clock: Arc<dyn Clock>,
        dir: PathBuf,
    ) -> Arc<Self> {
        Self::with_pace(shards, meta, peers, clock, dir, Pace::default())
    }

    pub(crate) fn with_pace(
        shards: Arc<Groups<Machine>>,
        meta: Arc<Groups<Meta>>,
        peers: Arc<Peers>,
        clock: Arc<dyn Clock>,
        dir: PathBuf,
        pace: Pace,
    ) -> Arc<Self> {
        Arc::new(Self {
            shards,
            meta,
            peers,
            clock,
            dir,
            pace,
            hint: AtomicU64::new(0),
            outdated: Notify::new(),
            sooner: Notify::new(),
            hosting: tokio::sync::Mutex::default(),
            observed: watch::Sender::new(None),
            busy: Mutex::default(),
            sizes: Mutex::default(),
            relapses: Mutex::default(),
        })
    }

    /// Answers other nodes from now on. [`Peers::close`] lets go of it again.
    pub fn register(self: &Arc<Self>) {
        for subject in [Subject::Seen, Subject::Change, Subject::Meta, Subject::Directory] {
            self.peers.register(subject, Arc::new(Door { placement: Arc::clone(self), subject }));
        }
    }

    /// What happens by itself; without an end. What is under way when it is dropped, the next leader of the meta group or the next start
    /// of this node goes on with.
    pub async fn run(self: Arc<Self>) {
        let drive = drive::drive(Arc::clone(&self));
        tokio::join!(self.follow_own(), self.ask_others(), self.save(), self.keep_hosted(), drive);
    }

    /// Records that this node, which has founded the cluster, has the only replica of each shard: after `Init` and `Register`. Safe to repeat.
    pub async fn record_founding(&self) -> Result<(), MetaError> {
        let recorded = || {
            self.copy_own();
            self.peers.directory().meta().shard(0).is_some()
        };
        if recorded() {
            return Ok(());
        }
        match self.propose(founded(self.shards.shards(), self.peers.me())).await {
            // Proposed twice, because the first answer was lost.
            Err(MetaError::Refused(_) | MetaError::NotFound(_)) if recorded() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The first rows of shards whose only replicas are on the node that founded the cluster.
fn founded(shards: u32, node: u64) -> Body {
    Body::SetReplicas((0..shards).map(|shard| FirstReplicas { shard, nodes: vec![node] }).collect())
}

/// Where other nodes' calls come in.
struct Door {
    placement: Arc<Placement>,
    subject: Subject,
}

impl Answers for Door {
    fn answer(&self, _from: u64, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let (this, subject) = (Arc::clone(&self.placement), self.subject);
        async move {
            match subject {
                Subject::Meta => this.answer_meta(&body).await,
                Subject::Directory => this.answer_directory(&body).await,
                Subject::Change => this.answer_change(&body).await,
                _ => this.answer_seen().await,
            }
        }
        .boxed()
    }
}

/// The millisecond or so after which something is tried again, longer each time.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis((20 << attempt.min(5)).min(500))
}
