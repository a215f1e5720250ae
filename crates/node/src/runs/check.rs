//! One run asked about, or made to end.

use flintwheel_model::ids;
use flintwheel_shard::entry::{Closed, RunEnd};
use flintwheel_shard::tracks::Wish;
use flintwheel_temporal::{CallError, LEFT_BYTES, LeftBehind, RunStatus, Standing, TemporalSink};

use super::open::{Described, OpenRun};

/// How a run has ended, if it has.
pub async fn ended(
    sink: &TemporalSink,
    namespace: &str,
    run: OpenRun,
    described: &Described,
) -> Result<Option<Closed>, CallError> {
    let id = &described.workflow_id;
    let (end, left, closed_at) = match sink.standing(namespace, id).await? {
        Standing::Open => return Ok(None),
        Standing::Gone => (RunEnd::Gone, LeftBehind::default(), None),
        Standing::Closed { run_id, status, closed_at } => {
            let end = end_of(status);
            let left = if wants(described, end) {
                sink.left_behind(namespace, id, &run_id).await?
            } else {
                LeftBehind::default()
            };
            (end, left, closed_at)
        }
    };
    if let Some(bytes) = left.too_large {
        tracing::warn!(workflow = %id, bytes, limit = LEFT_BYTES, "what a run left is too large to be given to the next one");
    }
    let carry = described.tracking.is_some_and(|tracking| tracking.carry);
    let value = left.value.filter(|_| carry).map(Into::into);
    let (note, at) = (note(id, end, &left.message), closed_at.filter(|_| described.followed));
    Ok(Some(Closed { number: run.number, run: run.seq, end, left: value, note, at }))
}

/// Why the definition is paused, if it is.
fn note(workflow_id: &str, end: RunEnd, message: &str) -> String {
    match end {
        RunEnd::Failed if message.is_empty() => format!("paused by itself: workflow {workflow_id} failed"),
        RunEnd::Failed => format!("paused by itself: workflow {workflow_id} failed: {message}"),
        RunEnd::TimedOut => format!("paused by itself: workflow {workflow_id} timed out"),
        RunEnd::Completed | RunEnd::Canceled | RunEnd::Terminated | RunEnd::Gone => String::new(),
    }
}

fn end_of(status: RunStatus) -> RunEnd {
    match status {
        RunStatus::Completed => RunEnd::Completed,
        RunStatus::Failed => RunEnd::Failed,
        RunStatus::TimedOut => RunEnd::TimedOut,
        RunStatus::Canceled => RunEnd::Canceled,
        RunStatus::Terminated => RunEnd::Terminated,
        RunStatus::Running | RunStatus::Paused | RunStatus::ContinuedAsNew | RunStatus::Unknown => RunEnd::Gone,
    }
}

/// Whether anybody wants to know what it left: the last event of its history costs a call.
fn wants(described: &Described, end: RunEnd) -> bool {
    described.tracking.is_some_and(|tracking| match end {
        RunEnd::Completed => tracking.carry,
        RunEnd::Failed => tracking.carry || tracking.pause_on_failure,
        RunEnd::TimedOut | RunEnd::Canceled | RunEnd::Terminated | RunEnd::Gone => false,
    })
}

/// Makes a run end, as its definition wishes. True where it may have ended by now.
pub async fn carry_out(sink: &TemporalSink, namespace: &str, described: &Described) -> Result<bool, CallError> {
    let id = &described.workflow_id;
    match described.wish {
        Wish::None => Ok(false),
        Wish::Cancel => {
            // The same each time: whoever asks again asks once.
            let request_id = ids::request_id(&format!("{id}:cancel"), 0);
            let reason = "flintwheel: overlap policy cancel_other";
            // One that has ended before takes it as well as one that runs.
            sink.cancel(namespace, id, &request_id, reason).await.map(|_| true)
        }
        Wish::Terminate => {
            sink.terminate(namespace, id, "flintwheel: overlap policy terminate_other").await.map(|_| true)
        }
    }
}
