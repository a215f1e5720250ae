//! Opening all groups of a node: databases, threads, checks, and leadership where this node is the only voter.

use crate::apply_pool::ApplyPool;
use crate::codec::{decode_number, encode_number, place};
use crate::config::raft_config;
use crate::error::OpenError;
use crate::fatal::FatalHook;
use crate::group::{Group, Inner};
use crate::group_log::{GroupLog, NODE, tag};
use crate::leadership::{Leadership, follow};
use crate::log_store::LogStore;
use crate::log_writer::{Commit, LogWriter};
use crate::machine::Machine;
use crate::network::NoPeers;
use crate::propose::InFlight;
use crate::state::columns;
use crate::state_machine::StateMachine;
use crate::types::{LogId, Types, next_index};
use flintwheel_shard::Replicated;
use flintwheel_store::{DataDir, Fault, LogDb, StateDb, StateOptions, StoreError};
use openraft::{BasicNode, Raft};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How to open the groups of a node.
#[derive(Clone)]
pub struct OpenOptions {
    /// The node's data directory, open and locked. Its identity says which node this is.
    pub data: DataDir,
    /// The number of shards, 1 to 4096. Fixed when the directory is made.
    pub shards: u32,
    /// Memory and threads of the state database.
    pub state: StateOptions,
    /// Bounds.
    pub limits: Limits,
    /// What to do when the disk fails under a write.
    pub fatal: FatalHook,
}

/// Bounds on memory, time and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one entry.
    pub entry_bytes: usize,
    /// Bytes proposed and not yet answered, per shard.
    pub in_flight_bytes: usize,
    /// Bytes of log entries kept in memory to be applied and replicated, over all shards.
    pub log_memory: usize,
    /// Bytes of log after which the state is flushed: what a crash makes the node apply again.
    pub replay_bytes: u64,
    /// The longest that changes stay unflushed, however few.
    pub flush_interval: Duration,
    /// Threads that apply entries.
    pub apply_threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entry_bytes: 4 << 20,
            in_flight_bytes: 8 << 20,
            log_memory: 64 << 20,
            replay_bytes: 64 << 20,
            flush_interval: Duration::from_secs(60),
            apply_threads: std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)),
        }
    }
}

impl OpenOptions {
    /// The defaults for a data directory and a number of shards.
    pub fn new(data: DataDir, shards: u32) -> Self {
        Self { data, shards, state: StateOptions::default(), limits: Limits::default(), fatal: FatalHook::default() }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let positive = "1 or more";
        let checks = [
            ("shards", u64::from(self.shards), (1..=4096).contains(&self.shards), "1 to 4096"),
            ("entry_bytes", self.limits.entry_bytes as u64, self.limits.entry_bytes > 0, positive),
            (
                "apply_threads",
                self.limits.apply_threads as u64,
                (1..=256).contains(&self.limits.apply_threads),
                "1 to 256",
            ),
            ("replay_bytes", self.limits.replay_bytes, self.limits.replay_bytes > 0, positive),
        ];
        match checks.into_iter().find(|(_, _, ok, _)| !ok) {
            Some((name, value, _, allowed)) => Err(OpenError::Option { name, value, allowed }),
            None => Ok(()),
        }
    }
}

/// The databases and threads that the groups of a node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) log: Arc<LogDb>,
    pub(crate) state: Arc<StateDb>,
    pub(crate) writer: LogWriter,
    pub(crate) pool: ApplyPool,
    pub(crate) fatal: FatalHook,
    pub(crate) limits: Limits,
    pub(crate) node: u64,
    pub(crate) shards: u32,
}

/// What ends when the last [`Shared`] is dropped.
pub(crate) type Threads = Vec<std::thread::JoinHandle<()>>;

impl Shared {
    /// Opens the databases and starts the threads. Blocks.
    pub(crate) fn open(options: &OpenOptions, commit: Commit) -> Result<(Self, Threads), OpenError> {
        let log = Arc::new(LogDb::open(&options.data)?);
        check_shards(&log, options.shards)?;
        let state = Arc::new(StateDb::open(&options.data, options.state, &columns())?);
        let (writer, thread) = LogWriter::start(log.clone(), commit, options.fatal.clone())?;
        let (pool, mut threads) = ApplyPool::start(options.limits.apply_threads)?;
        threads.push(thread);
        let (fatal, limits) = (options.fatal.clone(), options.limits);
        let node = options.data.identity().node;
        Ok((Self { log, state, writer, pool, fatal, limits, node, shards: options.shards }, threads))
    }
}

/// Records the number of shards in a new directory; an old one must have the same.
fn check_shards(log: &LogDb, wanted: u32) -> Result<(), OpenError> {
    let at = place(NODE, tag::SHARDS.into());
    let Some(bytes) = log.meta(NODE, tag::SHARDS)? else {
        let mut batch = log.batch();
        batch.put_meta(NODE, tag::SHARDS, &encode_number(at, wanted.into()));
        return Ok(log.commit(batch)?);
    };
    let damaged = |error| StoreError::new(Fault::Damaged, log.path(), format!("the number of shards: {error}"));
    let found = decode_number(at, &bytes).map_err(damaged)?;
    if found == u64::from(wanted) { Ok(()) } else { Err(OpenError::Shards { found, wanted }) }
}

