//! Temporal, as far as starts go: it keeps the ids of what it has started. Calls take time; some are lost, and some answers are.

use crate::network::{ELSEWHERE, hop};
use crate::planted::Planted;
use crate::stage::Stage;
use flintwheel_model::firing::{Start, StartOutcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been started.
#[derive(Default)]
pub struct Temporal {
    /// By workflow id.
    pub runs: BTreeMap<String, Vec<Run>>,
    /// Nobody can reach it.
    pub down: bool,
}

/// One run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Of the start that made it.
    pub request_id: String,
    /// The true time, in microseconds since the Unix epoch.
    pub at: i64,
}

/// A node asks for a start of what was due then.
pub async fn start(stage: &Arc<Stage>, node: u64, start: &Start, due: i64) -> StartOutcome {
    let retry = |reason: &str| StartOutcome::Retry { reason: reason.to_owned(), target_wide: true };
    let Some(there) = hop(stage, node, ELSEWHERE) else { return retry("unreachable") };
    stage.executor.sleep(there).await;
    if stage.temporal.lock().down {
        return retry("down");
    }
    stage.count(|counts| counts.starts += 1);
    stage.check("nothing early", |properties| properties.nothing_early.started(stage.wall(), due));
    let outcome = taken(stage, start);
    let Some(back) = hop(stage, ELSEWHERE, node) else {
        stage.sleep_within(100..2000).await;
        return retry("no answer");
    };
    stage.executor.sleep(back).await;
    outcome
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
    runs.push(Run { request_id: start.request_id.clone(), at });
    StartOutcome::Started { run_id }
}
