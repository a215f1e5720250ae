//! What events are compared with: a NATS server with JetStream, file storage and message ids, on the same machine.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream;
use bytes::Bytes;

use crate::process::{Process, free_port, test_server};

const STREAM: &str = "loadtest";
const SUBJECT: &str = "loadtest.events";

/// A running server.
pub struct Nats {
    _process: Process,
    address: SocketAddr,
}

/// How hard to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatsLoad {
    /// Connections, each with a window of its own.
    pub connections: usize,
    /// Unacknowledged messages on each connection.
    pub window: usize,
    /// For how long.
    pub length: Duration,
}

impl Nats {
    /// Starts one with its store and log in `dir`, and creates the stream.
    pub async fn start(dir: &Path) -> Result<Self> {
        let program = test_server("nats-server", "FLINTWHEEL_NATS_SERVER")?;
        let address = free_port()?;
        let (port, store) = (address.port().to_string(), dir.join("jetstream"));
        let arguments =
            ["--jetstream", "--addr", "127.0.0.1", "--port", &port, "--store_dir", &store.to_string_lossy()]
                .map(str::to_owned);
        let mut process = Process::spawn(&program, arguments, &dir.join("nats.log"))?;
        wait_ready(&mut process, address).await?;
        let nats = Self { _process: process, address };
        nats.create_stream().await?;
        Ok(nats)
    }

    async fn create_stream(&self) -> Result<()> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: stream::StorageType::File,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        self.context().await?.create_stream(config).await.context("create the stream")?;
        Ok(())
    }

    async fn context(&self) -> Result<async_nats::jetstream::Context> {
        let client = async_nats::connect(self.address.to_string()).await.context("connect to nats")?;
        Ok(ContextBuilder::new().max_ack_inflight(1 << 20).timeout(Duration::from_secs(30)).build(client))
    }

    /// Publishes copies of one payload, each with an id of its own, and waits for their acknowledgements.
    /// Returns acknowledged messages per second.
    pub async fn publish(&self, run: &str, payload: Bytes, load: NatsLoad) -> Result<f64> {
        let begun = Instant::now();
        let mut publishers = tokio::task::JoinSet::new();
        for connection in 0..load.connections {
            let context = self.context().await?;
            publishers.spawn(publish(context, format!("{run}-{connection}"), payload.clone(), load, begun));
        }
        let mut acknowledged = 0;
        while let Some(publisher) = publishers.join_next().await {
            acknowledged += publisher??;
        }
        Ok(acknowledged as f64 / begun.elapsed().as_secs_f64())
    }
}

async fn publish(
    context: async_nats::jetstream::Context,
    run: String,
    payload: Bytes,
    load: NatsLoad,
    begun: Instant,
) -> Result<u64> {
    let mut waiting = VecDeque::with_capacity(load.window);
    let mut acknowledged = 0;
    let mut n = 0_u64;
    while begun.elapsed() < load.length || !waiting.is_empty() {
        if waiting.len() < load.window && begun.elapsed() < load.length {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", format!("{run}-{n}"));
            waiting.push_back(context.publish_with_headers(SUBJECT, headers, payload.clone()).await?);
            n += 1;
        } else if let Some(oldest) = waiting.pop_front() {
            let ack = oldest.await?;
            if ack.duplicate {
                return Err(anyhow!("nats took a new message for a duplicate"));
            }
            acknowledged += 1;
        }
    }
    Ok(acknowledged)
}

async fn wait_ready(process: &mut Process, address: SocketAddr) -> Result<()> {
    for _ in 0..200 {
        process.check_running()?;
        if async_nats::connect(address.to_string()).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("nats-server at {address} does not answer:\n{}", process.log_tail())
}
