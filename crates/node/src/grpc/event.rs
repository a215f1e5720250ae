//! `EventService`: the door for events, batch by batch or as a stream with many batches on the way.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_client::convert::time;
use flintwheel_client::{Code, reason};
use flintwheel_proto::v1;
use flintwheel_proto::v1::event_service_server::EventService;
use flintwheel_proto::v1::publish_stream_response::Outcome;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::wire::mended;
use crate::error::EngineError;
use crate::server::{Doors, Fault, kib};

/// Batches of one stream that were read and not answered. Beyond it, nothing is read: HTTP/2 then stops the producer. As many small ones as a
/// shard takes into one entry: with 32 a producer whose batches had waited for a leader took seconds to get through them.
const BATCHES: usize = 256;
/// The same in KiB; room for four of the largest messages.
const BATCHES_KIB: u32 = 16 * 1024;

/// See the module.
pub struct Events {
    /// The engine.
    pub doors: Doors,
    /// Ends streams: what was read is still answered.
    pub stopping: CancellationToken,
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::PublishStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl EventService for Events {
    async fn publish(&self, request: Request<v1::PublishRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        let v1::PublishRequest { namespace, events } = request.into_inner();
        let _room = self.doors.room_soon(bytes_of(&events)).await?;
        let result = self.doors.publish(&namespace, &events).await?;
        Ok(Response::new(v1::PublishResponse { result: Some(result.into()) }))
    }

    type PublishStreamStream = Answers;

    async fn publish_stream(
        &self,
        request: Request<Streaming<v1::PublishStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let answers = answers(self.doors.clone(), request.into_inner(), self.stopping.clone());
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Reads batches as long as there is room, works on many at once, and answers them in the order in which they came. A fault ends the stream
/// after the answers to what came before it.
fn answers(
    doors: Doors,
    requests: Streaming<v1::PublishStreamRequest>,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<v1::PublishStreamResponse, Status>> + Send {
    let own_room = Arc::new(Semaphore::new(BATCHES_KIB as usize));
    let wait = doors.clone();
    requests
        .take_until(stopping.clone().cancelled_owned())
        .map_err(mended)
        .and_then(move |request| wait_for_room(wait.clone(), Arc::clone(&own_room), request))
        .map(move |batch| answer(doors.clone(), batch))
        .buffered(BATCHES)
        .chain(farewell(stopping))
}

/// A batch and the room that it takes until it is answered.
struct Batch {
    request: v1::PublishStreamRequest,
    _room: [OwnedSemaphorePermit; 2],
}

async fn wait_for_room(
    doors: Doors,
    own_room: Arc<Semaphore>,
    request: v1::PublishStreamRequest,
) -> Result<Batch, Status> {
    let bytes = bytes_of(&request.events);
    let own = own_room.acquire_many_owned(kib(bytes).min(BATCHES_KIB)).await.expect("the room is never closed");
    Ok(Batch { request, _room: [own, doors.room(bytes).await] })
}

/// Begins at once, on any core; the future only waits for it.
fn answer(
    doors: Doors,
    batch: Result<Batch, Status>,
) -> impl Future<Output = Result<v1::PublishStreamResponse, Status>> + Send {
    let work = batch.map(|batch| tokio::spawn(async move { publish(&doors, &batch.request).await }));
    async move {
        let failed = |e| Fault::new(Code::Internal, reason::INTERNAL, format!("the batch failed: {e}"));
        Ok(work?.await.map_err(failed)??)
    }
}

async fn publish(doors: &Doors, request: &v1::PublishStreamRequest) -> Result<v1::PublishStreamResponse, Fault> {
    let outcome = match doors.publish(&request.namespace, &request.events).await {
        Ok(result) => Outcome::Result(result.into()),
        Err(fault) => Outcome::Throttled(throttled(fault)?),
    };
    Ok(v1::PublishStreamResponse { sequence: request.sequence, outcome: Some(outcome) })
}

/// What passes is told for the one batch; any other fault is given back.
fn throttled(fault: Fault) -> Result<v1::Throttled, Fault> {
    let Some(delay) = fault.error.retry_delay else { return Err(fault) };
    let retry_delay = Some(time::duration(delay));
    Ok(v1::Throttled { retry_delay, reason: fault.error.reason, message: fault.error.message })
}

/// A stream that ends because the node stops says so, with a delay: the producer goes on elsewhere, or when the node is back.
fn farewell(stopping: CancellationToken) -> impl Stream<Item = Result<v1::PublishStreamResponse, Status>> + Send {
    let last = async move { stopping.is_cancelled().then(|| Err(Fault::from(EngineError::Stopping).into())) };
    stream::once(last).filter_map(std::future::ready)
}

/// As they travelled, about.
fn bytes_of(events: &[Bytes]) -> usize {
    events.iter().map(|event| event.len() + size_of::<Bytes>()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_passes_is_throttled() {
        let throttle = throttled(EngineError::Busy.into()).expect("passes");
        assert_eq!(throttle.reason, reason::BACK_PRESSURE);
        assert!(throttle.retry_delay.map(time::length).is_some_and(|delay| delay > Duration::ZERO));
        let fault = Fault::field("namespace", "is odd");
        assert_eq!(throttled(fault.clone()), Err(fault));
    }

    #[tokio::test]
    async fn a_stopping_node_says_farewell_and_others_just_end() {
        let stopping = CancellationToken::new();
        assert_eq!(farewell(stopping.clone()).count().await, 0);
        stopping.cancel();
        let last = farewell(stopping).collect::<Vec<_>>().await;
        assert!(matches!(&last[..], [Err(status)] if status.code() == Code::Unavailable), "{last:?}");
    }
}
