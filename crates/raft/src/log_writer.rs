//! The one thread that writes the log of all groups: what waits is written in one batch and synced once.
//!
//! The queue is first in, first out, so votes and entries of a group reach the disk in the order in which they were asked for. The
//! next batch gathers while the disk syncs; there is no timer. Committed positions and removals ride along with the next sync.

use crate::codec::{encode_entry, encode_number, encode_position, encode_vote, place};
use crate::fatal::FatalHook;
use crate::group_log::{GroupLog, NODE, tag};
use crate::runtime::Runtime;
use crate::types::{Entry, LogId, Types, Vote};
use crate::world;
use flintwheel_store::{LogBatch, LogDb, StoreError};
use futures::executor::block_on;
use openraft::AsyncRuntime;
use openraft::storage::IOFlushed;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait. Each group has few under way; this is for thousands of groups.
const QUEUE: usize = 4096;
/// A batch is written when it is this large, though more may wait.
const MOST_BYTES: usize = 8 << 20;

/// A change of a group's log, to be brought to disk.
pub(crate) enum Op {
    /// Entries that follow each other, and who to tell when they are durable.
    Append { log: Arc<GroupLog>, epoch: u64, entries: Vec<Entry>, done: IOFlushed<Types> },
    /// The group's vote, and who to tell when it is durable.
    Vote { group: u32, vote: Vote, done: oneshot::Sender<()> },
    /// Entries taken back.
    Truncate { group: u32, indexes: Range<u64> },
    /// Entries no longer needed, up to a position, and who to tell when that is durable, if somebody waits for it.
    Purge { group: u32, indexes: Range<u64>, upto: LogId, done: Option<oneshot::Sender<()>> },
    /// All that the log has of a group whose replica has left, and who to tell.
    Erase { group: u32, done: oneshot::Sender<()> },
    /// How far the group's log is committed.
    Committed { group: u32, id: Option<LogId> },
    /// Nothing but to see whether the disk does what it is asked, and who waits for that.
    Probe { done: oneshot::Sender<()> },
}

/// How a batch becomes durable: [`LogDb::commit`], or a test's failing disk.
pub(crate) type Commit = fn(&LogDb, LogBatch<'_>) -> Result<(), StoreError>;

/// The queue of the writer thread.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: mpsc::Sender<Op>,
    written: Arc<AtomicU64>,
}

impl LogWriter {
    /// Starts the thread; a task, where the world is simulated. It ends when the last clone is dropped, having written everything, or after
    /// a failure.
    pub(crate) fn start(
        db: Arc<LogDb>,
        commit: Commit,
        fatal: FatalHook,
    ) -> io::Result<(Self, Option<thread::JoinHandle<()>>)> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let written = Arc::new(AtomicU64::new(0));
        let counter = written.clone();
        let writing = async move {
            if let Err(error) = run(&db, commit, waiting, &counter).await {
                fatal.call(&error);
            }
        };
        let thread = if world::current().is_some() {
            drop(Runtime::spawn(writing));
            None
        } else {
            Some(thread::Builder::new().name("log-writer".to_owned()).spawn(move || block_on(writing))?)
        };
        Ok((Self { queue, written }, thread))
    }

    /// Queues a change, waiting while the queue is full.
    pub(crate) async fn send(&self, op: Op) -> io::Result<()> {
        self.queue.send(op).await.map_err(|_| stopped())
    }

    /// Writes a vote and returns when it is durable.
    pub(crate) async fn save_vote(&self, group: u32, vote: Vote) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.send(Op::Vote { group, vote, done }).await?;
        durable.await.map_err(|_| stopped())
    }

    /// Removes entries and returns when that is durable.
    pub(crate) async fn purge_durably(&self, group: u32, indexes: Range<u64>, upto: LogId) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.send(Op::Purge { group, indexes, upto, done: Some(done) }).await?;
        durable.await.map_err(|_| stopped())
    }

    /// Removes a group, after all that was queued of it, and returns when that is durable.
    pub(crate) async fn erase(&self, group: u32) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.send(Op::Erase { group, done }).await?;
        durable.await.map_err(|_| stopped())
    }

    /// Returns when the disk has taken what was queued.
    pub(crate) async fn probe(&self) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.send(Op::Probe { done }).await?;
        durable.await.map_err(|_| stopped())
    }

    /// Bytes written since the start.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log writer has stopped, because the disk failed or the node is shutting down")
}

