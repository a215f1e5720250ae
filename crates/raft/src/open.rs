//! Opening the replicas of a node: databases, threads, checks, and leadership where this node is the only voter.

use crate::ahead::go_on_from_the_state;
use crate::apply_pool::ApplyPool;
use crate::codec::{decode_number, encode_number, place};
use crate::config::raft_config;
use crate::distrust;
use crate::error::{OpenError, Stopped};
use crate::fatal::FatalHook;
use crate::fence::Fence;
use crate::group::{Group, Inner};
use crate::group_log::{GroupLog, HOST_FOUNDER, NODE, tag};
use crate::leadership::{Leadership, Told, follow};
use crate::log_store::LogStore;
use crate::log_writer::{Commit, LogWriter};
use crate::machine::{Machine, applied_in, replace};
use crate::network::Network;
use crate::propose::InFlight;
use crate::receive_snapshot::Incoming;
use crate::runtime::{Runtime, Tasks};
use crate::sleep::{Doze, Sleeper, Sleepers};
use crate::snapshot::{Exports, Outgoing};
use crate::starts::{self, Words};
use crate::state::columns;
use crate::state_machine::StateMachine;
use crate::transport::{NoTransport, Transport};
use crate::types::{LogId, Types, next_index};
use crate::world;
use flintwheel_shard::Replicated;
use flintwheel_store::{DataDir, Fault, LogBatch, LogDb, StateDb, StateOptions, StoreError};
use openraft::{AsyncRuntime, BasicNode, Raft};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How to open the groups of a node.
#[derive(Clone)]
pub struct OpenOptions {
    /// The node's data directory, open and locked. Its identity says which node this is.
    pub data: DataDir,
    /// The number of shards, 1 to 4096. Fixed when the directory is made; `None` for one that knows it.
    pub shards: Option<u32>,
    /// Memory and threads of the state database.
    pub state: StateOptions,
    /// Bounds.
    pub limits: Limits,
    /// What to do when the disk fails under a write.
    pub fatal: FatalHook,
    /// Which replicas a new directory begins with.
    pub founding: Founding,
    /// Where other nodes reach this one: `host:port`. Empty where there are none.
    pub address: Arc<str>,
    /// The way to other nodes.
    pub transport: Arc<dyn Transport>,
    /// Whether other nodes are known to be in the cluster: what can't be read of the state as a whole is then put aside, and made anew from them.
    /// Without, it is the only copy, and the node does not start without it.
    pub has_peers: bool,
}

/// Which replicas a new directory begins with. Of no effect on one that is not new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Founding {
    /// The node is the first of its cluster: it makes all shards and the meta group, and is their only voter.
    Alone,
    /// Its cluster is there already: it has none, until it is given some ([`crate::Groups::host`]).
    Member,
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
    /// Entries below the last flush that each group keeps: what a peer that lags a little needs.
    pub log_kept: u64,
    /// Threads that apply entries.
    pub apply_threads: usize,
    /// Bytes of snapshots that the node sends in a second, at most.
    pub snapshot_bytes_per_second: u64,
    /// How long a group must have had nothing to do before it sleeps. [`Duration::MAX`]: it never does.
    pub sleep_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entry_bytes: 4 << 20,
            in_flight_bytes: 8 << 20,
            log_memory: 64 << 20,
            replay_bytes: 64 << 20,
            flush_interval: Duration::from_secs(60),
            log_kept: 64,
            apply_threads: std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)),
            // Leaves room for the log on a gigabit, and a shard of a gigabyte is there in 20 s.
            snapshot_bytes_per_second: 32 << 20,
            // Awake again it is within a round trip; but what is asked of a shard every few seconds had better find it awake.
            sleep_after: Duration::from_secs(5),
        }
    }
}

impl OpenOptions {
    /// The defaults for a data directory and a number of shards: a cluster of one node.
    pub fn new(data: DataDir, shards: impl Into<Option<u32>>) -> Self {
        let (state, limits, fatal) = (StateOptions::default(), Limits::default(), FatalHook::default());
        let (founding, transport) = (Founding::Alone, Arc::new(NoTransport));
        let (address, has_peers) = ("".into(), false);
        Self { data, shards: shards.into(), state, limits, fatal, founding, address, transport, has_peers }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let positive = "1 or more";
        let shards = self.shards.unwrap_or(1);
        let checks = [
            ("shards", shards.into(), (1..=4096).contains(&shards), "1 to 4096"),
            ("entry_bytes", self.limits.entry_bytes as u64, self.limits.entry_bytes > 0, positive),
            (
                "apply_threads",
                self.limits.apply_threads as u64,
                (1..=256).contains(&self.limits.apply_threads),
                "1 to 256",
            ),
            ("replay_bytes", self.limits.replay_bytes, self.limits.replay_bytes > 0, positive),
            (
                "snapshot_bytes_per_second",
                self.limits.snapshot_bytes_per_second,
                self.limits.snapshot_bytes_per_second > 0,
                positive,
            ),
        ];
        match checks.into_iter().find(|(_, _, ok, _)| !ok) {
            Some((name, value, _, allowed)) => Err(OpenError::Option { name, value, allowed }),
            None => Ok(()),
        }
    }
}

