//! The bare loop: start calls as fast as a plain client sends them, with nothing decided, stored or acknowledged. What the
//! engine's dispatch is compared with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::raw_temporal::RawTemporal;

/// How hard it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareLoad {
    /// Start calls under way at any time, over all connections.
    pub in_flight: usize,
    /// For how long.
    pub length: Duration,
    /// Bytes of JSON input of each start.
    pub input_bytes: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BareResult {
    /// Starts that were answered with success.
    pub started: u64,
    /// Of the loop, until the last answer.
    pub elapsed: Duration,
}

impl BareResult {
    /// Starts per second.
    pub fn rate(&self) -> f64 {
        self.started as f64 / self.elapsed.as_secs_f64()
    }
}

/// Servers close connections now and then, to spread their clients anew; a call that was on its way is made again.
const TRIES: u32 = 3;

/// Starts workflows named `{prefix}-{n}` until the time is up. A call that fails again and again ends it.
pub async fn run(client: Arc<RawTemporal>, namespace: &str, prefix: &str, load: BareLoad) -> Result<BareResult> {
    let begun = Instant::now();
    let answered = drive(client, namespace, prefix, load, move |_| begun.elapsed() < load.length).await?;
    Ok(BareResult { started: answered.len() as u64, elapsed: begun.elapsed() })
}

/// Makes `count` starts, however long that takes, and returns their rate between the first and the last twentieth: a server takes more at
/// first than it can keep up.
pub async fn steady_rate(
    client: Arc<RawTemporal>,
    namespace: &str,
    prefix: &str,
    load: BareLoad,
    count: u64,
) -> Result<f64> {
    let mut answered = drive(client, namespace, prefix, load, move |n| n < count).await?;
    answered.sort_unstable();
    let edge = answered.len() / 20;
    let (first, last) = (edge, answered.len().saturating_sub(1 + edge));
    anyhow::ensure!(first < last, "{count} starts are too few for a rate");
    Ok((last - first) as f64 / (answered[last] - answered[first]).as_secs_f64())
}

/// Makes `count` starts, named `{prefix}-{n}`, as fast as it can.
pub async fn start_all(
    client: Arc<RawTemporal>,
    namespace: &str,
    prefix: &str,
    load: BareLoad,
    count: u64,
) -> Result<()> {
    drive(client, namespace, prefix, load, move |n| n < count).await.map(drop)
}

/// Starts the n-th workflow for as long as `goes_on` says so; returns when each was answered, in no order.
async fn drive(
    client: Arc<RawTemporal>,
    namespace: &str,
    prefix: &str,
    load: BareLoad,
    goes_on: impl Fn(u64) -> bool + Copy + Send + 'static,
) -> Result<Vec<Instant>> {
    let input: Arc<[u8]> = format!("\"{}\"", "x".repeat(load.input_bytes.saturating_sub(2))).into_bytes().into();
    let number = Arc::new(AtomicU64::new(0));
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..load.in_flight {
        let (client, input, number) = (Arc::clone(&client), Arc::clone(&input), Arc::clone(&number));
        let (namespace, prefix) = (namespace.to_owned(), prefix.to_owned());
        loops.spawn(async move {
            let mut answered = Vec::new();
            loop {
                let n = number.fetch_add(1, Ordering::Relaxed);
                if !goes_on(n) {
                    return anyhow::Ok(answered);
                }
                start(&client, &namespace, &format!("{prefix}-{n}"), &input).await?;
                answered.push(Instant::now());
            }
        });
    }
    let mut answered = Vec::new();
    while let Some(ended) = loops.join_next().await {
        answered.extend(ended??);
    }
    Ok(answered)
}

async fn start(client: &RawTemporal, namespace: &str, id: &str, input: &[u8]) -> Result<()> {
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        match client.start(namespace, id.to_owned(), input).await {
            Err(_) if tries_left > 0 => {}
            ended => return ended,
        }
    }
}
