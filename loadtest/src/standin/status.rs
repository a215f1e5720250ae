//! Error answers as Temporal gives them: a gRPC code, a message, and a packed detail.

use bytes::Bytes;
use prost::{Message, Name};
use temporalio_common::protos::temporal::api::enums::v1::{ResourceExhaustedCause, ResourceExhaustedScope};
use temporalio_common::protos::temporal::api::errordetails::v1::{
    NamespaceNotFoundFailure, ResourceExhaustedFailure, WorkflowExecutionAlreadyStartedFailure,
};
use tonic::Code;

/// An error answer, ready to send.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    details: Bytes,
}

/// `google.rpc.Status`, which travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new() }
    }

    fn with<M: Message + Name>(code: Code, message: impl Into<String>, detail: &M) -> Self {
        let message = message.into();
        let any = Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: detail.encode_to_vec() };
        let status = RpcStatus { code: code as i32, message: message.clone(), details: vec![any] };
        Self { code, message, details: status.encode_to_vec().into() }
    }

    /// As an HTTP response without a body.
    pub(crate) fn into_status(self) -> tonic::Status {
        tonic::Status::with_details(self.code, self.message, self.details)
    }
}

pub(crate) fn namespace_not_found(namespace: &str) -> Refusal {
    let detail = NamespaceNotFoundFailure { namespace: namespace.to_owned() };
    Refusal::with(Code::NotFound, format!("Namespace {namespace} is not found."), &detail)
}

pub(crate) fn throttled() -> Refusal {
    let detail = ResourceExhaustedFailure {
        cause: ResourceExhaustedCause::RpsLimit as i32,
        scope: ResourceExhaustedScope::Namespace as i32,
    };
    Refusal::with(Code::ResourceExhausted, "namespace rate limit exceeded", &detail)
}

pub(crate) fn already_started(workflow_id: &str, start_request_id: String, run_id: String) -> Refusal {
    let message = format!("Workflow execution is already running. WorkflowId: {workflow_id}, RunId: {run_id}.");
    let detail =
        WorkflowExecutionAlreadyStartedFailure { start_request_id, first_execution_run_id: run_id.clone(), run_id };
    Refusal::with(Code::AlreadyExists, message, &detail)
}
