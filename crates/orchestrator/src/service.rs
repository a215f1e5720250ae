//! `flintwheel.v1.RunService` over the run log, for a server to mount.

use std::collections::HashMap;
use std::time::Duration;

use flintwheel_model::run::TriggerKind;
use flintwheel_proto::v1::run_service_server::{RunService, RunServiceServer};
use flintwheel_proto::v1::{self as wire, DefinitionRef, ListRunsRequest, ListRunsResponse};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp};
use serde_json::{Map, Value};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::record::{RunRecord, RunStatus, TaskKind, TaskRecord, TaskStatus};
use crate::run_log::{Cursor, RunFilter, RunLog, RunLogError};

/// In `ErrorInfo`.
const DOMAIN: &str = "flintwheel.dev";
/// Runs of a page, where the request does not say.
const DEFAULT_PAGE: u32 = 100;
/// Runs of a page at most.
const LARGEST_PAGE: u32 = 1000;
/// When to ask again while the database is away.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Answers from a run log.
#[derive(Clone)]
pub struct Runs {
    log: RunLog,
}

impl Runs {
    /// The service of this run log.
    pub fn service(log: RunLog) -> RunServiceServer<Self> {
        RunServiceServer::new(Self { log })
    }
}

#[tonic::async_trait]
impl RunService for Runs {
    async fn list_runs(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        let (filter, size) = filter(&request.into_inner()).map_err(invalid)?;
        let mut runs = self.log.list(&filter, size + 1).await.map_err(|e| failed(&e))?;
        let more = runs.len() > size as usize;
        runs.truncate(size as usize);
        let next_page_token = runs.last().filter(|_| more).map(|run| Cursor::of(run).to_string()).unwrap_or_default();
        Ok(Response::new(ListRunsResponse { runs: runs.into_iter().map(run).collect(), next_page_token }))
    }
}

/// The filter and the page size, or all that is wrong with the request.
fn filter(request: &ListRunsRequest) -> Result<(RunFilter, u32), Vec<FieldViolation>> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldViolation::new(field, message));
    if request.page_size > LARGEST_PAGE {
        fault("page_size", format!("{} is not in 1 to {LARGEST_PAGE}; 0 means {DEFAULT_PAGE}", request.page_size));
    }
    if request.namespace.is_empty() && !request.definition_id.is_empty() {
        fault("namespace", "a definition_id needs the namespace that it is unique in".to_owned());
    }
    let statuses = statuses(&request.statuses).unwrap_or_else(|message| {
        fault("statuses", message);
        Vec::new()
    });
    let since = request.since.as_ref().and_then(|since| {
        let micros = micros(since);
        if micros.is_none() {
            fault("since", format!("{since:?} is not a time"));
        }
        micros
    });
    let token = Some(&request.page_token).filter(|token| !token.is_empty());
    let after = token.and_then(|token| token.parse().map_err(|e: RunLogError| fault("page_token", e.to_string())).ok());
    if !faults.is_empty() {
        return Err(faults);
    }
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let (namespace, definition_id) = (some(&request.namespace), some(&request.definition_id));
    let size = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
    Ok((RunFilter { namespace, definition_id, statuses, since, after }, size))
}

fn statuses(numbers: &[i32]) -> Result<Vec<RunStatus>, String> {
    let status = |number: &i32| match wire::RunStatus::try_from(*number) {
        Ok(wire::RunStatus::Running) => Ok(RunStatus::Running),
        Ok(wire::RunStatus::Completed) => Ok(RunStatus::Completed),
        Ok(wire::RunStatus::Failed) => Ok(RunStatus::Failed),
        Ok(wire::RunStatus::Cancelled) => Ok(RunStatus::Cancelled),
        Ok(wire::RunStatus::Unspecified) | Err(_) => {
            Err(format!("{number} is no status; they are 1 running, 2 completed, 3 failed, 4 cancelled"))
        }
    };
    numbers.iter().map(status).collect()
}

fn run(run: RunRecord) -> wire::Run {
    wire::Run {
        run_id: run.run_id,
        r#ref: Some(DefinitionRef { namespace: run.namespace, id: run.activity_id }),
        version_used: run.version_used,
        scheduled_for: Some(timestamp(run.scheduled_for)),
        fired_at: Some(timestamp(run.fired_at)),
        context_snapshot: Some(object(run.context_snapshot)),
        tasks_spawned: run.tasks_spawned.into_iter().map(task).collect(),
        status: status(run.status).into(),
        workflow_id: run.workflow_id,
        error: run.error.unwrap_or_default(),
        started_at: Some(timestamp(run.started_at)),
        ended_at: run.ended_at.map(timestamp),
        trigger_kind: trigger_kind(run.trigger_kind).into(),
        incarnation: run.incarnation,
    }
}

fn status(status: RunStatus) -> wire::RunStatus {
    match status {
        RunStatus::Running => wire::RunStatus::Running,
        RunStatus::Completed => wire::RunStatus::Completed,
        RunStatus::Failed => wire::RunStatus::Failed,
        RunStatus::Cancelled => wire::RunStatus::Cancelled,
    }
}

