//! What the scenarios share: processes that end with the test, the command line and what it said, and waiting for what must come.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use flintwheel_client::{Client, Options};
use flintwheel_loadtest::StartLine;
use flintwheel_loadtest::http;
use flintwheel_loadtest::process::{free_port, own_binary};
use flintwheel_loadtest::temporal_dev::TemporalDev;
use flintwheel_model::base64;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// More than any healthy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// A definition that fires each second; nobody runs what it starts.
pub const EVERY_SECOND: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: tick}
spec:
  trigger: {schedule: {interval: {every: 1s}}}
  start_workflow: {type: Tick, task_queue: nobody}
";

/// Looks again and again until there is something to see.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(STEP).await;
    }
}

/// A program that knows nothing of who runs the tests: their settings are not inherited. It ends with its handle.
pub fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir);
    command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub fn flintwheel() -> PathBuf {
    own_binary("flintwheel", "FLINTWHEEL_BIN").expect("the program is built")
}

pub fn tell(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
    kill_process(pid, signal).expect("it runs");
}

/// A folder of its own and a Temporal server.
pub struct Scene {
    pub dir: TempDir,
    pub temporal: TemporalDev,
}

impl Scene {
    /// With these Temporal namespaces beside `default`.
    pub async fn open(namespaces: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let temporal = TemporalDev::start(dir.path(), namespaces).await.expect("Temporal starts");
        Self { dir, temporal }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A node that is told by a flag where Temporal is.
    pub async fn node(&self, mode: &'static str) -> Node {
        let address = format!("--temporal-address={}", self.temporal.address());
        Node::start(mode, self.path(), &[&address], &[]).await
    }

    /// The worker of `examples/`, and the file that its output goes to.
    pub fn worker(&self) -> (Child, PathBuf) {
        let program = own_binary("flintwheel-example-worker", "FLINTWHEEL_EXAMPLE_WORKER_BIN").expect("it is built");
        let log = self.path().join("worker.log");
        let out = std::fs::File::create(&log).expect("a file");
        let mut worker = command(&program, self.path());
        worker.env("TEMPORAL_ADDRESS", format!("http://{}", self.temporal.address()));
        worker.stdout(out.try_clone().expect("a file")).stderr(out);
        (worker.spawn().expect("it starts"), log)
    }

    /// What Temporal has in a namespace, as soon as as many whose id begins so are listed: its list lags behind its starts.
    pub async fn workflows(&self, namespace: &str, prefix: &str, least: usize) -> Vec<StartLine> {
        let client = self.temporal.client().expect("a client");
        let what = format!("{least} workflows {prefix}... in {namespace}");
        eventually(&what, async || {
            let all = client.list(namespace).await.unwrap_or_default();
            let found: Vec<_> = all.into_iter().filter(|line| line.workflow_id.starts_with(prefix)).collect();
            (found.len() >= least).then_some(found)
        })
        .await
    }

    /// The attributes of a workflow's first event, as the Temporal CLI tells them.
    pub async fn started(&self, namespace: &str, workflow_id: &str) -> Value {
        self.history(namespace, workflow_id).await[0]["workflowExecutionStartedEventAttributes"].clone()
    }

    /// The events of a workflow's latest run, as the Temporal CLI tells them.
    pub async fn history(&self, namespace: &str, workflow_id: &str) -> Vec<Value> {
        let program =
            flintwheel_loadtest::process::test_server("temporal", "FLINTWHEEL_TEMPORAL_CLI").expect("installed");
        let mut show = command(&program, self.path());
        show.args(["workflow", "show", "-o", "json", "--namespace", namespace, "--workflow-id", workflow_id]);
        show.args(["--address", &self.temporal.address().to_string()]);
        let shown = show.output().await.expect("it runs");
        let history: Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"));
        history["events"].as_array().cloned().unwrap_or_default()
    }
}

/// `flintwheel dev` or `server` with its data in a folder; running, or not.
pub struct Node {
    mode: &'static str,
    dir: PathBuf,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    child: Option<Child>,
}

impl Node {
    /// Starts one on free ports and waits until it takes work.
    pub async fn start(mode: &'static str, dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut node = Self::new(mode, dir, flags, variables);
        node.start_again().await;
        node
    }

    /// One that doesn't run yet.
    pub fn new(mode: &'static str, dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self {
            mode,
            dir: dir.to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            grpc: free_port().expect("a port"),
            http: free_port().expect("a port"),
            child: None,
        }
    }

    /// The same data, doors and settings again.
    pub async fn start_again(&mut self) {
        self.spawn();
        eventually("the node is ready", async || {
            self.must_run();
            http::get(self.http, "/readyz").await.is_ok_and(|answer| answer.status == 200).then_some(())
        })
        .await;
    }

