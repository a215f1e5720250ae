//! Links between real servers on the loopback, each on a runtime of its own, so that it can be killed.

mod calls;
mod faults;
mod forged;
mod limits;
mod refusals;

use super::{Identity, Links, PROTOCOL_VERSIONS, PeerDoor, Presence, Rejection, Start, peer_server};
use crate::transport::{CallError, Inbound, Lane, Peer, Transport};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

/// Longer than any test takes: calls that end earlier end for another reason.
const LONG: Duration = Duration::from_secs(60);
/// Whoever calls.
const CALLER: u64 = 1;
/// Whoever is called.
const CALLED: u64 = 2;

fn identity(node: u64) -> Identity {
    Identity { cluster: *b"0123456789abcdef", node, versions: PROTOCOL_VERSIONS }
}

/// Everybody may talk.
fn anybody() -> Arc<dyn Presence> {
    Arc::new(|_: u64| Ok(()))
}

fn links() -> Links {
    Links::new(identity(CALLER), Handle::current(), anybody())
}

/// Answers each message with itself, those that are held only when they are released.
struct Echo {
    calls: watch::Sender<Vec<(u64, u32, Bytes)>>,
    held: Mutex<HashMap<Bytes, watch::Sender<bool>>>,
}

/// A message that makes the answer panic.
const PANIC: &[u8] = b"!";

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self { calls: watch::Sender::new(Vec::new()), held: Mutex::default() })
    }

    fn holding(messages: &[&'static str]) -> Arc<Self> {
        let echo = Self::new();
        echo.held.lock().extend(messages.iter().map(|message| (Bytes::from(*message), watch::Sender::new(false))));
        echo
    }

    fn release(&self, message: &'static str) {
        self.held.lock()[message.as_bytes()].send_replace(true);
    }

    /// Returns when so many messages have come in.
    async fn called(&self, count: usize) {
        let mut calls = self.calls.subscribe();
        calls.wait_for(|calls| calls.len() >= count).await.unwrap();
    }

    fn calls(&self) -> Vec<(u64, u32, Bytes)> {
        self.calls.borrow().clone()
    }
}

impl Inbound for Echo {
    fn answer(&self, from: u64, group: u32, message: Bytes) -> BoxFuture<'static, Bytes> {
        let released = self.held.lock().get(&message).map(watch::Sender::subscribe);
        self.calls.send_modify(|calls| calls.push((from, group, message.clone())));
        async move {
            assert_ne!(message, PANIC, "an answer that panics, on purpose");
            if let Some(mut released) = released {
                released.wait_for(|released| *released).await.unwrap();
            }
            message
        }
        .boxed()
    }
}

/// A node that can be called.
struct Node {
    peer: Peer,
    door: PeerDoor<Echo>,
    runtime: Option<Runtime>,
}

impl Node {
    async fn start(echo: &Arc<Echo>) -> Self {
        Self::start_as(identity(CALLED), "127.0.0.1:0", echo, anybody()).await
    }

    async fn start_as(identity: Identity, address: &str, echo: &Arc<Echo>, presence: Arc<dyn Presence>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let listener = runtime.spawn(listen(address)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string().into();
        let peer = Peer { node: identity.node, address };
        let door = PeerDoor::new(identity, echo.clone(), presence);
        let server = peer_server().add_service(door.service());
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { peer, door, runtime: Some(runtime) }
    }

    /// Like `kill -9`: its connections end without a word.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Of one who was killed the address may be in use for a moment.
async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn call(
    links: &Links,
    peer: &Peer,
    lane: Lane,
    group: u32,
    message: impl Into<Bytes>,
) -> BoxFuture<'static, Result<Bytes, CallError>> {
    links.call(peer, lane, group, message.into(), LONG)
}

/// Calls until it is answered: after a failure a link pauses.
async fn call_until_answered(links: &Links, peer: &Peer, lane: Lane, message: &'static str) {
    while call(links, peer, lane, 0, message).await != Ok(message.into()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn is_unreachable(outcome: &Result<Bytes, CallError>) -> bool {
    matches!(outcome, Err(CallError::Unreachable(_)))
}
