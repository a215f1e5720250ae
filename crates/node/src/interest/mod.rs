//! Interest: all subscriptions of the cluster, against which this node matches events, and the leases that say until when it may.
//!
//! Subscriptions of the shards that this node leads come from their actors. Of the others it holds copies, which their leaders keep up to date
//! (`follower` asks, `leader` answers, in the words of `wire`). The rules of leases are in `lease`, and nowhere else. Knows no event.

mod book;
mod changed;
mod follower;
mod leader;
pub mod lease;
#[cfg(test)]
mod model;
pub mod restoring;
#[cfg(test)]
mod tests;
pub mod uptime;
pub mod wire;

pub use changed::changes;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flintwheel_events::{Index, Matcher, Subscription};
use flintwheel_raft::{Group, Leadership};
use flintwheel_shard::query::{self, Subscribed};
use flintwheel_shard::{Applied, Machine};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::EngineError;
use crate::peers::Subject;
use crate::shared::Shared;
use book::{Book, FOREVER};
use lease::{Position, Settled};
use uptime::Uptime;
use wire::Change;

/// For what an actor that failed has proposed to come to an end, before its successor reads the subscriptions.
const IN_FLIGHT: Duration = Duration::from_secs(5);
/// A confirmation of so long ago (in microseconds) counts: nodes whose shards sleep answer each other no more often. What is left of a lease then must
/// last until its holder asks again, without being urgent.
const CONFIRMED: i64 = 200_000;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One subscription, ready to be found.
pub struct Listed {
    namespace: String,
    event_type: String,
    subscription: Subscription,
}

impl Listed {
    fn of(shard: u32, row: Subscribed) -> Result<Self, EngineError> {
        let Subscribed { namespace, event_type, number, version, matcher } = row;
        let matcher = Matcher::decode(&matcher).map_err(EngineError::Read)?;
        Ok(Self { namespace, event_type, subscription: Subscription { shard, number, version, matcher } })
    }

    fn of_change(shard: u32, change: &Change) -> Result<Vec<Self>, EngineError> {
        let row = |(event_type, matcher): &(String, bytes::Bytes)| Subscribed {
            namespace: change.namespace.clone(),
            event_type: event_type.clone(),
            number: change.number,
            version: change.version,
            matcher: matcher.to_vec(),
        };
        change.subscriptions.iter().map(|one| Self::of(shard, row(one))).collect()
    }

    fn insert(self, index: &mut Index) {
        index.insert(&self.namespace, &self.event_type, self.subscription);
    }
}

/// See the module.
pub struct Interest {
    index: RwLock<Index>,
    /// Is locked after the index, where both are.
    book: Mutex<Book>,
    /// When the first lease ends. Is lowered only while the index is locked for writing, and where its content may not be matched any more.
    until: AtomicI64,
    uptime: Uptime,
    /// A shard that this node leads has changed.
    news: watch::Sender<()>,
    /// Another node has more than it was known to.
    heard: watch::Sender<()>,
    /// `until` has moved.
    leases: watch::Sender<()>,
}

impl Interest {
    /// In a cluster of so many shards; of none of them anything is known.
    pub fn new(shards: u32) -> Self {
        Self {
            index: RwLock::default(),
            book: Mutex::new(Book::new(shards)),
            until: AtomicI64::new(i64::MIN),
            uptime: Uptime::default(),
            news: watch::Sender::new(()),
            heard: watch::Sender::new(()),
            leases: watch::Sender::new(()),
        }
    }

