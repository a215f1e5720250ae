//! The way to the other nodes of the cluster, beside Raft: who they are and where, and questions to them.
//!
//! Knows addresses and bytes. What is asked, and how it is answered, is the business of whoever has registered for a [`Subject`].

mod directory;
mod guests;
mod inbound;
mod link;

pub use directory::Directory;
pub use guests::Guests;
pub use inbound::Doorman;
pub use link::Link;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flintwheel_raft::{CallError, Lane, Peer, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::clocks::Clocks;
use crate::room::Rooms;

/// What a call is about. The number stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Subject {
    /// What a user asks of one shard.
    Ask = 1,
    /// Matched events for one shard.
    Ingest = 2,
    /// Subscriptions, and the leases on them.
    Interest = 3,
    /// What a node observes of itself and of the shards that it leads.
    Seen = 4,
    /// A change of a group's members, by its leader.
    Change = 5,
    /// A proposal to the meta group.
    Meta = 6,
    /// Who is in the cluster.
    Directory = 7,
    /// What time it is.
    Clock = 8,
    /// How the disk stands.
    Room = 9,
}

/// Calls have these group numbers on their lane: far above all shards.
const FIRST: u32 = 0xFFFF_0000;

impl Subject {
    const ALL: [Self; 9] = [
        Self::Ask,
        Self::Ingest,
        Self::Interest,
        Self::Seen,
        Self::Change,
        Self::Meta,
        Self::Directory,
        Self::Clock,
        Self::Room,
    ];

    fn group(self) -> u32 {
        FIRST + self as u32
    }

    fn of_group(group: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.group() == group)
    }
}

/// Answers the calls of one subject. The error is for people; the caller sees it as [`CallError::Unreachable`].
pub trait Answers: Send + Sync + 'static {
    /// Is called in the order in which one node's calls come, and must return at once. The future is dropped when the caller waits no longer.
    fn answer(&self, from: u64, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// See the module.
pub struct Peers {
    me: u64,
    transport: Arc<dyn Transport>,
    directory: Arc<Directory>,
    clocks: Clocks,
    rooms: Rooms,
    answers: RwLock<BTreeMap<Subject, Arc<dyn Answers>>>,
}

impl Peers {
    /// Of the node `me`.
    pub fn new(me: u64, transport: Arc<dyn Transport>, directory: Arc<Directory>) -> Self {
        Self {
            me,
            transport,
            directory,
            clocks: Clocks::default(),
            rooms: Rooms::default(),
            answers: RwLock::default(),
        }
    }

    /// This node's id.
    pub fn me(&self) -> u64 {
        self.me
    }

    /// Who is in the cluster, as far as this node knows.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whose clock is astray, as far as this node knows.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// How disks stand, as far as this node knows.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Who answers calls of a subject from now on.
    pub fn register(&self, subject: Subject, answers: Arc<dyn Answers>) {
        self.answers.write().insert(subject, answers);
    }

    /// Nobody answers calls of a subject any more.
    pub fn forget(&self, subject: Subject) {
        self.answers.write().remove(&subject);
    }

    /// Forgets who answers: they hold on to much of the node.
    pub fn close(&self) {
        self.answers.write().clear();
    }

    /// Asks another node, or this one, and waits for the answer.
    pub fn call(
        &self,
        node: u64,
        subject: Subject,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        if node == self.me {
            let answer = self.answer(node, subject, body);
            return async move {
                let answer = tokio::time::timeout(within, answer).await.map_err(|_| CallError::TimedOut(within))?;
                answer.map_err(CallError::Unreachable)
            }
            .boxed();
        }
        let Some(address) = self.directory.address(node) else {
            let why = format!("the address of node {node} is not known");
            return futures::future::ready(Err(CallError::Unreachable(why))).boxed();
        };
        let call = self.transport.call(&Peer { node, address }, Lane::Call, subject.group(), body, within);
        async move { open(&call.await?).map_err(CallError::Unreachable) }.boxed()
    }

    /// Asks all other nodes for what they say of themselves: what those say that answer in time and are understood, and how long each took.
    pub async fn ask_others<T>(
        &self,
        subject: Subject,
        within: Duration,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> BTreeMap<u64, (T, Duration)> {
        let others = self.directory.nodes().into_iter().map(|node| node.id).filter(|node| *node != self.me);
        let questions = others.map(|node| async move {
            // By a clock that nobody sets.
            let asked = Instant::now();
            let answer = self.call(node, subject, Bytes::new(), within).await.ok()?;
            Some((node, answer, asked.elapsed()))
        });
        let answers = futures::future::join_all(questions).await;
        let understood = answers.into_iter().flatten().map(|(node, answer, took)| Some((node, (read(&answer)?, took))));
        understood.flatten().collect()
    }

    fn answer(&self, from: u64, subject: Subject, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        match self.answers.read().get(&subject) {
            Some(answers) => answers.answer(from, body),
            None => futures::future::ready(Err(format!(
                "node {} does not answer that: it has just started, or is about to stop",
                self.me
            )))
            .boxed(),
        }
    }
}

/// First byte of an answer.
const DONE: u8 = 0;
const FAILED: u8 = 1;

fn close(answer: Result<Bytes, String>) -> Bytes {
    let (kind, body) = match answer {
        Ok(body) => (DONE, body),
        Err(why) => (FAILED, why.into_bytes().into()),
    };
    let mut bytes = BytesMut::with_capacity(body.len() + 1);
    bytes.extend_from_slice(&[kind]);
    bytes.extend_from_slice(&body);
    bytes.freeze()
}

fn open(answer: &Bytes) -> Result<Bytes, String> {
    match answer.first() {
        Some(&DONE) => Ok(answer.slice(1..)),
        Some(&FAILED) => Err(String::from_utf8_lossy(&answer[1..]).into_owned()),
        _ => Err("the answer can't be read".to_owned()),
    }
}
