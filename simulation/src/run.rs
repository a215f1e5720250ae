//! One run: a cluster is made, faults without limit while clients work, then no fault any more, and all must come to rest and be complete.

use crate::clients::{self, NAMESPACE};
use crate::dispatch::PREFIX;
use crate::executor::Executor;
use crate::faults;
use crate::ledger::Ledger;
use crate::node;
use crate::observe;
use crate::planted::Planted;
use crate::properties::{
    Violation, account_complete, backfilled_once, bounded, by_the_calendar, fired_once, nothing_lost, one_at_a_time,
    pauses_kept,
};
use crate::rest::{self, Rest};
use crate::stage::{Counts, NODES, SHARDS, Stage};
use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::workflow_id;
use flintwheel_node::dispatch::firing_key;
use flintwheel_shard::Machine;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
/// Until when faults are made, and how long the cluster then has to come to rest.
const FAULTS: std::ops::Range<u64> = 40 * SECOND..80 * SECOND;
const REST: u64 = 90 * SECOND;
/// How late the end of a pause may be, and how long the end of a run in Temporal may be unknown, in microseconds.
const LATE: i64 = 2_000_000;
const RUN_ENDED: i64 = 20_000_000;
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
    if let Some(what) = leader.read(|machine, _| unrest_in(stage, (shard, machine), now)).ok().flatten() {
        return Some(format!("shard {shard}: {what}"));
    }
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

/// What a leader has yet to do beside firing.
fn unrest_in(stage: &Stage, (shard, machine): (u32, &Machine), now: i64) -> Option<String> {
    if let Some(until) = machine.pauses().next().filter(|until| *until < now - LATE) {
        return Some(format!("a pause that was to end at {until} has not, at {now}"));
    }
    if let Some(number) = machine.courses().over_from(0).find(|number| machine.conclusion(*number).is_some()) {
        return Some(format!("the schedule of definition {number} is over, and nothing has become of it"));
    }
    if let Some((namespace, name, local)) = machine.calendars().unfinished() {
        return Some(format!("not all is due by {namespace}/{name} yet: {local:?}"));
    }
    let waits = |number| machine.tracks().get(number).is_some_and(|track| track.open_len() + track.waiting_len() > 0);
    if let Some((number, id)) = machine.backfills().running().find(|(number, _)| !waits(*number)) {
        return Some(format!("backfill {id} of definition {number} is on its way"));
    }
    forgotten_run(stage, (shard, machine), now)
}

/// A run that has ended long ago, and that the shard takes for open.
fn forgotten_run(stage: &Stage, (shard, machine): (u32, &Machine), now: i64) -> Option<String> {
    let temporal = stage.temporal.lock();
    let ended = temporal.runs.iter().filter(|(_, runs)| runs.iter().all(|run| run.ends < now - RUN_ENDED));
    let ended: BTreeSet<String> = ended.map(|(workflow, _)| workflow.clone()).collect();
    drop(temporal);
    let ledger = stage.ledger.lock();
    machine.tracks().started_from((0, 0)).find_map(|(number, seq)| {
        let run = machine.tracks().get(number)?.run(seq)?;
        let named = ledger.definitions.iter().filter(|(_, known)| (known.shard, known.number) == (shard, Some(number)));
        let key = firing_key(&run.key);
        let mut workflows = named.map(|(id, _)| workflow_id(PREFIX, &DefinitionKey::new(NAMESPACE, id), &key));
        let workflow = workflows.find(|workflow| ended.contains(workflow))?;
        Some(format!("{workflow} has ended, and counts as open"))
    })
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
    stage.check("runs don't overlap", |_| one_at_a_time::check(&rest));
    stage.check("bounds are kept", |_| bounded::check(&rest));
    stage.check("pauses are kept", |_| pauses_kept::check(&rest, stage.slack()));
    stage.check("each backfilled time is decided once", |_| backfilled_once::check(&rest));
    stage.check("what is due follows calendars", |_| by_the_calendar::check(&rest, stage.wall(), stage.slack()));
}

/// Whoever was told only that a definition is there already has not heard its number.
fn name_all(ledger: &mut Ledger, shards: &[rest::Shard]) {
    for (id, known) in ledger.definitions.iter_mut().filter(|(_, known)| known.number.is_none()) {
        known.number = shards[known.shard as usize].names.get(id).copied();
    }
}
