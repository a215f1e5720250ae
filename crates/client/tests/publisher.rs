//! A publisher against a server that does what a test tells it: breaks streams, is too busy, refuses.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flintwheel_client::{Client, Code, Error, Options, PublishResult, Publisher, PublisherOptions, Ticket, reason};
use flintwheel_proto::v1;
use flintwheel_proto::v1::event_service_server::{EventService, EventServiceServer};
use flintwheel_proto::v1::publish_stream_response::Outcome;
use prost::bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What the server does on one stream.
#[derive(Clone, Copy)]
enum Act {
    /// Takes so many batches and acknowledges them, the last one first.
    Acknowledge(usize),
    /// Takes so many batches without a word.
    Ignore(usize),
    /// Is too busy for one batch.
    Throttle(Duration),
    /// Ends the stream.
    Break,
}

/// A stream that is not opened.
type Refusal = fn() -> Status;

#[derive(Default)]
struct Script {
    refusals: VecDeque<Refusal>,
    streams: VecDeque<Vec<Act>>,
    /// Sequences as they came, stream by stream.
    seen: Vec<Vec<u64>>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn seen(&self) -> Vec<Vec<u64>> {
        self.0.lock().expect("no panic").seen.clone()
    }

    fn note(&self, stream: usize, sequence: u64) {
        self.0.lock().expect("no panic").seen[stream].push(sequence);
    }
}

#[tonic::async_trait]
impl EventService for Scripted {
    type PublishStreamStream = ReceiverStream<Result<v1::PublishStreamResponse, Status>>;

