//! A real Temporal server that is asked for the times of schedules. They are paused: nothing starts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleAction, ScheduleSpec, ScheduleState, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DescribeNamespaceRequest, ListScheduleMatchingTimesRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use uuid::Uuid;

const NAMESPACE: &str = "default";
/// A part of what a server says that has looked at 1,209,600 times in a row, two weeks of seconds, and found all of them excluded.
const GIVES_UP: &str = "too many exclusions";
/// An answer has no more, and does not say so.
const PAGE: usize = 1000;
/// A query of a scheduler workflow that has not begun yet, or of a busy server, is asked again.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);

/// A server.
#[derive(Clone)]
pub struct Server {
    client: WorkflowServiceClient<Channel>,
    /// The namespace's own id: jitter depends on it.
    namespace_id: String,
}

impl Server {
    /// Looks its namespace up.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let mut client = WorkflowServiceClient::new(endpoint.connect_lazy());
        let request =
            DescribeNamespaceRequest { namespace: NAMESPACE.to_owned(), ..DescribeNamespaceRequest::default() };
        let info = client.describe_namespace(request).await?.into_inner().namespace_info;
        Ok(Self { client, namespace_id: info.context("the namespace has an id")?.id })
    }

    /// What the jitter of a schedule follows from.
    pub fn seed(&self, id: &str) -> String {
        format!("{}-{id}", self.namespace_id)
    }

    /// Creates one.
    pub async fn create(&self, id: &str, spec: ScheduleSpec) -> Result<()> {
        let start = NewWorkflowExecutionInfo {
            workflow_id: id.to_owned(),
            workflow_type: Some(WorkflowType { name: "Parity".to_owned() }),
            task_queue: Some(TaskQueue { name: "nobody".to_owned(), ..TaskQueue::default() }),
            ..NewWorkflowExecutionInfo::default()
        };
        let action = schedule_action::Action::StartWorkflow(start);
        let schedule = Schedule {
            spec: Some(spec),
            action: Some(ScheduleAction { action: Some(action) }),
            state: Some(ScheduleState { paused: true, ..ScheduleState::default() }),
            ..Schedule::default()
        };
        let request = CreateScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            request_id: Uuid::new_v4().to_string(),
            ..CreateScheduleRequest::default()
        };
        self.again(|mut client| {
            let request = request.clone();
            async move { client.create_schedule(request).await.map(drop) }
        })
        .await
        .with_context(|| format!("create {id}"))
    }

    /// All its times after one second and up to another one, in milliseconds since the Unix epoch, and how often it was asked. None where
    /// the server gives up, as so much is excluded.
    pub async fn times(&self, id: &str, after: i64, through: i64) -> Result<Option<(Vec<i64>, u64)>> {
        let stamp = |millis: i64| Some((std::time::UNIX_EPOCH + Duration::from_millis(millis as u64)).into());
        let (mut times, mut asked, mut after) = (Vec::new(), 0, after * 1000);
        loop {
            let request = ListScheduleMatchingTimesRequest {
                namespace: NAMESPACE.to_owned(),
                schedule_id: id.to_owned(),
                start_time: stamp(after),
                end_time: stamp(through * 1000),
            };
            let answer = self.again(|mut client| {
                let request = request.clone();
                async move { client.list_schedule_matching_times(request).await }
            });
            let page = match answer.await {
                Ok(answer) => answer.into_inner().start_time,
                Err(refused) if refused.message().contains(GIVES_UP) => return Ok(None),
                Err(other) => return Err(other).with_context(|| format!("times of {id}")),
            };
            asked += 1;
            let count = page.len();
            times.extend(page.into_iter().map(|time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000));
            match times.last() {
                // On a day that a zone has left out, it comes no further.
                Some(last) if count == PAGE && *last > after => after = *last,
                _ => return Ok(Some((times, asked))),
            }
        }
    }

    async fn again<T, F>(&self, call: impl Fn(WorkflowServiceClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut tries = 0;
        loop {
            match call(self.client.clone()).await {
                Err(status) if tries < TRIES && may_pass(&status) => tokio::time::sleep(PAUSE).await,
                // An earlier try was carried out.
                other => return other,
            }
            tries += 1;
        }
    }
}

/// A scheduler that has not done its first task yet answers with FailedPrecondition.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::FailedPrecondition
            | Code::Internal
            | Code::Aborted
    )
}
