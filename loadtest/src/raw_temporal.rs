//! Temporal's own API, called as plainly as it can be: for the bare loop that the engine is compared with, and to ask a real
//! server what it has started. It shares no code with the engine's sink.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::{ScheduleOverlapPolicy, WorkflowIdReusePolicy};
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::{NewWorkflowExecutionInfo, WorkflowExecutionInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DescribeNamespaceRequest, GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse, StartWorkflowExecutionRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::StartLine;

/// What one page of a listing may hold.
const PAGE: i32 = 1000;
/// Of one call, as the SDKs have it.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long a server may say that it has no capacity for a question, and when it is asked again.
const BUSY: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// Clients over several connections, used in turn.
pub struct RawTemporal {
    clients: Vec<WorkflowServiceClient<Channel>>,
    next: AtomicUsize,
}

impl RawTemporal {
    /// Connects when first used.
    pub fn new(address: SocketAddr, connections: usize) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(Duration::from_secs(5));
        let clients = (0..connections).map(|_| WorkflowServiceClient::new(endpoint.connect_lazy())).collect();
        Ok(Self { clients, next: AtomicUsize::new(0) })
    }

    fn client(&self) -> WorkflowServiceClient<Channel> {
        self.clients[self.next.fetch_add(1, Ordering::Relaxed) % self.clients.len()].clone()
    }

    /// One start of a workflow that no worker knows: with the deadline and the headers that every client of Temporal sends.
    pub async fn start(&self, namespace: &str, workflow_id: String, input: &[u8]) -> Result<()> {
        let payload = Payload {
            metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
            data: input.to_vec(),
            ..Payload::default()
        };
        let request = StartWorkflowExecutionRequest {
            namespace: namespace.to_owned(),
            request_id: Uuid::new_v4().to_string(),
            workflow_id,
            workflow_type: Some(WorkflowType { name: "LoadTest".to_owned() }),
            task_queue: Some(TaskQueue { name: "loadtest".to_owned(), ..TaskQueue::default() }),
            input: Some(Payloads { payloads: vec![payload] }),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate as i32,
            identity: "bare loop".to_owned(),
            ..StartWorkflowExecutionRequest::default()
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(DEADLINE);
        request.metadata_mut().insert("temporal-namespace", namespace.parse().context("a namespace in a header")?);
        self.client().start_workflow_execution(request).await?;
        Ok(())
    }

    /// The event that the latest run of a workflow begins with.
    pub async fn first_event(&self, namespace: &str, workflow_id: &str) -> Result<HistoryEvent> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: namespace.to_owned(),
            execution: Some(WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() }),
            maximum_page_size: 1,
            ..GetWorkflowExecutionHistoryRequest::default()
        };
        let page = self.client().get_workflow_execution_history(request).await.context("read a history")?.into_inner();
        page.history.unwrap_or_default().events.into_iter().next().context("a history without events")
    }

    /// A schedule that starts this each second from now on, whatever else of it runs.
    pub async fn create_schedule(&self, namespace: &str, id: &str, start: NewWorkflowExecutionInfo) -> Result<()> {
        let every = IntervalSpec { interval: Duration::from_secs(1).try_into().ok(), phase: None };
        let overlap_policy = ScheduleOverlapPolicy::AllowAll as i32;
        let request = CreateScheduleRequest {
            namespace: namespace.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(Schedule {
                spec: Some(ScheduleSpec { interval: vec![every], ..ScheduleSpec::default() }),
                action: Some(ScheduleAction { action: Some(schedule_action::Action::StartWorkflow(start)) }),
                policies: Some(SchedulePolicies { overlap_policy, ..SchedulePolicies::default() }),
                ..Schedule::default()
            }),
            request_id: Uuid::new_v4().to_string(),
            ..CreateScheduleRequest::default()
        };
        self.client().create_schedule(request).await.map(drop).with_context(|| format!("create the schedule {id}"))
    }

    /// Whether it answers for this namespace.
    pub async fn has_namespace(&self, namespace: &str) -> bool {
        let request = DescribeNamespaceRequest { namespace: namespace.to_owned(), ..Default::default() };
        self.client().describe_namespace(request).await.is_ok()
    }

    /// All runs that visibility knows in a namespace, open and closed.
    pub async fn list(&self, namespace: &str) -> Result<Vec<StartLine>> {
        self.list_where(namespace, "").await
    }

    /// Those that a query matches; all where it is empty.
    pub async fn list_where(&self, namespace: &str, query: &str) -> Result<Vec<StartLine>> {
        let mut lines = Vec::new();
        let mut token = Vec::new();
        loop {
            let request = ListWorkflowExecutionsRequest {
                namespace: namespace.to_owned(),
                page_size: PAGE,
                next_page_token: token,
                query: query.to_owned(),
            };
            let page = self.page(request).await.context("list workflows")?;
            lines.extend(page.executions.into_iter().map(|info| line(namespace, info)));
            if page.next_page_token.is_empty() {
                return Ok(lines);
            }
            token = page.next_page_token;
        }
    }

    /// Asks again while the server has no capacity left for questions: it starts what is due at the same time.
    async fn page(&self, request: ListWorkflowExecutionsRequest) -> Result<ListWorkflowExecutionsResponse, Status> {
        let begun = Instant::now();
        loop {
            match self.client().list_workflow_executions(request.clone()).await {
                Err(status) if status.code() == Code::ResourceExhausted && begun.elapsed() < BUSY => {
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer.map(Response::into_inner),
            }
        }
    }
}

fn line(namespace: &str, info: WorkflowExecutionInfo) -> StartLine {
    let start = info.start_time.unwrap_or_default();
    StartLine {
        first_us: start.seconds * 1_000_000 + i64::from(start.nanos) / 1000,
        calls: 1,
        namespace: namespace.to_owned(),
        workflow_id: info.execution.unwrap_or_default().workflow_id,
        workflow_type: info.r#type.unwrap_or_default().name,
        ..StartLine::default()
    }
}
