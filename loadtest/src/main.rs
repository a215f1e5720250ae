//! `flintwheel-loadtest`: the stand-in, the bare loop and the proofs as commands.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use flintwheel_loadtest::bare::{self, BareLoad};
use flintwheel_loadtest::raw_temporal::RawTemporal;
use flintwheel_loadtest::standin::{Standin, StandinOptions, serve_control};
use tokio::net::TcpListener;

/// Puts load on a Flintwheel, and proves what it promises.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a recording stand-in for Temporal until it is killed
    Standin {
        /// Where it takes gRPC calls
        #[arg(long, default_value = "127.0.0.1:7233")]
        listen: SocketAddr,
        /// Where it takes orders: GET /sums, PUT /faults, POST /export, /down, /up
        #[arg(long)]
        control: Option<SocketAddr>,
        /// A namespace that exists; without any, all do
        #[arg(long)]
        namespace: Vec<String>,
    },
    /// Starts workflows in a plain loop, to see what the other side can take
    Bare {
        /// A Temporal server, or a stand-in
        #[arg(long, default_value = "127.0.0.1:7233")]
        address: SocketAddr,
        /// Temporal's namespace
        #[arg(long, default_value = "default")]
        namespace: String,
        /// HTTP/2 connections
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Start calls under way at any time
        #[arg(long, default_value_t = 64)]
        in_flight: usize,
        /// For how long, in seconds
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Bytes of input of each start
        #[arg(long, default_value_t = 200)]
        input_bytes: usize,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Standin { listen, control, namespace } => standin(listen, control, namespace).await,
        Command::Bare { address, namespace, connections, in_flight, seconds, input_bytes } => {
            let client = Arc::new(RawTemporal::new(address, connections)?);
            let load = BareLoad { in_flight, length: Duration::from_secs(seconds), input_bytes };
            let prefix = format!("bare-{}", std::process::id());
            let result = bare::run(client, &namespace, &prefix, load).await?;
            println!("{} starts in {:.1?}: {:.0}/s", result.started, result.elapsed, result.rate());
            Ok(())
        }
    }
}

async fn standin(listen: SocketAddr, control: Option<SocketAddr>, namespaces: Vec<String>) -> Result<()> {
    let namespaces = BTreeSet::from_iter(namespaces);
    let options = StandinOptions { listen, namespaces, ..StandinOptions::default() };
    let standin = Arc::new(Standin::start(options).await.with_context(|| format!("listen on {listen}"))?);
    eprintln!("stand-in for Temporal on {}", standin.address());
    match control {
        Some(control) => {
            let listener = TcpListener::bind(control).await.with_context(|| format!("listen on {control}"))?;
            eprintln!("orders on {}", listener.local_addr()?);
            serve_control(listener, standin).await?;
        }
        None => std::future::pending::<()>().await,
    }
    Ok(())
}
