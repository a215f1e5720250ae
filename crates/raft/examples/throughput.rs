//! Measures durable decisions a second through the Raft groups, with a machine that writes what a shard writes: per decision one
//! cursor, per entry one outbox value and one account value; and an acknowledging entry that removes the outbox value again.
//!
//! `cargo run -p flintwheel-raft --example throughput -- [seconds=8] [groups=16] [batch=256] [pending=4] [definitions=1000000]
//! [rate=0] [dir=PATH]`. `pending` is entries under way per group; `rate` is decisions a second offered (0: as many as go). With a
//! `dir` that exists, it says first how long opening it took.

use bytes::Bytes;
use flintwheel_raft::{Group, Groups, OpenOptions};
use flintwheel_shard::{ApplyError, Read, ReadError, Replicated, Table, Txn};
use flintwheel_store::DataDir;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of a decision in an entry; the first eight are the definition's number.
const DECISION: usize = 40;
/// Bytes of a cursor, without its key.
const CURSOR: usize = 52;
/// Bytes that a decision adds to the account, and to the outbox.
const OCCURRENCE: usize = 50;

/// The first byte of an entry.
const FIRE: u8 = 0;
const ACK: u8 = 1;

struct Machine {
    sequence: u64,
    replayed: u64,
}

impl Replicated for Machine {
    type Reply = u64;

    fn open(state: &dyn Read) -> Result<Self, ReadError> {
        let sequence = state.get(Table::Meta, b"sequence")?;
        let sequence = sequence.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        Ok(Self { sequence, replayed: 0 })
    }

    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<u64, ApplyError> {
        self.replayed += 1;
        match entry.split_first() {
            Some((&FIRE, decisions)) => {
                self.sequence += 1;
                let key = self.sequence.to_be_bytes().to_vec();
                let mut account = Vec::with_capacity(decisions.len() / DECISION * OCCURRENCE);
                for decision in decisions.chunks(DECISION) {
                    let mut cursor = vec![0; CURSOR];
                    cursor[..DECISION].copy_from_slice(decision);
                    txn.put(Table::Cursors, decision[..8].to_vec(), cursor);
                    account.extend_from_slice(decision);
                    account.extend_from_slice(&[0; OCCURRENCE - DECISION]);
                }
                txn.put(Table::Outbox, key.clone(), account.clone());
                txn.put(Table::Account, key.clone(), account);
                txn.put(Table::Meta, b"sequence".to_vec(), key);
                Ok(self.sequence)
            }
            Some((&ACK, sequence)) => {
                txn.delete(Table::Outbox, sequence.to_vec());
                Ok(0)
            }
            _ => Err(ApplyError::Unknown("not an entry of this example".to_owned())),
        }
    }
}

/// Fast, seeded, good enough for keys.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

struct Run {
    batch: usize,
    definitions: u64,
    pace: Option<Duration>,
    decided: AtomicU64,
    stop: AtomicBool,
    latencies: parking_lot::Mutex<Vec<u32>>,
}

impl Run {
    /// Proposes batches to one group, `pending` at a time, each followed by its acknowledgement.
    async fn drive(self: Arc<Self>, group: Group<Machine>, pending: usize) {
        let permits = Arc::new(Semaphore::new(pending));
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (u64::from(group.shard()) << 17));
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let permit = permits.clone().acquire_owned().await.expect("never closed");
            if let Some(pace) = self.pace {
                next += pace;
                tokio::time::sleep_until(next.into()).await;
            }
            let due = if self.pace.is_some() { next } else { Instant::now() };
            let fired = group.propose(self.entry(&mut random));
            let (run, group) = (self.clone(), group.clone());
            tokio::spawn(async move {
                let sequence = fired.await.expect("applied");
                run.latencies.lock().push(due.elapsed().as_micros() as u32);
                run.decided.fetch_add(run.batch as u64, Ordering::Relaxed);
                let ack: Vec<u8> = std::iter::once(ACK).chain(sequence.to_be_bytes()).collect();
                group.propose(ack.into()).await.expect("applied");
                drop(permit);
            });
        }
        let _ = permits.acquire_many(pending as u32).await;
    }

    fn entry(&self, random: &mut Random) -> Bytes {
        let mut entry = vec![0; 1 + self.batch * DECISION];
        entry[0] = FIRE;
        for decision in entry[1..].chunks_mut(DECISION) {
            decision[..8].copy_from_slice(&(random.next() % self.definitions).to_be_bytes());
            decision[8..16].copy_from_slice(&random.next().to_be_bytes());
        }
        entry.into()
    }
}

