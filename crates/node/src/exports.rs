//! Exports of shards under way: each reads a shard's state as it was at one instant, on a thread of its own, some pages ahead of whoever asks.
//!
//! Knows rows as bytes, and who asks only by the number of the session. One that nobody asks for any more ends by itself: what it has pinned
//! costs space.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flintwheel_raft::{Group, GroupState};
use flintwheel_shard::export::export;
use flintwheel_shard::records::Counters;
use flintwheel_shard::rows::{Row, encode_all};
use flintwheel_shard::{Machine, Read, ReadError, Table, keys};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::error::EngineError;

/// Pages that are read before they are asked for.
const AHEAD: usize = 2;
/// A page ends with the row that makes it so long.
const PAGE_BYTES: usize = 512 * 1024;
/// Exports under way on one node. Each has a thread, and pins its state.
const MOST: usize = 32;
/// After which one that nobody asks for is given up.
const IDLE: Duration = Duration::from_secs(60);

/// Where an export begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Names it on its node.
    pub session: u64,
    /// The last log entry that is in it.
    pub applied: u64,
    /// The latest time that the shard had seen, in microseconds since the epoch.
    pub clock: i64,
    /// All due times up to here had been decided.
    pub fired_through: i64,
}

/// Some rows of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Encoded, each with its length.
    pub rows: Bytes,
    /// How many.
    pub count: u32,
    /// Nothing follows.
    pub last: bool,
}

/// See the module.
#[derive(Default)]
pub struct Exports {
    open: Mutex<HashMap<u64, Arc<Session>>>,
}

struct Session {
    shard: u32,
    used: Mutex<Instant>,
    /// All has been read. The last page is kept for a while, for whoever did not get it.
    done: AtomicBool,
    pages: tokio::sync::Mutex<Pages>,
}

type Made = Result<Page, EngineError>;

struct Pages {
    coming: mpsc::Receiver<Made>,
    /// The number of the newest page, and the page: whoever did not get it asks again.
    newest: Option<(u32, Page)>,
}

impl Exports {
    /// Begins one of a shard that this node leads: with all that was applied by now.
    pub async fn begin(self: &Arc<Self>, group: &Group<Machine>) -> Result<Begun, EngineError> {
        let (begun, begins) = oneshot::channel();
        let (pages, coming) = mpsc::channel(AHEAD);
        let session: u64 = rand::random();
        {
            let mut open = self.open.lock();
            if open.values().filter(|session| !session.done.load(Ordering::Relaxed)).count() >= MOST {
                return Err(EngineError::Busy);
            }
            let pages = tokio::sync::Mutex::new(Pages { coming, newest: None });
            let (used, done) = (Mutex::new(Instant::now()), AtomicBool::new(false));
            let export = Session { shard: group.shard(), used, done, pages };
            open.insert(session, Arc::new(export));
        }
        let state = group.state();
        tokio::task::spawn_blocking(move || read(&state, session, begun, &pages));
        tokio::spawn(give_up(Arc::clone(self), session));
        let begun = begins.await.unwrap_or_else(|_| Err(EngineError::Read("the export ended at once".into())));
        if begun.is_err() {
            self.end(session);
        }
        begun
    }

    /// A page of an export: the newest one again, or the next. `None` where there is no such export here.
    pub async fn page(&self, shard: u32, session: u64, number: u32) -> Option<Result<Page, EngineError>> {
        let open = self.open.lock().get(&session).filter(|session| session.shard == shard).cloned()?;
        *open.used.lock() = Instant::now();
        let page = open.pages.lock().await.page(number).await;
        *open.used.lock() = Instant::now();
        open.done.fetch_or(!matches!(&page, Ok(Page { last: false, .. })), Ordering::Relaxed);
        Some(page)
    }

    /// Gives up all of them: the node stops.
    pub fn close(&self) {
        self.open.lock().clear();
    }

