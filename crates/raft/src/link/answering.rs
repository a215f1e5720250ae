//! The task of one link on the answering side: reads messages, has them answered in order of arrival, and closes the link where they are malformed.

use super::counters::Counters;
use super::greeting::refused;
use super::limits::{FRAMES, cost, largest_message, room};
use super::outbox::{Item, Ready};
use super::presence::Presence;
use crate::transport::{Inbound, Lane};
use bytes::Bytes;
use flintwheel_proto::peer::answer::Outcome;
use flintwheel_proto::peer::{Answer, Frame, LinkRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// See the module.
pub(super) struct Answering<I> {
    pub(super) inbound: Arc<I>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) from: u64,
    pub(super) lane: Lane,
    pub(super) counters: Arc<Counters>,
    room: Arc<Semaphore>,
    items: mpsc::Sender<Item>,
    /// Of the last message.
    sequence: u64,
    /// Answers that are being made; dropped with the link.
    tasks: JoinSet<()>,
}

impl<I: Inbound> Answering<I> {
    pub(super) fn new(
        inbound: Arc<I>,
        presence: Arc<dyn Presence>,
        from: u64,
        lane: Lane,
        counters: Arc<Counters>,
        items: mpsc::Sender<Item>,
    ) -> Self {
        let room = Arc::new(room(lane));
        Self { inbound, presence, from, lane, counters, room, items, sequence: 0, tasks: JoinSet::new() }
    }

    /// Until the caller ends the link, or there is a reason to.
    pub(super) async fn run(mut self, requests: Streaming<LinkRequest>, stopping: CancellationToken) {
        let ended = tokio::select! {
            ended = self.read(requests) => ended,
            () = stopping.cancelled() => Err(Status::unavailable("the node is stopping")),
        };
        if let Err(status) = ended {
            tracing::debug!(from = self.from, lane = ?self.lane, %status, "a peer's link has ended");
            // Who does not read any more does not need to know.
            let _ = self.items.send(Err(status)).await;
        }
    }

    async fn read(&mut self, mut requests: Streaming<LinkRequest>) -> Result<(), Status> {
        while let Some(request) = requests.message().await? {
            // Again each time: a node that is removed loses the links that it has.
            self.presence.admit(self.from).map_err(refused)?;
            self.presence.heard(self.from, request.written);
            for frame in self.checked(request)? {
                self.begin(frame).await;
            }
        }
        Ok(())
    }

    /// The frames of a request, if they are as they must be.
    fn checked(&mut self, request: LinkRequest) -> Result<Vec<Frame>, Status> {
        let LinkRequest { hello, frames, .. } = request;
        if hello.is_some() {
            return Err(malformed("a second hello".to_owned()));
        }
        if frames.is_empty() || frames.len() > FRAMES {
            return Err(malformed(format!("{} frames in a message; allowed are 1 to {FRAMES}", frames.len())));
        }
        let limit = largest_message(self.lane);
        for frame in &frames {
            if frame.sequence <= self.sequence {
                return Err(malformed(format!("sequence {} after {}; it must ascend", frame.sequence, self.sequence)));
            }
            if frame.message.len() > limit {
                return Err(malformed(format!("a message of {} bytes; allowed are {limit}", frame.message.len())));
            }
            self.sequence = frame.sequence;
        }
        self.counters.lane(self.lane).received(frames.iter().map(|frame| frame.message.len()));
        Ok(frames)
    }

    /// Waits for room, so that nothing more is read meanwhile and HTTP/2 stops the caller; then has the message answered.
    async fn begin(&mut self, frame: Frame) {
        let room = self.room.clone().acquire_many_owned(cost(frame.message.len())).await;
        let room = room.expect("the room is never closed");
        // What has ended is cleared away; a panic among it has been told by its reply.
        while self.tasks.try_join_next().is_some() {}
        let mut reply = Reply { sequence: frame.sequence, room: Some(room), items: self.items.clone() };
        let (lane, all_room) = (self.lane, self.room.clone());
        let answer = self.inbound.answer(self.from, frame.group, frame.message);
        let within = Duration::from_millis(frame.within_ms.into());
        self.tasks.spawn(async move {
            // Who has waited so long waits no more, so what hangs does not fill the link.
            match timeout(within, answer).await {
                Ok(answer) => reply.answer(answer, lane, &all_room),
                Err(_) => reply.fail("it has no answer in the time that was given"),
            }
        });
    }
}

fn malformed(what: String) -> Status {
    Status::invalid_argument(format!("malformed: {what}"))
}

/// One answer that is owed. Dropped without one, because who made it panicked, it says so.
struct Reply {
    sequence: u64,
    /// `None` once answered.
    room: Option<OwnedSemaphorePermit>,
    items: mpsc::Sender<Item>,
}

impl Reply {
    fn answer(&mut self, answer: Bytes, lane: Lane, all_room: &Arc<Semaphore>) {
        let limit = largest_message(lane);
        if answer.len() > limit {
            return self.fail(&format!("its answer has {} bytes, {limit} are allowed", answer.len()));
        }
        // An answer may be larger than its message. It is made already, so where there is no room it goes without.
        if let (Some(room), Ok(more)) = (&mut self.room, all_room.clone().try_acquire_many_owned(cost(answer.len()))) {
            room.merge(more);
        }
        self.send(Outcome::Message(answer));
    }

    fn fail(&mut self, reason: &str) {
        self.send(Outcome::Failure(reason.to_owned()));
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some(room) = self.room.take() {
            let answer = Answer { sequence: self.sequence, outcome: Some(outcome) };
            // There is a place for each answer that has room; where the connection is gone, nobody waits.
            let _ = self.items.try_send(Ok(Ready { answer, room }));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.fail("it failed to answer: see its log");
    }
}
