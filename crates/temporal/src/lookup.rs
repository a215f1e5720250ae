//! Questions to Temporal: is there such a workflow, such a namespace, is the cluster well. Nothing here changes anything.

use std::time::{Duration, Instant};

use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::{EventType, NamespaceState, WorkflowExecutionStatus};
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DescribeNamespaceRequest, DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse, GetSystemInfoRequest, ListWorkflowExecutionsRequest,
};

use crate::error::CallError;
use crate::sink::TemporalSink;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Open.
    Running,
    /// Open, and paused by an operator.
    Paused,
    /// Closed well.
    Completed,
    /// Closed with a failure.
    Failed,
    /// Closed after a request to cancel.
    Canceled,
    /// Closed by force.
    Terminated,
    /// Closed, and a new run of the same id took over.
    ContinuedAsNew,
    /// Closed by its timeout.
    TimedOut,
    /// Temporal named a status that this version doesn't know.
    Unknown,
}

impl RunStatus {
    pub(crate) fn of(status: i32) -> Self {
        match WorkflowExecutionStatus::try_from(status) {
            Ok(WorkflowExecutionStatus::Running) => Self::Running,
            Ok(WorkflowExecutionStatus::Paused) => Self::Paused,
            Ok(WorkflowExecutionStatus::Completed) => Self::Completed,
            Ok(WorkflowExecutionStatus::Failed) => Self::Failed,
            Ok(WorkflowExecutionStatus::Canceled) => Self::Canceled,
            Ok(WorkflowExecutionStatus::Terminated) => Self::Terminated,
            Ok(WorkflowExecutionStatus::ContinuedAsNew) => Self::ContinuedAsNew,
            Ok(WorkflowExecutionStatus::TimedOut) => Self::TimedOut,
            Ok(WorkflowExecutionStatus::Unspecified) | Err(_) => Self::Unknown,
        }
    }
}

/// A workflow that Temporal still remembers under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of the latest run.
    pub run_id: String,
    /// Of the latest run.
    pub status: RunStatus,
    /// Request ids that started the latest run; empty where the server is too old to tell (before 1.28).
    pub start_request_ids: Vec<String>,
    /// When the latest run has closed, in microseconds since the epoch, by Temporal's clock.
    pub closed_at: Option<i64>,
}

/// A namespace as Temporal describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Its name.
    pub name: String,
    /// For how long a closed workflow is remembered, and so for how long a start is deduplicated by its id.
    pub retention: Duration,
    /// Whether starts are taken: false once it is deprecated or deleted.
    pub registered: bool,
}

/// An answer of the cluster to "are you there".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// From question to answer, connecting included.
    pub latency: Duration,
    /// Such as `1.32.0`.
    pub server_version: String,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Its id.
    pub workflow_id: String,
    /// Its run.
    pub run_id: String,
    /// As its worker registers it.
    pub workflow_type: String,
    /// How it stands.
    pub status: RunStatus,
    /// Microseconds since the Unix epoch, by Temporal's clock.
    pub started_at: i64,
}

impl TemporalSink {
    /// What Temporal remembers of this workflow id; `None` if it never was, or is past its retention.
    pub async fn lookup(&self, namespace: &str, workflow_id: &str) -> Result<Option<Found>, CallError> {
        let execution = WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() };
        let message = DescribeWorkflowExecutionRequest { namespace: namespace.to_owned(), execution: Some(execution) };
        let mut client = self.client();
        match self.call(client.describe_workflow_execution(self.request(namespace, message))).await {
            Ok(answer) => Ok(Some(found(answer))),
            // A missing namespace is "not found" too, and must not be taken for a missing workflow.
            Err(CallError::NotFound(_)) => self.describe_namespace(namespace).await.map(|_| None),
            Err(error) => Err(error),
        }
    }

    /// Whether a namespace exists and how long it remembers. `CallError::NotFound` if there is none.
    pub async fn describe_namespace(&self, namespace: &str) -> Result<NamespaceInfo, CallError> {
        let message = DescribeNamespaceRequest { namespace: namespace.to_owned(), ..Default::default() };
        let mut client = self.client();
        let answer = self.call(client.describe_namespace(self.request(namespace, message))).await?;
        let info = answer.namespace_info.unwrap_or_default();
        let retention = answer.config.unwrap_or_default().workflow_execution_retention_ttl.unwrap_or_default();
        Ok(NamespaceInfo {
            name: info.name,
            retention: Duration::from_secs(u64::try_from(retention.seconds).unwrap_or(0)),
            registered: info.state == NamespaceState::Registered as i32,
        })
    }

    /// Whether the cluster answers, and how fast.
    pub async fn probe(&self) -> Result<Probe, CallError> {
        let begun = Instant::now();
        let mut client = self.client();
        let request = self.request(self.target().namespace(), GetSystemInfoRequest::default());
        let answer = self.call(client.get_system_info(request)).await?;
        Ok(Probe { latency: begun.elapsed(), server_version: answer.server_version })
    }

    /// How many workflows a visibility query matches. Visibility lags behind starts by up to a few seconds.
    pub async fn count(&self, namespace: &str, query: &str) -> Result<u64, CallError> {
        let message = CountWorkflowExecutionsRequest { namespace: namespace.to_owned(), query: query.to_owned() };
        let mut client = self.client();
        let answer = self.call(client.count_workflow_executions(self.request(namespace, message))).await?;
        Ok(u64::try_from(answer.count).unwrap_or(0))
    }

    /// One page of what a visibility query matches, newest first, and the token of the next page (empty: none).
    pub async fn list(
        &self,
        namespace: &str,
        query: &str,
        page_size: u16,
        page_token: Vec<u8>,
    ) -> Result<(Vec<Execution>, Vec<u8>), CallError> {
        let message = ListWorkflowExecutionsRequest {
            namespace: namespace.to_owned(),
            page_size: i32::from(page_size),
            next_page_token: page_token,
            query: query.to_owned(),
        };
        let mut client = self.client();
        let answer = self.call(client.list_workflow_executions(self.request(namespace, message))).await?;
        Ok((answer.executions.into_iter().map(execution).collect(), answer.next_page_token))
    }
}

fn found(answer: DescribeWorkflowExecutionResponse) -> Found {
    let info = answer.workflow_execution_info.unwrap_or_default();
    let requests = answer.workflow_extended_info.unwrap_or_default().request_id_infos;
    let start_request_ids = requests
        .into_iter()
        .filter(|(_, request)| request.event_type == EventType::WorkflowExecutionStarted as i32)
        .map(|(id, _)| id)
        .collect();
    let closed_at = info.close_time.map(|closed| closed.seconds * 1_000_000 + i64::from(closed.nanos) / 1_000);
    let (run_id, status) = (info.execution.unwrap_or_default().run_id, RunStatus::of(info.status));
    Found { run_id, status, start_request_ids, closed_at }
}

fn execution(info: WorkflowExecutionInfo) -> Execution {
    let ids = info.execution.unwrap_or_default();
    let start = info.start_time.unwrap_or_default();
    Execution {
        workflow_id: ids.workflow_id,
        run_id: ids.run_id,
        workflow_type: info.r#type.unwrap_or_default().name,
        status: RunStatus::of(info.status),
        started_at: start.seconds * 1_000_000 + i64::from(start.nanos) / 1_000,
    }
}
