//! Faults at random, one after the other, under writes: what was acknowledged is on all nodes in the end, in the same order.
//!
//! `FLINTWHEEL_CHAOS=FIRST..END` runs these seeds instead of the one. The order of faults is the seed's; how threads take turns is not.

use super::nodes::{Cluster, Wire};
use super::toy::Toy;
use crate::{Leadership, Limits};
use bytes::Bytes;
use flintwheel_shard::{Read, Table};
use flintwheel_store::LogDb;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NODES: u64 = 3;
/// Faults of one run.
const STEPS: u64 = 16;
/// Entries proposed at once.
const BURST: u64 = 8;
/// How long an answer is waited for before it counts as unknown: who is cut off gives none.
const ANSWER: Duration = Duration::from_millis(700);

struct Run {
    seed: u64,
    cluster: Cluster,
    /// Between two bursts: long enough for the group to fall asleep, or none.
    rest: Duration,
    /// When a node was first seen to lead in a term.
    led: BTreeMap<u64, Instant>,
    /// What was acknowledged: the number of an entry, and the digest up to it.
    acknowledged: BTreeMap<u64, u64>,
    down: Option<u64>,
    proposed: u64,
}

impl Run {
    fn number(&self, step: u64, what: u64, below: u64) -> u64 {
        xxh3_64_with_seed(&[step.to_le_bytes(), what.to_le_bytes()].concat(), self.seed) % below
    }

    /// One fault, or the end of one. A majority always works.
    async fn step(&mut self, step: u64) {
        let node = 1 + self.number(step, 0, NODES);
        let is_cut = !self.cluster.board.cut.lock().is_empty();
        match self.number(step, 1, 8) {
            _ if is_cut => self.cluster.board.heal(),
            _ if self.down.is_some() => {
                let down = self.down.take().expect("it is down");
                self.cluster.start(down).await;
            }
            0 | 1 => self.cluster.board.isolate(node, &[1, 2, 3]),
            // One way only.
            2 => self.cluster.board.cut.lock().extend((1..=NODES).filter(|to| *to != node).map(|to| (node, to))),
            3 | 4 => {
                self.cluster.kill(node).await;
                self.down = Some(node);
            }
            5 => self.flush().await,
            6 => drop(self.cluster.nodes[&self.cluster.leader().await].group(0).transfer_leader(node).await),
            _ => self.replace(node).await,
        }
    }

    /// Who says when nobody had been elected after it must not be wrong, awake or asleep: leases hang on it.
    fn watch(&mut self) {
        for groups in self.cluster.nodes.values() {
            let Some(group) = groups.find(0) else { continue };
            let Leadership::Leader { term } = group.status().leadership else { continue };
            let now = Instant::now();
            self.led.entry(term).or_insert(now);
            let later = self.led.range(term + 1..).map(|(_, seen)| *seen).min();
            if let (Some(seen), Some(later)) = (group.quorum_seen(term), later) {
                let wrong = seen.saturating_duration_since(later);
                assert!(wrong.is_zero(), "seed {}: the leader of term {term} is wrong by {wrong:?}", self.seed);
            }
        }
    }

    async fn flush(&self) {
        for groups in self.cluster.nodes.values() {
            groups.flush().await.unwrap();
        }
    }

    /// A member leaves and comes back with nothing.
    async fn replace(&self, node: u64) {
        self.cluster.changed(async |leader| leader.remove(node).await).await;
        self.cluster.nodes[&node].retire(0).await.unwrap();
        self.cluster.join(node).await;
    }

    /// With `patient`, a fault lasts until there is a leader in spite of it; else the next step may come before anybody noticed.
    async fn write(&mut self, bursts: u64, patient: bool) {
        for _ in 0..bursts {
            tokio::time::sleep(self.rest).await;
            self.watch();
            let Some(leader) = (if patient { Some(self.cluster.leader().await) } else { self.cluster.leader_now() })
            else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let group = self.cluster.nodes[&leader].group(0);
            let entry = |n: u64| Bytes::from(format!("{} {n}", self.seed));
            let answers = (self.proposed..self.proposed + BURST).map(|n| group.propose(entry(n)));
            let answers = tokio::time::timeout(ANSWER, futures::future::join_all(answers)).await;
            self.proposed += BURST;
            self.watch();
            for Toy { count, digest, .. } in answers.into_iter().flatten().flatten() {
                let before = self.acknowledged.insert(count, digest);
                assert!(before.is_none_or(|before| before == digest), "seed {}: entry {count} has changed", self.seed);
            }
        }
    }

    /// Each node has all that was acknowledged, where it was said to be.
    async fn check(&self) {
        let most = self.acknowledged.keys().last().copied().unwrap_or(0);
        let settled = self.cluster.settled(most).await;
        assert!(settled.count <= self.proposed, "seed {}: {settled:?} of {}", self.seed, self.proposed);
        for (node, groups) in &self.cluster.nodes {
            let state = groups.group(0).state();
            for (count, digest) in &self.acknowledged {
                let row = state.get(Table::Account, &count.to_be_bytes()).unwrap();
                let there = row.map(|row| Toy::parse(&row).digest);
                assert_eq!(there, Some(*digest), "seed {}: entry {count} on node {node}", self.seed);
            }
        }
    }
}

async fn run(seed: u64, cluster: Cluster, rest: Duration) {
    let (led, acknowledged) = (BTreeMap::new(), BTreeMap::new());
    let mut run = Run { seed, cluster, rest, led, acknowledged, down: None, proposed: 0 };
    for step in 0..STEPS {
        run.step(step).await;
        let patient = run.number(step, 2, 2) == 0;
        run.write(6, patient).await;
    }
    run.cluster.board.heal();
    if let Some(down) = run.down.take() {
        run.cluster.start(down).await;
    }
    let healthy = run.acknowledged.len();
    while run.acknowledged.len() == healthy {
        run.write(1, true).await;
    }
    run.check().await;
    println!("seed {seed}: {} proposed, {} acknowledged", run.proposed, run.acknowledged.len());
    run.cluster.shutdown().await;
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("FLINTWHEEL_CHAOS") else { return 1..2 };
    let (first, end) = text.split_once("..").expect("FLINTWHEEL_CHAOS is FIRST..END");
    first.parse().expect("a number")..end.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_changed_by_faults_at_random() {
    for seed in seeds() {
        run(seed, Cluster::of(NODES).await, Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_changed_by_faults_among_sleepers() {
    for seed in seeds() {
        let limits = Limits { sleep_after: Duration::from_millis(30), ..Limits::default() };
        let cluster = Cluster::with(Wire::Board, NODES, limits, LogDb::commit).await;
        run(seed, cluster, Duration::from_millis(350)).await;
    }
}
