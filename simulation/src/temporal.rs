//! Temporal, as far as starts and ends go: it keeps the ids of what it has started, and each run ends after a while, well or not. Calls take
//! time; some are lost, and some answers are. That a run has ended is shown later in its list, and of some runs never.

use crate::clients::NAMESPACE;
use crate::dispatch::PREFIX;
use crate::network::{ELSEWHERE, hop};
use crate::planted::Planted;
use crate::random::Random;
use crate::stage::Stage;
use flintwheel_model::firing::{Start, StartOutcome};
use flintwheel_shard::entry::RunEnd;
use flintwheel_shard::tracks::Wish;
use std::collections::BTreeMap;
use std::sync::Arc;

const MILLISECOND: i64 = 1_000;
/// Of a thousand runs: those that are long, and how long runs are.
const LONG: u64 = 300;
const SHORT_RUN: std::ops::Range<u64> = 100..1_500;
const LONG_RUN: std::ops::Range<u64> = 1_500..9_000;
/// Of a thousand ends: those that are shown late, and those that never are; in milliseconds.
const SHOWN_LATE: u64 = 60;
const NOT_SHOWN: u64 = 15;
const SOON: std::ops::Range<u64> = 0..1_200;
const LATE: std::ops::Range<u64> = 2_000..12_000;
/// Of a thousand runs: those that go on when they are asked to cancel; the others need so long at most.
const DEAF: u64 = 150;
const CANCELLING: u64 = 1_500;

/// What has been started.
#[derive(Default)]
pub struct Temporal {
    /// By workflow id.
    pub runs: BTreeMap<String, Vec<Run>>,
    /// Nobody can reach it.
    pub down: bool,
}

/// One run of a workflow. Times are true ones, in microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Of the start that made it.
    pub request_id: String,
    /// When it began.
    pub at: i64,
    /// When it ends, as far as is known.
    pub ends: i64,
    end: RunEnd,
    /// How long after its end the list has it.
    shown_after: Option<i64>,
    is_deaf: bool,
    is_asked: bool,
}

impl Run {
    fn new(request_id: &str, at: i64, random: &mut Random) -> Self {
        let length = if random.chance(LONG) { LONG_RUN } else { SHORT_RUN };
        let lasts = random.within(length) as i64 * MILLISECOND;
        let end = match random.below(20) {
            0..3 => RunEnd::Failed,
            3 => RunEnd::TimedOut,
            4 => RunEnd::Canceled,
            _ => RunEnd::Completed,
        };
        let delay = if random.chance(SHOWN_LATE) { LATE } else { SOON };
        let shown = random.within(delay) as i64 * MILLISECOND;
        let shown_after = (!random.chance(NOT_SHOWN)).then_some(shown);
        let is_deaf = random.chance(DEAF);
        Self { request_id: request_id.to_owned(), at, ends: at + lasts, end, shown_after, is_deaf, is_asked: false }
    }

    /// Whether it is open at a time.
    pub fn is_open(&self, at: i64) -> bool {
        self.at <= at && at < self.ends
    }

    fn make_end(&mut self, wish: Wish, now: i64, random: &mut Random) {
        if !self.is_open(now) {
            return;
        }
        match wish {
            Wish::Terminate => (self.ends, self.end) = (now, RunEnd::Terminated),
            Wish::Cancel if !self.is_asked && !self.is_deaf => {
                let needs = random.below(CANCELLING) as i64 * MILLISECOND;
                if now + needs < self.ends {
                    (self.ends, self.end) = (now + needs, RunEnd::Canceled);
                }
            }
            Wish::Cancel | Wish::None => {}
        }
        self.is_asked |= wish == Wish::Cancel;
    }
}

impl Temporal {
    /// Runs of a definition.
    pub fn of_definition(&self, id: &str) -> impl Iterator<Item = (&String, &Run)> {
        let prefix = format!("{PREFIX}:{NAMESPACE}:{id}:");
        let begin = prefix.clone();
        let of = self.runs.range(begin..).take_while(move |(workflow, _)| workflow.starts_with(&prefix));
        of.flat_map(|(workflow, runs)| runs.iter().map(move |run| (workflow, run)))
    }
}

/// Goes there, has something done if it is up, and comes back; none where nobody hears of it.
async fn call<T>(stage: &Arc<Stage>, node: u64, work: impl FnOnce() -> T) -> Option<T> {
    let there = hop(stage, node, ELSEWHERE)?;
    stage.executor.sleep(there).await;
    if stage.temporal.lock().down {
        return None;
    }
    let done = work();
    let Some(back) = hop(stage, ELSEWHERE, node) else {
        stage.sleep_within(100..2000).await;
        return None;
    };
    stage.executor.sleep(back).await;
    Some(done)
}

