//! A small HTTP service with answers made by the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves until the test ends.
pub struct HttpService {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpService {
    /// Answers each request (method and path, without a query) with the bytes that `answer` makes; see [`answer`].
    pub async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), answer.clone()));
            }
        });
        Self { address, requests }
    }

    /// `http://127.0.0.1:PORT/path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Whole requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    answer: Arc<impl Fn(&str) -> Vec<u8> + Send + Sync>,
) {
    let request = read_request(&mut stream).await;
    let line = request.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
    let line = line.split('?').next().unwrap_or_default().to_owned();
    seen.lock().expect("not poisoned").push(request);
    let bytes = answer(&line);
    if bytes.is_empty() {
        // No answer: hold the connection until the client gives up.
        _ = stream.read(&mut [0]).await;
        return;
    }
    _ = stream.write_all(&bytes).await;
    _ = stream.shutdown().await;
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if read == 0 || text.split_once("\r\n\r\n").is_some_and(|(head, body)| body.len() >= content_length(head)) {
            return text;
        }
    }
}

fn content_length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let value = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// An HTTP answer with these headers, `content-length` and `connection: close`.
pub fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An answer of JSON.
pub fn json(body: &str) -> Vec<u8> {
    answer("200 OK", &["content-type: application/json; charset=utf-8"], body.as_bytes())
}
