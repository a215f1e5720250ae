//! `flintwheel.v1.RunService` over the run log, for a server to mount.

use std::time::Duration;

use flintwheel_client::convert::json::MAX_DEPTH;
use flintwheel_client::{Code, Error, Run, RunQuery, convert, reason};
use flintwheel_model::Violations;
use flintwheel_proto::v1::run_service_server::{RunService, RunServiceServer};
use flintwheel_proto::v1::{ListRunsRequest, ListRunsResponse};
use serde_json::{Number, Value};
use tonic::{Request, Response, Status};

use crate::run_log::{Cursor, RunLog, RunLogError};

/// Runs of a page, where the request does not say.
const DEFAULT_PAGE: u32 = 100;
/// Runs of a page at most.
const LARGEST_PAGE: u32 = 1000;
/// When to ask again while the database is away.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Up to here a double, which is what protobuf has for numbers, holds every whole number.
const EXACT: u64 = 1 << 53;

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
        let (query, after, size) = read(request.get_ref()).map_err(Error::invalid)?;
        let mut runs = self.log.list(&query, after.as_ref(), size + 1).await.map_err(failed)?;
        let more = runs.len() > size as usize;
        runs.truncate(size as usize);
        let next_page_token = runs.last().filter(|_| more).map(|run| Cursor::of(run).to_string()).unwrap_or_default();
        let runs = runs.into_iter().map(travelling).map(|run| convert::run::to_proto(&run));
        let runs = runs.collect::<Result<_, _>>().map_err(Error::invalid)?;
        Ok(Response::new(ListRunsResponse { runs, next_page_token }))
    }
}

/// What is asked for and where the page begins and how long it is, or all that is wrong with the request.
fn read(request: &ListRunsRequest) -> Result<(RunQuery, Option<Cursor>, u32), Violations> {
    let mut faults = Violations::default();
    let query = convert::run::query_from_proto(request).unwrap_or_else(|found| {
        faults.0.extend(found.0);
        RunQuery::default()
    });
    if request.namespace.is_empty() && !request.definition_id.is_empty() {
        faults.push("namespace", "is required with a definition_id, which is unique in its namespace only");
    }
    if request.page_size > LARGEST_PAGE {
        faults.push("page_size", format!("{} is not in 1 to {LARGEST_PAGE}, nor 0", request.page_size));
    }
    let token = Some(&request.page_token).filter(|token| !token.is_empty()).map(|token| token.parse());
    let after = token.transpose().unwrap_or_else(|error: RunLogError| {
        faults.push("page_token", error.to_string());
        None
    });
    let size = if request.page_size == 0 { DEFAULT_PAGE } else { request.page_size };
    faults.into_result().map(|()| (query, after, size))
}

/// A run whose context can travel: whole numbers beyond 2^53 as text, and as JSON text what is nested too deep.
fn travelling(mut run: Run) -> Run {
    run.context_snapshot.values_mut().for_each(|value| fit(value, MAX_DEPTH - 1));
    run
}

fn fit(value: &mut Value, depth: usize) {
    match value {
        Value::Number(number) if !is_exact(number) => *value = Value::String(number.to_string()),
        Value::Array(_) | Value::Object(_) if depth <= 1 => *value = Value::String(value.to_string()),
        Value::Array(items) => items.iter_mut().for_each(|item| fit(item, depth - 1)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fit(field, depth - 1)),
        _ => {}
    }
}

fn is_exact(number: &Number) -> bool {
    number.as_u64().or(number.as_i64().map(i64::unsigned_abs)).is_none_or(|size| size <= EXACT)
}

fn failed(error: RunLogError) -> Error {
    let message = error.to_string();
    match error {
        RunLogError::Database { .. } => {
            Error::new(Code::Unavailable, reason::NOT_READY, message).retry_after(RETRY_DELAY)
        }
        _ => Error::new(Code::Internal, reason::INTERNAL, message),
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_proto::v1::Run as Wire;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_faults_of_a_request_are_named_at_once() {
        let request = ListRunsRequest {
            definition_id: "reminder".into(),
            statuses: vec![2, 9],
            page_size: 1001,
            page_token: "x".into(),
            ..ListRunsRequest::default()
        };
        let faults = read(&request).expect_err("faults").0;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["statuses[1]", "namespace", "page_size", "page_token"]);
    }

    #[test]
    fn an_empty_request_means_the_newest_hundred() {
        assert_eq!(read(&ListRunsRequest::default()), Ok((RunQuery::default(), None, 100)));
    }

    #[test]
    fn every_context_can_travel() {
        let deep = (0..60).fold(json!("core"), |inner, _| json!([inner]));
        let json = json!({
            "run_id": "r", "namespace": "billing", "id": "reminder", "incarnation": 1, "version_used": 3, "trigger_kind": "time",
            "scheduled_for": "2026-11-23T08:00:00Z", "fired_at": "2026-11-23T08:00:00Z", "started_at": "2026-11-23T08:00:00Z",
            "ended_at": null, "status": "running", "error": "", "workflow_id": "w", "tasks_spawned": [],
            "context_snapshot": {"deep": deep, "big": [u64::MAX, i64::MIN, 1_u64 << 53, 1.5, "x"]},
        });
        let run = travelling(serde_json::from_value(json).expect("a run"));
        let wire: Wire = convert::run::to_proto(&run).expect("it travels");
        let arrived = convert::run::from_proto(wire).expect("it arrives");
        assert_eq!(arrived, run);
        let big = json!(["18446744073709551615", "-9223372036854775808", 9_007_199_254_740_992_u64, 1.5, "x"]);
        assert_eq!(arrived.context_snapshot["big"], big);
        assert!(arrived.context_snapshot["deep"].to_string().contains("core"), "nothing is lost");
    }
}