/// A node asks for a start of what was due then.
pub async fn start(stage: &Arc<Stage>, node: u64, start: &Start, due: i64) -> StartOutcome {
    let started = call(stage, node, || {
        stage.count(|counts| counts.starts += 1);
        stage.check("nothing early", |properties| properties.nothing_early.started(stage.wall(), due));
        taken(stage, start)
    });
    let retry = || StartOutcome::Retry { reason: "unreachable".to_owned(), target_wide: true };
    started.await.unwrap_or_else(retry)
}

fn taken(stage: &Stage, start: &Start) -> StartOutcome {
    let at = stage.wall();
    let mut temporal = stage.temporal.lock();
    let runs = temporal.runs.entry(start.workflow_id.clone()).or_default();
    let run_id = format!("run-{}", runs.len());
    if let Some(known) = runs.first().filter(|_| !stage.has(Planted::ReuseAllowed)) {
        if known.request_id == start.request_id {
            return StartOutcome::Started { run_id: "run-0".to_owned() };
        }
        return StartOutcome::Conflict { start_request_id: known.request_id.clone(), run_id: "run-0".to_owned() };
    }
    runs.push(Run::new(&start.request_id, at, &mut stage.random()));
    drop(temporal);
    alone(stage, &start.workflow_id, at);
    StartOutcome::Started { run_id }
}

/// Where runs of a definition must not overlap, no other one is open when one begins.
fn alone(stage: &Stage, workflow: &str, at: i64) {
    let Some(id) = workflow.split(':').nth(2) else { return };
    if !stage.ledger.lock().definitions.get(id).is_some_and(|known| known.is_alone()) {
        return;
    }
    let temporal = stage.temporal.lock();
    let open = temporal.of_definition(id).find(|(other, run)| *other != workflow && run.is_open(at));
    let open = open.map(|(other, _)| other.clone());
    drop(temporal);
    stage.check("runs don't overlap", |_| crate::properties::one_at_a_time::begins(workflow, open.as_deref()));
}

/// What has ended since then, as far as the list shows it: workflow ids, and when.
pub async fn closed_since(stage: &Arc<Stage>, node: u64, since: i64) -> Option<Vec<(String, i64)>> {
    let listed = || {
        let now = stage.wall();
        let temporal = stage.temporal.lock();
        let shown = |run: &Run| run.ends >= since && run.shown_after.is_some_and(|after| run.ends + after <= now);
        let all = temporal.runs.iter().flat_map(|(id, runs)| runs.iter().map(move |run| (id, run)));
        all.filter(|(_, run)| shown(run)).map(|(id, run)| (id.clone(), run.ends)).collect()
    };
    call(stage, node, listed).await
}

/// How runs have ended; none of those that have not.
pub async fn ended(stage: &Arc<Stage>, node: u64, workflows: &[String]) -> Option<Vec<Option<RunEnd>>> {
    let looked = || {
        let now = stage.wall();
        let temporal = stage.temporal.lock();
        let end = |workflow: &String| match temporal.runs.get(workflow).and_then(|runs| runs.last()) {
            None => Some(RunEnd::Gone),
            Some(run) => (!run.is_open(now)).then_some(run.end),
        };
        workflows.iter().map(end).collect()
    };
    call(stage, node, looked).await
}

/// Makes a run end.
pub async fn make_end(stage: &Arc<Stage>, node: u64, workflow: &str, wish: Wish) -> Option<()> {
    let asked = || {
        let now = stage.wall();
        let mut temporal = stage.temporal.lock();
        let run = temporal.runs.get_mut(workflow).and_then(|runs| runs.last_mut());
        if let Some(run) = run {
            run.make_end(wish, now, &mut stage.random());
        }
    };
    call(stage, node, asked).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_made_to_end_ends_once() {
        let mut random = Random::new(1);
        let mut run = Run::new("r", 0, &mut random);
        (run.ends, run.is_deaf) = (1_000_000, false);
        run.make_end(Wish::Terminate, 500_000, &mut random);
        assert_eq!((run.ends, run.end), (500_000, RunEnd::Terminated));
        run.make_end(Wish::Cancel, 600_000, &mut random);
        assert_eq!((run.ends, run.end), (500_000, RunEnd::Terminated));
        assert!(run.is_open(499_999) && !run.is_open(500_000));
    }
}