/// Opens one shard's group and returns when it leads, if it is the only voter. A machine that does not understand its log makes a
/// group that has stopped, not an error.
pub(crate) async fn open_group<M: Replicated>(shared: Shared, shard: u32) -> Result<Group<M>, OpenError> {
    let (log, machine) = load::<M>(&shared, shard).await?;
    let (seen, leadership) = watch::channel(Leadership::Follower { leader: None });
    let raft = match (start(&shared, &log, &machine, seen.clone()).await, machine.stopped()) {
        (Ok(raft), _) => Some(raft),
        (Err(_), Some(stopped)) => {
            seen.send_replace(Leadership::Stopped(stopped));
            None
        }
        (Err(error), None) => return Err(OpenError::Shard { shard, reason: error.to_string() }),
    };
    let in_flight = InFlight::new(shared.limits.in_flight_bytes, shared.limits.entry_bytes);
    Ok(Group { inner: Arc::new(Inner { raft, machine, log, in_flight, leadership }) })
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Starts the group's Raft tasks. As the only voter, the node stands for election at once, and this waits until it leads or has failed.
async fn start<M: Replicated>(
    shared: &Shared,
    log: &Arc<GroupLog>,
    machine: &Arc<Machine<M>>,
    seen: watch::Sender<Leadership>,
) -> Result<Raft<Types, StateMachine<M>>, AnyError> {
    let store = LogStore { log: log.clone(), writer: shared.writer.clone() };
    let state_machine = StateMachine { machine: machine.clone(), pool: shared.pool.clone() };
    let raft = Raft::new(shared.node, raft_config()?, NoPeers, store, state_machine).await?;
    let mut leadership = seen.subscribe();
    tokio::spawn(follow(raft.clone(), machine.clone(), seen));
    let is_new = !raft.is_initialized().await?;
    if is_new {
        raft.initialize(BTreeMap::from([(shared.node, BasicNode::default())])).await?;
    }
    // (What a group tells of its voters comes a moment after it was initialised.)
    if is_new || raft.voter_ids().eq([shared.node]) {
        raft.trigger().elect(false).await?;
        leadership.wait_for(|seen| !matches!(seen, Leadership::Follower { .. })).await?;
    }
    Ok(raft)
}

/// Reads log positions and machine of a shard, and checks that they fit.
async fn load<M: Replicated>(shared: &Shared, shard: u32) -> Result<(Arc<GroupLog>, Arc<Machine<M>>), OpenError> {
    let failed = |error: &dyn std::fmt::Display| OpenError::Shard { shard, reason: error.to_string() };
    let (log, state, fatal) = (shared.log.clone(), shared.state.clone(), shared.fatal.clone());
    let tail = shared.limits.log_memory / shared.shards as usize;
    let log = shared.pool.run(move || GroupLog::open(log, shard, tail)).await;
    let log = log.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let machine = shared.pool.run(move || Machine::open(state, shard, fatal)).await;
    let machine: Machine<M> = machine.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    check_fit(log.purged(), machine.applied().last, log.last())
        .map_err(|reason| OpenError::Inconsistent { shard, reason })?;
    Ok((Arc::new(log), Arc::new(machine)))
}

/// The state must reach to where the log begins, and the log to where the state ends.
fn check_fit(purged: Option<LogId>, applied: Option<LogId>, last: Option<LogId>) -> Result<(), String> {
    let shown = |id: Option<LogId>| id.map_or("nothing".to_owned(), |id| format!("entry {}", id.index()));
    if next_index(purged.as_ref()) > next_index(applied.as_ref()) {
        return Err(format!(
            "the log was removed up to {}, but the state has applied {}: the state is older than the log",
            shown(purged),
            shown(applied)
        ));
    }
    if next_index(applied.as_ref()) > next_index(last.as_ref()) {
        return Err(format!(
            "the state has applied {}, but the log ends at {}: entries of the log are lost",
            shown(applied),
            shown(last)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;

    #[test]
    fn log_and_state_must_fit() {
        let id = |index| Some(LogId::new(LeaderId { term: 1, node_id: 1 }, index));
        let cases = [
            (None, None, None, Ok(())),
            (None, None, id(5), Ok(())),
            (id(3), id(3), id(3), Ok(())),
            (id(3), id(4), id(9), Ok(())),
            (id(3), id(2), id(9), Err("the log was removed up to entry 3, but the state has applied entry 2")),
            (id(0), None, id(9), Err("the log was removed up to entry 0, but the state has applied nothing")),
            (None, id(9), id(8), Err("the state has applied entry 9, but the log ends at entry 8")),
            (None, id(0), None, Err("the state has applied entry 0, but the log ends at nothing")),
        ];
        for (purged, applied, last, want) in cases {
            let found = check_fit(purged, applied, last);
            match want {
                Ok(()) => assert_eq!(found, Ok(())),
                Err(start) => assert!(found.as_ref().is_err_and(|found| found.starts_with(start)), "{found:?}"),
            }
        }
    }
}
