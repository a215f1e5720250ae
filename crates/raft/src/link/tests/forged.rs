//! Messages that no program of ours sends: they close the link that they came over, and nothing else happens.

use super::super::limits::{FRAMES, cost, largest_message, under_way};
use super::*;
use flintwheel_proto::peer::peer_service_server::{PeerService, PeerServiceServer};
use flintwheel_proto::peer::{Answer, Frame, Hello, LinkRequest, LinkResponse, Welcome, answer};
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Like a request, but whatever stands in its fields is sent as it is.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(bytes = "vec", optional, tag = "1")]
    hello: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    frames: Vec<Vec<u8>>,
}

fn hello() -> Raw {
    let hello = identity(CALLER).hello(CALLED, Lane::Beat, Start { epoch: 1, ..Start::default() });
    Raw { hello: Some(hello.encode_to_vec()), frames: Vec::new() }
}

fn frame(sequence: u64) -> Frame {
    Frame { sequence, group: 0, message: "a".into(), within_ms: 60_000 }
}

fn frames(frames: &[Frame]) -> Raw {
    Raw { hello: None, frames: frames.iter().map(Message::encode_to_vec).collect() }
}

/// Sends these requests, and then nothing more; how the link ended, and how many messages were answered before.
async fn send(channel: &Channel, requests: Vec<Raw>) -> (Status, usize) {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let requests = Request::new(stream::iter(requests).chain(stream::pending()));
    let path = PathAndQuery::from_static("/flintwheel.peer.v1.PeerService/Link");
    let mut responses: Streaming<LinkResponse> =
        match grpc.streaming(requests, path, ProstCodec::<Raw, LinkResponse>::default()).await {
            Ok(response) => response.into_inner(),
            Err(status) => return (status, 0),
        };
    let mut answered = 0;
    loop {
        match responses.message().await {
            Ok(Some(response)) => answered += response.answers.len(),
            Ok(None) => panic!("the link has ended without a word"),
            Err(status) => return (status, answered),
        }
    }
}

#[tokio::test]
async fn malformed_messages_close_their_link_and_no_other() {
    let echo = Echo::holding(&["held"]);
    let (node, links) = (Node::start(&echo).await, links());
    let held = tokio::spawn(call(&links, &node.peer, Lane::Beat, 0, "held"));
    let channel = Endpoint::from_shared(format!("http://{}", node.peer.address)).unwrap().connect_lazy();
    let large = Frame { message: vec![0; (1 << 20) + 1].into(), ..frame(1) };
    let cut = Raw { hello: None, frames: vec![frame(1).encode_to_vec()[..4].to_vec()] };
    let noise = Raw { hello: None, frames: vec![vec![0xFF; 100]] };
    let too_many: Vec<_> = (1..=FRAMES as u64 + 1).map(frame).collect();
    let no_lane = Raw { hello: Some(Hello::default().encode_to_vec()), ..Raw::default() };
    let with_frames = Raw { frames: frames(&[frame(1)]).frames, ..hello() };
    let wrong_kind = Raw { hello: Some(b"\x0A\xFF\xFF\xFF\xFF\x0F".to_vec()), ..Raw::default() };
    let cases = [
        (vec![Raw::default()], "malformed: a link begins with a hello"),
        (vec![frames(&[frame(1)])], "malformed: a link begins with a hello"),
        (vec![with_frames], "malformed: frames beside the hello"),
        (vec![no_lane], "lane 0 is not known here"),
        (vec![wrong_kind], "failed to decode Protobuf message"),
        (vec![hello(), hello()], "malformed: a second hello"),
        (vec![hello(), Raw::default()], "malformed: 0 frames in a message; allowed are 1 to 1024"),
        (vec![hello(), frames(&too_many)], "malformed: 1025 frames in a message; allowed are 1 to 1024"),
        (vec![hello(), frames(&[frame(0)])], "malformed: sequence 0 after 0; it must ascend"),
        (vec![hello(), frames(&[frame(5), frame(5)])], "malformed: sequence 5 after 5; it must ascend"),
        (vec![hello(), frames(&[large])], "malformed: a message of 1048577 bytes; allowed are 1048576"),
        (vec![hello(), cut], "failed to decode Protobuf message"),
        (vec![hello(), noise], "failed to decode Protobuf message"),
    ];
    for (requests, text) in cases {
        let (status, answered) = send(&channel, requests).await;
        assert!(status.message().starts_with(text) && answered == 0, "{status:?}; expected: {text}");
        assert_eq!(call(&links, &node.peer, Lane::Beat, 0, "a").await, Ok("a".into()), "after {text}");
    }
    let (status, _) = send(&channel, vec![hello(), frames(&[frame(9)]), frames(&[frame(8)])]).await;
    assert_eq!(status.message(), "malformed: sequence 8 after 9; it must ascend");
    echo.release("held");
    assert_eq!(held.await.unwrap(), Ok("held".into()));
    assert_eq!(links.stats().beat.links_opened, 1);
}

