//! Runs watched until they end, as a node's watcher does it, for one shard: what has ended lately is listed, some runs are looked at directly, those
//! that shall end are made to, and what has ended is written down.

use super::{Chore, Done, Fault};
use crate::clients::NAMESPACE;
use crate::dispatch::PREFIX;
use crate::leader::{Leader, Message, What};
use crate::node::Here;
use crate::planted::Planted;
use crate::temporal;
use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::workflow_id;
use flintwheel_node::dispatch::firing_key;
use flintwheel_node::runs::Position;
use flintwheel_raft::Group;
use flintwheel_shard::entry::{Body, Closed};
use flintwheel_shard::tracks::Wish;
use flintwheel_shard::{Machine, query};
use std::collections::{BTreeMap, BTreeSet};

/// How often is asked what has ended, in microseconds.
const ROUND: i64 = 300_000;
/// Runs that are looked at directly in a round, and how often each at most.
const SWEEP: usize = 4;
const SWEEP_EVERY: i64 = 5_000_000;
/// A run that was asked to cancel is asked again after this.
const ASK_AGAIN: i64 = 10_000_000;
/// Ends of one entry.
const BATCH: usize = 8;

/// Definition, and number of its run there.
pub type OpenRun = (u64, u64);

/// What is remembered from round to round.
#[derive(Default)]
pub struct Watch {
    position: Position,
    /// Whether it had open runs the last time.
    watched: bool,
    sweep: (Option<OpenRun>, Option<i64>),
    asked: BTreeMap<OpenRun, i64>,
    again: BTreeSet<OpenRun>,
    names: BTreeMap<u64, String>,
}

/// A round is over.
pub struct Watched {
    watch: Box<Watch>,
    closed: Vec<Closed>,
}

/// An open run, and what there is to know of it.
struct Described {
    run: OpenRun,
    workflow: String,
    wish: Wish,
    since: i64,
}

impl Leader {
    /// Begins a round, if it is time.
    pub(super) fn watch_runs(&mut self, now: i64) -> Result<(), Fault> {
        if now < self.chores.watch_at || self.chores.closing > 0 {
            return Ok(());
        }
        let Some(mut watch) = self.chores.watch.take() else { return Ok(()) };
        self.chores.watch_at = now + ROUND;
        let open = watch.open(&self.group)?;
        if open.is_empty() {
            watch.watched = false;
            self.chores.watch = Some(watch);
            return Ok(());
        }
        if !watch.watched && !self.has(Planted::RunEndForgotten) {
            let oldest = open.iter().map(|open| open.since).min().unwrap_or(now);
            watch.position.reach_back(oldest, now);
        }
        watch.watched = true;
        let (here, me) = (self.here.clone(), self.me.clone());
        self.here.spawn(async move {
            let closed = watch.round(&here, open, now).await;
            // Who led may lead no more: its successor looks again.
            let _ = me.send(Message::Watched(Box::new(Watched { watch, closed }))).await;
        });
        Ok(())
    }

    pub(crate) fn watched(&mut self, watched: Watched) -> Result<(), Fault> {
        let Watched { watch, closed } = watched;
        self.chores.watch = Some(watch);
        let mut closed = closed.into_iter().peekable();
        while closed.peek().is_some() {
            let batch: Vec<Closed> = closed.by_ref().take(BATCH).collect();
            let runs = batch.iter().map(|item| (item.number, item.run)).collect();
            self.chores.closing += 1;
            self.propose(Body::Closed(batch), What::Chore(Chore::Close(runs)));
        }
        Ok(())
    }

    pub(super) fn closed(&mut self, runs: Vec<OpenRun>, outcome: &Done) {
        self.chores.closing -= 1;
        if let (Err(_), Some(watch)) = (outcome, &mut self.chores.watch) {
            watch.again.extend(runs);
        }
    }
}

impl Watch {
    fn open(&mut self, group: &Group<Machine>) -> Result<Vec<Described>, Fault> {
        let started = group.read(|machine, _| {
            let all = machine.tracks().started_from((0, 0));
            let described = |(number, seq)| {
                let run = machine.tracks().get(number)?.run(seq)?.clone();
                Some(((number, seq), run, machine.slots().get(number)?.version))
            };
            all.filter_map(described).collect::<Vec<_>>()
        });
        let mut open = Vec::new();
        for (run, known, version) in started.map_err(|stopped| stopped.to_string())? {
            if !self.names.contains_key(&run.0) {
                let stored = query::version(&group.state(), run.0, version).map_err(|error| error.to_string())?;
                self.names.extend(stored.map(|stored| (run.0, stored.id)));
            }
            let Some(id) = self.names.get(&run.0) else { continue };
            let workflow = workflow_id(PREFIX, &DefinitionKey::new(NAMESPACE, id), &firing_key(&known.key));
            open.push(Described { run, workflow, wish: known.wish, since: known.since });
        }
        Ok(open)
    }