fn trigger_kind(kind: TriggerKind) -> wire::TriggerKind {
    match kind {
        TriggerKind::Time => wire::TriggerKind::Time,
        TriggerKind::Event => wire::TriggerKind::Event,
        TriggerKind::Manual => wire::TriggerKind::Manual,
    }
}

fn task(task: TaskRecord) -> wire::SpawnedTask {
    wire::SpawnedTask {
        name: task.name,
        kind: task_kind(task.kind).into(),
        r#type: task.type_name,
        id: task.id,
        status: task_status(task.status).into(),
        detail: task.detail.unwrap_or_default(),
    }
}

fn task_kind(kind: TaskKind) -> wire::TaskKind {
    match kind {
        TaskKind::Workflow => wire::TaskKind::Workflow,
        TaskKind::Activity => wire::TaskKind::Activity,
    }
}

fn task_status(status: TaskStatus) -> wire::TaskStatus {
    match status {
        TaskStatus::Waiting => wire::TaskStatus::Waiting,
        TaskStatus::Running => wire::TaskStatus::Running,
        TaskStatus::Completed => wire::TaskStatus::Completed,
        TaskStatus::Failed => wire::TaskStatus::Failed,
        TaskStatus::Cancelled => wire::TaskStatus::Cancelled,
        TaskStatus::Skipped => wire::TaskStatus::Skipped,
    }
}

fn timestamp(micros: i64) -> Timestamp {
    let nanos = micros.rem_euclid(1_000_000) * 1000;
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: i32::try_from(nanos).expect("below a second") }
}

fn micros(time: &Timestamp) -> Option<i64> {
    let fraction = (0..1_000_000_000).contains(&time.nanos).then(|| i64::from(time.nanos) / 1000)?;
    time.seconds.checked_mul(1_000_000)?.checked_add(fraction)
}

fn object(fields: Map<String, Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, field)| (name, value(field))).collect() }
}

/// As protobuf has JSON: every number is a double there, so integers beyond 2^53 are rounded.
fn value(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(self::value).collect() }),
        Value::Object(fields) => Kind::StructValue(object(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}

fn invalid(faults: Vec<FieldViolation>) -> Status {
    let message = faults.iter().map(|fault| format!("{}: {}", fault.field, fault.description)).collect::<Vec<_>>();
    let mut details = ErrorDetails::with_bad_request(faults);
    details.set_error_info("INVALID_REQUEST", DOMAIN, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, message.join("; "), details)
}

fn failed(error: &RunLogError) -> Status {
    let (code, reason) = match error {
        RunLogError::Database { .. } => (Code::Unavailable, "RUN_LOG_UNAVAILABLE"),
        RunLogError::Migration { .. } | RunLogError::Address { .. } => (Code::FailedPrecondition, "RUN_LOG_UNUSABLE"),
        RunLogError::PageToken(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
        RunLogError::Row { .. } => (Code::DataLoss, "RUN_LOG_DAMAGED"),
    };
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    if code == Code::Unavailable {
        details.set_retry_info(Some(RETRY_DELAY));
    }
    Status::with_error_details(code, error.to_string(), details)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_faults_of_a_request_are_named_at_once() {
        let request = ListRunsRequest {
            definition_id: "reminder".into(),
            statuses: vec![2, 9],
            since: Some(Timestamp { seconds: 0, nanos: -1 }),
            page_size: 1001,
            page_token: "x".into(),
            ..ListRunsRequest::default()
        };
        let faults = filter(&request).expect_err("faults");
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["page_size", "namespace", "statuses", "since", "page_token"]);
        let status = invalid(faults);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().expect("violations").field_violations.len(), 5);
        assert_eq!(status.get_details_error_info().expect("a reason").reason, "INVALID_REQUEST");
    }

    #[test]
    fn an_empty_request_means_the_newest_hundred() {
        let (filter, size) = filter(&ListRunsRequest::default()).expect("a filter");
        assert_eq!((filter.namespace, filter.definition_id, filter.since, size), (None, None, None, 100));
    }

    #[test]
    fn times_and_values_keep_their_meaning() {
        for micros_since in [0, 1, -1, 1_795_420_800_250_000] {
            assert_eq!(micros(&timestamp(micros_since)), Some(micros_since));
        }
        assert_eq!(timestamp(-1), Timestamp { seconds: -1, nanos: 999_999_000 });
        let Some(Kind::ListValue(list)) = value(json!([null, true, 1.5, "x", {"a": 1}])).kind else { panic!("a list") };
        let kinds: Vec<_> = list.values.into_iter().filter_map(|value| value.kind).collect();
        assert_eq!(
            kinds[..4],
            [Kind::NullValue(0), Kind::BoolValue(true), Kind::NumberValue(1.5), Kind::StringValue("x".into())]
        );
        assert!(matches!(&kinds[4], Kind::StructValue(fields) if fields.fields.contains_key("a")));
    }
}
