//! The door for peers, served, and the links to them. Both live on threads of their own: what clients do does not delay a heartbeat.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_proto::peer::join_service_server::JoinServiceServer;
use flintwheel_raft::{CallError, Identity, Lane, Links, Peer, PeerDoor, Presence, Transport, peer_server};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

use super::{Directory, Doorman, Guests};
use crate::error::{RunError, failed};
use crate::membership::Admission;

/// Threads that carry messages. They copy and hand over, and wait for nothing.
const THREADS: usize = 2;

/// See the module.
pub struct Link {
    me: Identity,
    directory: Arc<Directory>,
    guests: Arc<Guests>,
    links: Arc<Links>,
    stopping: CancellationToken,
    runtime: Option<Runtime>,
}

impl Link {
    /// Connects to nobody yet.
    pub fn new(me: Identity, directory: Arc<Directory>, guests: Arc<Guests>) -> Result<Self, RunError> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).thread_name("peers").enable_all().build();
        let runtime = runtime.map_err(|e| failed("the threads for other nodes did not start", &e))?;
        let presence: Arc<dyn Presence> = guests.clone();
        let links = Arc::new(Links::new(me.clone(), runtime.handle().clone(), presence));
        Ok(Self { me, directory, guests, links, stopping: CancellationToken::new(), runtime: Some(runtime) })
    }

    /// The way to other nodes.
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(Routed { links: Arc::clone(&self.links), directory: Arc::clone(&self.directory) })
    }

    /// Why another node has said that this one must end, as soon as one has.
    pub fn expelled(&self) -> watch::Receiver<Option<String>> {
        self.links.expelled()
    }

    /// Opens the door; returns when it has closed, which is an error unless the node stops.
    pub fn serve(
        &self,
        listener: TcpListener,
        doorman: Doorman,
        admission: Admission,
    ) -> impl Future<Output = Result<(), RunError>> + use<> {
        let presence: Arc<dyn Presence> = self.guests.clone();
        let door = PeerDoor::new(self.me.clone(), Arc::new(doorman), presence);
        let stopping = self.stopping.clone();
        let stopped = stopping.clone();
        let served = self.runtime.as_ref().map(|runtime| {
            runtime.spawn(async move {
                // The listener belongs to the runtime that polls it.
                let listener = TcpListener::from_std(listener.into_std()?)?;
                let incoming = TcpListenerStream::new(listener);
                let stop = async {
                    stopping.cancelled().await;
                    door.stop();
                };
                let server = peer_server().add_service(door.service()).add_service(JoinServiceServer::new(admission));
                server.serve_with_incoming_shutdown(incoming, stop).await.map_err(std::io::Error::other)
            })
        });
        async move {
            let Some(served) = served else { return Ok(()) };
            match served.await {
                _ if stopped.is_cancelled() => Ok(()),
                Ok(Ok(())) => Err(RunError("the door for other nodes has closed by itself".into())),
                Ok(Err(error)) => Err(failed("the door for other nodes", &error)),
                Err(error) => Err(failed("the door for other nodes failed", &error)),
            }
        }
    }

    /// Closes the door and all links.
    pub fn close(mut self) {
        self.stopping.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Sends to where the directory says that a node is: a group's members may know it by an address that it had.
struct Routed {
    links: Arc<Links>,
    directory: Arc<Directory>,
}

impl Transport for Routed {
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let address = self.directory.address(to.node).unwrap_or_else(|| to.address.clone());
        if address.is_empty() {
            let why = format!("node {} has no door for others: set peer_listen there", to.node);
            return futures::future::ready(Err(CallError::Unreachable(why))).boxed();
        }
        self.links.call(&Peer { node: to.node, address }, lane, group, message, within)
    }
}