#[tokio::test]
async fn a_caller_that_keeps_no_limit_is_not_read_beyond_it() {
    let large = Bytes::from(vec![7; largest_message(Lane::Beat)]);
    let room = under_way(Lane::Beat) / cost(large.len()) as usize;
    let echo = Echo::new();
    echo.held.lock().insert(large.clone(), watch::Sender::new(false));
    let (node, links) = (Node::start(&echo).await, links());
    let channel = Endpoint::from_shared(format!("http://{}", node.peer.address)).unwrap().connect_lazy();
    let frame = |sequence| frames(&[Frame { message: large.clone(), ..frame(sequence) }]);
    let requests = [hello()].into_iter().chain((1..=2 * room as u64).map(frame)).collect();
    let sending = tokio::spawn(async move { send(&channel, requests).await });
    echo.called(room).await;
    for _ in 0..100 {
        call(&links, &node.peer, Lane::Log, 0, "a").await.unwrap();
    }
    assert_eq!(echo.calls().len(), room + 100);
    echo.held.lock()[&large].send_replace(true);
    echo.called(2 * room + 100).await;
    sending.abort();
}

#[tokio::test]
async fn noise_on_the_socket_closes_that_connection_alone() {
    let (node, links) = (Node::start(&Echo::new()).await, links());
    call(&links, &node.peer, Lane::Log, 0, "a").await.unwrap();
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    ] {
        let mut stream = TcpStream::connect(&*node.peer.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        // Until the node closes it; with a reset where bytes were left unread.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(call(&links, &node.peer, Lane::Log, 0, "b").await, Ok("b".into()));
    assert_eq!(links.stats().log.links_opened, 1);
}

/// A door that says what it was told to say, when it has read the hello and one message.
struct Liar(Vec<LinkResponse>);

#[tonic::async_trait]
impl PeerService for Liar {
    type LinkStream = BoxStream<'static, Result<LinkResponse, Status>>;

    async fn link(&self, request: Request<Streaming<LinkRequest>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut requests = request.into_inner();
        for _ in 0..2 {
            requests.message().await?;
        }
        let responses = stream::iter(self.0.clone()).map(Ok);
        Ok(Response::new(responses.chain(stream::pending()).boxed()))
    }
}

#[tokio::test]
async fn a_lying_door_fails_calls_and_nothing_else() {
    let welcome =
        Welcome { cluster: Bytes::from_static(b"0123456789abcdef"), node: CALLED, version: 1, ..Welcome::default() };
    let hi = LinkResponse { welcome: Some(welcome.clone()), ..LinkResponse::default() };
    let other = LinkResponse { welcome: Some(Welcome { node: 3, ..welcome }), ..LinkResponse::default() };
    let says = |sequence, outcome| {
        let answers = vec![Answer { sequence, outcome }];
        LinkResponse { answers, ..LinkResponse::default() }
    };
    let message = || Some(answer::Outcome::Message("a".into()));
    for (responses, text) in [
        (vec![LinkResponse::default()], "it did not begin with a welcome"),
        (
            vec![LinkResponse { answers: says(1, message()).answers, ..hi.clone() }],
            "it has answered before its welcome",
        ),
        (vec![other], "it is node 3, not node 2"),
        (vec![hi.clone(), hi.clone()], "it has sent a second welcome"),
        (vec![hi.clone(), says(0, message())], "it has answered message 0, which was not sent"),
        (vec![hi.clone(), says(7, message())], "it has answered message 7, which was not sent"),
        (vec![hi.clone(), says(1, None)], "its answer to message 1 says nothing"),
    ] {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await;
        let peer = Peer { node: CALLED, address: listener.local_addr().unwrap().to_string().into() };
        let server = peer_server().add_service(PeerServiceServer::new(Liar(responses)));
        let server = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let error = call(&links(), &peer, Lane::Log, 0, "a").await.unwrap_err();
        assert!(error.to_string().ends_with(&format!("node 2 at {}: {text}", peer.address)), "{error}");
        server.abort();
    }
}
