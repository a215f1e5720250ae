//! The workflow `RunActivity`: load the definition at its version, resolve its context, plan its tasks, spawn them, log the run.
//!
//! Workflow code decides nothing that a later version of this program might decide otherwise: definition, context and plan come out
//! of activities and stand in the history. Loading, planning and logging are quick, so they are local activities: a run without
//! context over the network costs Temporal one workflow task until its tasks are spawned. A source over the network may take
//! minutes; it is an activity of its own, which Temporal's UI shows with its tries.
#![allow(missing_docs, reason = "the SDK's macros make constants without documentation")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::{Run, RunStatus, SpawnedTask, TaskStatus};
use flintwheel_model::ActivityDefinition;
use flintwheel_model::definition::{HttpSource, OnError};
use flintwheel_model::run::RunArgument;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use temporalio_common::RetryPolicy;
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflows::{join, join_all};
use temporalio_sdk::{
    ActivityExecutionError, ActivityOptions, ApplicationFailure, LocalActivityOptions, WorkflowCancellationToken,
    WorkflowContext, WorkflowContextView, WorkflowResult, WorkflowTermination,
};

use crate::activities::{Activities, LoadInput, SourceInput};
use crate::plan::{Plan, PlanInput};
use crate::spawn;

/// One try of a local activity. As long as Temporal's default for a workflow task, so that neither hides the other.
const LOCAL_TRY: Duration = Duration::from_secs(10);
/// Local tries closer together than this stay within one workflow task; longer pauses become timers in the history.
const LOCAL_BACKOFF: Duration = Duration::from_secs(1);
/// A run waits this long for Flintwheel and for the run log to come back.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// Tries of one context source before `on_error` decides.
const SOURCE_TRIES: u32 = 5;
/// Beyond a source's own timeout, so that its own message is the one that is seen.
const SOURCE_SLACK: Duration = Duration::from_secs(5);

/// One run of one definition.
#[workflow]
pub struct RunActivity {
    argument: Value,
    context: Map<String, Value>,
    tasks: Vec<SpawnedTask>,
}

/// What a run that completed leaves in Temporal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// What it spawned, in the order of the definition.
    pub tasks: Vec<SpawnedTask>,
}

/// Why a run ends without having done all of its work.
#[derive(Debug)]
enum Stop {
    Failed(String),
    Cancelled,
}

impl From<ActivityExecutionError> for Stop {
    fn from(error: ActivityExecutionError) -> Self {
        match &error {
            ActivityExecutionError::Cancelled(_) => Self::Cancelled,
            other => Self::Failed(reason(other.failure(), other)),
        }
    }
}

#[workflow_methods]
impl RunActivity {
    #[init]
    fn new(_ctx: &WorkflowContextView, argument: Value) -> Self {
        Self { argument, context: Map::new(), tasks: Vec::new() }
    }

    /// Runs it.
    #[run(name = "RunActivity")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RunResult> {
        let ctx = &*ctx;
        // Read here and not by the converter: a bad argument fails the run at once instead of its workflow task for ever.
        let argument: RunArgument = ctx
            .state(|run| serde_json::from_value(run.argument.clone()))
            .map_err(|e| fail(&format!("RunActivity's argument is not one that flintwheel makes: {e}")))?;
        let begun = begun(ctx, &argument);
        let (_, result) = join!(log(ctx, begun.clone()), carry_out(ctx, &argument));
        let ended = ended(ctx, begun, &result);
        let tasks = ended.tasks_spawned.clone();
        log(ctx, ended).await;
        match result {
            Ok(()) => Ok(RunResult { tasks }),
            Err(Stop::Cancelled) => Err(WorkflowTermination::cancelled()),
            Err(Stop::Failed(why)) => Err(fail(&why)),
        }
    }

    /// How its tasks stand.
    #[query]
    pub fn tasks(&self, _ctx: &WorkflowContextView) -> Vec<SpawnedTask> {
        self.tasks.clone()
    }
}

impl RunActivity {
    /// The tasks, in the order of the definition.
    pub(crate) fn task_records(&self) -> &[SpawnedTask] {
        &self.tasks
    }

    /// One of them.
    pub(crate) fn task_record(&mut self, index: usize) -> &mut SpawnedTask {
        &mut self.tasks[index]
    }
}

fn fail(why: &str) -> WorkflowTermination {
    ApplicationFailure::non_retryable(why.to_owned()).into()
}

async fn carry_out(ctx: &WorkflowContext<RunActivity>, argument: &RunArgument) -> Result<(), Stop> {
    let RunArgument { incarnation, version, .. } = *argument;
    let wanted = LoadInput { definition: argument.definition(), incarnation, version };
    let definition = ctx.execute_local_activity(Activities::load_definition, wanted, local(None)).await?;
    let fetched = fetch(ctx, argument, &definition).await?;
    let input = PlanInput {
        definition,
        version: argument.version,
        trigger: argument.trigger.clone(),
        fetched: fetched.clone(),
    };
    ctx.state_mut(|run| run.context = fetched);
    let Plan { statics, tasks } = ctx.execute_local_activity(Activities::plan_tasks, input, local(None)).await?;
    ctx.state_mut(|run| {
        run.context.extend(statics);
        run.tasks = tasks.iter().map(|task| spawn::record(ctx.workflow_id(), task)).collect();
    });
    join_all(tasks.iter().enumerate().map(|(i, task)| spawn::run(ctx, i, task))).await;
    verdict(ctx)
}

