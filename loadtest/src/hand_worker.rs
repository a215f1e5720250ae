//! A worker of Temporal that does what it is told: each workflow stays open until it is told how it ends. It shares no code with any SDK.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::command::v1::{
    CancelWorkflowExecutionCommandAttributes, Command, CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
};
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentOptions;
use temporalio_common::protos::temporal::api::enums::v1::{CommandType, WorkerVersioningMode};
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
use temporalio_common::protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes as Event;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    PollWorkflowTaskQueueRequest, RespondWorkflowTaskCompletedRequest,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// For a task to come: it is there already, or will be as soon as Temporal has started the workflow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Answers to one that something comes for each time.
const TRIES: usize = 5;

/// How a workflow ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Well, with a result in JSON.
    Complete(String),
    /// With a failure of this message.
    Fail(String),
    /// As it was asked to.
    Cancel,
    /// It goes on as another run.
    ContinueAsNew,
}

/// A workflow task that has been taken and not answered.
pub struct Task {
    token: Vec<u8>,
    workflow_type: String,
    /// What the run was started with.
    pub started: WorkflowExecutionStartedEventAttributes,
}

/// See the module.
pub struct HandWorker {
    client: WorkflowServiceClient<Channel>,
    namespace: String,
    queue: String,
    /// Of a deployment; none: it says no version.
    version: Option<WorkerDeploymentOptions>,
    tasks: HashMap<String, Task>,
}

impl HandWorker {
    /// Of a task queue. Its workflows need a task timeout that is longer than they are to stay open after they were first looked at.
    pub fn new(address: SocketAddr, namespace: &str, queue: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let client = WorkflowServiceClient::new(endpoint.connect_lazy());
        let (namespace, queue) = (namespace.to_owned(), queue.to_owned());
        Ok(Self { client, namespace, queue, version: None, tasks: HashMap::new() })
    }

    /// The same as a version of a worker deployment.
    pub fn of_version(mut self, deployment_name: &str, build_id: &str) -> Self {
        self.version = Some(WorkerDeploymentOptions {
            deployment_name: deployment_name.to_owned(),
            build_id: build_id.to_owned(),
            worker_versioning_mode: WorkerVersioningMode::Versioned as i32,
        });
        self
    }

    /// The task of a workflow, as soon as there is one.
    pub async fn task(&mut self, workflow_id: &str) -> Result<&Task> {
        let begun = std::time::Instant::now();
        while !self.tasks.contains_key(workflow_id) {
            if begun.elapsed() > PATIENCE {
                bail!("{workflow_id} has no task; {:?} have", self.tasks.keys());
            }
            self.poll().await?;
        }
        self.tasks.get(workflow_id).context("it was there just now")
    }

    /// Ends a workflow.
    pub async fn end(&mut self, workflow_id: &str, ending: Ending) -> Result<()> {
        for _ in 0..TRIES {
            match self.answer(workflow_id, ending.clone()).await {
                // Something has come for it since its task was taken: there is another task.
                Err(status) if status.message().contains("UnhandledCommand") => {}
                Err(status) => return Err(status).with_context(|| format!("end {workflow_id}")),
                Ok(()) => return Ok(()),
            }
        }
        bail!("{workflow_id} could not be ended: each time something had come for it")
    }

    async fn answer(&mut self, workflow_id: &str, ending: Ending) -> Result<(), Status> {
        self.task(workflow_id).await.map_err(|error| Status::unavailable(format!("{error:#}")))?;
        let Some(task) = self.tasks.remove(workflow_id) else { return Err(Status::not_found("it has no task")) };
        let request = RespondWorkflowTaskCompletedRequest {
            task_token: task.token,
            commands: vec![command(ending, &task.workflow_type, &self.queue)],
            identity: "by hand".to_owned(),
            namespace: self.namespace.clone(),
            ..RespondWorkflowTaskCompletedRequest::default()
        };
        self.client.respond_workflow_task_completed(request).await.map(drop)
    }

    /// Asks for a task, and keeps it if there is one within some seconds.
    pub async fn poll(&mut self) -> Result<()> {
        let request = PollWorkflowTaskQueueRequest {
            namespace: self.namespace.clone(),
            task_queue: Some(TaskQueue { name: self.queue.clone(), ..TaskQueue::default() }),
            identity: "by hand".to_owned(),
            deployment_options: self.version.clone(),
            ..PollWorkflowTaskQueueRequest::default()
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_secs(5));
        let Ok(polled) = self.client.poll_workflow_task_queue(request).await else { return Ok(()) };
        let polled = polled.into_inner();
        if polled.task_token.is_empty() {
            return Ok(());
        }
        let first = polled.history.unwrap_or_default().events.into_iter().next().and_then(|event| event.attributes);
        let Some(Event::WorkflowExecutionStartedEventAttributes(started)) = first else {
            bail!("a history begins with something else than a start");
        };
        let id = polled.workflow_execution.unwrap_or_default().workflow_id;
        let workflow_type = polled.workflow_type.unwrap_or_default().name;
        self.tasks.insert(id, Task { token: polled.task_token, workflow_type, started });
        Ok(())
    }
}

fn command(ending: Ending, workflow_type: &str, queue: &str) -> Command {
    let (kind, attributes) = match ending {
        Ending::Complete(json) => (
            CommandType::CompleteWorkflowExecution,
            Attributes::CompleteWorkflowExecutionCommandAttributes(CompleteWorkflowExecutionCommandAttributes {
                result: Some(payloads(&json)),
            }),
        ),
        Ending::Fail(message) => {
            let info = ApplicationFailureInfo { r#type: "ByHand".to_owned(), ..ApplicationFailureInfo::default() };
            let failure_info = Some(FailureInfo::ApplicationFailureInfo(info));
            let failure = Some(Failure { message, failure_info, ..Failure::default() });
            (
                CommandType::FailWorkflowExecution,
                Attributes::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes { failure }),
            )
        }
        Ending::Cancel => (
            CommandType::CancelWorkflowExecution,
            Attributes::CancelWorkflowExecutionCommandAttributes(CancelWorkflowExecutionCommandAttributes::default()),
        ),
        Ending::ContinueAsNew => (
            CommandType::ContinueAsNewWorkflowExecution,
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(
                ContinueAsNewWorkflowExecutionCommandAttributes {
                    workflow_type: Some(WorkflowType { name: workflow_type.to_owned() }),
                    task_queue: Some(TaskQueue { name: queue.to_owned(), ..TaskQueue::default() }),
                    ..ContinueAsNewWorkflowExecutionCommandAttributes::default()
                },
            ),
        ),
    };
    Command { command_type: kind as i32, attributes: Some(attributes), ..Command::default() }
}

fn payloads(json: &str) -> Payloads {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Payloads { payloads: vec![Payload { metadata, data: json.as_bytes().to_vec(), ..Payload::default() }] }
}

/// The JSON texts of payloads.
pub fn texts(payloads: Option<&Payloads>) -> Vec<String> {
    let all = payloads.into_iter().flat_map(|payloads| &payloads.payloads);
    all.map(|payload| String::from_utf8_lossy(&payload.data).into_owned()).collect()
}