    fn end(&self, session: u64) {
        self.open.lock().remove(&session);
    }

    /// Whether one is gone, or goes now because nobody asks for it.
    fn is_over(&self, session: u64) -> bool {
        let mut open = self.open.lock();
        let idle = open.get(&session).is_none_or(|session| session.used.lock().elapsed() >= IDLE);
        if idle {
            open.remove(&session);
        }
        idle
    }
}

impl Pages {
    async fn page(&mut self, number: u32) -> Made {
        if let Some((newest, page)) = &self.newest
            && *newest == number
        {
            return Ok(page.clone());
        }
        let next = self.newest.as_ref().map_or(0, |(newest, _)| newest + 1);
        if number != next {
            return Err(EngineError::Read(format!("page {number} of an export was asked for, and {next} is next")));
        }
        let page = self.coming.recv().await.unwrap_or_else(|| Err(EngineError::Stopping))?;
        self.newest = Some((number, page.clone()));
        Ok(page)
    }
}

async fn give_up(exports: Arc<Exports>, session: u64) {
    while !exports.is_over(session) {
        tokio::time::sleep(IDLE / 4).await;
    }
}

/// Reads the state and hands it over; ends early when nobody takes the pages.
fn read(
    state: &GroupState,
    session: u64,
    begun: oneshot::Sender<Result<Begun, EngineError>>,
    pages: &mpsc::Sender<Made>,
) {
    let done = state.pinned(|state, applied| {
        let head = head(state, session, applied.unwrap_or_default());
        let fits = head.is_ok();
        // Who asked may have gone.
        if begun.send(head.map_err(EngineError::from)).is_err() || !fits {
            return Ok(());
        }
        give(state, pages)
    });
    if let Err(error) = done.and_then(std::convert::identity) {
        let _ = pages.blocking_send(Err(error.into()));
    }
}

fn head(state: &dyn Read, session: u64, applied: u64) -> Result<Begun, ReadError> {
    let counters = state.get(Table::Meta, keys::COUNTERS)?;
    let counters = counters.map(|bytes| Counters::decode(&bytes)).transpose();
    let counters = counters.map_err(|e| ReadError(format!("the counters: {e}")))?.unwrap_or_default();
    Ok(Begun { session, applied, clock: counters.clock, fired_through: counters.fired_through })
}

fn give(state: &dyn Read, pages: &mpsc::Sender<Made>) -> Result<(), ReadError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let ended = export(state, &mut |row| {
        bytes += weight(&row);
        rows.push(row);
        if bytes < PAGE_BYTES {
            return ControlFlow::Continue(());
        }
        bytes = 0;
        match pages.blocking_send(Ok(page(&std::mem::take(&mut rows), false))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    if ended.is_continue() {
        // Who asked may have gone.
        let _ = pages.blocking_send(Ok(page(&rows, true)));
    }
    Ok(())
}

/// About as many bytes as it will have.
fn weight(row: &Row) -> usize {
    const ANY: usize = 64;
    match row {
        Row::Version(row) => ANY + row.value.document.len(),
        Row::Cursor(row) => 2 * ANY + row.subscriptions.iter().map(|(name, by)| name.len() + by.len()).sum::<usize>(),
        Row::Retired(_) | Row::Seen(_) => ANY / 2,
        Row::Track(row) => ANY + row.value.len(),
        Row::Course(_) => ANY,
        Row::Backfill(row) => ANY + row.value.len(),
        Row::Calendar(row) => 2 * ANY + row.document.len(),
        Row::Uses(row) => ANY * (1 + row.used.names.len()),
        Row::Chunk(row) => ANY * row.occurrences.len() + row.blobs.iter().map(Bytes::len).sum::<usize>(),
    }
}

fn page(rows: &[Row], last: bool) -> Page {
    Page { rows: encode_all(rows).into(), count: flintwheel_shard::codec::count(rows.len()), last }
}
