//! How runs end: what has closed lately, how one stands, what it left behind, and the calls that make it end.

use prost::Message;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest, RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
};

use crate::error::CallError;
use crate::lookup::RunStatus;
use crate::sink::TemporalSink;

/// Rows of one page: Temporal's own limit.
const PAGE: i32 = 1000;
/// What a run leaves for the next one. It goes out beside the input (2 MiB at most) in a message of 4 MiB at most.
pub const LEFT_BYTES: usize = 1024 * 1024;
/// Of a failure's message.
const MESSAGE_BYTES: usize = 300;

/// A run that has closed. Another one may have taken over under its workflow id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedRun {
    /// Its id.
    pub workflow_id: String,
    /// How it ended.
    pub status: RunStatus,
    /// When, in microseconds since the epoch, by Temporal's clock.
    pub closed_at: i64,
}

/// How a workflow stands: its newest run counts, whatever became of those that it retried or continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Open,
    /// It has ended.
    Closed {
        /// Its run.
        run_id: String,
        /// How.
        status: RunStatus,
        /// When, in microseconds since the epoch, by Temporal's clock.
        closed_at: Option<i64>,
    },
    /// Temporal does not know it, or not any more.
    Gone,
}

/// What a run left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its result (`Payloads`) or failure (`Failure`), as Temporal writes it. None where there is none, and where it is too large.
    pub value: Option<Vec<u8>>,
    /// Its size, where it is too large: over [`LEFT_BYTES`].
    pub too_large: Option<usize>,
    /// Why it failed, for people; empty where it did not.
    pub message: String,
}

impl TemporalSink {
    /// One page of the runs whose ids begin with `prefix` and that have closed since a time (microseconds), newest first, and the token of the
    /// next page (empty: none). Visibility lags behind by up to some seconds.
    pub async fn closed_since(
        &self,
        namespace: &str,
        prefix: &str,
        since: i64,
        page_token: Vec<u8>,
    ) -> Result<(Vec<ClosedRun>, Vec<u8>), CallError> {
        let (prefix, since) = (prefix.replace('\'', "''"), flintwheel_model::ids::rfc3339(since));
        let message = ListWorkflowExecutionsRequest {
            namespace: namespace.to_owned(),
            page_size: PAGE,
            next_page_token: page_token,
            query: format!("CloseTime >= '{since}' AND WorkflowId STARTS_WITH '{prefix}'"),
        };
        let mut client = self.client();
        let answer = self.call(client.list_workflow_executions(self.request(namespace, message))).await?;
        let rows = answer.executions.into_iter().map(|info| {
            let closed = info.close_time.unwrap_or_default();
            ClosedRun {
                workflow_id: info.execution.unwrap_or_default().workflow_id,
                status: RunStatus::of(info.status),
                closed_at: closed.seconds * 1_000_000 + i64::from(closed.nanos) / 1_000,
            }
        });
        Ok((rows.collect(), answer.next_page_token))
    }

    /// How a workflow stands now.
    pub async fn standing(&self, namespace: &str, workflow_id: &str) -> Result<Standing, CallError> {
        let Some(found) = self.lookup(namespace, workflow_id).await? else { return Ok(Standing::Gone) };
        Ok(match found.status {
            // Between two runs there is none that continues it; the next look tells.
            RunStatus::Running | RunStatus::Paused | RunStatus::Unknown | RunStatus::ContinuedAsNew => Standing::Open,
            status => Standing::Closed { run_id: found.run_id, status, closed_at: found.closed_at },
        })
    }

    /// What a closed run left behind.
    pub async fn left_behind(&self, namespace: &str, workflow_id: &str, run_id: &str) -> Result<LeftBehind, CallError> {
        let message = GetWorkflowExecutionHistoryRequest {
            namespace: namespace.to_owned(),
            execution: Some(execution(workflow_id, run_id)),
            maximum_page_size: 1,
            history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
            skip_archival: true,
            ..GetWorkflowExecutionHistoryRequest::default()
        };
        let mut client = self.client();
        let answer = self.call(client.get_workflow_execution_history(self.request(namespace, message))).await?;
        let last = answer.history.unwrap_or_default().events.pop().and_then(|event| event.attributes);
        Ok(match last {
            Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) => {
                bounded(completed.result.map(|result| result.encode_to_vec()), String::new())
            }
            Some(Attributes::WorkflowExecutionFailedEventAttributes(failed)) => {
                let mut message = failed.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
                bounded(failed.failure.map(|failure| failure.encode_to_vec()), message)
            }
            _ => LeftBehind::default(),
        })
    }

    /// Asks a workflow to cancel. The same request id asks once, and one that has ended is asked in vain. False where Temporal knows none.
    pub async fn cancel(
        &self,
        namespace: &str,
        workflow_id: &str,
        request_id: &str,
        reason: &str,
    ) -> Result<bool, CallError> {
        let message = RequestCancelWorkflowExecutionRequest {
            namespace: namespace.to_owned(),
            workflow_execution: Some(execution(workflow_id, "")),
            identity: self.target().identity().to_owned(),
            request_id: request_id.to_owned(),
            reason: reason.to_owned(),
            ..RequestCancelWorkflowExecutionRequest::default()
        };
        let mut client = self.client();
        there(self.call(client.request_cancel_workflow_execution(self.request(namespace, message))).await)
    }

    /// Ends a workflow by force. False where there is none that runs.
    pub async fn terminate(&self, namespace: &str, workflow_id: &str, reason: &str) -> Result<bool, CallError> {
        let message = TerminateWorkflowExecutionRequest {
            namespace: namespace.to_owned(),
            workflow_execution: Some(execution(workflow_id, "")),
            reason: reason.to_owned(),
            identity: self.target().identity().to_owned(),
            ..TerminateWorkflowExecutionRequest::default()
        };
        let mut client = self.client();
        there(self.call(client.terminate_workflow_execution(self.request(namespace, message))).await)
    }
}

fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() }
}

fn there<T>(answer: Result<T, CallError>) -> Result<bool, CallError> {
    match answer {
        Ok(_) => Ok(true),
        Err(CallError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn bounded(value: Option<Vec<u8>>, message: String) -> LeftBehind {
    match value {
        Some(value) if value.len() > LEFT_BYTES => LeftBehind { value: None, too_large: Some(value.len()), message },
        value => LeftBehind { value, too_large: None, message },
    }
}
