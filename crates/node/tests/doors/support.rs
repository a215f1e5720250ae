//! A node in this process, and a plain HTTP/1.1 client that hides nothing.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flintwheel_client::{Client, Options};
use flintwheel_model::ActivityDefinition;
use flintwheel_node::api::Api;
use flintwheel_node::config::Config;
use flintwheel_node::{Node, RunError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

/// More than any healthy machine needs.
pub const LONG: Duration = Duration::from_secs(60);

/// A running node, with the sink that only counts. It has threads of its own and is stopped, and waited for, with its handle: a process
/// that ends while RocksDB is at work may be aborted by it.
pub struct Running {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), RunError>>>,
    _directory: TempDir,
}

impl Running {
    pub async fn start() -> Self {
        Self::prepared(|_| ()).await
    }

    /// After something has been done with its engine.
    pub async fn prepared(prepare: impl FnOnce(&Api) + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let flags = [
            ("data_dir", directory.path().display().to_string()),
            ("grpc_listen", "127.0.0.1:0".to_owned()),
            ("http_listen", "127.0.0.1:0".to_owned()),
            ("sink", "null".to_owned()),
            ("shards", "2".to_owned()),
        ];
        let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Runtime::new().expect("threads");
            runtime.block_on(async {
                let claim = Node::claim(&settings).await.expect("free ports and a directory");
                let node = Node::start(&settings, claim, tonic::service::Routes::default()).await.expect("starts");
                prepare(node.api());
                tell.send((node.grpc, node.http)).expect("somebody waits");
                // An error means that the handle is gone: stop as well.
                node.run_until(async { stopped.await.unwrap_or_default() }).await
            })
        });
        let (grpc, http) = told.await.expect("it starts");
        Self { grpc, http, stop: Some(stop), thread: Some(thread), _directory: directory }
    }

    pub fn tell_to_stop(&mut self) {
        self.stop = None;
    }

    /// Waits until it has stopped.
    pub async fn ended(mut self) -> Result<(), RunError> {
        let thread = self.thread.take().expect("waited for once");
        let ended = tokio::task::spawn_blocking(|| thread.join().expect("no panic"));
        tokio::time::timeout(LONG, ended).await.expect("in time").expect("no panic")
    }

    pub fn client(&self) -> Client {
        Client::new(&[self.grpc.to_string()], Options::default()).expect("an address")
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("an address");
        endpoint.connect().await.expect("connects")
    }

    /// One request on a connection of its own.
    pub async fn http(&self, request: Request<'_>) -> Answer {
        send(self.http, request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.http(Request { path, ..Request::default() }).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = &[("content-type", "application/json")];
        self.http(Request { method, path, headers, body: body.as_bytes() }).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            // How it ends is the business of the tests that ask.
            let _ = thread.join();
        }
    }
}

async fn send(door: SocketAddr, request: Request<'_>) -> Answer {
    let work = async {
        let mut stream = TcpStream::connect(door).await.expect("connects");
        // A server that refuses a body early may close while it is still being sent: its answer is what counts.
        let _ = stream.write_all(&request.encode()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        Answer::read(&bytes)
    };
    tokio::time::timeout(LONG, work).await.expect("an answer")
}

/// The same of a door that belongs to no running node.
pub async fn get(door: SocketAddr, path: &str) -> Answer {
    send(door, Request { path, ..Request::default() }).await
}

/// What is sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { method: "GET", path: "/", headers: &[], body: &[] }
    }
}

impl Request<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.split_once(": ").is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        self.head.lines().find(|l| line(l)).and_then(|l| l.split_once(": ")).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A definition with a trigger, in the namespace `default`.
pub fn definition(id: &str, trigger: Value) -> ActivityDefinition {
    serde_json::from_value(document(id, trigger)).expect("a definition")
}

/// The same as JSON.
pub fn document(id: &str, trigger: Value) -> Value {
    json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
    })
}

/// A trigger by events of this type.
pub fn on_event(event_type: &str) -> Value {
    json!({"event": {"types": [event_type]}})
}