/// The number of the meta group: above all shards, and not the one under which the log keeps what is of no group.
pub const META: u32 = u32::MAX - 1;

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
    pub(crate) address: Arc<str>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) sleepers: Arc<Sleepers>,
}

/// What ends when the last [`Shared`] is dropped.
pub(crate) type Threads = Vec<std::thread::JoinHandle<()>>;

impl Shared {
    /// Opens the databases and starts the threads. Blocks.
    pub(crate) fn open(options: &OpenOptions, commit: Commit) -> Result<(Self, Threads), OpenError> {
        let log = open_log(options)?;
        starts::check(&log)?;
        let shards = found(&log, options)?;
        let state = open_state(options, &log)?;
        let (writer, thread) = LogWriter::start(log.clone(), commit, options.fatal.clone())?;
        let (pool, mut threads) = ApplyPool::start(options.limits.apply_threads)?;
        threads.extend(thread);
        let snapshots = options.data.path().join("snapshots");
        let outgoing = Outgoing::open(snapshots.join("out"), options.limits.snapshot_bytes_per_second)?;
        let node = options.data.identity().node;
        let shared = Self {
            log,
            state,
            writer,
            pool,
            fatal: options.fatal.clone(),
            limits: options.limits,
            node,
            shards,
            address: options.address.clone(),
            transport: options.transport.clone(),
            outgoing: Arc::new(outgoing),
            incoming: Arc::new(Incoming::open(snapshots)?),
            sleepers: Sleepers::new(node, options.transport.clone(), options.limits.sleep_after),
        };
        Ok((shared, threads))
    }

    /// The groups among `numbers` that this node has replicas of. Ends what was leaving. Blocks.
    pub(crate) fn replicas<M: Replicated>(&self, numbers: &Range<u32>) -> Result<Vec<u32>, OpenError> {
        let mut hosted = Vec::new();
        for group in self.log.groups()?.into_iter().filter(|group| numbers.contains(group)) {
            if self.log.meta(group, tag::LEAVING)?.is_some() {
                self.incoming.forget(group);
                Machine::<M>::erase(&self.state, group)?;
                let mut batch = self.log.batch();
                GroupLog::erase(&mut batch, group);
                self.log.commit(batch)?;
            } else if !matches!(host(&self.log, group), Ok(None)) {
                // (One whose part can't be read is there too: opened, it is fenced.)
                hosted.push(group);
            }
        }
        Ok(hosted)
    }
}

/// The node's log: on its disk, or on what its simulated world has for one, which is never damaged.
fn open_log(options: &OpenOptions) -> Result<Arc<LogDb>, OpenError> {
    Ok(Arc::new(match world::current() {
        Some(world) => LogDb::on(world.log(), &options.data)?,
        // One that has lost something is of use only where others have what it had.
        None if options.has_peers => distrust::open(&options.data)?,
        None => LogDb::open(&options.data)?,
    }))
}

/// Its state, in the same way.
fn open_state(options: &OpenOptions, log: &LogDb) -> Result<Arc<StateDb>, OpenError> {
    if let Some(world) = world::current() {
        return Ok(Arc::new(StateDb::on(world.state(), &options.data, &columns())));
    }
    let (groups, all) = (log.groups()?, options.has_peers);
    let (state, _) = StateDb::open_or_salvage(&options.data, options.state, &columns(), &groups, all)?;
    Ok(Arc::new(state))
}

/// In what part this node has a replica of a group, if it has one.
fn host(log: &LogDb, group: u32) -> Result<Option<u64>, StoreError> {
    let number = log.meta(group, tag::HOST)?.map(|bytes| decode_number(place(group, tag::HOST.into()), &bytes));
    let damaged = |error| StoreError::new(Fault::Damaged, log.path(), format!("the part in group {group}: {error}"));
    number.transpose().map_err(damaged)
}

/// Adds to a batch that the node has a replica of a group.
pub(crate) fn put_host(batch: &mut LogBatch<'_>, group: u32, part: u64) {
    batch.put_meta(group, tag::HOST, &encode_number(place(group, tag::HOST.into()), part));
}

