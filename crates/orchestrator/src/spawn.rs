//! One task of a run in workflow code: wait for what it depends on, give it to Temporal, note how it ends.
//!
//! Ids are the run's workflow id, a slash and the task's name, and a child workflow's id is never used twice: whatever is retried
//! or reset above, a task of a firing runs once.

use std::collections::HashMap;
use std::time::Duration;

use flintwheel_client::{SpawnedTask, TaskKind, TaskStatus};
use serde_json::Value;
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::{RetryPolicy, UntypedActivity, UntypedWorkflow};
use temporalio_sdk::{
    ActivityExecutionError, ActivityOptions, ChildWorkflowExecutionError, ChildWorkflowOptions,
    ChildWorkflowStartError, ParentClosePolicy, WorkflowContext, WorkflowIdReusePolicy,
};

use crate::plan::PlannedTask;
use crate::workflow::{RunActivity, reason};

/// One try of an activity for which the definition names no timeout.
const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of an activity: with pauses of 1 s, 2 s, 4 s ... 100 s about six minutes. Then the task has failed.
const ACTIVITY_TRIES: u32 = 10;

/// How a task ended, and why where it did not end well.
type Ended = (TaskStatus, String);

/// The task before anything has happened to it.
pub(crate) fn record(workflow_id: &str, task: &PlannedTask) -> SpawnedTask {
    let status = if task.left_out.is_some() { TaskStatus::Skipped } else { TaskStatus::Waiting };
    SpawnedTask {
        name: task.name.clone(),
        kind: task.kind,
        type_name: task.type_name.clone(),
        id: format!("{workflow_id}/{}", task.name),
        status,
        detail: task.left_out.clone().unwrap_or_default(),
    }
}

/// Carries one task from waiting to its end.
pub(crate) async fn run(ctx: &WorkflowContext<RunActivity>, index: usize, task: &PlannedTask) {
    if task.left_out.is_some() {
        return;
    }
    let ended = match admitted(ctx, task).await {
        Err(why) => (TaskStatus::Skipped, why),
        Ok(()) => {
            let id = ctx.state_mut(|run| {
                let record = run.task_record(index);
                record.status = TaskStatus::Running;
                record.id.clone()
            });
            match task.kind {
                TaskKind::Workflow => child_workflow(ctx, id, task).await,
                TaskKind::Activity => activity(ctx, id, task).await,
            }
        }
    };
    ctx.state_mut(|run| {
        let record = run.task_record(index);
        (record.status, record.detail) = ended;
    });
}

/// Waits for the tasks that this one depends on; `Err` says why it is not to start.
async fn admitted(ctx: &WorkflowContext<RunActivity>, task: &PlannedTask) -> Result<(), String> {
    let all_ended = |run: &RunActivity| dependencies(run, task).all(|record| has_ended(record.status));
    ctx.wait_condition(all_ended).await.map_err(|_| "the run was cancelled".to_owned())?;
    ctx.state(|run| match dependencies(run, task).find(|record| record.status != TaskStatus::Completed) {
        Some(record) => Err(format!("depends on {}, which was {}", record.name, record.status.as_str())),
        None => Ok(()),
    })
}

fn has_ended(status: TaskStatus) -> bool {
    !matches!(status, TaskStatus::Waiting | TaskStatus::Running)
}

fn dependencies<'a>(run: &'a RunActivity, task: &'a PlannedTask) -> impl Iterator<Item = &'a SpawnedTask> {
    run.task_records().iter().filter(|record| task.depends_on.contains(&record.name))
}

async fn child_workflow(ctx: &WorkflowContext<RunActivity>, id: String, task: &PlannedTask) -> Ended {
    let options = ChildWorkflowOptions::builder()
        .workflow_id(id.clone())
        .task_queue(task.task_queue.clone())
        .maybe_execution_timeout(task.timeout.map(Duration::from))
        .id_reuse_policy(WorkflowIdReusePolicy::RejectDuplicate)
        // Who terminates a run wants its work to end; asked to cancel, a task can still clean up.
        .parent_close_policy(ParentClosePolicy::RequestCancel)
        .build();
    let workflow = UntypedWorkflow::new(&task.type_name);
    match ctx.start_child_workflow(workflow, arguments(&task.params), options).await {
        Ok(child) => match child.result().await {
            Ok(_) => (TaskStatus::Completed, String::new()),
            Err(error) => child_ended_badly(&error),
        },
        Err(ChildWorkflowStartError::Cancelled(_)) => (TaskStatus::Cancelled, "before it started".to_owned()),
        Err(ChildWorkflowStartError::StartFailed { cause, .. }) => {
            (TaskStatus::Failed, format!("workflow {id} was not started: {cause:?}"))
        }
        Err(error) => (TaskStatus::Failed, error.to_string()),
    }
}

fn child_ended_badly(error: &ChildWorkflowExecutionError) -> Ended {
    let status = if error.as_cancelled().is_some() { TaskStatus::Cancelled } else { TaskStatus::Failed };
    (status, reason(error.failure(), error))
}

async fn activity(ctx: &WorkflowContext<RunActivity>, id: String, task: &PlannedTask) -> Ended {
    let retry = RetryPolicy::builder().maximum_attempts(ACTIVITY_TRIES).build();
    let options = ActivityOptions::with_start_to_close_timeout(task.timeout.map_or(ACTIVITY_TIMEOUT, Duration::from))
        .activity_id(id)
        .task_queue(task.task_queue.clone())
        .retry_policy(retry)
        .build();
    match ctx.execute_activity(UntypedActivity::new(&task.type_name), arguments(&task.params), options).await {
        Ok(_) => (TaskStatus::Completed, String::new()),
        Err(error @ ActivityExecutionError::Cancelled(_)) => (TaskStatus::Cancelled, reason(error.failure(), &error)),
        Err(error) => (TaskStatus::Failed, reason(error.failure(), &error)),
    }
}

/// The one argument, as all SDKs read it; none where the template has no params.
fn arguments(params: &Value) -> RawValue {
    if params.is_null() {
        return RawValue::new(Vec::new());
    }
    RawValue::new(vec![Payload {
        metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
        data: params.to_string().into_bytes(),
        ..Payload::default()
    }])
}