    /// All subscriptions, if this node may match against them now: they hold every change that was acknowledged before this call.
    pub fn matching(&self) -> Option<RwLockReadGuard<'_, Index>> {
        let index = self.index.read();
        // After the lock: what is in the index is what the leases are for, until it is given back.
        let until = self.until.load(Ordering::Acquire);
        (until == FOREVER || self.uptime.now() < until).then_some(index)
    }

    /// Whether any definition waits for the runs of this one, as far as this node knows.
    pub fn is_followed(&self, namespace: &str, id: &str) -> bool {
        self.index.read().is_followed(namespace, id)
    }

    /// A shard into which a backup is being brought, as far as this node knows.
    pub fn restoring(&self) -> Option<u32> {
        restoring::shard(&self.index.read())
    }

    /// Waits until this node may match.
    pub async fn may_match(&self, deadline: Instant) -> Result<(), EngineError> {
        let mut leases = self.leases.subscribe();
        while self.matching().is_none() {
            if timeout_at(deadline, leases.changed()).await.is_err() {
                return Err(EngineError::NotLed);
            }
        }
        Ok(())
    }

    /// Shards whose subscriptions this node may not match against now: it takes no events while there are any.
    pub fn lacking(&self) -> usize {
        self.book.lock().lacking(self.uptime.now())
    }

    /// A shard that this node has begun to lead has these subscriptions. `confirmed`: nobody else had been elected by then.
    pub fn lead(&self, shard: u32, term: u64, alone: bool, confirmed: Option<i64>, all: Vec<Listed>) {
        let mut index = self.index.write();
        let mut book = self.book.lock();
        if !alone {
            book.meet();
        }
        index.remove_shard(shard);
        all.into_iter().for_each(|one| one.insert(&mut index));
        book.lead(shard, term, confirmed, self.uptime.now());
        self.publish(&book);
        self.news.send_replace(());
    }

    /// This node does not lead a shard any more. Its subscriptions stay, for as long as nobody else can have changed them.
    pub fn lose(&self, shard: u32) {
        let mut book = self.book.lock();
        book.lose(shard);
        self.publish(&book);
        // Who waits for a change of it is told that nobody knows.
        self.heard.send_replace(());
        self.news.send_replace(());
    }

    /// Subscriptions of a shard that this node leads have changed: here from now on, with the others soon. Gives what to wait for before
    /// anybody is told; `None` if it does not lead in that term any more.
    pub fn change(&self, shard: u32, term: u64, changes: Vec<Change>) -> Result<Option<Position>, EngineError> {
        let ready = changes.into_iter().map(|change| Ok((Listed::of_change(shard, &change)?, change)));
        let mut ready = ready.collect::<Result<Vec<_>, EngineError>>()?;
        let mut index = if ready.is_empty() { None } else { Some(self.index.write()) };
        let mut book = self.book.lock();
        if let Some(index) = &index {
            ready.retain(|(listed, change)| !listed.is_empty() || index.contains(shard, change.number));
        }
        let (listed, changes): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
        let Some(head) = book.change(shard, term, &changes, self.uptime.now()) else { return Ok(None) };
        if let Some(index) = &mut index {
            for (change, listed) in changes.iter().zip(listed) {
                index.remove(shard, change.number);
                listed.into_iter().for_each(|one| one.insert(index));
            }
            self.news.send_replace(());
        }
        Ok(Some(head))
    }

    /// Whether all who may match have a shard's subscriptions up to there.
    pub fn settled(&self, shard: u32, position: Position) -> Settled {
        self.book.lock().settled(shard, position, self.uptime.now())
    }

    /// Waits until they have: for a lease at most, unless who lacks something keeps its lease alive. The error: nobody here can say any more.
    pub async fn settle(&self, shard: u32, position: Position) -> Result<(), EngineError> {
        let mut heard = self.heard.subscribe();
        loop {
            let at = match self.settled(shard, position) {
                Settled::Now => return Ok(()),
                Settled::Lost => return Err(EngineError::NotLed),
                Settled::At(at) => at,
            };
            let rest = u64::try_from(at - self.uptime.now()).unwrap_or(0);
            tokio::select! {
                _ = heard.changed() => {}
                () = sleep(Duration::from_micros(rest.max(1_000))) => {}
            }
        }
    }

    fn publish(&self, book: &Book) {
        let until = book.until();
        if self.until.swap(until, Ordering::AcqRel) != until {
            self.leases.send_replace(());
        }
    }
}