    /// One round; tells what has ended.
    async fn round(&mut self, here: &Here, open: Vec<Described>, now: i64) -> Vec<Closed> {
        let mut suspects = std::mem::take(&mut self.again);
        if !here.stage.has(Planted::RunEndForgotten) {
            self.sweep(&open, &mut suspects, now);
        }
        if here.stage.has(Planted::AnotherRunEnds) {
            return self.take_at_its_word(here, &open, now).await;
        }
        self.list(here, &open, &mut suspects, now).await;
        self.carry_out(here, &open, &mut suspects, now).await;
        self.look(here, &open, suspects).await
    }

    async fn list(&mut self, here: &Here, open: &[Described], suspects: &mut BTreeSet<OpenRun>, now: i64) {
        let since = self.position.since(now);
        let Some(rows) = temporal::closed_since(&here.stage, here.number, since).await else { return };
        for (workflow, closed_at) in rows {
            suspects.extend(open.iter().find(|open| open.workflow == workflow).map(|open| open.run));
            self.position.saw(closed_at);
        }
    }

    /// Some runs, one after the other over all rounds.
    fn sweep(&mut self, open: &[Described], suspects: &mut BTreeSet<OpenRun>, now: i64) {
        let (from, begun) = self.sweep;
        if from.is_none() && begun.is_some_and(|begun| now < begun + SWEEP_EVERY) {
            return;
        }
        let begun = if from.is_none() { Some(now) } else { begun };
        let first = from.map_or(0, |from| open.partition_point(|open| open.run < from));
        let last = (first + SWEEP).min(open.len());
        suspects.extend(open[first..last].iter().map(|open| open.run));
        self.sweep = (open.get(last).map(|open| open.run), begun);
    }

    async fn carry_out(&mut self, here: &Here, open: &[Described], suspects: &mut BTreeSet<OpenRun>, now: i64) {
        self.asked.retain(|run, at| open.iter().any(|open| open.run == *run) && now < *at + ASK_AGAIN);
        for open in open.iter().filter(|open| open.wish != Wish::None) {
            if open.wish == Wish::Cancel && self.asked.contains_key(&open.run) {
                continue;
            }
            if temporal::make_end(&here.stage, here.number, &open.workflow, open.wish).await.is_some() {
                self.asked.insert(open.run, now);
                suspects.insert(open.run);
            }
        }
    }

    /// Looks at each of them: one that is shown to have closed may go on under the same id.
    async fn look(&mut self, here: &Here, open: &[Described], suspects: BTreeSet<OpenRun>) -> Vec<Closed> {
        let looked: Vec<&Described> = open.iter().filter(|open| suspects.contains(&open.run)).collect();
        if looked.is_empty() {
            return Vec::new();
        }
        let workflows: Vec<String> = looked.iter().map(|open| open.workflow.clone()).collect();
        let Some(ends) = temporal::ended(&here.stage, here.number, &workflows).await else {
            self.again.extend(suspects);
            return Vec::new();
        };
        let closed = |(open, end): (&Described, _)| {
            let (number, run) = open.run;
            Some(Closed { number, run, end: end?, left: None, note: String::new(), at: None })
        };
        looked.into_iter().zip(ends).filter_map(closed).collect()
    }

    /// A planted bug: what the list says of any run of a definition is taken for the end of the one that is open.
    async fn take_at_its_word(&mut self, here: &Here, open: &[Described], now: i64) -> Vec<Closed> {
        let since = self.position.since(now);
        let Some(rows) = temporal::closed_since(&here.stage, here.number, since).await else { return Vec::new() };
        let mut closed = BTreeMap::new();
        for (workflow, closed_at) in rows {
            self.position.saw(closed_at);
            let of = |open: &&Described| workflow.split(':').take(3).eq(open.workflow.split(':').take(3));
            if let Some((number, run)) = open.iter().find(of).map(|open| open.run) {
                let end = flintwheel_shard::entry::RunEnd::Completed;
                closed.insert((number, run), Closed { number, run, end, left: None, note: String::new(), at: None });
            }
        }
        closed.into_values().collect()
    }
}