/// Records in a new directory how many shards the cluster has, and which replicas the node begins with, at once; an old directory
/// must have the same number, which is returned.
fn found(log: &LogDb, options: &OpenOptions) -> Result<u32, OpenError> {
    let known = known_shards(log, options.shards)?;
    let shards = known.or(options.shards).ok_or(OpenError::NoShards)?;
    starts::keep(log, Words { shards: shards.into(), ..Words::of(log) })?;
    if known.is_some() && log.meta(NODE, tag::FOUNDED)?.is_some() {
        return Ok(shards);
    }
    let mut batch = log.batch();
    put_number(&mut batch, tag::SHARDS, shards.into());
    // (The number is for later versions to tell ways of founding apart.)
    put_number(&mut batch, tag::FOUNDED, 1);
    // A directory that knows its shards but not how it was founded is of a version in which each node was alone. One whose log was lost is of neither:
    // its shards are there, elsewhere.
    let lost = log.meta(NODE, tag::DISTRUST)?.is_some();
    if !lost && (known.is_some() || options.founding == Founding::Alone) {
        (0..shards).chain([META]).for_each(|group| put_host(&mut batch, group, HOST_FOUNDER));
    }
    log.commit(batch)?;
    Ok(shards)
}

/// The number of shards in the directory, if it has one; it must be the wanted one.
fn known_shards(log: &LogDb, wanted: Option<u32>) -> Result<Option<u32>, OpenError> {
    let kept = Some(Words::of(log).shards).filter(|shards| *shards > 0);
    let Some(found) = number(log, tag::SHARDS, "the number of shards")?.or(kept) else { return Ok(None) };
    match (u32::try_from(found), wanted) {
        (Ok(found), Some(wanted)) if found != wanted => Err(OpenError::Shards { found: found.into(), wanted }),
        (Ok(found), _) => Ok(Some(found)),
        (Err(_), wanted) => Err(OpenError::Shards { found, wanted: wanted.unwrap_or_default() }),
    }
}

/// A number that the node keeps of itself.
pub(crate) fn number(log: &LogDb, tag: u8, what: &str) -> Result<Option<u64>, OpenError> {
    let damaged = |error| StoreError::new(Fault::Damaged, log.path(), format!("{what}: {error}"));
    let bytes = log.meta(NODE, tag)?;
    Ok(bytes.map(|bytes| decode_number(place(NODE, tag.into()), &bytes)).transpose().map_err(damaged)?)
}

pub(crate) fn put_number(batch: &mut LogBatch<'_>, tag: u8, number: u64) {
    batch.put_meta(NODE, tag, &encode_number(place(NODE, tag.into()), number));
}

/// Opens one shard's group and returns when it leads, if it is the only voter. A replica that can't be read, or whose machine does not understand
/// its log, makes a group that has stopped.
pub(crate) async fn open_group<M: Replicated>(shared: Shared, shard: u32) -> Group<M> {
    let (log, machine, founder) = load::<M>(&shared, shard).await;
    let (seen, leadership) = watch::channel(Leadership::Follower { leader: None });
    let (exports, told) = (Arc::new(Exports::new(shared.outgoing.clone(), log.clone())), Arc::new(Told::nothing()));
    let mut raft = None;
    if machine.stopped().is_none() {
        let started = start(&shared, (&log, &machine, founder), (&exports, &told), seen.clone()).await;
        let failed = |error: &AnyError| machine.stop(Stopped::damaged(format!("its group did not start: {error}")));
        raft = started.inspect_err(failed).ok();
    }
    if let (None, Some(stopped)) = (&raft, machine.stopped()) {
        seen.send_replace(Leadership::Stopped(stopped));
    }
    let in_flight = InFlight::new(shared.limits.in_flight_bytes, shared.limits.entry_bytes);
    let inner = Arc::new_cyclic(|me: &Weak<Inner<M>>| {
        let doze = Doze::new(me.clone(), shared.sleepers.clone(), Tasks::current());
        Inner { raft, machine, log, exports, in_flight, leadership, told, doze }
    });
    let sleeper: Weak<Inner<M>> = Arc::downgrade(&inner);
    shared.sleepers.enter(shard, sleeper as Weak<dyn Sleeper>);
    Group { inner }
}

type AnyError = Box<dyn Error + Send + Sync>;

