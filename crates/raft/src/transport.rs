//! How messages get to other nodes, as the groups see it: bytes of one group, on one of three lanes, answered or not.
//!
//! A test or a simulation implements these two traits, and has the network in its hands. Knows nothing of what the messages mean.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub node: u64,
    /// Where its door for other nodes is: `host:port`.
    pub address: Arc<str>,
}

/// What travels together. One that is full does not hold up the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Entries and votes.
    Log,
    /// Signs of life.
    Beat,
    /// Pieces of snapshots.
    Bulk,
}

/// A message was not delivered, or is not known to be: the caller tries again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody answers there, for this reason.
    #[error("can't be reached: {0}")]
    Unreachable(String),
    /// Whoever answers there is not who was meant, or does not talk to us, for this reason.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer came within the time given.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// As much is under way on this lane as may be.
    #[error("too much is under way to it")]
    Busy,
    /// The message is larger than one may be.
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
    /// Sends a message of `group` and waits for the answer, at most for `within`. Messages of one group on one lane to one node are handed
    /// over there in the order of these calls.
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
    /// Answers a message of `group` that node `from` has sent.
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
