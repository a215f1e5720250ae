//! The engine as its operator sees it: a process with a data directory, started, killed and started again.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http;
use crate::metrics::Metrics;
use crate::process::{Process, free_port, own_binary};

/// For a start: the log is replayed, shards get a leader.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// For a page of it: a node that is frozen takes the connection and says nothing.
const PAGE_WITHIN: Duration = Duration::from_secs(2);

/// Where firings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To Temporal, or to what stands for it.
    Temporal {
        /// Its gRPC door.
        address: SocketAddr,
        /// Its namespace.
        namespace: String,
    },
    /// Nowhere; they are only counted.
    Null,
}

/// How an engine is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Its state; kept between starts.
    pub data_dir: PathBuf,
    /// Where firings go.
    pub sink: Sink,
    /// Fixed when the data directory is first used.
    pub shards: u32,
    /// More of its command line, as it is.
    pub more: Vec<String>,
}

/// An engine, running or not.
pub struct Engine {
    options: EngineOptions,
    program: PathBuf,
    /// What the program runs within: the words before its own.
    within: Vec<String>,
    log: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    process: Option<Process>,
}

impl Engine {
    /// Starts one on free ports and waits until it is ready.
    pub async fn start(options: EngineOptions) -> Result<Self> {
        let mut engine = Self::new(options)?;
        engine.start_again().await?;
        Ok(engine)
    }

    /// One that doesn't run yet.
    pub fn new(options: EngineOptions) -> Result<Self> {
        let program = own_binary("flintwheel", "FLINTWHEEL_BIN")?;
        let log = options.data_dir.with_extension("log");
        let (grpc, http) = (free_port()?, free_port()?);
        Ok(Self { options, program, within: Vec::new(), log, grpc, http, process: None })
    }

    /// The same with its doors at this host, within something else: `nsenter --net=...`, for one.
    #[must_use]
    pub fn at(mut self, host: IpAddr, within: Vec<String>) -> Self {
        self.grpc.set_ip(host);
        self.http.set_ip(host);
        self.within = within;
        self
    }

    /// The same, with another program of the project in the server's place.
    pub fn as_program(mut self, name: &str) -> Result<Self> {
        self.program = own_binary(name, "FLINTWHEEL_PROGRAM")?;
        Ok(self)
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The same with its log in this file; without it, it lies beside the data directory.
    #[must_use]
    pub fn logging_to(mut self, log: PathBuf) -> Self {
        self.log = log;
        self
    }

    /// Another program, from its next start on.
    pub fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Starts it after a kill, with the same data and doors; returns how long it took to be ready.
    pub async fn start_again(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.spawn()?;
        self.wait_ready().await?;
        Ok(begun.elapsed())
    }

    /// The same without waiting.
    pub fn spawn(&mut self) -> Result<()> {
        let within = self.within.iter().map(OsString::from);
        let arguments = self.arguments().into_iter().map(OsString::from);
        let mut words = within.chain([self.program.clone().into_os_string()]).chain(arguments);
        let first = words.next().context("a command line has a program")?;
        self.process = Some(Process::spawn(Path::new(&first), words, &self.log)?);
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM; it must end by itself.
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.terminate(Duration::from_secs(30)).await,
            None => Ok(()),
        }
    }

    /// Its gRPC door.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its HTTP door.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Its process, to measure.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the engine is not running")
    }

    /// An error with the end of its log if it has ended by itself.
    pub fn check_running(&mut self) -> Result<()> {
        self.process.as_mut().context("the engine is not running")?.check_running()
    }

    /// Waits until it has ended by itself; the end of its log.
    pub async fn has_ended(&mut self, patience: Duration) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if self.check_running().is_err() {
                let process = self.process.take().context("the engine is not running")?;
                return Ok(process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the engine is still running after {patience:?}")
    }

    /// A page of its HTTP door.
    pub async fn page(&self, path: &str) -> Result<http::Answer> {
        let answer = tokio::time::timeout(PAGE_WITHIN, http::get(self.http, path)).await;
        answer.with_context(|| format!("{} does not answer {path} within {PAGE_WITHIN:?}", self.http))?
    }

    /// Its metrics page.
    pub async fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&http::get(self.http, "/metrics").await?.ok()?))
    }

    /// Bytes of memory that it holds, and of them those in the databases' buffers and cache, which are bounded.
    pub async fn memory(&self) -> Result<(u64, u64)> {
        let metrics = self.metrics().await?;
        let part = |part| Ok::<_, anyhow::Error>(metrics.sum("flintwheel_memory_bytes", &[("part", part)])? as u64);
        Ok((part("resident")?, part("log_buffers")? + part("state_buffers")? + part("block_cache")?))
    }

    /// Bytes that its data directory takes.
    pub fn disk_bytes(&self) -> Result<u64> {
        dir_bytes(&self.options.data_dir)
    }

    /// Where its state is.
    pub fn data_dir(&self) -> &Path {
        &self.options.data_dir
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "server".to_owned(),
            format!("--data-dir={}", self.options.data_dir.display()),
            format!("--grpc-listen={}", self.grpc),
            format!("--http-listen={}", self.http),
            format!("--shards={}", self.options.shards),
        ];
        match &self.options.sink {
            Sink::Null => arguments.push("--sink=null".to_owned()),
            Sink::Temporal { address, namespace } => arguments.extend([
                "--sink=temporal".to_owned(),
                format!("--temporal-address={address}"),
                format!("--temporal-namespace={namespace}"),
            ]),
        }
        arguments.extend(self.options.more.iter().cloned());
        arguments
    }

    /// Waits until it takes work; an error if it ends before, or takes too long.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < READY_WITHIN {
            self.check_running()?;
            if self.page("/readyz").await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = self.process()?.log_tail();
        bail!("the engine is not ready after {READY_WITHIN:?}:\n{log}")
    }
}

fn dir_bytes(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        // A file may go while we look: compaction.
        let Ok(meta) = entry.metadata() else { continue };
        total += if meta.is_dir() { dir_bytes(&entry.path())? } else { allocated(&meta) };
    }
    Ok(total)
}

/// What a file takes on disk, which preallocation makes more and holes make less than its length.
fn allocated(meta: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}
