//! What all cases need: a server, the program as users call it, a plain HTTP request, and the look at what was said.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::http::{self, Answer};
use flintwheel_loadtest::process::own_binary;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Longer than anything here takes on a busy machine: what does not end by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what can't be waited for otherwise.
pub const LOOK: Duration = Duration::from_millis(20);

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    /// None where a signal ended it.
    pub code: Option<i32>,
    /// All that it printed, on both its outputs.
    pub text: String,
}

/// Runs `flintwheel` in a directory, with nothing of a developer's own settings.
pub async fn flintwheel(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Said> {
    let mut command = Command::new(own_binary("flintwheel", "FLINTWHEEL_BIN")?);
    let theirs = |name: &str| name.starts_with("TEMPORAL_") || name.starts_with("FLINTWHEEL_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| theirs(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", dir).env("HOME", dir).envs(variables.iter().copied());
    command.current_dir(dir).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.with_context(|| format!("flintwheel {arguments:?} hangs"))??;
    let text = [output.stderr, output.stdout].concat();
    Ok(Said { code: output.status.code(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// What is wrong with an answer, if anything: all cases are tried before the test fails.
pub fn fault(case: &str, ended: i64, text: &str, expected: i64, words: &[&str]) -> Option<String> {
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    let fine = ended == expected && missing.is_empty() && !text.contains("panicked");
    // A value of a megabyte, quoted in full, would be no help either.
    let too_long = text.len() > 8192;
    (!fine || too_long).then(|| {
        let start: String = text.chars().take(2000).collect();
        format!("{case}: ended with {ended}, expected {expected}; it lacks {missing:?}:\n{start}")
    })
}

/// The same for a command.
pub fn fault_of(case: &str, said: &Said, code: i32, words: &[&str]) -> Option<String> {
    fault(case, said.code.map_or(-1, i64::from), &said.text, code.into(), words)
}

/// A running server with a sink that only counts.
pub struct Server {
    pub engine: Engine,
    pub dir: TempDir,
}

impl Server {
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        Ok(Self { engine: Engine::start(options(dir.path(), Sink::Null)).await?, dir })
    }

    /// Runs a client's command.
    pub async fn command(&self, arguments: &[&str]) -> Result<Said> {
        let address = self.engine.grpc().to_string();
        flintwheel(self.dir.path(), arguments, &[("FLINTWHEEL_ADDRESS", &address)]).await
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        std::fs::write(self.dir.path().join(name), content).with_context(|| name.to_owned())
    }

    /// After the cases: no case has failed, the server takes work, nothing in its log tells of a fault of its own, and it holds nothing.
    pub async fn holds_nothing_after(&mut self, faults: Vec<String>) -> Result<()> {
        self.engine.check_running()?;
        assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
        http::get(self.engine.http(), "/readyz").await?.ok()?;
        let log = std::fs::read_to_string(self.dir.path().join("data.log"))?;
        assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{log}");
        let list = self.command(&["list", "-A", "-o", "name"]).await?;
        assert!(list.code == Some(0) && !list.text.contains("activitydefinition/"), "{list:?}");
        Ok(())
    }
}

/// Of an engine whose data and log stand in `dir`.
pub fn options(dir: &Path, sink: Sink) -> EngineOptions {
    EngineOptions { data_dir: data_dir(dir), sink, shards: 2, more: Vec::new() }
}

pub fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// Any request, with any headers (`name: value`, each with its end of line).
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: impl AsRef<[u8]>,
) -> Result<Answer> {
    let body = body.as_ref();
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    // A server that has read enough to refuse the rest may close before it has all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("no answer")?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {read:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status")?;
    Ok(Answer { status, body: body.to_owned() })
}

/// Waits until a file holds all these words.
pub async fn file_says(path: &Path, words: &[&str]) -> Result<()> {
    let mut text = String::new();
    let look = async {
        loop {
            text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            if words.iter().all(|word| text.contains(word)) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(PATIENCE, look).await.is_err() {
        bail!("{} does not say {words:?}:\n{text}", path.display());
    }
    Ok(())
}
