//! `flintwheel-loadtest`: the stand-in, the bare loop and the proofs as commands.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use flintwheel_loadtest::bare::{self, BareLoad};
use flintwheel_loadtest::prove::{self, Manner, Proof, Scale};
use flintwheel_loadtest::raw_temporal::RawTemporal;
use flintwheel_loadtest::report::{append_evidence, machine};
use flintwheel_loadtest::standin::{Standin, StandinOptions, serve_control};
use tikv_jemallocator::Jemalloc;
use tokio::net::TcpListener;

/// It shares the machine with what it measures: the C library's allocator would take a quarter of its processor time.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
    /// Puts a flintwheel through something and says whether it held: exit code 0 if every bar holds, 1 if one does not
    Prove {
        /// Which proof; `list` names them
        #[arg(value_parser = choice)]
        proof: Choice,
        /// As little as still shows that it works; its figures are no evidence
        #[arg(long)]
        quick: bool,
        /// Start workflows in a real Temporal dev server, at a rate that it carries
        #[arg(long)]
        real: bool,
        /// Repeat the choices of a run; without it they are new ones, and the report names the seed
        #[arg(long)]
        seed: Option<u64>,
        /// A file to append the row of figures to, such as docs/evidence.md
        #[arg(long)]
        evidence: Option<PathBuf>,
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

#[derive(Clone, Copy)]
enum Choice {
    List,
    One(Proof),
}

fn choice(text: &str) -> Result<Choice, String> {
    if text == "list" {
        return Ok(Choice::List);
    }
    let names = || Proof::value_variants().iter().map(Proof::to_string).collect::<Vec<_>>().join(", ");
    Proof::from_str(text, true).map(Choice::One).map_err(|_| format!("no such proof; there are {}", names()))
}

fn list() {
    for proof in Proof::value_variants() {
        let value = proof.to_possible_value().expect("no proof is hidden");
        println!("{:<12}{}", value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default());
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is as it must be.
async fn run(command: Command) -> Result<bool> {
    match command {
        Command::Prove { proof: Choice::List, .. } => {
            list();
            Ok(true)
        }
        Command::Prove { proof: Choice::One(proof), quick, real, seed, evidence } => {
            ensure!(!real || proof.takes_real(), "{proof} has no run of its own against a real Temporal");
            ensure!(seed.is_none() || proof.takes_seed(), "{proof} leaves nothing to chance");
            let scale = if quick { Scale::Quick } else { Scale::Full };
            let seed = seed.unwrap_or_else(rand::random);
            prove_one(proof, Manner { scale, real, seed }, evidence).await
        }
        Command::Standin { listen, control, namespace } => standin(listen, control, namespace).await.map(|()| true),
        Command::Bare { address, namespace, connections, in_flight, seconds, input_bytes } => {
            let client = Arc::new(RawTemporal::new(address, connections)?);
            let load = BareLoad { in_flight, length: Duration::from_secs(seconds), input_bytes };
            let prefix = format!("bare-{}", std::process::id());
            let result = bare::run(client, &namespace, &prefix, load).await?;
            println!("{} starts in {:.1?}: {:.0}/s", result.started, result.elapsed, result.rate());
            Ok(true)
        }
    }
}

async fn prove_one(proof: Proof, manner: Manner, evidence: Option<PathBuf>) -> Result<bool> {
    let report = prove::run(proof, manner).await?;
    println!("{report}");
    let row = report.evidence_row(&chrono::Utc::now().format("%Y-%m-%d").to_string(), &machine());
    println!("{row}");
    if let Some(path) = evidence {
        append_evidence(&path, &row)?;
    }
    Ok(report.passed())
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
