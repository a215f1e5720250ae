//! The task behind a session: connects, greets, and reads answers until the connection ends.

use super::greeting::start_of_called;
use super::lane_link::LaneLink;
use super::limits::{CONNECT, HANDSHAKE, HTTP_FRAME, KEEP_ALIVE, WINDOW, WIRE_BYTES, patience};
use super::session::Session;
use crate::transport::{CallError, Lane};
use flintwheel_proto::peer::peer_service_client::PeerServiceClient;
use flintwheel_proto::peer::{Answer, LinkResponse, answer};
use std::error::Error;
use std::sync::Arc;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// Runs a session to its end. However that comes about, also where the runtime is shut down, nobody is left waiting.
pub(super) fn run(link: Arc<LaneLink>, session: Arc<Session>) -> impl Future<Output = ()> + Send + 'static {
    let error = link.unreachable("the link was closed");
    let mut ending = Ending { link, session, error };
    async move {
        let error = connected(&ending.link, &ending.session).await;
        ending.because(error);
    }
}

/// Tells the link when it is dropped.
struct Ending {
    link: Arc<LaneLink>,
    session: Arc<Session>,
    error: CallError,
}

impl Ending {
    fn because(&mut self, error: CallError) {
        self.error = error;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.link.ended(&self.session, self.error.clone());
    }
}

/// Why the connection has ended, or why there was none.
async fn connected(link: &LaneLink, session: &Arc<Session>) -> CallError {
    match open(link, session).await {
        Ok((_channel, responses)) => read(link, session, responses).await,
        Err(error) => error,
    }
}

/// The connection, and what comes over it.
async fn open(link: &LaneLink, session: &Arc<Session>) -> Result<(Channel, Streaming<LinkResponse>), CallError> {
    let endpoint = endpoint(&link.peer.address, link.lane).map_err(|reason| link.unreachable(&reason))?;
    let connected = timeout(CONNECT, endpoint.connect()).await;
    let connected = connected.map_err(|_| link.unreachable(&format!("no connection within {CONNECT:?}")))?;
    let channel = connected.map_err(|error| link.unreachable(&causes(&error)))?;
    let greeted = timeout(HANDSHAKE, greet(link, session, channel.clone())).await;
    let responses = greeted.map_err(|_| link.unreachable(&format!("no handshake within {HANDSHAKE:?}")))??;
    link.context.counters.lane(link.lane).opened();
    Ok((channel, responses))
}

/// Each lane of each peer has a connection of its own: on a shared one, data of a full lane would stand before the others.
fn endpoint(address: &str, lane: Lane) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| causes(&error))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(HTTP_FRAME)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(patience(lane))
        .keep_alive_while_idle(true))
}

async fn greet(
    link: &LaneLink,
    session: &Arc<Session>,
    channel: Channel,
) -> Result<Streaming<LinkResponse>, CallError> {
    let me = &link.context.me;
    let presence = &link.context.presence;
    let hello = me.hello(link.peer.node, link.lane, presence.mine());
    let requests = session.clone().requests(hello, link.lane, link.context.counters.clone(), presence.clone());
    let mut client =
        PeerServiceClient::new(channel).max_decoding_message_size(WIRE_BYTES).max_encoding_message_size(WIRE_BYTES);
    let mut responses = client.link(requests).await.map_err(|status| explain(link, &status))?.into_inner();
    let first = responses.message().await.map_err(|status| explain(link, &status))?;
    let Some(LinkResponse { welcome: Some(welcome), answers, .. }) = first else {
        return Err(link.unreachable("it did not begin with a welcome"));
    };
    if !answers.is_empty() {
        return Err(link.unreachable("it has answered before its welcome"));
    }
    me.check(link.peer.node, &welcome).map_err(|error| match error {
        CallError::Refused(reason) => link.refused(&reason),
        other => other,
    })?;
    // What it answers counts for nothing until it is known to remember what it said before.
    if let Some(start) = start_of_called(&welcome).map_err(|why| link.refused(&why))? {
        presence.greeted(link.peer.node, start).map_err(|why| link.refused(&why.to_string()))?;
    }
    link.heard.now();
    Ok(responses)
}

async fn read(link: &LaneLink, session: &Session, mut responses: Streaming<LinkResponse>) -> CallError {
    loop {
        match responses.message().await {
            Ok(Some(LinkResponse { welcome: None, answers, written })) => {
                link.heard.now();
                link.context.presence.heard(link.peer.node, written);
                link.context.counters.lane(link.lane).received(answers.iter().map(answer_bytes));
                if let Err(reason) = session.answer(answers) {
                    return link.unreachable(&reason);
                }
            }
            Ok(Some(_)) => return link.unreachable("it has sent a second welcome"),
            Ok(None) => return link.unreachable("it has ended the link"),
            Err(status) => return explain(link, &status),
        }
    }
}

/// Of the answer itself.
pub(super) fn answer_bytes(answer: &Answer) -> usize {
    match &answer.outcome {
        Some(answer::Outcome::Message(message)) => message.len(),
        Some(answer::Outcome::Failure(text)) => text.len(),
        None => 0,
    }
}

/// What a status means for the calls: a link that is refused, or one that broke.
fn explain(link: &LaneLink, status: &Status) -> CallError {
    match status.code() {
        Code::FailedPrecondition => {
            let why = link.refused(status.message());
            if link.context.notices.is_due(&why.to_string()) {
                tracing::warn!(%why, "another node does not talk to this one");
            }
            why
        }
        Code::PermissionDenied => {
            let why = link.refused(status.message());
            link.context.expelled.send_replace(Some(why.to_string()));
            why
        }
        Code::Unimplemented => link.refused("something else than a door for peers answers there"),
        _ => link.unreachable(&causes(status)),
    }
}

/// The error with what caused it: `tonic` says "transport error" alone.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
