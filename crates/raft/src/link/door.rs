//! The door at which other nodes knock: the gRPC service that takes their links.

use super::answering::Answering;
use super::counters::{Counters, LinkStats};
use super::greeting::{Identity, refused, rejected, start_of_caller};
use super::limits::{HANDSHAKE, HTTP_FRAME, KEEP_ALIVE, WINDOW, WIRE_BYTES, calls};
use super::notices::Notices;
use super::outbox::Outbox;
use super::presence::Presence;
use crate::transport::{Inbound, Lane};
use flintwheel_proto::peer::peer_service_server::{PeerService, PeerServiceServer};
use flintwheel_proto::peer::{LinkRequest, LinkResponse};
use futures::Stream;
use futures::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Streams of one connection: a link has a connection of its own, so this leaves room for nothing but a mistake.
const STREAMS: u32 = 4;
/// All headers of one request, in bytes; a link sends a few hundred.
const HEADERS: u32 = 8 << 10;
/// How long a caller's connection may leave the question whether it lives unanswered.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gRPC server with the settings that links need; [`PeerDoor::service`] goes into it. It should serve nothing else.
pub fn peer_server() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(HTTP_FRAME)
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .tcp_nodelay(true)
}

/// Takes links of other nodes and has their messages answered. Clones are the same door.
pub struct PeerDoor<I> {
    shared: Arc<Shared<I>>,
}

struct Shared<I> {
    me: Identity,
    inbound: Arc<I>,
    presence: Arc<dyn Presence>,
    counters: Arc<Counters>,
    /// Of links that were refused.
    notices: Notices,
    stopping: CancellationToken,
}

impl<I> Clone for PeerDoor<I> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<I: Inbound> PeerDoor<I> {
    /// `presence` says whether a node may talk to this one, or why not.
    pub fn new(me: Identity, inbound: Arc<I>, presence: Arc<dyn Presence>) -> Self {
        let (counters, stopping) = (Arc::new(Counters::default()), CancellationToken::new());
        let notices = Notices::default();
        Self { shared: Arc::new(Shared { me, inbound, presence, counters, notices, stopping }) }
    }

    /// For [`peer_server`].
    pub fn service(&self) -> PeerServiceServer<Self> {
        PeerServiceServer::new(self.clone()).max_decoding_message_size(WIRE_BYTES).max_encoding_message_size(WIRE_BYTES)
    }

    /// Answers sent and messages received since this was made.
    pub fn stats(&self) -> LinkStats {
        self.shared.counters.stats()
    }

    /// Ends all links, and takes no more. Answers that are being made are dropped.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
    }
}

#[tonic::async_trait]
impl<I: Inbound> PeerService for PeerDoor<I> {
    type LinkStream = BoxStream<'static, Result<LinkResponse, Status>>;

    async fn link(&self, request: Request<Streaming<LinkRequest>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut requests = request.into_inner();
        let late = |_| Status::deadline_exceeded(format!("no hello within {HANDSHAKE:?}"));
        let first = timeout(HANDSHAKE, requests.message()).await.map_err(late)??;
        let (from, lane, welcome) = self.shared.greet(first).inspect_err(|status| {
            if self.shared.notices.is_due(status.message()) {
                tracing::warn!(%status, "a peer's link was refused");
            }
        })?;
        self.shared.counters.lane(lane).opened();
        let answers = self.shared.answers(from, lane, requests);
        Ok(Response::new(stream::iter([Ok(welcome)]).chain(answers).boxed()))
    }
}

impl<I: Inbound> Shared<I> {
    fn greet(&self, first: Option<LinkRequest>) -> Result<(u64, Lane, LinkResponse), Status> {
        let Some(LinkRequest { hello: Some(hello), frames, .. }) = first else {
            return Err(Status::invalid_argument("malformed: a link begins with a hello"));
        };
        if !frames.is_empty() {
            return Err(Status::invalid_argument("malformed: frames beside the hello"));
        }
        let (lane, welcome) = self.me.welcome(&hello, self.presence.mine())?;
        // Before it is only refused: who was removed has to hear that it must end.
        if let Some(start) = start_of_caller(&hello, welcome.version).map_err(refused)? {
            self.presence.greeted(hello.from, start).map_err(rejected)?;
        }
        self.presence.admit(hello.from).map_err(refused)?;
        Ok((hello.from, lane, LinkResponse { welcome: Some(welcome), ..LinkResponse::default() }))
    }

    /// Reading is a task of its own, which ends with the stream of answers.
    fn answers(
        &self,
        from: u64,
        lane: Lane,
        requests: Streaming<LinkRequest>,
    ) -> impl Stream<Item = Result<LinkResponse, Status>> + Send + use<I> {
        // A place for each answer that can have room, and one for the last word.
        let (items, ready) = mpsc::channel(calls(lane) + 1);
        let (inbound, presence) = (self.inbound.clone(), self.presence.clone());
        let answering = Answering::new(inbound, presence.clone(), from, lane, self.counters.clone(), items);
        let mut reader = JoinSet::new();
        reader.spawn(answering.run(requests, self.stopping.clone()));
        let outbox = Outbox::new(ready, lane, self.counters.clone(), presence);
        stream::unfold((outbox, reader), |(mut outbox, reader)| async move {
            Some((outbox.next().await?, (outbox, reader)))
        })
    }
}