/// All sources over the network, at the same time.
async fn fetch(
    ctx: &WorkflowContext<RunActivity>,
    argument: &RunArgument,
    definition: &ActivityDefinition,
) -> Result<Map<String, Value>, Stop> {
    let requests = definition.spec.context_sources.iter().filter_map(|source| {
        let http = source.http.clone()?;
        let options = source_options(&source.name, &http);
        let input = SourceInput {
            name: source.name.clone(),
            source: http,
            metadata: definition.metadata.clone(),
            version: argument.version,
            trigger: argument.trigger.clone(),
        };
        let value = ctx.execute_activity(Activities::resolve_context, input, options);
        Some(async move { (source, value.await) })
    });
    let mut values = Map::new();
    for (source, result) in join_all(requests.collect::<Vec<_>>()).await {
        let value = match result {
            Ok(value) => value,
            Err(ActivityExecutionError::Cancelled(_)) => return Err(Stop::Cancelled),
            Err(_) if source.on_error == OnError::Null => Value::Null,
            Err(e) => return Err(Stop::Failed(format!("context source {}: {}", source.name, reason(e.failure(), &e)))),
        };
        values.insert(source.name.clone(), value);
    }
    Ok(values)
}

fn source_options(name: &str, source: &HttpSource) -> ActivityOptions {
    let retry = RetryPolicy::builder()
        .initial_interval(Duration::from_millis(500))
        .maximum_interval(Duration::from_secs(10))
        .maximum_attempts(SOURCE_TRIES)
        .build();
    ActivityOptions::with_start_to_close_timeout(Duration::from(source.timeout) + SOURCE_SLACK)
        .activity_id(format!("context/{name}"))
        .retry_policy(retry)
        .build()
}

/// A local activity that tries until what it needs is there. `token` replaces the run's own cancellation.
fn local(token: Option<WorkflowCancellationToken>) -> LocalActivityOptions {
    let retry = RetryPolicy::builder()
        .initial_interval(Duration::from_millis(100))
        .maximum_interval(Duration::from_secs(30))
        .build();
    LocalActivityOptions::builder()
        .retry_policy(retry)
        .timer_backoff_threshold(LOCAL_BACKOFF)
        .start_to_close_timeout(LOCAL_TRY)
        .schedule_to_close_timeout(PATIENCE)
        .maybe_cancellation_token(token)
        .build()
}

/// Writes the run log, also where the run has been cancelled. A log that stays away for longer than our patience doesn't hold the run
/// any longer: Temporal's history has what the log would have.
async fn log(ctx: &WorkflowContext<RunActivity>, record: Run) {
    let options = local(Some(WorkflowCancellationToken::new()));
    let written = ctx.execute_local_activity(Activities::log_run, record, options).await;
    if let Err(error) = written
        && !ctx.is_replaying()
    {
        let why = reason(error.failure(), &error);
        tracing::error!(
            workflow_id = ctx.workflow_id(),
            run_id = ctx.run_id(),
            why,
            "the run is missing in the run log"
        );
    }
}

fn begun(ctx: &WorkflowContext<RunActivity>, argument: &RunArgument) -> Run {
    Run {
        run_id: ctx.run_id().to_owned(),
        workflow_id: ctx.workflow_id().to_owned(),
        definition: argument.definition(),
        incarnation: argument.incarnation,
        version_used: argument.version,
        trigger_kind: argument.trigger.kind,
        scheduled_for: argument.trigger.scheduled_for,
        fired_at: argument.trigger.fired_at,
        started_at: now(ctx),
        ended_at: None,
        status: RunStatus::Running,
        error: String::new(),
        context_snapshot: Map::new(),
        tasks_spawned: Vec::new(),
    }
}

fn ended(ctx: &WorkflowContext<RunActivity>, begun: Run, result: &Result<(), Stop>) -> Run {
    let (status, error) = match result {
        Ok(()) => (RunStatus::Completed, String::new()),
        Err(Stop::Cancelled) => (RunStatus::Cancelled, String::new()),
        Err(Stop::Failed(why)) => (RunStatus::Failed, why.clone()),
    };
    let (context_snapshot, tasks_spawned) = ctx.state(|run| (run.context.clone(), run.tasks.clone()));
    Run { ended_at: Some(now(ctx)), status, error, context_snapshot, tasks_spawned, ..begun }
}

/// The workflow's time, to the microsecond, as the run log keeps it.
fn now(ctx: &WorkflowContext<RunActivity>) -> DateTime<Utc> {
    let time = ctx.workflow_time().map(DateTime::<Utc>::from);
    time.and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros())).unwrap_or_default()
}

/// How the run ends, once all its tasks have.
fn verdict(ctx: &WorkflowContext<RunActivity>) -> Result<(), Stop> {
    if ctx.cancellation_token().is_cancelled() {
        return Err(Stop::Cancelled);
    }
    let bad = ctx.state(|run| {
        let bad = run.tasks.iter().filter(|task| matches!(task.status, TaskStatus::Failed | TaskStatus::Cancelled));
        bad.map(|task| format!("task {} {}: {}", task.name, task.status.as_str(), task.detail)).collect::<Vec<_>>()
    });
    if bad.is_empty() { Ok(()) } else { Err(Stop::Failed(bad.join("; "))) }
}

/// The innermost message of a failure: the outer ones only say that something inside has failed.
pub(crate) fn reason(failure: Option<&Failure>, error: &dyn std::error::Error) -> String {
    let mut innermost = None;
    let mut next = failure;
    while let Some(failure) = next {
        if !failure.message.is_empty() {
            innermost = Some(failure.message.clone());
        }
        next = failure.cause.as_deref();
    }
    innermost.unwrap_or_else(|| error.to_string())
}
