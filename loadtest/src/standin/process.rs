//! A stand-in in a process of its own, so that it shares neither fate nor runtime with what it records.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::control::Export;
use super::{Rule, Sums};
use crate::http;
use crate::process::{Process, free_port, own_binary};

/// A handle on it.
pub struct StandinProcess {
    process: Process,
    address: SocketAddr,
    control: SocketAddr,
}

impl StandinProcess {
    /// Starts `flintwheel-loadtest standin` on free ports; it logs into `dir`.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::start_program(&own_binary("flintwheel-loadtest", "FLINTWHEEL_LOADTEST_BIN")?, dir).await
    }

    /// The same at this host of the machine.
    pub async fn start_at(dir: &Path, host: IpAddr) -> Result<Self> {
        Self::launch(&own_binary("flintwheel-loadtest", "FLINTWHEEL_LOADTEST_BIN")?, dir, host).await
    }

    /// The same with the program at this path.
    pub async fn start_program(program: &Path, dir: &Path) -> Result<Self> {
        Self::launch(program, dir, Ipv4Addr::LOCALHOST.into()).await
    }

    async fn launch(program: &Path, dir: &Path, host: IpAddr) -> Result<Self> {
        let (address, control) = (SocketAddr::new(host, free_port()?.port()), free_port()?);
        let args = ["standin", "--listen", &address.to_string(), "--control", &control.to_string()];
        let process = Process::spawn(program, args, &dir.join("standin.log"))?;
        let mut standin = Self { process, address, control };
        standin.wait_ready().await?;
        Ok(standin)
    }

    async fn wait_ready(&mut self) -> Result<()> {
        for _ in 0..500 {
            self.process.check_running()?;
            if self.sums().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the stand-in does not answer:\n{}", self.process.log_tail())
    }

    /// Where starts go.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, to freeze or to measure.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has seen.
    pub async fn sums(&self) -> Result<Sums> {
        let body = http::get(self.control, "/sums").await?.ok()?;
        serde_json::from_str(&body).context("the stand-in's sums")
    }

    /// Replaces its faults.
    pub async fn set_faults(&self, rules: &[Rule]) -> Result<()> {
        let json = serde_json::to_string(rules)?;
        http::send(self.control, "PUT", "/faults", Some(&json)).await?.ok().map(|_| ())
    }

    /// Closes its door and breaks all connections.
    pub async fn down(&self) -> Result<()> {
        http::send(self.control, "POST", "/down", None).await?.ok().map(|_| ())
    }

    /// Opens it again.
    pub async fn up(&self) -> Result<()> {
        http::send(self.control, "POST", "/up", None).await?.ok().map(|_| ())
    }

    /// Writes its record to a file, and returns how many lines it has.
    pub async fn export(&self, path: &Path) -> Result<u64> {
        let json = serde_json::to_string(&Export { path: path.to_owned() })?;
        let body = http::send(self.control, "POST", "/export", Some(&json)).await?.ok()?;
        body.trim().parse().context("the number of lines")
    }
}