fn argument(name: &str, default: u64) -> u64 {
    let given = std::env::args().find_map(|argument| argument.strip_prefix(&format!("{name}="))?.parse().ok());
    given.unwrap_or(default)
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or("").split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // The state is no number, so the user and system times, fields 14 and 15, are the 11th and 12th here. 100 ticks a second.
    fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| (user + system) / 100.0)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

async fn open(path: &Path, groups: u32) -> Arc<Groups<Machine>> {
    let started = Instant::now();
    let data = DataDir::open(path, 1, None).expect("a data directory");
    let groups = Groups::open(OpenOptions::new(data, groups)).await.expect("opened");
    let replayed: u64 =
        groups.iter().map(|group| group.read(|machine: &Machine, _| machine.replayed).unwrap_or(0)).sum();
    println!("opened in {:.2} s, {replayed} entries applied again", started.elapsed().as_secs_f64());
    Arc::new(groups)
}

async fn measure(groups: &Arc<Groups<Machine>>, run: &Arc<Run>, seconds: u64, pending: usize) {
    let driving: Vec<_> = groups.iter().map(|group| tokio::spawn(run.clone().drive(group.clone(), pending))).collect();
    let (started, cpu_before, mut slowest) = (Instant::now(), cpu(), Duration::ZERO);
    let mut flushes = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let done = groups.maintain().await.expect("maintained");
        flushes += u32::from(done.flushed);
        slowest = slowest.max(done.took);
    }
    let (decided, elapsed) = (run.decided.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
    let used = cpu() - cpu_before;
    run.stop.store(true, Ordering::Relaxed);
    futures::future::join_all(driving).await;
    let mut latencies = std::mem::take(&mut *run.latencies.lock());
    latencies.sort_unstable();
    let at =
        |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0) as f64 / 1000.0;
    println!(
        "{:.0} decisions/s, {:.0} entries/s",
        decided as f64 / elapsed,
        decided as f64 / elapsed / run.batch as f64
    );
    println!("latency ms: p50 {:.1}, p99 {:.1}, p99.9 {:.1}, most {:.1}", at(0.5), at(0.99), at(0.999), at(0.9999999));
    println!(
        "cpu: {:.2} cores, {:.1} us a decision; {} MiB resident",
        used / elapsed,
        used * 1e6 / decided as f64,
        resident_mib()
    );
    println!(
        "{flushes} flushes, the slowest {} ms; {:?}; {:?}",
        slowest.as_millis(),
        groups.state_stats(),
        groups.log_stats()
    );
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (batch, shards, rate) = (argument("batch", 256), argument("groups", 16) as u32, argument("rate", 0));
    let pace = (rate > 0).then(|| Duration::from_secs_f64((batch * u64::from(shards)) as f64 / rate as f64));
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let dir = std::env::args().find_map(|argument| argument.strip_prefix("dir=").map(PathBuf::from));
    let groups = open(&dir.unwrap_or_else(|| scratch.path().to_owned()), shards).await;
    let run = Arc::new(Run {
        batch: batch as usize,
        definitions: argument("definitions", 1_000_000),
        pace,
        decided: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        latencies: parking_lot::Mutex::default(),
    });
    measure(&groups, &run, argument("seconds", 8), argument("pending", 4) as usize).await;
    let started = Instant::now();
    if let Ok(groups) = Arc::try_unwrap(groups) {
        groups.shutdown().await.expect("shut down");
    }
    println!("shut down in {:.2} s", started.elapsed().as_secs_f64());
}
