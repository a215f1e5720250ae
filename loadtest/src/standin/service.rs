//! The calls that the stand-in answers, by RPC name. It is Temporal's front door without a house behind it: what is
//! started runs for ever and does nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::{Request, Response};
use hyper::body::Incoming;
use temporalio_common::protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::{EventType, NamespaceState, WorkflowExecutionStatus};
use temporalio_common::protos::temporal::api::namespace::v1::{NamespaceConfig, NamespaceInfo};
use temporalio_common::protos::temporal::api::workflow::v1::{
    RequestIdInfo, WorkflowExecutionExtendedInfo, WorkflowExecutionInfo,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeNamespaceResponse, DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse, GetSystemInfoRequest, GetSystemInfoResponse,
    get_system_info_response::Capabilities,
};
use tonic::Code;

use super::State;
use super::faults::Fate;
use super::record::{Answer, Call};
use super::status::{Refusal, already_started, namespace_not_found};
use super::wire::{Reply, StartRequest, StartResponse, read, reply};
use crate::clock::now_us;
use crate::start_line::StartLine;

const SERVICE: &str = "/temporal.api.workflowservice.v1.WorkflowService/";
const MAX_ID: usize = 1000;
const MAX_BLOB: usize = 2 * 1024 * 1024;

/// Breaks the stream off instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is dropped on purpose")]
pub(crate) struct Dropped;

pub(crate) async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Reply>, Dropped> {
    let (head, body) = request.into_parts();
    let method = head.uri.path().strip_prefix(SERVICE).unwrap_or_default();
    Ok(match method {
        "StartWorkflowExecution" => return start(&state, body).await,
        "GetSystemInfo" => reply(read::<GetSystemInfoRequest>(body).await.map(|_| system_info())),
        "DescribeNamespace" => reply(read(body).await.and_then(|request| describe_namespace(&state, request))),
        "DescribeWorkflowExecution" => reply(read(body).await.and_then(|request| describe_workflow(&state, request))),
        _ => {
            let refusal = Refusal::new(Code::Unimplemented, format!("the stand-in has no {}", head.uri.path()));
            reply::<StartResponse>(Err(refusal))
        }
    })
}

async fn start(state: &State, body: Incoming) -> Result<Response<Reply>, Dropped> {
    let request: StartRequest = match read(body).await {
        Ok(request) => request,
        Err(refusal) => return Ok(reply::<StartResponse>(Err(refusal))),
    };
    let fate = state.faults.fate(&request.namespace).await;
    if let Fate::Refused(refusal) = fate {
        return Ok(reply::<StartResponse>(Err(refusal)));
    }
    let answer = check(state, &request).and_then(|()| note(state, &request));
    match fate {
        Fate::Late(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        Fate::Dropped => return Err(Dropped),
        Fate::Normal | Fate::Refused(_) => {}
    }
    Ok(reply(answer))
}

/// What Temporal checks first, in its words.
fn check(state: &State, request: &StartRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(Code::InvalidArgument, message));
    if !state.has_namespace(&request.namespace) {
        return Err(namespace_not_found(&request.namespace));
    }
    if request.workflow_id.is_empty() {
        return invalid("WorkflowId is not set on request.");
    }
    if request.workflow_id.len() > MAX_ID || request.request_id.len() > MAX_ID {
        return invalid("WorkflowId or RequestId exceeds maximum allowed length (1000).");
    }
    if request.workflow_type.as_ref().is_none_or(|t| t.name.is_empty()) {
        return invalid("WorkflowType is not set on request.");
    }
    if request.task_queue.as_ref().is_none_or(|t| t.name.is_empty()) {
        return invalid("missing task queue name");
    }
    if request.input.len() > MAX_BLOB {
        return invalid("Blob data size exceeds limit.");
    }
    Ok(())
}

fn note(state: &State, request: &StartRequest) -> Result<StartResponse, Refusal> {
    let call = Call {
        namespace: &request.namespace,
        workflow_id: &request.workflow_id,
        request_id: &request.request_id,
        workflow_type: request.workflow_type.as_ref().map_or("", |t| &t.name),
        input: &request.input,
        at_us: now_us(),
    };
    match state.record.start(&call).map_err(broken)? {
        Answer::Started { run_id } => {
            let run_id = run_id.to_string();
            let status = WorkflowExecutionStatus::Running as i32;
            Ok(StartResponse { first_execution_run_id: run_id.clone(), run_id, started: true, status })
        }
        Answer::Taken { start_request_id, run_id } => {
            Err(already_started(&request.workflow_id, start_request_id, run_id.to_string()))
        }
    }
}

fn system_info() -> GetSystemInfoResponse {
    let capabilities = Capabilities { internal_error_differentiation: true, ..Capabilities::default() };
    GetSystemInfoResponse { server_version: "0.0.0-standin".to_owned(), capabilities: Some(capabilities) }
}

fn describe_namespace(state: &State, request: DescribeNamespaceRequest) -> Result<DescribeNamespaceResponse, Refusal> {
    if !state.has_namespace(&request.namespace) {
        return Err(namespace_not_found(&request.namespace));
    }
    let info =
        NamespaceInfo { name: request.namespace, state: NamespaceState::Registered as i32, ..NamespaceInfo::default() };
    let config = NamespaceConfig {
        workflow_execution_retention_ttl: state.retention.try_into().ok(),
        ..NamespaceConfig::default()
    };
    Ok(DescribeNamespaceResponse {
        namespace_info: Some(info),
        config: Some(config),
        ..DescribeNamespaceResponse::default()
    })
}

fn describe_workflow(
    state: &State,
    request: DescribeWorkflowExecutionRequest,
) -> Result<DescribeWorkflowExecutionResponse, Refusal> {
    if !state.has_namespace(&request.namespace) {
        return Err(namespace_not_found(&request.namespace));
    }
    let id = request.execution.unwrap_or_default().workflow_id;
    let (line, run_id) = state
        .record
        .find(&request.namespace, &id)
        .map_err(broken)?
        .ok_or_else(|| Refusal::new(Code::NotFound, format!("workflow not found for ID: {id}")))?;
    Ok(described(line, run_id.to_string()))
}

fn described(line: StartLine, run_id: String) -> DescribeWorkflowExecutionResponse {
    let start = UNIX_EPOCH + Duration::from_micros(u64::try_from(line.first_us).unwrap_or(0));
    let info = WorkflowExecutionInfo {
        execution: Some(WorkflowExecution { workflow_id: line.workflow_id, run_id }),
        r#type: Some(WorkflowType { name: line.workflow_type }),
        start_time: Some(start.into()),
        status: WorkflowExecutionStatus::Running as i32,
        ..WorkflowExecutionInfo::default()
    };
    let started =
        RequestIdInfo { event_type: EventType::WorkflowExecutionStarted as i32, event_id: 1, buffered: false };
    let extended = WorkflowExecutionExtendedInfo {
        request_id_infos: [(line.request_id, started)].into(),
        ..WorkflowExecutionExtendedInfo::default()
    };
    DescribeWorkflowExecutionResponse {
        workflow_execution_info: Some(info),
        workflow_extended_info: Some(extended),
        ..DescribeWorkflowExecutionResponse::default()
    }
}

fn broken(error: io::Error) -> Refusal {
    Refusal::new(Code::Internal, format!("the stand-in can't keep its record: {error}"))
}
