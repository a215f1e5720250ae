//! What both doors do alike: room for what is on its way, events published with a limit on the wait, pages that fit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_client::convert::definition::DEFAULT_NAMESPACE;
use flintwheel_client::{PageRequest, PublishResult, RejectedEvent};
use flintwheel_model::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Fault;
use crate::api::{self, Api, ApiError};
use crate::error::EngineError;
use crate::ingress::{Published, Rejection};

/// One page of an answer, encoded: what every gRPC client takes without being told otherwise, less what surrounds it.
pub const PAGE_BYTES: usize = limits::MESSAGE_BYTES - 64 * 1024;
/// How long a batch may wait for room and for its disks before the producer is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Items of a page where the request does not say; the contract names it.
const DEFAULT_PAGE: u32 = 100;
/// Requests that were read and not answered, over all connections, in KiB.
const ROOM_KIB: u32 = 256 * 1024;

/// The engine as the doors see it, and the room that they share.
#[derive(Clone)]
pub struct Doors {
    /// What is asked.
    pub api: Api,
    room: Arc<Semaphore>,
}

impl Doors {
    /// Of a running engine.
    pub fn new(api: Api) -> Self {
        Self { api, room: Arc::new(Semaphore::new(ROOM_KIB as usize)) }
    }

    /// Room for so many bytes of requests: waits while the node holds as much as it can.
    pub async fn room(&self, bytes: usize) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.room);
        room.acquire_many_owned(kib(bytes).min(ROOM_KIB)).await.expect("the room is never closed")
    }

    /// The same, for those who can be told to come back.
    pub async fn room_soon(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
        tokio::time::timeout(PATIENCE, self.room(bytes)).await.map_err(|_| EngineError::Busy.into())
    }

    /// Takes a batch in; returns when all that fires is durable. An empty namespace means `default`. What did not get through in time
    /// may have been taken in part: sent again, that part is dropped as duplicates.
    pub async fn publish(&self, namespace: &str, events: &[Bytes]) -> Result<PublishResult, Fault> {
        if events.len() > limits::BATCH_EVENTS {
            let message = format!("{} events; a batch has at most {}", events.len(), limits::BATCH_EVENTS);
            return Err(Fault::field("events", message));
        }
        let namespace = if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace };
        let published = tokio::time::timeout(PATIENCE, self.api.publish(namespace, events)).await;
        Ok(result(published.map_err(|_| EngineError::Busy)??))
    }

    /// One page of a list that is not larger than [`PAGE_BYTES`]: with fewer items than asked for where they are large.
    pub async fn page<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        page: PageRequest,
        ask: impl Fn(PageRequest) -> F,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<T, Fault> {
        if page.size > api::PAGE {
            return Err(Fault::field("page_size", format!("{} is not in 0 to {}", page.size, api::PAGE)));
        }
        Ok(fitting(page, ask, bytes).await?)
    }
}

/// Of a request, in the unit of the room.
pub fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// Asks for half as many until the answer fits. One item always does.
async fn fitting<T, E, F: Future<Output = Result<T, E>>>(
    mut page: PageRequest,
    ask: impl Fn(PageRequest) -> F,
    bytes: impl Fn(&T) -> usize,
) -> Result<T, E> {
    if page.size == 0 {
        page.size = DEFAULT_PAGE;
    }
    loop {
        let answer = ask(page.clone()).await?;
        if page.size == 1 || bytes(&answer) <= PAGE_BYTES {
            return Ok(answer);
        }
        page.size /= 2;
    }
}

fn result(published: Published) -> PublishResult {
    let Published { accepted, matched, duplicate, fired, rejected } = published;
    let told = |(index, Rejection { reason, field, message })| RejectedEvent {
        index,
        reason: String::from(reason),
        field,
        message,
    };
    PublishResult { accepted, matched, duplicate, fired, rejected: rejected.into_iter().map(told).collect() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    async fn sizes_asked(size: u32, item_bytes: usize) -> Vec<u32> {
        let asked = RefCell::new(Vec::new());
        let ask = async |page: PageRequest| {
            asked.borrow_mut().push(page.size);
            Ok::<_, ()>(page.size as usize)
        };
        let page = PageRequest { size, token: String::new() };
        fitting(page, ask, |items| items * item_bytes).await.expect("never fails");
        asked.into_inner()
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_again_by_halves() {
        for (size, item_bytes, asked) in [
            (1000, 1, &[1000][..]),
            (0, 1, &[100]),
            (1000, 10_000, &[1000, 500, 250]),
            (0, 250_000, &[100, 50, 25, 12]),
            (2, usize::MAX / 4, &[2, 1]),
            (1, usize::MAX, &[1]),
        ] {
            assert_eq!(sizes_asked(size, item_bytes).await, asked, "{size} items of {item_bytes} bytes");
        }
    }
}
