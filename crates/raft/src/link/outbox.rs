//! Answers of one link on their way out: whoever has one puts it in, and the connection takes as many as go into one gRPC message.

use super::connect::answer_bytes;
use super::counters::Counters;
use super::limits::Filling;
use super::presence::Presence;
use crate::transport::Lane;
use flintwheel_proto::peer::{Answer, LinkResponse};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

/// An answer, and the room that it takes until it is sent.
pub(super) struct Ready {
    pub(super) answer: Answer,
    pub(super) room: OwnedSemaphorePermit,
}

/// An answer, or why the link ends.
pub(super) type Item = Result<Ready, Status>;

/// The receiving end.
pub(super) struct Outbox {
    items: mpsc::Receiver<Item>,
    /// Did not go into the last message.
    left: Option<Item>,
    lane: Lane,
    counters: Arc<Counters>,
    presence: Arc<dyn Presence>,
}

impl Outbox {
    pub(super) fn new(
        items: mpsc::Receiver<Item>,
        lane: Lane,
        counters: Arc<Counters>,
        presence: Arc<dyn Presence>,
    ) -> Self {
        Self { items, left: None, lane, counters, presence }
    }

    /// The next gRPC message; `None` when no more can come.
    pub(super) async fn next(&mut self) -> Option<Result<LinkResponse, Status>> {
        let first = match self.left.take() {
            Some(item) => item,
            None => self.items.recv().await?,
        };
        let answers = match first {
            Ok(ready) => self.fill(ready),
            Err(status) => return Some(Err(status)),
        };
        self.counters.lane(self.lane).sent(answers.iter().map(answer_bytes));
        // After what is promised in them was written.
        let written = self.presence.mine().written;
        Some(Ok(LinkResponse { welcome: None, answers, written }))
    }

    /// What is ready goes along, as long as it fits.
    fn fill(&mut self, first: Ready) -> Vec<Answer> {
        let (mut filling, mut answers) = (Filling::default(), Vec::new());
        let mut next = Ok(first);
        loop {
            match next {
                Ok(ready) if filling.admits(answer_bytes(&ready.answer)) => answers.push(ready.sent()),
                left => {
                    self.left = Some(left);
                    return answers;
                }
            }
            next = match self.items.try_recv() {
                Ok(item) => item,
                Err(_) => return answers,
            };
        }
    }
}

impl Ready {
    /// Gives its room back.
    fn sent(self) -> Answer {
        drop(self.room);
        self.answer
    }
}
