//! A node from its settings to its end: doors bound, engine started, doors opened; closed in the opposite order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flintwheel_store::DataDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::engine::{self, Engine};
use crate::error::{RunError, failed};
use crate::server;

/// For requests that are under way when the node stops.
const GRACE: Duration = Duration::from_secs(10);

/// A running node.
pub struct Node {
    /// Where its gRPC door is.
    pub grpc: SocketAddr,
    /// Where its HTTP door is.
    pub http: SocketAddr,
    engine: Engine,
    doors: JoinHandle<Result<(), RunError>>,
    stop: watch::Sender<bool>,
}

/// What a node has for itself alone: its ports and its data directory. Who has it may open what stands beside the directory.
pub struct Claim {
    grpc: TcpListener,
    http: TcpListener,
    data: DataDir,
}

impl Node {
    /// Takes ports and data directory. The ports first: one in use is told before anything is touched.
    pub async fn claim(settings: &Settings) -> Result<Claim, RunError> {
        let grpc = listen(settings.grpc_listen, "grpc_listen").await?;
        let http = listen(settings.http_listen, "http_listen").await?;
        Ok(Claim { grpc, http, data: engine::claim(settings)? })
    }

    /// Starts a node; returns when it takes work. `extra` are gRPC services of other rooms (the run log's).
    pub async fn start(settings: &Settings, claim: Claim, extra: tonic::service::Routes) -> Result<Self, RunError> {
        let Claim { grpc, http, data } = claim;
        let addresses = (address(&grpc)?, address(&http)?);
        let clock = Arc::new(SystemClock::default());
        let engine = Engine::start_with(settings, data, addresses.0.to_string(), clock).await?;
        let (stop, mut stopping) = watch::channel(false);
        let stopped = async move {
            // An error means that the node is gone: stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let doors = server::serve(engine.api().clone(), grpc, http, stopped, extra);
        let doors = tokio::spawn(async move { doors.await.map_err(|e| failed("the doors", &e)) });
        let (grpc, http) = addresses;
        tracing::info!(%grpc, %http, data_dir = %settings.data_dir.display(), "this node takes work");
        Ok(Self { grpc, http, engine, doors, stop })
    }

    /// What it can be asked.
    pub fn api(&self) -> &Api {
        self.engine.api()
    }

    /// Runs until `stop` is over or a part of it fails; then closes doors, actors and data in turn.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        let ended = tokio::select! {
            () = stop => Ok(()),
            error = self.engine.failed() => Err(error),
            ended = &mut self.doors => Err(match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => RunError("the doors closed by themselves".into()),
                Err(error) => failed("the doors failed", &error),
            }),
        };
        tracing::info!("stopping");
        self.close().await?;
        ended
    }

    async fn close(mut self) -> Result<(), RunError> {
        // Nobody listens any more if the doors have closed.
        let _ = self.stop.send(true);
        if !self.doors.is_finished() && tokio::time::timeout(GRACE, &mut self.doors).await.is_err() {
            tracing::warn!(grace = ?GRACE, "requests were still under way; they are cut off");
            self.doors.abort();
        }
        self.engine.close().await
    }
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address).await;
    listener
        .map_err(|e| RunError(format!("{key} = {address}: {e}; choose another port, or end the program that has it")))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(|e| failed("a door has no address", &e))
}
