//! A real Temporal server: `temporal server start-dev` on loopback, with its state in a file so that it can be stopped and started.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::StartLine;
use crate::process::{Process, free_port, test_server};
use crate::raw_temporal::RawTemporal;

/// Visibility of a dev server lags by some hundred milliseconds; under load by a second or two.
const VISIBLE_AFTER: Duration = Duration::from_secs(4);

/// A dev server, running or stopped.
pub struct TemporalDev {
    program: PathBuf,
    dir: PathBuf,
    /// Where its state is; in memory otherwise.
    database: Option<PathBuf>,
    namespaces: Vec<String>,
    /// Of its dynamic configuration: `key=value`.
    settings: Vec<String>,
    address: SocketAddr,
    process: Option<Process>,
}

impl TemporalDev {
    /// Starts one with its state and log in `dir`, and with these namespaces besides `default`; waits until it answers.
    pub async fn start(dir: &Path, namespaces: &[&str]) -> Result<Self> {
        Self::start_at(dir, namespaces, Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same at this host of the machine.
    pub async fn start_at(dir: &Path, namespaces: &[&str], host: IpAddr) -> Result<Self> {
        Self::start_with(dir, Some(dir.join("temporal.db")), (namespaces, &[]), host).await
    }

    /// The same with its state in memory and on the first processor only: it forgets all when it is stopped, shares no disk with anybody, and
    /// leaves the other processors to those who call it.
    pub async fn start_apart(dir: &Path, namespaces: &[&str]) -> Result<Self> {
        Self::start_with(dir, None, (namespaces, &[]), Ipv4Addr::LOCALHOST.into()).await
    }

    /// The same as [`Self::start`] with these settings of its dynamic configuration (`key=value`).
    pub async fn start_set(dir: &Path, settings: &[&str]) -> Result<Self> {
        let database = Some(dir.join("temporal.db"));
        Self::start_with(dir, database, (&[], settings), Ipv4Addr::LOCALHOST.into()).await
    }

    async fn start_with(
        dir: &Path,
        database: Option<PathBuf>,
        (namespaces, settings): (&[&str], &[&str]),
        host: IpAddr,
    ) -> Result<Self> {
        let mut server = Self {
            program: test_server("temporal", "FLINTWHEEL_TEMPORAL_CLI")?,
            dir: dir.to_owned(),
            database,
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            address: SocketAddr::new(host, free_port()?.port()),
            process: None,
        };
        server.start_again().await?;
        Ok(server)
    }

    /// Where its gRPC door is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A plain client with one connection.
    pub fn client(&self) -> Result<RawTemporal> {
        RawTemporal::new(self.address, 1)
    }

    /// Ends it. Its state stays.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(Duration::from_secs(10)).await?;
        }
        Ok(())
    }

    /// Starts it after a stop, on the same port with the same state; waits until it answers.
    pub async fn start_again(&mut self) -> Result<()> {
        let log = self.dir.join("temporal.log");
        let process = if self.database.is_some() {
            Process::spawn(&self.program, self.arguments(), &log)?
        } else {
            let pinned = ["--cpu-list", "0"].map(str::to_owned).into_iter();
            let command = pinned.chain([self.program.to_string_lossy().into_owned()]).chain(self.arguments());
            Process::spawn(Path::new("taskset"), command, &log)?
        };
        self.process = Some(process);
        self.wait_ready().await
    }

    /// SIGSTOP.
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::freeze)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::thaw)
    }

    /// All that it had started in a namespace when this was called, and some of what it has started since: its visibility lags behind.
    pub async fn started(&self, namespace: &str) -> Result<Vec<StartLine>> {
        tokio::time::sleep(VISIBLE_AFTER).await;
        self.client()?.list(namespace).await
    }

    fn arguments(&self) -> Vec<String> {
        // Its services look for each other at 127.0.0.1, wherever the address says that they listen.
        let host = if self.address.ip().is_loopback() { self.address.ip() } else { Ipv4Addr::UNSPECIFIED.into() };
        let (host, port) = (host.to_string(), self.address.port().to_string());
        let mut arguments: Vec<String> =
            ["server", "start-dev", "--headless", "--ip", &host, "--port", &port, "--log-level", "error"]
                .map(str::to_owned)
                .into();
        if let Some(database) = &self.database {
            arguments.extend(["--db-filename".to_owned(), database.to_string_lossy().into_owned()]);
            // SQLite's defaults would sync on each of its many writes; this server is a yardstick, not a store.
            arguments
                .extend(["--sqlite-pragma=journal_mode=wal", "--sqlite-pragma=synchronous=off"].map(str::to_owned));
        }
        for namespace in &self.namespaces {
            arguments.extend(["--namespace".to_owned(), namespace.clone()]);
        }
        for setting in &self.settings {
            arguments.extend(["--dynamic-config-value".to_owned(), setting.clone()]);
        }
        arguments
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let client = self.client()?;
        for _ in 0..600 {
            if let Some(process) = &mut self.process {
                process.check_running()?;
            }
            if self.answers(&client).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the Temporal dev server at {} does not answer within a minute", self.address)
    }

    async fn answers(&self, client: &RawTemporal) -> bool {
        for namespace in self.namespaces.iter().map(String::as_str).chain(["default"]) {
            if !client.has_namespace(namespace).await {
                return false;
            }
        }
        true
    }
}