    async fn publish(&self, _: Request<v1::PublishRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<v1::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let (acts, stream) = {
            let mut script = self.0.lock().expect("no panic");
            if let Some(refusal) = script.refusals.pop_front() {
                return Err(refusal());
            }
            script.seen.push(Vec::new());
            (script.streams.pop_front().unwrap_or_default(), script.seen.len() - 1)
        };
        let (answers, outgoing) = mpsc::channel(16);
        tokio::spawn(play(self.clone(), stream, acts, request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

type Answers = mpsc::Sender<Result<v1::PublishStreamResponse, Status>>;

/// After the script, everything is acknowledged as it comes.
async fn play(
    server: Scripted,
    stream: usize,
    acts: Vec<Act>,
    mut batches: Streaming<v1::PublishStreamRequest>,
    answers: Answers,
) {
    for act in acts.into_iter().chain(std::iter::repeat(Act::Acknowledge(1))) {
        let wanted = match act {
            Act::Break => return,
            Act::Acknowledge(count) | Act::Ignore(count) => count,
            Act::Throttle(_) => 1,
        };
        let mut taken = Vec::new();
        while taken.len() < wanted {
            let Some(Ok(batch)) = batches.next().await else { return };
            server.note(stream, batch.sequence);
            taken.push(batch);
        }
        for batch in taken.iter().rev() {
            if let Some(outcome) = answer(act, batch) {
                let response = v1::PublishStreamResponse { sequence: batch.sequence, outcome: Some(outcome) };
                let _ = answers.send(Ok(response)).await;
            }
        }
    }
}

fn answer(act: Act, batch: &v1::PublishStreamRequest) -> Option<Outcome> {
    match act {
        Act::Acknowledge(_) => {
            let accepted = batch.events.len() as u32;
            Some(Outcome::Result(v1::PublishResult { accepted, ..Default::default() }))
        }
        Act::Throttle(delay) => {
            let retry_delay = Some(prost_types::Duration::try_from(delay).expect("short"));
            Some(Outcome::Throttled(v1::Throttled { retry_delay, ..Default::default() }))
        }
        Act::Ignore(_) | Act::Break => None,
    }
}

async fn serve(server: Scripted) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let service = EventServiceServer::new(server);
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    address
}

async fn start(streams: Vec<Vec<Act>>, refusals: Vec<Refusal>, give_up_after: Duration) -> (Scripted, Publisher) {
    let script = Script { streams: streams.into(), refusals: refusals.into(), seen: Vec::new() };
    let server = Scripted(Arc::new(Mutex::new(script)));
    let address = serve(server.clone()).await;
    let client = Client::new(&[address.to_string()], Options::default()).expect("an address");
    (server, client.publisher("n", PublisherOptions { window: 4, give_up_after }))
}

const LONG: Duration = Duration::from_secs(30);

fn batch(events: usize) -> Vec<Bytes> {
    vec![Bytes::from_static(b"\x0a\x01x"); events]
}

async fn send(publisher: &Publisher, batches: usize) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for size in 1..=batches {
        tickets.push(publisher.send(batch(size)).await.expect("taken"));
    }
    tickets
}

async fn accepted(tickets: Vec<Ticket>) -> Vec<u32> {
    let mut accepted = Vec::new();
    for ticket in tickets {
        accepted.push(ticket.acknowledged().await.expect("acknowledged").accepted);
    }
    accepted
}

#[tokio::test]
async fn a_whole_window_is_in_flight_before_the_first_acknowledgement() {
    let (server, publisher) = start(vec![vec![Act::Acknowledge(4), Act::Acknowledge(4)]], vec![], LONG).await;
    let tickets = send(&publisher, 8).await;
    assert_eq!(accepted(tickets).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(server.seen(), [[1, 2, 3, 4, 5, 6, 7, 8]]);
}

#[tokio::test]
async fn after_a_break_only_what_was_not_acknowledged_is_sent_again() {
    let streams = vec![vec![Act::Acknowledge(1), Act::Ignore(2), Act::Break], vec![Act::Break]];
    let (server, publisher) = start(streams, vec![], LONG).await;
    let first = publisher.send(batch(1)).await.expect("taken");
    assert_eq!(first.acknowledged().await.expect("acknowledged").accepted, 1);
    let tickets = send(&publisher, 2).await;
    assert_eq!(accepted(tickets).await, [1, 2]);
    let seen = server.seen();
    assert_eq!((&seen[0], seen.last().expect("a stream")), (&vec![1, 2, 3], &vec![2, 3]));
}

/// Passes bytes on to `target`, and cuts each connection after so many bytes from the server; later connections stand.
async fn relay(target: SocketAddr, cuts: Vec<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for cut in cuts.into_iter().chain(std::iter::repeat(u64::MAX)) {
            let (client, _) = listener.accept().await.expect("a connection");
            let server = TcpStream::connect(target).await.expect("the server");
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let mut answers = from_server.take(cut);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut answers, &mut to_client) => {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_anything_is_taken_up_again() {
    let target = serve(Scripted::default()).await;
    let address = relay(target, vec![0, 20, 60, 100]).await;
    let client = Client::new(&[address.to_string()], Options::default()).expect("an address");
    let publisher = client.publisher("n", PublisherOptions { window: 4, give_up_after: LONG });
    for size in 1..=20 {
        let ticket = publisher.send(batch(size)).await.expect("taken");
        assert_eq!(ticket.acknowledged().await.expect("acknowledged").accepted, size as u32);
    }
}

#[tokio::test]
async fn a_batch_that_the_server_is_too_busy_for_comes_again_on_the_same_stream() {
    let streams = vec![vec![Act::Throttle(Duration::from_millis(20)), Act::Acknowledge(1)]];
    let (server, publisher) = start(streams, vec![], LONG).await;
    assert_eq!(accepted(send(&publisher, 2).await).await, [1, 2]);
    let mut seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0][0], 1);
    seen[0].sort_unstable();
    assert_eq!(seen[0], [1, 1, 2]);
}

#[tokio::test]
async fn streams_that_are_refused_for_now_are_opened_again() {
    let refusals: Vec<Refusal> = vec![|| Status::unavailable("starting"), || {
        Error::new(Code::ResourceExhausted, reason::BACK_PRESSURE, "full").retry_after(Duration::from_millis(5)).into()
    }];
    let (_, publisher) = start(vec![], refusals, LONG).await;
    assert_eq!(accepted(send(&publisher, 1).await).await, [1]);
}

#[tokio::test]
async fn a_stream_that_is_refused_for_good_fails_what_waits_and_what_follows() {
    let (_, publisher) = start(vec![], vec![|| Status::permission_denied("not yours")], LONG).await;
    let ticket = publisher.send(batch(1)).await.expect("taken");
    let error = ticket.acknowledged().await.expect_err("refused");
    assert_eq!((error.code, error.message.as_str()), (Code::PermissionDenied, "not yours"));
    publisher.close().await;
}

#[tokio::test]
async fn it_gives_up_on_a_server_that_says_nothing() {
    let (_, publisher) = start(vec![vec![Act::Ignore(100)]], vec![], Duration::from_millis(50)).await;
    let ticket = publisher.send(batch(1)).await.expect("taken");
    assert_eq!(ticket.acknowledged().await.expect_err("silence").reason, reason::DEADLINE);
    let late = async { publisher.send(batch(1)).await?.acknowledged().await };
    assert_eq!(late.await.expect_err("closed").reason, reason::UNREACHABLE);
}

#[tokio::test]
async fn closing_waits_for_every_acknowledgement() {
    let (_, publisher) = start(vec![vec![Act::Acknowledge(3)]], vec![], LONG).await;
    let mut tickets = send(&publisher, 3).await.into_iter();
    publisher.close().await;
    let first: Result<PublishResult, Error> = tickets.next().expect("three").acknowledged().await;
    assert_eq!(first.expect("acknowledged").accepted, 1);
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let away = unused.local_addr().expect("bound");
    drop(unused);
    let here = serve(Scripted::default()).await;
    let client = Client::new(&[away.to_string(), here.to_string()], Options::default()).expect("addresses");
    let publisher = client.publisher("n", PublisherOptions::default());
    assert_eq!(accepted(send(&publisher, 1).await).await, [1]);
}

#[tokio::test]
async fn a_batch_larger_than_a_message_is_refused_before_it_is_sent() {
    let (server, publisher) = start(vec![], vec![], LONG).await;
    let error = publisher.send(vec![Bytes::from(vec![0; 5 << 20])]).await.expect_err("too large");
    assert_eq!(error.reason, reason::TOO_LARGE);
    publisher.close().await;
    assert!(server.seen().is_empty());
}
