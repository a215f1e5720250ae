//! One HTTP request over one connection, enough for health pages, metrics and the stand-in's control door.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status code and body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// As text.
    pub body: String,
}

impl Answer {
    /// The body of a 2xx answer; an error with the body otherwise.
    pub fn ok(self) -> Result<String> {
        if !(200..300).contains(&self.status) {
            bail!("HTTP status {}: {}", self.status, self.body.trim());
        }
        Ok(self.body)
    }
}

/// `GET path`.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    send(address, "GET", path, None).await
}

/// Any method, with a JSON body if there is one.
pub async fn send(address: SocketAddr, method: &str, path: &str, json: Option<&str>) -> Result<Answer> {
    let kind: &[(&str, &str)] = if json.is_some() { &[("Content-Type", "application/json")] } else { &[] };
    send_with(address, method, path, kind, json.unwrap_or_default()).await
}

/// Any method, headers and body. HTTP/1.0, so that the answer ends with the connection.
pub async fn send_with(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.with_context(|| format!("read the answer of {address}{path}"))?;
    parse(&String::from_utf8_lossy(&answer)).with_context(|| format!("{method} {address}{path}"))
}

fn parse(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP status")?;
    Ok(Answer { status, body: body.to_owned() })
}