    /// The same without waiting.
    pub fn spawn(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("node.log"));
        let log = log.expect("a file");
        let mut node = command(&flintwheel(), &self.dir);
        node.arg(self.mode).args(["--data-dir", "data", "--shards", "4"]);
        node.args([format!("--grpc-listen={}", self.grpc), format!("--http-listen={}", self.http)]);
        node.args(&self.flags).envs(self.variables.iter().cloned());
        node.stdout(log.try_clone().expect("a file")).stderr(log);
        self.child = Some(node.spawn().expect("it starts"));
    }

    /// Fails with what it has said if it has ended.
    pub fn must_run(&mut self) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("it can be asked"));
        assert!(ended.is_none(), "{ended:?}: {}", self.log());
    }

    /// While it runs.
    pub fn id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await.expect("killed");
    }

    /// SIGTERM; it must end by itself.
    pub async fn stop(&mut self) -> ExitStatus {
        tell(self.id(), Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends when it is told to").expect("it has run")
    }

    /// All that it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("node.log")).unwrap_or_default()
    }

    pub fn cli(&self) -> Cli {
        Cli { dir: self.dir.clone(), variables: vec![("FLINTWHEEL_ADDRESS".to_owned(), self.grpc.to_string())] }
    }

    /// The gRPC door.
    pub fn client(&self) -> Client {
        Client::new(&[self.grpc.to_string()], Options::default()).expect("an address")
    }
}

/// The command line.
#[derive(Clone)]
pub struct Cli {
    pub dir: PathBuf,
    pub variables: Vec<(String, String)>,
}

impl Cli {
    /// One that knows of no server.
    pub fn alone(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), variables: Vec::new() }
    }

    /// With one more variable.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut cli = self.clone();
        cli.variables.push((name.to_owned(), value.to_owned()));
        cli
    }

    /// Words with spaces between.
    pub async fn run(&self, line: &str) -> Said {
        self.words(&line.split(' ').collect::<Vec<_>>(), "").await
    }

    /// With this on standard input.
    pub async fn words(&self, words: &[&str], input: &str) -> Said {
        let mut command = command(&flintwheel(), &self.dir);
        command.args(words).envs(self.variables.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // One that doesn't read its input closes the pipe.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended =
            tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it has run");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { line: words.join(" "), code: ended.status.code(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    /// What it printed; it must have done what it was told.
    pub async fn done(&self, line: &str) -> String {
        self.run(line).await.with_code(0).out
    }

    /// The same as a value.
    pub async fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} -o json")).await.with_code(0).json()
    }

    /// The same as a list.
    pub async fn list(&self, line: &str) -> Vec<Value> {
        self.json(line).await.as_array().expect("a list").clone()
    }

    /// Applies a definition from standard input.
    pub async fn apply(&self, definition: &str) -> String {
        self.words(&["apply", "-f", "-"], definition).await.with_code(0).out
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    pub line: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "flintwheel {}: {self:?}", self.line);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Payloads as the Temporal CLI prints them, read as JSON.
pub fn payloads(value: &Value) -> Vec<Value> {
    let payloads = value["payloads"].as_array().unwrap_or_else(|| panic!("no payloads in {value}"));
    payloads.iter().map(payload).collect()
}

/// One of them.
pub fn payload(value: &Value) -> Value {
    let bytes = base64::decode(text(value, "data")).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// The text of a field.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

/// The texts of a field, in order.
pub fn texts(values: &[Value], field: &str) -> Vec<String> {
    let mut texts: Vec<String> = values.iter().map(|value| text(value, field).to_owned()).collect();
    texts.sort();
    texts
}

/// The workflow ids, in order: one that was started twice stands twice.
pub fn ids(lines: &[StartLine]) -> Vec<String> {
    let mut ids: Vec<String> = lines.iter().map(|line| line.workflow_id.clone()).collect();
    ids.sort();
    ids
}

/// Each second from the first to the last, once.
pub fn assert_no_gap(workflow_ids: &[String]) {
    let seconds: Vec<i64> = workflow_ids
        .iter()
        .map(|id| {
            let clock: Vec<i64> =
                id[id.len() - 9..id.len() - 1].split(':').map(|part| part.parse().expect(id)).collect();
            (clock[0] * 60 + clock[1]) * 60 + clock[2]
        })
        .collect();
    let follows = |pair: &[i64]| (pair[0] + 1) % 86_400 == pair[1];
    assert!(seconds.windows(2).all(follows), "{workflow_ids:?}");
}
