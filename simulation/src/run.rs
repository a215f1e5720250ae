//! One run: a cluster is made, faults without limit while clients work, then no fault any more, and all must come to rest and be complete.

use crate::clients;
use crate::executor::Executor;
use crate::faults;
use crate::ledger::Ledger;
use crate::node;
use crate::observe;
use crate::planted::Planted;
use crate::properties::{Violation, account_complete, fired_once, nothing_lost};
use crate::rest::{self, Rest};
use crate::stage::{Counts, NODES, SHARDS, Stage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// Until when faults are made, and how long the cluster then has to come to rest.
const FAULTS: std::ops::Range<u64> = 40 * SECOND..80 * SECOND;
const REST: u64 = 90 * SECOND;
/// A run that lasts longer does not get on at all.
const LONGEST: u64 = 600 * SECOND;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From which all follows.
    pub seed: u64,
    /// The first property that did not hold.
    pub violation: Option<Violation>,
    /// How often things happened.
    pub counts: Counts,
    /// Simulated.
    pub time: Duration,
    /// Over all that has happened.
    pub trace: u64,
    /// How often a task was run.
    pub steps: u64,
}

/// Runs a cluster from a seed; with a planted bug, if one is named. An error: there is no room for temporary files.
pub fn run(seed: u64, planted: Option<Planted>) -> std::io::Result<Report> {
    let root = scratch()?;
    let stage = Stage::new(seed, planted, root.path());
    let over = Arc::new(AtomicBool::new(false));
    let (all, ended) = (stage.clone(), over.clone());
    stage.executor.spawn_outside(async move {
        act(&all).await;
        ended.store(true, Ordering::Relaxed);
    });
    stage.executor.run(LONGEST, || over.load(Ordering::Relaxed) || stage.violation().is_some());
    if !over.load(Ordering::Relaxed) {
        stage.check("the cluster comes to rest", |_| Err("it does not get so far".to_owned()));
    }
    let panicked = stage.executor.panicked().map(|what| {
        let at = Duration::from_nanos(stage.executor.now());
        Violation { property: "nothing panics", what, at }
    });
    let report = Report {
        seed,
        violation: panicked.or(stage.violation()),
        counts: stage.counts(),
        time: Duration::from_nanos(stage.executor.now()),
        trace: stage.executor.trace(),
        steps: stage.executor.steps(),
    };
    end(&stage, &stage.executor);
    Ok(report)
}

/// Files of snapshots stand in memory where that can be: nobody needs them after the run.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

/// Lets go of everything: nodes know the stage, and the stage knows them.
fn end(stage: &Arc<Stage>, executor: &Executor) {
    executor.clear();
    (1..=NODES).for_each(|number| node::crash(stage, number));
}

async fn act(stage: &Arc<Stage>) {
    stage.executor.spawn_outside(observe::observe(stage.clone()));
    (1..=NODES).for_each(|number| node::start(stage, number));
    for shard in 0..SHARDS {
        for node in [2, 3] {
            while !faults::add(stage, shard, node).await {
                stage.sleep(50).await;
            }
        }
    }
    clients::start(stage);
    let until = stage.executor.now() + stage.random().within(FAULTS);
    faults::make(stage.clone(), until).await;
    faults::heal(stage);
    stage.executor.spawn_outside(faults::tidy_all(stage.clone()));
    let begun = stage.executor.now();
    stage.sleep(5_000).await;
    stage.ledger.lock().closing = true;
    let mut why = unrest(stage);
    while let Some(what) = why {
        if stage.executor.now() > begun + REST {
            let what = format!("{} s after the last fault: {what}", REST / SECOND);
            return stage.check("the cluster comes to rest", |_| Err(what));
        }
        stage.sleep(200).await;
        why = unrest(stage);
    }
    observe::states(stage);
    look(stage);
}

/// Why it is not at rest yet.
fn unrest(stage: &Arc<Stage>) -> Option<String> {
    let open = stage.ledger.lock().open;
    if open > 0 {
        return Some(format!("{open} operations of clients have no answer"));
    }
    (0..SHARDS).find_map(|shard| unrest_of(stage, shard))
}

fn unrest_of(stage: &Arc<Stage>, shard: u32) -> Option<String> {
    let groups = (1..=NODES).filter_map(|node| Some((node, stage.nodes[&node].groups()?.find(shard)?)));
    let groups: Vec<_> = groups.collect();
    let leads = groups.iter().filter(|(_, group)| group.status().leadership.is_leader()).collect::<Vec<_>>();
    let [(_, leader)] = leads.as_slice() else { return Some(format!("shard {shard} has {} leaders", leads.len())) };
    let members = leader.members();
    let applied = leader.status().applied;
    for node in members.voters.iter().chain(&members.learners) {
        let there = groups.iter().find(|(number, _)| number == node).and_then(|(_, group)| group.status().applied);
        // Entries go on coming: whoever is close is not behind.
        if there.unwrap_or(0) + 20 < applied.unwrap_or(0) {
            return Some(format!("node {node} has applied {there:?} of shard {shard}, its leader {applied:?}"));
        }
    }
    let now = stage.wall();
    let looked = leader.read(|machine, _| {
        let overdue = machine.slots().iter().filter(|(_, slot)| slot.is_armed()).map(|(_, slot)| now - slot.next).max();
        (machine.outbox().pending(), overdue.unwrap_or(0))
    });
    match looked {
        Ok((0, overdue)) if overdue < 2_000_000 => None,
        Ok((pending, overdue)) => {
            Some(format!("shard {shard} has {pending} firings pending, and is {} ms overdue", overdue / 1000))
        }
        Err(stopped) => Some(format!("shard {shard}: {stopped}")),
    }
}

fn look(stage: &Arc<Stage>) {
    let shards = match rest::shards(stage) {
        Ok(shards) => shards,
        Err(what) => return stage.check("the cluster comes to rest", |_| Err(what)),
    };
    let occurrences: usize = shards.iter().flat_map(|shard| shard.account.values()).map(Vec::len).sum();
    stage.count(|counts| counts.occurrences = occurrences as u64);
    let mut ledger = stage.ledger.lock();
    name_all(&mut ledger, &shards);
    let ledger: &Ledger = &ledger;
    let temporal = stage.temporal.lock();
    let rest = Rest { ledger, runs: &temporal.runs, shards };
    stage.check("nothing acknowledged is lost", |_| nothing_lost::check(&rest));
    stage.check("each occurrence fired once", |_| fired_once::check(&rest));
    stage.check("the account is complete", |_| account_complete::check(&rest, stage.wall()));
}

/// Whoever was told only that a definition is there already has not heard its number.
fn name_all(ledger: &mut Ledger, shards: &[rest::Shard]) {
    for (id, known) in ledger.definitions.iter_mut().filter(|(_, known)| known.number.is_none()) {
        known.number = shards[known.shard as usize].names.get(id).copied();
    }
}
