//! The watcher of one of Temporal's namespaces: each round it lists what has closed lately, looks at some runs directly so that none is
//! missed for good, has its way with those that shall end, and has the shards write down what has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flintwheel_shard::entry::{Body, Closed, RunEnd};
use flintwheel_shard::reply::Outcome;
use flintwheel_shard::tracks::Wish;
use flintwheel_temporal::{CallError, RunStatus, TemporalSink};
use futures::{StreamExt, stream};

use super::ROUND;
use super::check::{carry_out, ended};
use super::open::{OpenRun, OpenRuns};
use super::pages::Position;
use crate::dispatch::Sink;
use crate::shared::Shared;

/// Pages of one round; what lies beyond is found by looking at each run.
const PAGES: usize = 50;
/// Runs that are looked at directly in a round, whatever was listed: at 100,000 open runs, each about once in an hour and a half.
const SWEEP: usize = 20;
/// No run is looked at directly more often than this.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Calls at a time.
const SIDE_BY_SIDE: usize = 16;
/// Ends of one entry, and their bytes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;
/// A run that was asked to cancel is asked again after this: who was asked may have been restored from an older state.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// While Temporal can't be asked, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Rounds without an open run, after which the watcher ends.
const IDLE: u32 = 30;

struct Watch<'a> {
    shared: &'a Arc<Shared>,
    namespace: &'a str,
    open: OpenRuns,
    shards: BTreeSet<u32>,
    position: Position,
    /// Where to go on with looking at runs, and since when this time around.
    sweep: (Option<OpenRun>, Option<Instant>),
    asked: HashMap<OpenRun, Instant>,
    /// To be looked at again: it may have ended, and nobody could be told.
    again: BTreeSet<OpenRun>,
}

