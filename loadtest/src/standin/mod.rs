//! A recording stand-in for Temporal: a real gRPC server that takes starts, keeps their ids as Temporal does, counts, and
//! fails on demand. For faults and rates that a dev server can't give; the real server remains the judge of what is true.

mod control;
mod faults;
mod process;
mod record;
mod service;
mod status;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use control::serve_control;
pub use faults::{Fault, Faults, Rule};
pub use process::StandinProcess;
pub use record::{Answer, Call, Record, Sums};

/// How a stand-in is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandinOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The namespaces that exist; empty: every one does.
    pub namespaces: BTreeSet<String>,
    /// What it says of how long closed workflows are remembered. (Its own never close.)
    pub retention: Duration,
}

impl Default for StandinOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            namespaces: BTreeSet::new(),
            retention: Duration::from_secs(72 * 3600),
        }
    }
}

pub(crate) struct State {
    record: Record,
    faults: Faults,
    namespaces: BTreeSet<String>,
    retention: Duration,
}

impl State {
    fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// A running stand-in; it ends when it is dropped.
pub struct Standin {
    state: Arc<State>,
    address: SocketAddr,
    door: Mutex<Option<JoinHandle<()>>>,
}

impl Standin {
    /// Opens its door and takes calls until it is dropped.
    pub async fn start(options: StandinOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            record: Record::new()?,
            faults: Faults::default(),
            namespaces: options.namespaces,
            retention: options.retention,
        });
        let door = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { state, address, door: Mutex::new(Some(door)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rules of what goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// How many ids, repeats and conflicts it has seen.
    pub fn sums(&self) -> Sums {
        self.state.record.sums()
    }

    /// Writes its record: one [`crate::StartLine`] per id. Returns how many.
    pub fn export(&self, path: &Path) -> io::Result<u64> {
        self.state.record.export(path)
    }

    /// Closes the door and breaks all connections, as a server that is stopped does. The record stays.
    pub async fn down(&self) {
        let door = self.door.lock().take();
        if let Some(door) = door {
            door.abort();
            // The error says that it was aborted, which is what was asked for.
            let _aborted = door.await;
        }
    }

    /// Opens the door again on the same port.
    pub async fn up(&self) -> io::Result<()> {
        if self.door.lock().is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(self.address).await?;
        *self.door.lock() = Some(tokio::spawn(accept(listener, Arc::clone(&self.state))));
        Ok(())
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        if let Some(door) = self.door.lock().take() {
            door.abort();
        }
    }
}

/// Takes connections for ever; dropping this future drops them all.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&state)));
                }
                // Out of file descriptors, most likely: connections that end free some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // Without it answers wait for more; a stream that refuses is closed already.
    let _closed = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| service::serve(Arc::clone(&state), request));
    let served = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(10_000)
        .initial_connection_window_size(16 * 1024 * 1024)
        .initial_stream_window_size(4 * 1024 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}
