//! `PublishStream`: acknowledgements in order, faults after what came before them, and the end of the node.

use bytes::Bytes;
use flintwheel_client::{ApplyOptions, PublisherOptions, reason};
use flintwheel_model::limits::MESSAGE_BYTES;
use flintwheel_proto::cloudevents::CloudEvent;
use flintwheel_proto::v1::event_service_client::EventServiceClient;
use flintwheel_proto::v1::publish_stream_response::Outcome;
use flintwheel_proto::v1::{PublishStreamRequest, PublishStreamResponse};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::support::{LONG, Running, definition, on_event};

async fn node() -> Running {
    let node = Running::start().await;
    node.client().apply(&definition("a", on_event("t")), ApplyOptions::default()).await.expect("applied");
    node
}

fn batch(sequence: u64, ids: std::ops::Range<u32>) -> PublishStreamRequest {
    let event = |id: u32| CloudEvent {
        id: id.to_string(),
        source: "s".into(),
        spec_version: "1.0".into(),
        r#type: "t".into(),
        ..CloudEvent::default()
    };
    let events = ids.map(|id| event(id).encode_to_vec().into()).collect();
    PublishStreamRequest { sequence, namespace: String::new(), events }
}

struct Stream {
    requests: mpsc::Sender<PublishStreamRequest>,
    answers: Streaming<PublishStreamResponse>,
}

impl Stream {
    async fn open(node: &Running) -> Self {
        let (requests, queue) = mpsc::channel(64);
        let mut client = EventServiceClient::new(node.channel().await);
        let answers = client.publish_stream(ReceiverStream::new(queue)).await.expect("opens").into_inner();
        Self { requests, answers }
    }

    async fn next(&mut self) -> Option<Result<PublishStreamResponse, Status>> {
        tokio::time::timeout(LONG, self.answers.next()).await.expect("an answer")
    }
}

/// Sequence, accepted, fired, duplicate.
fn told(answer: Option<Result<PublishStreamResponse, Status>>) -> (u64, u32, u32, u32) {
    let answer = answer.expect("goes on").expect("no fault");
    let Some(Outcome::Result(result)) = answer.outcome else { panic!("not taken: {answer:?}") };
    (answer.sequence, result.accepted, result.fired, result.duplicate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_acknowledged_in_the_order_in_which_they_came() {
    let node = node().await;
    let mut stream = Stream::open(&node).await;
    let batches: u32 = 200;
    let requests = stream.requests.clone();
    let sender = tokio::spawn(async move {
        for i in 0..batches {
            // Sizes differ, so that later ones would overtake earlier ones if they could.
            let size = if i % 3 == 0 { 100 } else { 1 };
            requests.send(batch(u64::from(i), i * 100..i * 100 + size)).await.expect("taken");
        }
    });
    for i in 0..batches {
        let size = if i % 3 == 0 { 100 } else { 1 };
        assert_eq!(told(stream.next().await), (u64::from(i), size, size, 0));
    }
    sender.await.expect("sent");
    // A producer after a break sends again what it saw no acknowledgement of, with the old sequence.
    stream.requests.send(batch(0, 0..100)).await.expect("taken");
    assert_eq!(told(stream.next().await), (0, 100, 0, 100));
    drop(stream.requests);
    assert!(stream.answers.next().await.is_none(), "ends when the producer does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_ends_the_stream_after_the_answers_to_what_came_before() {
    let node = node().await;
    let odd = PublishStreamRequest { namespace: "No".into(), ..batch(2, 10..11) };
    let large = PublishStreamRequest { events: vec![Bytes::from(vec![0; MESSAGE_BYTES])], ..batch(2, 0..0) };
    for (wrong, code, word) in
        [(odd, Code::InvalidArgument, reason::INVALID_ARGUMENT), (large, Code::OutOfRange, reason::TOO_LARGE)]
    {
        let mut stream = Stream::open(&node).await;
        for request in [batch(1, 0..10), wrong, batch(3, 20..30)] {
            stream.requests.send(request).await.expect("taken");
        }
        let (sequence, accepted, ..) = told(stream.next().await);
        assert_eq!((sequence, accepted), (1, 10));
        let status = stream.next().await.expect("a fault").expect_err("a fault");
        assert_eq!(
            (status.code(), status.get_error_details().error_info().map(|i| i.reason.clone())),
            (code, Some(word.into()))
        );
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_publisher_gets_its_tickets() {
    let node = node().await;
    let publisher = node.client().publisher("default", PublisherOptions::default());
    let mut tickets = Vec::new();
    for i in 0..50 {
        tickets.push(publisher.send(batch(0, i * 10..i * 10 + 10).events).await.expect("sent"));
    }
    for ticket in tickets {
        let result = ticket.acknowledged().await.expect("durable");
        assert_eq!((result.accepted, result.fired), (10, 10));
    }
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_answers_what_it_read_and_ends_every_stream() {
    let mut node = node().await;
    let mut stream = Stream::open(&node).await;
    stream.requests.send(batch(1, 0..10)).await.expect("taken");
    assert_eq!(told(stream.next().await).0, 1);
    let mut health = HealthClient::new(node.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.expect("known").into_inner();
    node.tell_to_stop();
    let status = stream.next().await.expect("a farewell").expect_err("a farewell");
    let details = status.get_error_details();
    assert_eq!(
        (status.code(), details.error_info().map(|i| i.reason.as_str())),
        (Code::Unavailable, Some(reason::NOT_READY))
    );
    assert!(details.retry_info().is_some());
    let watched = async { while watch.next().await.is_some() {} };
    tokio::time::timeout(LONG, watched).await.expect("nobody is left watching");
    node.ended().await.expect("no fault");
}
