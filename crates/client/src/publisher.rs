//! Publishing many events over one stream: several batches in flight, each acknowledged by its sequence.
//!
//! After a break the publisher connects again, to another node if need be, and sends what was not acknowledged; the server drops what
//! it had taken already. Batches that the server is too busy for are sent again after the delay that it names. Nothing is reported as
//! published before the server has said that it is durable.

use std::time::Duration;

use flintwheel_model::limits::MESSAGE_BYTES;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tonic::Code;

use crate::client::{Client, PublishResult};
use crate::error::{Error, reason};

mod driver;
mod window;

/// Leaves room for what surrounds the events of a batch.
pub const BATCH_BYTES: usize = MESSAGE_BYTES - 16 * 1024;

/// How a publisher behaves.
#[derive(Clone, Copy, Debug)]
pub struct PublisherOptions {
    /// Batches that may be under way; sending another one waits (default: 16, at least 1).
    pub window: usize,
    /// Gives up when nothing was acknowledged for so long although something waits (default: 1 minute).
    pub give_up_after: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self { window: 16, give_up_after: Duration::from_secs(60) }
    }
}

/// Publishes batches of events into one namespace. Dropping it leaves unacknowledged batches to their fate; see [`Publisher::close`].
pub struct Publisher {
    jobs: mpsc::Sender<driver::Job>,
    task: tokio::task::JoinHandle<()>,
}

/// A batch under way.
#[derive(Debug)]
#[must_use = "a batch is published only when its ticket says so"]
pub struct Ticket(oneshot::Receiver<Result<PublishResult, Error>>);

impl Ticket {
    /// Waits until the batch is durable, or has failed for good.
    pub async fn acknowledged(self) -> Result<PublishResult, Error> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Client {
    /// Opens a publisher; its stream is opened with the first batch.
    pub fn publisher(&self, namespace: &str, options: PublisherOptions) -> Publisher {
        // The channel hands batches over; what is under way is bounded by the window.
        let (jobs, queue) = mpsc::channel(1);
        let driver = driver::Driver::new(self.clone(), namespace.to_owned(), options, queue);
        Publisher { jobs, task: tokio::spawn(driver.run()) }
    }
}

impl Publisher {
    /// Sends a batch of events (see `convert::event::encode`) as soon as the window has room.
    pub async fn send(&self, events: Vec<Bytes>) -> Result<Ticket, Error> {
        let size: usize = events.iter().map(|event| event.len() + 8).sum();
        if size > BATCH_BYTES {
            let message = format!("the batch has {size} bytes; at most {BATCH_BYTES} fit into a message");
            return Err(Error::new(Code::OutOfRange, reason::TOO_LARGE, message));
        }
        let (done, ticket) = oneshot::channel();
        self.jobs.send(driver::Job { events, done }).await.map_err(|_| closed())?;
        Ok(Ticket(ticket))
    }

    /// Waits until all that was sent is acknowledged or has failed; the tickets say which.
    pub async fn close(self) {
        drop(self.jobs);
        // A panic in the driver has failed the tickets already.
        let _ = self.task.await;
    }
}

fn closed() -> Error {
    Error::new(Code::Aborted, reason::UNREACHABLE, "the publisher has given up; the batch may or may not have arrived")
}
