//! A node from its settings to its end: doors bound, engine started, doors opened; closed in the opposite order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flintwheel_cluster::rows::Addresses;
use flintwheel_store::{DataDir, Reserved};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::engine::{Engine, FOUNDER, Start};
use crate::error::{RunError, failed};
use crate::membership::{self, Card, Part};
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
    peer: Option<TcpListener>,
    data: Reserved,
}

impl Node {
    /// Takes ports and data directory. The ports first: one in use is told before anything is touched.
    pub async fn claim(settings: &Settings) -> Result<Claim, RunError> {
        let grpc = listen(settings.grpc_listen, "grpc_listen").await?;
        let http = listen(settings.http_listen, "http_listen").await?;
        let peer = match settings.peer_listen {
            Some(address) => Some(listen(address, "peer_listen").await?),
            None => None,
        };
        Ok(Claim { grpc, http, peer, data: DataDir::reserve(&settings.data_dir)? })
    }

    /// Starts a node; returns when it takes work. A new one waits here until a cluster takes it in. `extra` are gRPC services of other rooms (the
    /// run log's).
    pub async fn start(settings: &Settings, claim: Claim, extra: tonic::service::Routes) -> Result<Self, RunError> {
        let Claim { grpc, http, peer, data } = claim;
        let addresses = (address(&grpc)?, address(&http)?);
        let card = card(settings, (&grpc, &http, peer.as_ref()), &data)?;
        let (part, grpc, http) = membership::settle_behind_doors(&data, &settings.join, &card, (grpc, http)).await?;
        let data = match &part {
            Part::Member { cluster, node, .. } => data.open(*node, Some(*cluster))?,
            Part::Founder(new) => data.open(FOUNDER, new.cluster)?,
            Part::Known => {
                let node = data.identity().map_or(FOUNDER, |identity| identity.node);
                data.open(node, None)?
            }
        };
        let clock = Arc::new(SystemClock::default());
        let engine = Engine::start_with(settings, Start { data, part, card, peer }, clock).await?;
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
        self.engine.hand_over().await;
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

/// What the node says of itself: as it was configured, with the ports that it got.
fn card(
    settings: &Settings,
    (grpc, http, peer): (&TcpListener, &TcpListener, Option<&TcpListener>),
    data: &Reserved,
) -> Result<Card, RunError> {
    let shown = |advertised: &Option<String>, listener: &TcpListener| match advertised {
        Some(advertised) => Ok(advertised.clone()),
        None => address(listener).map(|address| address.to_string()),
    };
    let advertise = &settings.advertise;
    let addresses = Addresses {
        peer: peer.map(|peer| shown(&advertise.peer, peer)).transpose()?.unwrap_or_default(),
        client: shown(&advertise.grpc, grpc)?,
        http: shown(&advertise.http, http)?,
    };
    let name = settings.name.clone().unwrap_or_else(|| {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let port = addresses.peer.rsplit_once(':').map_or("", |(_, port)| port);
        format!("{host}-{port}")
    });
    Ok(Card { name, addresses, zone: settings.zone.clone(), capacity: settings.capacity, token: data.token()? })
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, RunError> {
    let listener = TcpListener::bind(address).await;
    listener
        .map_err(|e| RunError(format!("{key} = {address}: {e}; choose another port, or end the program that has it")))
}

fn address(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(|e| failed("a door has no address", &e))
}
