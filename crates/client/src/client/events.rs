//! Calls of `EventService`; for many events see `Publisher`.

use flintwheel_proto::v1;
use prost::bytes::Bytes;
use serde::Serialize;

use super::{Client, event_service};
use crate::error::Error;

/// What became of a batch of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishResult {
    /// Events that were taken.
    pub accepted: u32,
    /// Of those, events that matched at least one definition.
    pub matched: u32,
    /// Firings that were not made because their dedupe key had fired before.
    pub duplicate: u32,
    /// Firings that were made.
    pub fired: u32,
    /// Events that were refused, in the batch's order.
    pub rejected: Vec<RejectedEvent>,
}

/// One event that was refused. Sending it again unchanged brings the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedEvent {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// For programs.
    pub reason: String,
    /// The attribute that is wrong, or `data`; empty where it is the event as a whole.
    pub field: String,
    /// For people.
    pub message: String,
}

impl From<v1::PublishResult> for PublishResult {
    fn from(proto: v1::PublishResult) -> Self {
        let read =
            |v1::RejectedEvent { index, reason, field, message }| RejectedEvent { index, reason, field, message };
        Self {
            accepted: proto.accepted,
            matched: proto.matched,
            duplicate: proto.duplicate,
            fired: proto.fired,
            rejected: proto.rejected.into_iter().map(read).collect(),
        }
    }
}

impl From<PublishResult> for v1::PublishResult {
    fn from(result: PublishResult) -> Self {
        let write =
            |RejectedEvent { index, reason, field, message }| v1::RejectedEvent { index, reason, field, message };
        Self {
            accepted: result.accepted,
            matched: result.matched,
            duplicate: result.duplicate,
            fired: result.fired,
            rejected: result.rejected.into_iter().map(write).collect(),
        }
    }
}

impl Client {
    /// One batch of events for a namespace, encoded with `convert::event::encode`; answered when all of it is durable.
    pub async fn publish(&self, namespace: &str, events: Vec<Bytes>) -> Result<PublishResult, Error> {
        let request = v1::PublishRequest { namespace: namespace.to_owned(), events };
        let answer = self.call(request, |t, q| async move { event_service(t).publish(q).await }).await?;
        Ok(answer.result.unwrap_or_default().into())
    }
}