/// Reads the subscriptions of a shard that this node leads, and gives the term in which it does. To be done before its actor proposes
/// anything, and by nobody else.
pub async fn lead(shared: &Shared, shard: u32) -> Result<u64, EngineError> {
    let group = shared.group(shard);
    let Leadership::Leader { term } = *group.watch_leader().borrow() else { return Err(EngineError::NotLed) };
    // Who proposed it is gone, so nobody would tell of what is applied after the subscriptions were read.
    let deadline = Instant::now() + IN_FLIGHT;
    while group.status().in_flight > 0 {
        if Instant::now() > deadline {
            return Err(EngineError::Restarting { shard });
        }
        sleep(LOOK_AGAIN).await;
    }
    let mut rows = query::subscriptions(&group.state())?;
    rows.extend(group.read(|machine, _| machine.is_held())?.then(restoring::row));
    let all = rows.into_iter().map(|row| Listed::of(shard, row)).collect::<Result<Vec<_>, _>>()?;
    let confirmed = confirmed(shared, &group, term);
    shared.interest.lead(shard, term, is_alone(shared, &group), confirmed, all);
    Ok(term)
}

/// Answers whoever asked for changes of a shard's subscriptions, as soon as every node knows of them. `position` is what
/// [`Interest::change`] gave.
pub fn reply(
    shared: &Arc<Shared>,
    shard: u32,
    position: Option<Position>,
    applied: Applied,
    to: oneshot::Sender<Result<Applied, EngineError>>,
) {
    let settled = position.map(|position| (position, shared.interest.settled(shard, position)));
    // Who asked may have gone; what they asked for is done all the same.
    match settled {
        Some((_, Settled::Now)) => _ = to.send(Ok(applied)),
        None | Some((_, Settled::Lost)) => _ = to.send(Err(EngineError::NotLed)),
        Some((position, Settled::At(_))) => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                let settled = shared.interest.settle(shard, position).await;
                let _ = to.send(settled.map(|()| applied));
            });
        }
    }
}

/// Lets other nodes ask for subscriptions and bring matches.
pub fn register(shared: &Arc<Shared>) {
    shared.peers.register(Subject::Interest, Arc::new(leader::Leader(Arc::clone(shared))));
}

/// Keeps copies and leases up to date, without an end.
pub async fn run(shared: Arc<Shared>) {
    follower::run(shared).await;
}

/// Whether there is no other node that could hold a lease, or lead the shard.
pub fn is_alone(shared: &Shared, group: &Group<Machine>) -> bool {
    let members = group.members();
    let me = shared.peers.me();
    !has_met(shared) && members.voters.iter().chain(&members.learners).all(|node| *node == me)
}

/// Whether the cluster has other nodes.
fn has_met(shared: &Shared) -> bool {
    let me = shared.peers.me();
    shared.peers.directory().nodes().iter().any(|node| node.id != me)
}

/// When it was last confirmed that nobody has been elected after this node.
fn confirmed(shared: &Shared, group: &Group<Machine>, term: u64) -> Option<i64> {
    group.quorum_seen(term).and_then(|seen| shared.interest.uptime.of(seen))
}

/// Looks which of these shards this node still leads, and since when nobody doubts it. One that was confirmed just now is left out: its lease is
/// as good for as long as it lasts.
fn confirm(shared: &Shared, shards: impl Iterator<Item = u32>) {
    let since = shared.interest.uptime.now() - CONFIRMED;
    let led = shared.interest.book.lock().doubted(shards, since);
    // Without a replica here, it does not lead.
    let mut seen: Vec<_> = led.into_iter().map(|(shard, term)| (shard, term, false, None)).collect();
    shared.groups.each_of(seen.iter_mut().map(|one| (one.0, one)), |(_, term, leads, at), group| {
        *leads = group.leadership() == (Leadership::Leader { term: *term });
        *at = if *leads { confirmed(shared, group, *term) } else { None };
    });
    let interest = &shared.interest;
    let mut book = interest.book.lock();
    let mut lost = false;
    for (shard, term, leads, at) in seen {
        lost |= !leads && book.lose_term(shard, term);
        at.into_iter().for_each(|at| book.confirm(shard, term, at));
    }
    interest.publish(&book);
    drop(book);
    if lost {
        interest.heard.send_replace(());
    }
}
