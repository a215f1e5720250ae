//! A real Temporal dev server of the test's own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Ends with the test.
pub struct TemporalServer {
    port: u16,
    process: Child,
}

impl TemporalServer {
    /// Starts one and waits until it says that it serves.
    pub async fn start() -> Self {
        Self::start_on(free_port()).await
    }

    /// The same, on this port.
    pub async fn start_on(port: u16) -> Self {
        let mut process = Command::new(cli())
            .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error", "--port"])
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the temporal CLI starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        while let Some(line) = lines.next_line().await.expect("its output") {
            if line.starts_with("Temporal Server:") {
                // Read on, so that the server never waits for a reader.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self { port, process };
            }
        }
        panic!("the Temporal dev server has ended before it served");
    }

    /// Ends it at once.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("it ran until now");
    }

    /// How it is reached.
    pub fn options(&self) -> ConnectionOptions {
        options(&self.address())
    }

    /// Its URL.
    pub fn address(&self) -> String {
        address(self.port)
    }

    /// A client of its namespace `default`.
    pub async fn client(&self) -> Client {
        let connection = Connection::connect(self.options()).await.expect("a connection");
        Client::new(connection, ClientOptions::new("default").build()).expect("a client")
    }
}

/// The URL of a server on this port.
pub fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// How an address is reached.
pub fn options(address: &str) -> ConnectionOptions {
    // The default identity would put the machine's name into kept histories.
    ConnectionOptions::new(address.parse::<url::Url>().expect("a URL")).identity("test").build()
}

/// A port that nobody listens on, below where the kernel takes ports for outgoing connections: none of these takes it before a server does.
/// Tests that run at the same time are different processes, and begin to look at different places.
pub fn free_port() -> u16 {
    let begin = std::process::id().wrapping_mul(31);
    let ports = (0..22_000).map(|turn| 10_000 + (begin.wrapping_add(turn) % 22_000) as u16);
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().expect("a free port")
}

/// The CLI of `FLINTWHEEL_TEMPORAL_CLI`, or the one that `cargo xtask` installs.
fn cli() -> PathBuf {
    if let Some(path) = std::env::var_os("FLINTWHEEL_TEMPORAL_CLI") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache"));
    let path = cache.join("flintwheel/venv/bin/temporal");
    assert!(path.exists(), "no temporal CLI at {}: run `cargo xtask test`, which installs it", path.display());
    path
}