/// Watches until nothing is open any more.
pub async fn run(shared: &Arc<Shared>, namespace: &str) {
    let mut watch = Watch {
        shared,
        namespace,
        open: OpenRuns::default(),
        shards: BTreeSet::new(),
        position: Position::default(),
        sweep: (None, None),
        asked: HashMap::new(),
        again: BTreeSet::new(),
    };
    let (mut idle, mut wait) = (0, ROUND);
    while idle < IDLE {
        watch.refresh().await;
        idle = if watch.open.runs.is_empty() { idle + 1 } else { 0 };
        wait = match watch.round().await {
            Ok(()) => ROUND,
            Err(error) => {
                if wait == ROUND {
                    tracing::warn!(namespace, %error, "it can't be asked which runs have ended; what waits for them waits");
                }
                (wait * 2).min(LONGEST_WAIT)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

impl Watch<'_> {
    async fn refresh(&mut self) {
        self.open.refresh(self.shared, self.namespace).await;
        let shards: BTreeSet<u32> = self.open.runs.iter().map(|run| run.shard).collect();
        let new = self.open.runs.iter().filter(|run| !self.shards.contains(&run.shard));
        let since = new.filter_map(|run| self.open.describe(self.shared, *run)).map(|described| described.since);
        if let Some(oldest) = since.min() {
            self.position.reach_back(oldest, self.shared.clock.now());
        }
        self.shards = shards;
    }

    async fn round(&mut self) -> Result<(), CallError> {
        if self.open.runs.is_empty() {
            return Ok(());
        }
        let Sink::Temporal(sink) = self.shared.dispatchers.routes.default_route().sink.clone() else {
            // Where nothing is started, it has ended at once.
            let runs = std::mem::take(&mut self.open.runs);
            let end = RunEnd::Completed;
            let closed = |run: OpenRun| {
                let item = Closed { number: run.number, run: run.seq, end, left: None, note: String::new(), at: None };
                (run, item)
            };
            self.tell(runs.into_iter().map(closed).collect()).await;
            return Ok(());
        };
        let mut suspects = std::mem::take(&mut self.again);
        let looked = self.suspects(&sink, &mut suspects).await;
        // What was found before a call failed counts all the same.
        self.look(&sink, suspects).await.and(looked)
    }

    /// Runs that may have ended.
    async fn suspects(&mut self, sink: &TemporalSink, suspects: &mut BTreeSet<OpenRun>) -> Result<(), CallError> {
        self.sweep(suspects);
        let listed = self.list(sink, suspects).await;
        self.carry_out(sink, suspects).await.and(listed)
    }

    async fn list(&mut self, sink: &TemporalSink, suspects: &mut BTreeSet<OpenRun>) -> Result<(), CallError> {
        let prefix = self.open.prefix(self.shared);
        let since = self.position.since(self.shared.clock.now());
        let (mut token, mut seen) = (Vec::new(), None);
        for _ in 0..PAGES {
            let (rows, next) = sink.closed_since(self.namespace, &prefix, since, token).await?;
            for row in rows {
                seen = seen.max(Some(row.closed_at));
                if row.status != RunStatus::ContinuedAsNew {
                    suspects.extend(self.open.find(self.shared, &row.workflow_id));
                }
            }
            if next.is_empty() {
                break;
            }
            token = next;
        }
        seen.into_iter().for_each(|at| self.position.saw(at));
        Ok(())
    }

    /// Some runs, one after the other over all rounds.
    fn sweep(&mut self, suspects: &mut BTreeSet<OpenRun>) {
        let runs = &self.open.runs;
        let (from, begun) = self.sweep;
        if from.is_none() && begun.is_some_and(|begun| begun.elapsed() < SWEEP_EVERY) {
            return;
        }
        let begun = if from.is_none() { Some(Instant::now()) } else { begun };
        let first = from.map_or(0, |from| runs.partition_point(|run| *run < from));
        let last = (first + SWEEP).min(runs.len());
        suspects.extend(&runs[first..last]);
        self.sweep = (runs.get(last).copied(), begun);
    }

    async fn carry_out(&mut self, sink: &TemporalSink, suspects: &mut BTreeSet<OpenRun>) -> Result<(), CallError> {
        let wishes: BTreeSet<OpenRun> = self.open.wishes.iter().copied().collect();
        self.asked.retain(|run, at| wishes.contains(run) && at.elapsed() < ASK_AGAIN);
        let open = wishes.into_iter().filter_map(|run| Some((run, self.open.describe(self.shared, run)?)));
        // One that is to be terminated is asked each time: that ends it at once, or has failed.
        let due = open.filter(|(run, described)| described.wish == Wish::Terminate || !self.asked.contains_key(run));
        let due: Vec<_> = due.collect();
        let namespace = self.namespace;
        let calls =
            due.into_iter().map(|(run, described)| async move { (run, carry_out(sink, namespace, &described).await) });
        let done: Vec<_> = stream::iter(calls).buffer_unordered(SIDE_BY_SIDE).collect().await;
        let mut fault = Ok(());
        for (run, result) in done {
            match result {
                Ok(may_have_ended) => {
                    suspects.extend(Some(run).filter(|_| may_have_ended));
                    self.asked.insert(run, Instant::now());
                }
                Err(error) => fault = Err(error),
            }
        }
        fault
    }

    /// Looks at each of them, and has written down which have ended.
    async fn look(&mut self, sink: &TemporalSink, suspects: BTreeSet<OpenRun>) -> Result<(), CallError> {
        let described = suspects.into_iter().filter_map(|run| Some((run, self.open.describe(self.shared, run)?)));
        let described: Vec<_> = described.collect();
        let namespace = self.namespace;
        let looks = described
            .into_iter()
            .map(|(run, described)| async move { (run, ended(sink, namespace, run, &described).await) });
        let mut looks = stream::iter(looks).buffer_unordered(SIDE_BY_SIDE);
        let (mut closed, mut fault) = (Vec::new(), Ok(()));
        while let Some((run, result)) = looks.next().await {
            match result {
                Ok(Some(item)) => closed.push((run, item)),
                Ok(None) => {}
                Err(error) => {
                    self.again.insert(run);
                    fault = Err(error);
                }
            }
        }
        drop(looks);
        self.tell(closed).await;
        fault
    }

    async fn tell(&mut self, closed: Vec<(OpenRun, Closed)>) {
        let mut by_shard: BTreeMap<u32, Vec<(OpenRun, Closed)>> = BTreeMap::new();
        for (run, item) in closed {
            by_shard.entry(run.shard).or_default().push((run, item));
        }
        for (shard, items) in by_shard {
            let mut items = items.into_iter().peekable();
            while items.peek().is_some() {
                let (mut runs, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
                while batch.len() < BATCH
                    && bytes < BATCH_BYTES
                    && let Some((run, item)) = items.next()
                {
                    bytes += item.left.as_ref().map_or(0, bytes::Bytes::len) + item.note.len();
                    runs.push(run);
                    batch.push(item);
                }
                self.write(shard, runs, batch, bytes).await;
            }
        }
    }

    async fn write(&mut self, shard: u32, runs: Vec<OpenRun>, batch: Vec<Closed>, bytes: usize) {
        let notes: HashMap<u64, String> = batch.iter().map(|item| (item.number, item.note.clone())).collect();
        match self.shared.command(shard, Body::Closed(batch), bytes).await {
            Ok(applied) => {
                let Outcome::Closed { closed, paused } = applied.outcome else { return };
                self.shared.metrics.runs_closed(closed);
                for number in paused {
                    let why = notes.get(&number).map(String::as_str).unwrap_or_default();
                    tracing::warn!(shard, number, why, "a definition is paused because its run failed");
                }
            }
            Err(error) => {
                tracing::debug!(shard, %error, "ends of runs were not written; they are asked for again");
                self.again.extend(runs);
            }
        }
    }
}