async fn run(db: &LogDb, commit: Commit, mut queue: mpsc::Receiver<Op>, written: &AtomicU64) -> Result<(), StoreError> {
    let mut ops = Vec::with_capacity(QUEUE);
    let mut pending = Pending::new(db);
    while queue.recv_many(&mut ops, QUEUE).await > 0 {
        for op in ops.drain(..) {
            pending.add(op);
            if pending.batch.bytes() >= MOST_BYTES {
                std::mem::replace(&mut pending, Pending::new(db)).commit(db, commit, written).await?;
            }
        }
        if pending.is_awaited() {
            std::mem::replace(&mut pending, Pending::new(db)).commit(db, commit, written).await?;
        }
    }
    if pending.batch.is_empty() { Ok(()) } else { pending.commit(db, commit, written).await }
}

/// What the next sync makes durable, and who waits for it.
struct Pending<'db> {
    batch: LogBatch<'db>,
    /// The newest append of each group: a group's flushes are a watermark, so the newest answers for the older ones.
    appends: BTreeMap<u32, Appended>,
    /// Votes and removals that are waited for.
    waiting: Vec<oneshot::Sender<()>>,
    encoded: Vec<u8>,
}

struct Appended {
    log: Arc<GroupLog>,
    epoch: u64,
    end: u64,
    done: IOFlushed<Types>,
}

impl<'db> Pending<'db> {
    fn new(db: &'db LogDb) -> Self {
        Self { batch: db.batch(), appends: BTreeMap::new(), waiting: Vec::new(), encoded: Vec::new() }
    }

    fn is_awaited(&self) -> bool {
        !self.appends.is_empty() || !self.waiting.is_empty()
    }

    fn add(&mut self, op: Op) {
        match op {
            Op::Append { log, epoch, entries, done } => self.append(log, epoch, &entries, done),
            Op::Vote { group, vote, done } => {
                self.batch.put_meta(group, tag::VOTE, &encode_vote(place(group, tag::VOTE.into()), &vote));
                self.waiting.push(done);
            }
            Op::Truncate { group, indexes } => self.batch.remove_entries(group, indexes),
            Op::Purge { group, indexes, upto, done } => {
                self.batch.remove_entries(group, indexes);
                self.put_position(group, tag::PURGED, &upto);
                self.waiting.extend(done);
            }
            Op::Erase { group, done } => {
                GroupLog::erase(&mut self.batch, group);
                self.waiting.push(done);
            }
            Op::Committed { group, id: Some(id) } => self.put_position(group, tag::COMMITTED, &id),
            Op::Committed { group, id: None } => self.batch.remove_meta(group, tag::COMMITTED),
            Op::Probe { done } => {
                self.batch.put_meta(NODE, tag::PROBE, &encode_number(place(NODE, tag::PROBE.into()), 0));
                self.waiting.push(done);
            }
        }
    }

    fn append(&mut self, log: Arc<GroupLog>, epoch: u64, entries: &[Entry], done: IOFlushed<Types>) {
        for entry in entries {
            let index = entry.log_id.index();
            encode_entry(&mut self.encoded, place(log.group, index), entry);
            self.batch.put_entry(log.group, index, &self.encoded);
        }
        let end = entries.last().map_or(0, |last| last.log_id.index() + 1);
        self.appends.insert(log.group, Appended { log, epoch, end, done });
    }

    fn put_position(&mut self, group: u32, tag: u8, id: &LogId) {
        self.batch.put_meta(group, tag, &encode_position(place(group, tag.into()), id));
    }

    /// Nobody is told anything before the disk has said yes.
    async fn commit(self, db: &LogDb, commit: Commit, written: &AtomicU64) -> Result<(), StoreError> {
        written.fetch_add(self.batch.bytes() as u64, Ordering::Relaxed);
        world::writing().await;
        commit(db, self.batch)?;
        world::writing().await;
        for append in self.appends.into_values() {
            append.log.set_durable(append.epoch, append.end);
            append.done.io_completed(Ok(()));
        }
        for done in self.waiting {
            // Who waited for it may have been shut down meanwhile.
            let _ = done.send(());
        }
        Ok(())
    }
}
