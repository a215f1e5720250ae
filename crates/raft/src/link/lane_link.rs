//! The link to one peer on one lane: what may be under way on it, its connection of the moment, and its pauses after failures.

use super::connect;
use super::counters::Counters;
use super::greeting::Identity;
use super::limits::{cost, room};
use super::notices::Notices;
use super::presence::Presence;
use super::session::{Outcome, Session};
use crate::transport::{CallError, Lane, Peer};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// After a first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A node that is back is found again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What all links of a node share.
pub(super) struct Context {
    pub(super) me: Identity,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) runtime: Handle,
    /// Why another node has said that this one must end.
    pub(super) expelled: watch::Sender<Option<String>>,
    pub(super) counters: Arc<Counters>,
    /// Of links that others have refused.
    pub(super) notices: Notices,
}

/// When something was last received from a node, on whatever lane.
#[derive(Default)]
pub(super) struct Heard(Mutex<Option<Instant>>);

impl Heard {
    pub(super) fn now(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    pub(super) fn ago(&self) -> Option<Duration> {
        self.0.lock().map(|then| then.elapsed())
    }
}

/// See the module.
pub(super) struct LaneLink {
    pub(super) context: Arc<Context>,
    pub(super) peer: Peer,
    pub(super) lane: Lane,
    pub(super) heard: Arc<Heard>,
    room: Arc<Semaphore>,
    state: Mutex<State>,
}

enum State {
    /// Not connected. Until then calls fail with this error.
    Pausing { until: Instant, failures: u32, error: CallError },
    /// Connected, or about to be.
    Running { session: Arc<Session>, failures: u32, task: Option<AbortHandle> },
    /// Replaced, or the node ends.
    Closed(CallError),
}

impl LaneLink {
    pub(super) fn new(context: Arc<Context>, peer: Peer, lane: Lane, heard: Arc<Heard>) -> Self {
        let error = CallError::Unreachable("not connected yet".to_owned());
        let state = Mutex::new(State::Pausing { until: Instant::now(), failures: 0, error });
        Self { context, peer, lane, heard, room: Arc::new(room(lane)), state }
    }

    /// Takes a call in, in the order in which this is called, and connects where there is no connection.
    pub(super) fn enter(self: &Arc<Self>, group: u32, message: Bytes, within: Duration) -> Result<Call, CallError> {
        let room = self.room.clone().try_acquire_many_owned(cost(message.len())).map_err(|_| CallError::Busy)?;
        let (session, is_new, entered) = {
            let mut state = self.state.lock();
            let (session, is_new) = state.session()?;
            // Under the lock, so that calls are in the session's order.
            let entered = session.enter(group, message, within);
            (session, is_new, entered)
        };
        if is_new {
            self.start(&session);
        }
        let (sequence, outcome) = entered?;
        Ok(Call { session, sequence, outcome, within, deadline: Instant::now() + within, _room: room })
    }

    /// Without the lock: where the runtime has ended, the task is dropped at once, and that ends the session.
    fn start(self: &Arc<Self>, session: &Arc<Session>) {
        let handle = self.context.runtime.spawn(connect::run(self.clone(), session.clone())).abort_handle();
        match &mut *self.state.lock() {
            State::Running { session: current, task, .. } if Arc::ptr_eq(current, session) => *task = Some(handle),
            // Ended, or closed, meanwhile.
            _ => handle.abort(),
        }
    }

    /// The session has ended; the next one begins after a pause.
    pub(super) fn ended(&self, session: &Arc<Session>, error: CallError) {
        let mut state = self.state.lock();
        if let State::Running { session: current, failures, .. } = &*state
            && Arc::ptr_eq(current, session)
        {
            let failures = if session.has_answered() { 0 } else { *failures };
            let until = Instant::now() + pause(failures);
            tracing::debug!(peer = self.peer.node, lane = ?self.lane, failures, %error, "a link has ended");
            *state = State::Pausing { until, failures: failures.saturating_add(1), error: error.clone() };
        }
        drop(state);
        session.close(&error);
    }

    /// For good: all calls fail.
    pub(super) fn close(&self, reason: &str) {
        let error = self.unreachable(reason);
        let before = std::mem::replace(&mut *self.state.lock(), State::Closed(error.clone()));
        if let State::Running { session, task, .. } = before {
            session.close(&error);
            if let Some(task) = task {
                task.abort();
            }
        }
    }

    /// Names the peer.
    pub(super) fn unreachable(&self, reason: &str) -> CallError {
        CallError::Unreachable(format!("node {} at {}: {reason}", self.peer.node, self.peer.address))
    }

    /// The same, for a refusal.
    pub(super) fn refused(&self, reason: &str) -> CallError {
        CallError::Refused(format!("node {} at {}: {reason}", self.peer.node, self.peer.address))
    }
}

impl State {
    /// The session for a call, and whether it is a new one that has to be started.
    fn session(&mut self) -> Result<(Arc<Session>, bool), CallError> {
        match self {
            Self::Running { session, .. } => Ok((session.clone(), false)),
            Self::Closed(error) => Err(error.clone()),
            Self::Pausing { until, error, .. } if Instant::now() < *until => Err(error.clone()),
            Self::Pausing { failures, .. } => {
                let session = Arc::new(Session::default());
                *self = Self::Running { session: session.clone(), failures: *failures, task: None };
                Ok((session, true))
            }
        }
    }
}

/// Between the half and the whole of a time that doubles: nodes that lost the same peer do not come back at the same moment.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.5..1.0))
}

/// A call under way. Dropped, it is given up, and its bytes are free for others.
pub(super) struct Call {
    session: Arc<Session>,
    sequence: u64,
    outcome: oneshot::Receiver<Outcome>,
    within: Duration,
    deadline: Instant,
    _room: OwnedSemaphorePermit,
}

impl Call {
    /// Its outcome, or that there was none in time.
    pub(super) async fn outcome(mut self) -> Outcome {
        match timeout_at(self.deadline, &mut self.outcome).await {
            Ok(outcome) => outcome.expect("a session answers every call before it is dropped, and this call holds it"),
            Err(_) => Err(CallError::TimedOut(self.within)),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.session.forget(self.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_are_never_the_same() {
        for (failures, longest) in [(0, 50), (1, 100), (4, 800), (5, 1000), (u32::MAX, 1000)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<_> = (0..100).map(|_| pause(failures)).collect();
            assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.windows(2).any(|two| two[0] != two[1]));
        }
    }
}
