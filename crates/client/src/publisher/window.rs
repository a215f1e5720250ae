//! The batches under way: which were sent on the current stream, which wait for a while, and who is told when they are done.
//!
//! Knows no stream and no clock: time is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use flintwheel_proto::v1::PublishStreamRequest;
use prost::bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::client::PublishResult;
use crate::error::Error;

pub(super) type Done = oneshot::Sender<Result<PublishResult, Error>>;

pub(super) struct Window {
    room: usize,
    namespace: String,
    last: u64,
    batches: BTreeMap<u64, Batch>,
}

struct Batch {
    events: Vec<Bytes>,
    done: Done,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// On the stream; its answer is awaited.
    Sent,
    /// To be sent at this time.
    Waiting(Instant),
}

impl Window {
    pub fn new(namespace: String, room: usize) -> Self {
        Self { room: room.max(1), namespace, last: 0, batches: BTreeMap::new() }
    }

    pub fn has_room(&self) -> bool {
        self.batches.len() < self.room
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Takes a batch, to be sent at once.
    pub fn add(&mut self, events: Vec<Bytes>, done: Done, now: Instant) {
        self.last += 1;
        self.batches.insert(self.last, Batch { events, done, state: State::Waiting(now) });
    }

    /// When the next batch is to be sent.
    pub fn next_due(&self) -> Option<Instant> {
        let due = |batch: &Batch| if let State::Waiting(at) = batch.state { Some(at) } else { None };
        self.batches.values().filter_map(due).min()
    }

    /// The first batch that is due; it counts as sent from now on.
    pub fn take_due(&mut self, now: Instant) -> Option<PublishStreamRequest> {
        let due = |batch: &Batch| matches!(batch.state, State::Waiting(at) if at <= now);
        let (sequence, batch) = self.batches.iter_mut().find(|(_, batch)| due(batch))?;
        batch.state = State::Sent;
        let namespace = self.namespace.clone();
        Some(PublishStreamRequest { sequence: *sequence, namespace, events: batch.events.clone() })
    }

    /// The server has taken a batch; false if there is none of this sequence.
    pub fn acknowledge(&mut self, sequence: u64, result: PublishResult) -> bool {
        let Some(batch) = self.batches.remove(&sequence) else { return false };
        // Whoever dropped the ticket does not want to know.
        let _ = batch.done.send(Ok(result));
        true
    }

    /// The server was too busy for a batch.
    pub fn hold(&mut self, sequence: u64, delay: Duration, now: Instant) {
        if let Some(batch) = self.batches.get_mut(&sequence) {
            batch.state = State::Waiting(now + delay);
        }
    }

    /// The stream broke: all that was on it is to be sent again, in order.
    pub fn resend(&mut self, now: Instant) {
        for batch in self.batches.values_mut().filter(|batch| batch.state == State::Sent) {
            batch.state = State::Waiting(now);
        }
    }

    /// No more is to be hoped for.
    pub fn fail(&mut self, error: &Error) {
        for (_, batch) in std::mem::take(&mut self.batches) {
            let _ = batch.done.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window_of(batches: usize, now: Instant) -> (Window, Vec<oneshot::Receiver<Result<PublishResult, Error>>>) {
        let mut window = Window::new("n".into(), 3);
        let tickets = (0..batches).map(|_| {
            let (done, ticket) = oneshot::channel();
            window.add(vec![Bytes::new()], done, now);
            ticket
        });
        let tickets = tickets.collect();
        (window, tickets)
    }

    fn due(window: &mut Window, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| window.take_due(now)).map(|request| request.sequence).collect()
    }

    #[test]
    fn batches_are_sent_once_and_in_order() {
        let now = Instant::now();
        let (mut window, _tickets) = window_of(3, now);
        assert!(!window.has_room());
        assert_eq!(due(&mut window, now), [1, 2, 3]);
        assert_eq!((due(&mut window, now), window.next_due()), (vec![], None));
    }

    #[test]
    fn acknowledged_ones_make_room_and_unknown_sequences_do_nothing() {
        let now = Instant::now();
        let (mut window, mut tickets) = window_of(3, now);
        assert!(window.acknowledge(2, PublishResult { accepted: 1, ..Default::default() }));
        assert!(!window.acknowledge(2, PublishResult::default()));
        assert!(!window.acknowledge(9, PublishResult::default()));
        assert!(window.has_room());
        assert_eq!(tickets[1].try_recv().expect("told").expect("taken").accepted, 1);
        assert!(tickets[0].try_recv().is_err());
    }

    #[test]
    fn after_a_break_all_that_was_on_the_stream_is_sent_again() {
        let now = Instant::now();
        let (mut window, _tickets) = window_of(3, now);
        assert_eq!(due(&mut window, now), [1, 2, 3]);
        window.acknowledge(2, PublishResult::default());
        window.hold(3, Duration::from_secs(5), now);
        window.resend(now);
        assert_eq!(due(&mut window, now), [1]);
        assert_eq!(window.next_due(), Some(now + Duration::from_secs(5)));
        assert_eq!(due(&mut window, now + Duration::from_secs(5)), [3]);
    }
}
