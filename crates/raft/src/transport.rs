//! How messages travel between nodes, whatever carries them: links (see `link`), or a simulated network.
//!
//! Knows nothing of what a message says: a group's messages and answers are opaque bytes, coded and versioned by who sends them.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id, never used again for another node.
    pub node: u64,
    /// Its door for peers: `host:port`.
    pub address: Arc<str>,
}

/// What shares a connection with what. A full lane does not hold up the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Entries and votes.
    Log,
    /// Liveness: small, and worth nothing when late.
    Beat,
    /// Pieces of snapshots.
    Bulk,
    /// What nodes ask each other beside Raft.
    Call,
}

/// A message was not delivered, or is not known to be. It may still arrive, also after messages that were sent later: the caller tries again
/// later, with a message that does no harm the second time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no connection, it broke before the answer came, or the other node could give none.
    #[error("{0}")]
    Unreachable(String),
    /// The node at the address does not talk to this one: another cluster, another node than was looked for, no common protocol version, or
    /// this node was removed. It stays so until somebody mends it.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer came in the time that the caller gave.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// As many bytes are under way on this lane to this node as may be. Not sent.
    #[error("too much is under way to the node: try again when something has been answered")]
    Busy,
    /// The message is larger than its lane takes. Not sent: split it.
    #[error("the message has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Carries messages to other nodes.
pub trait Transport: Send + Sync + 'static {
    /// Sends `message` to a group's replica on another node and gives its answer, or gives up after `within`.
    ///
    /// Messages of one group on one lane to one node reach [`Inbound::answer`] in the order in which this function was *called*, whenever
    /// the futures are polled, as long as none of them fails; answers come in any order. Dropping the future gives the call up.
    /// All callers should take a node's address from one place: a call with another address than the last one ends the node's link on that lane.
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>>;
}

/// Answers what other nodes send.
pub trait Inbound: Send + Sync + 'static {
    /// Answers one message of node `from` to a group's replica here, which may not exist.
    ///
    /// This function is called in the order of the sender's calls and must return at once; it may take the message's place in a queue. The
    /// futures are driven side by side. One is dropped when the sender no longer waits, or when the link breaks: what must not end half
    /// done must not depend on it. The bytes may share memory with other messages: who keeps a part of them for long copies it.
    fn answer(&self, from: u64, group: u32, message: Bytes) -> BoxFuture<'static, Bytes>;
}

/// For a node without others: nobody can be reached.
#[derive(Clone, Copy, Debug)]
pub struct NoTransport;

impl Transport for NoTransport {
    fn call(&self, _: &Peer, _: Lane, _: u32, _: Bytes, _: Duration) -> BoxFuture<'static, Result<Bytes, CallError>> {
        futures::future::ready(Err(CallError::Unreachable("this node knows no way to others".to_owned()))).boxed()
    }
}
