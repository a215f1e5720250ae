//! One connection of a link: what waits to be sent, and who waits for an answer.
//!
//! Knows no socket. Once closed it stays so; the link's next connection is another session.

use super::counters::Counters;
use super::limits::Filling;
use super::presence::Presence;
use crate::transport::{CallError, Lane};
use bytes::Bytes;
use flintwheel_proto::peer::answer::Outcome as WireOutcome;
use flintwheel_proto::peer::{Answer, Frame, Hello, LinkRequest};
use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// What a call ends with.
pub(super) type Outcome = Result<Bytes, CallError>;

/// See the module.
#[derive(Default)]
pub(super) struct Session {
    state: Mutex<State>,
    /// There is something to send, or the session was closed.
    wake: Notify,
}

#[derive(Default)]
struct State {
    last: u64,
    /// In the order of the calls. A call that is given up is taken out, so nothing stays that nobody waits for.
    unsent: BTreeMap<u64, Frame>,
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    answered: bool,
    closed: Option<CallError>,
}

impl Session {
    /// Takes a message in; its sequence, and where the outcome will come.
    pub(super) fn enter(
        &self,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), CallError> {
        let mut state = self.state.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone());
        }
        state.last += 1;
        let (sequence, (done, outcome)) = (state.last, oneshot::channel());
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        state.unsent.insert(sequence, Frame { sequence, group, message, within_ms });
        state.waiting.insert(sequence, done);
        drop(state);
        self.wake.notify_one();
        Ok((sequence, outcome))
    }

    /// Nobody waits for this call any more.
    pub(super) fn forget(&self, sequence: u64) {
        let mut state = self.state.lock();
        state.waiting.remove(&sequence);
        state.unsent.remove(&sequence);
    }

    /// Hands out answers. `Err` says what is wrong with them.
    pub(super) fn answer(&self, answers: Vec<Answer>) -> Result<(), String> {
        let mut state = self.state.lock();
        for Answer { sequence, outcome } in answers {
            if sequence == 0 || sequence > state.last || state.unsent.contains_key(&sequence) {
                return Err(format!("it has answered message {sequence}, which was not sent"));
            }
            let outcome = match outcome {
                Some(WireOutcome::Message(message)) => Ok(message),
                Some(WireOutcome::Failure(text)) => Err(CallError::Unreachable(text)),
                None => return Err(format!("its answer to message {sequence} says nothing")),
            };
            state.answered = true;
            // Who is not there has given the call up.
            if let Some(done) = state.waiting.remove(&sequence) {
                let _ = done.send(outcome);
            }
        }
        Ok(())
    }

    /// Whether any answer has come.
    pub(super) fn has_answered(&self) -> bool {
        self.state.lock().answered
    }

    /// All that wait, and all that come later, fail with this error. Only the first close counts.
    pub(super) fn close(&self, error: &CallError) {
        let mut state = self.state.lock();
        state.closed.get_or_insert_with(|| error.clone());
        state.unsent.clear();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for done in waiting.into_values() {
            let _ = done.send(Err(error.clone()));
        }
        self.wake.notify_one();
    }

    /// What goes over the wire, until the session is closed. Frames are taken only when the connection has room for them.
    pub(super) fn requests(
        self: Arc<Self>,
        hello: Hello,
        lane: Lane,
        counters: Arc<Counters>,
        presence: Arc<dyn Presence>,
    ) -> impl Stream<Item = LinkRequest> + Send + 'static {
        let first = LinkRequest { hello: Some(hello), ..LinkRequest::default() };
        let batches = stream::unfold((self, counters, presence), move |(session, counters, presence)| async move {
            let frames = session.next_batch().await?;
            counters.lane(lane).sent(frames.iter().map(|frame| frame.message.len()));
            // After what is said in them was written.
            let written = presence.mine().written;
            Some((LinkRequest { hello: None, frames, written }, (session, counters, presence)))
        });
        stream::iter([first]).chain(batches)
    }

    async fn next_batch(&self) -> Option<Vec<Frame>> {
        loop {
            {
                let mut state = self.state.lock();
                if state.closed.is_some() {
                    return None;
                }
                let frames = take_batch(&mut state.unsent);
                if !frames.is_empty() {
                    return Some(frames);
                }
            }
            self.wake.notified().await;
        }
    }
}

fn take_batch(unsent: &mut BTreeMap<u64, Frame>) -> Vec<Frame> {
    let (mut filling, mut frames) = (Filling::default(), Vec::new());
    while let Some(first) = unsent.first_entry()
        && filling.admits(first.get().message.len())
    {
        frames.push(first.remove());
    }
    frames
}
