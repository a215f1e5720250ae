//! Proposing entries: at once, in the order of the calls, and within a limit of bytes under way.

use crate::error::{ProposeError, Stopped};
use crate::group::Inner;
use crate::state_machine::StateMachine;
use crate::types::{Command, Types};
use bytes::Bytes;
use flintwheel_shard::Replicated;
use futures::FutureExt;
use openraft::errors::{ClientWriteError, ForwardToLeader};
use openraft::raft::ClientWriteResult;
use openraft::raft::responder::Responder;
use openraft::{OptionalSend, Raft};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// What an entry costs beside its bytes, roughly: it bounds the number of tiny entries under way.
const OVERHEAD: usize = 256;

/// The bytes under way in one group, and how many there may be.
pub(crate) struct InFlight {
    bytes: Arc<AtomicUsize>,
    limit: usize,
    entry_limit: usize,
    closed: AtomicBool,
}

impl InFlight {
    pub(crate) fn new(limit: usize, entry_limit: usize) -> Self {
        Self { bytes: Arc::default(), limit, entry_limit, closed: AtomicBool::new(false) }
    }

    /// Bytes under way.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Admits nothing more: the node shuts down.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn admit(&self, entry: usize) -> Result<Permit, ProposeError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Stopped::because("the node is shutting down").into());
        }
        if entry > self.entry_limit {
            return Err(ProposeError::TooLarge { bytes: entry, limit: self.entry_limit });
        }
        let permit = Permit { bytes: self.bytes.clone(), size: entry + OVERHEAD };
        let before = self.bytes.fetch_add(permit.size, Ordering::Relaxed);
        // The first always fits, so that no limit can block a group for good.
        if before > 0 && before + permit.size > self.limit {
            return Err(ProposeError::Busy { in_flight: before, limit: self.limit });
        }
        Ok(permit)
    }
}

/// Bytes under way; given back when the entry is answered or given up, not when its proposer stops waiting.
struct Permit {
    bytes: Arc<AtomicUsize>,
    size: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// How openraft answers a proposal.
pub(crate) struct Answer<T> {
    to: oneshot::Sender<T>,
    _permit: Permit,
}

impl<T: OptionalSend + 'static> Responder<Types, T> for Answer<T> {
    fn on_complete(self, result: T) {
        // A proposer may have stopped waiting.
        let _ = self.to.send(result);
    }
}

/// Proposes `entry`. Its place in the order is taken by this call; the future only waits for the answer, and dropping it takes nothing back.
pub(crate) fn propose<M: Replicated>(
    group: &Inner<M>,
    entry: Bytes,
) -> impl Future<Output = Result<M::Reply, ProposeError>> + Send + use<M> {
    let sent = send(group, entry);
    let machine = group.machine.clone();
    async move {
        match sent?.await {
            Ok(Ok(answer)) => Ok(answer.data.into().expect("a command is answered with its machine's reply")),
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id })
            }
            Ok(Err(_)) => Err(ProposeError::Unknown),
            Err(_) => Err(machine.stopped().unwrap_or_else(|| Stopped::because("its Raft group has ended")).into()),
        }
    }
}

fn send<M: Replicated>(
    group: &Inner<M>,
    entry: Bytes,
) -> Result<oneshot::Receiver<ClientWriteResult<Types>>, ProposeError> {
    let (to, answer) = oneshot::channel();
    let responder = Answer { to, _permit: group.in_flight.admit(entry.len())? };
    // openraft asserts that nobody asks a core that is just ending.
    if let Some(raft) = group.raft.as_ref().filter(|_| group.machine.stopped().is_none()) {
        group.put(raft, entry, responder);
    }
    Ok(answer)
}

/// Hands an entry to openraft. Sending only waits while the group's queue is full, which the limit on what is under way prevents, or when the
/// group has ended: then the answer's channel closes. So one poll does it, and what was called first is first in the queue. (Unconstrained:
/// tokio may else defer it.)
pub(crate) fn enter<M: Replicated>(
    raft: &Raft<Types, StateMachine<M>>,
    entry: Bytes,
    answer: Answer<ClientWriteResult<Types>>,
) {
    let _ = tokio::task::unconstrained(raft.client_write_ff(Command(entry), Some(answer))).now_or_never();
}

/// Answers an entry that was not proposed, because this node is not known to lead.
pub(crate) fn refuse(answer: Answer<ClientWriteResult<Types>>) {
    answer.on_complete(Err(ClientWriteError::ForwardToLeader(ForwardToLeader::empty())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_admitted_up_to_the_limit_and_given_back() {
        let in_flight = InFlight::new(3 * OVERHEAD, 1000);
        let first = in_flight.admit(OVERHEAD).unwrap();
        assert_eq!(in_flight.bytes(), 2 * OVERHEAD);
        let busy = ProposeError::Busy { in_flight: 2 * OVERHEAD, limit: 3 * OVERHEAD };
        assert_eq!(in_flight.admit(1).err(), Some(busy));
        assert_eq!(in_flight.bytes(), 2 * OVERHEAD);
        let _second = in_flight.admit(0).unwrap();
        drop(first);
        assert_eq!(in_flight.bytes(), OVERHEAD);
    }

    #[test]
    fn a_large_entry_fits_alone_but_not_above_its_own_limit() {
        let in_flight = InFlight::new(10, 1000);
        assert!(in_flight.admit(1000).is_ok());
        assert_eq!(in_flight.admit(1001).err(), Some(ProposeError::TooLarge { bytes: 1001, limit: 1000 }));
    }

    #[test]
    fn nothing_is_admitted_after_closing() {
        let in_flight = InFlight::new(1000, 1000);
        in_flight.close();
        assert!(matches!(in_flight.admit(1), Err(ProposeError::Stopped(_))));
    }
}