/// Starts the group's Raft tasks. As the only voter, the node stands for election at once, and this waits until it leads or has failed.
async fn start<M: Replicated>(
    shared: &Shared,
    (log, machine, founder): (&Arc<GroupLog>, &Arc<Machine<M>>, bool),
    (exports, told): (&Arc<Exports>, &Arc<Told>),
    seen: watch::Sender<Leadership>,
) -> Result<Raft<Types, StateMachine<M>>, AnyError> {
    let store = LogStore { log: log.clone(), writer: shared.writer.clone(), fence: machine.fence().clone() };
    let state_machine = StateMachine {
        machine: machine.clone(),
        pool: shared.pool.clone(),
        exports: exports.clone(),
        incoming: shared.incoming.clone(),
        log: log.clone(),
        writer: shared.writer.clone(),
    };
    let (transport, exports) = (shared.transport.clone(), exports.clone());
    let network = Network { transport, machine: machine.clone(), exports, sleepers: shared.sleepers.clone() };
    let config = raft_config(!log.is_mute(), shared.limits.log_kept)?;
    let raft = Raft::new(shared.node, config, network, store, state_machine).await?;
    let mut leadership = seen.subscribe();
    drop(Runtime::spawn(follow(raft.clone(), machine.clone(), told.clone(), seen)));
    let is_new = founder && !raft.is_initialized().await?;
    if is_new {
        raft.initialize(BTreeMap::from([(shared.node, BasicNode::new(shared.address.as_ref()))])).await?;
    }
    // (What a group tells of its voters comes a moment after it was initialised.)
    if is_new || (!log.is_mute() && raft.voter_ids().eq([shared.node])) {
        raft.trigger().elect(false).await?;
        leadership.wait_for(|seen| !matches!(seen, Leadership::Follower { .. })).await?;
    }
    Ok(raft)
}

/// Log and machine of a group, and whether this node's replica makes the group.
type Loaded<M> = (Arc<GroupLog>, Arc<Machine<M>>, bool);

/// Reads log positions and machine of a shard, and checks that they fit. Where they don't, or can't be read, the replica is fenced.
async fn load<M: Replicated>(shared: &Shared, shard: u32) -> Loaded<M> {
    let fence = Arc::new(Fence::new(shard));
    let (from, to) = (shared.clone(), fence.clone());
    let loaded = shared.pool.run(move || load_blocking(&from, &to)).await;
    let stopped = match loaded {
        Ok(Ok(loaded)) => return loaded,
        Ok(Err(stopped)) => stopped,
        Err(not_done) => Stopped::damaged(format!("what it has was not read: {not_done}")),
    };
    fence.raise(stopped);
    let log = Arc::new(GroupLog::unreadable(shared.log.clone(), shard));
    (log, Arc::new(Machine::unreadable(shared.state.clone(), fence, shared.fatal.clone())), false)
}

fn load_blocking<M: Replicated>(shared: &Shared, fence: &Arc<Fence>) -> Result<Loaded<M>, Stopped> {
    let shard = fence.group;
    let unreadable = |error: StoreError| Stopped::damaged(error.to_string());
    if let Some(why) = distrust::of(&shared.log, shard).map_err(unreadable)? {
        return Err(Stopped::damaged(why));
    }
    let founder = host(&shared.log, shard).map_err(unreadable)?;
    let tail = shared.limits.log_memory / shared.shards as usize;
    let log = GroupLog::open(shared.log.clone(), shard, tail).map_err(|error| Stopped::from(&error))?;
    finish_install(shared, &log).map_err(|error| {
        Stopped::damaged(format!("a snapshot whose installation was interrupted can't be installed: {error}"))
    })?;
    let machine = Machine::open(shared.state.clone(), fence.clone(), shared.fatal.clone())?;
    go_on_from_the_state(&log, &machine.applied(), shared.node).map_err(|error| Stopped::from(&error))?;
    check_fit(log.purged(), machine.applied().last, log.last()).map_err(Stopped::damaged)?;
    if machine.applied().last.is_none() && !machine.is_empty().map_err(unreadable)? {
        return Err(Stopped::damaged("its state is not empty, but does not say what is applied in it"));
    }
    Ok((Arc::new(log), Arc::new(machine), founder == Some(HOST_FOUNDER)))
}

/// An earlier process ended while it installed a snapshot: all of it is done again. Until it is, the state is not read: it may be anything.
fn finish_install(shared: &Shared, log: &GroupLog) -> Result<(), AnyError> {
    let shard = log.group;
    let Some(staged) = shared.incoming.staged(shard)? else { return Ok(()) };
    let (applied, mine) = (&staged.offer.applied, applied_in(&shared.state, shard)?);
    if applied.last > mine.last {
        tracing::info!(shard, "a snapshot whose installation was interrupted is installed");
    }
    // (Also if the state says that it is there already: the last step may have been the one that was interrupted.)
    if applied.last >= mine.last {
        replace(&shared.state, shard, applied, staged.dir(), &staged.offer.files)?;
        applied.last.map_or(Ok(()), |upto| log.stand_at(upto, staged.offer.vote))?;
    }
    Ok(shared.incoming.installed(&staged)?)
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
