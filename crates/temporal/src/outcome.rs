//! Reads the answer to a start: which ones mean that it runs, which ask for another try, and which will never do.
//!
//! The rule for what is refused for good: the firing itself is at fault (its namespace, type, input, timeouts), so that the same
//! request can't ever be taken. What an operator can heal without touching the definition (credentials, quotas, a
//! namespace that is failing over, a wrong address) waits in the outbox instead: a thousand dead letters because of one
//! expired key would help nobody.

use flintwheel_model::firing::StartOutcome;
use prost::Message;
use temporalio_common::protos::google::rpc::Status as RpcStatus;
use temporalio_common::protos::temporal::api::enums::v1::ResourceExhaustedCause;
use temporalio_common::protos::temporal::api::errordetails::v1::{
    NamespaceInvalidStateFailure, ResourceExhaustedFailure, WorkflowExecutionAlreadyStartedFailure,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionResponse;
use tonic::{Code, Status};

use crate::error::describe;

/// An OK is ours also where `started` is false: the conflict policy is FAIL, so Temporal never attaches us to a
/// foreign run, and servers before 1.24 don't set the field.
pub(crate) fn started(answer: StartWorkflowExecutionResponse) -> StartOutcome {
    StartOutcome::Started { run_id: answer.run_id }
}

/// What an error status means for a start with this request id.
pub(crate) fn failed(status: &Status, request_id: &str) -> StartOutcome {
    // Both gRPC stacks refuse an oversized message before Temporal sees it, each with a code of its own.
    if is_too_large(status) {
        return refused(status);
    }
    match status.code() {
        Code::AlreadyExists => already_exists(status, request_id),
        Code::InvalidArgument | Code::NotFound => refused(status),
        Code::FailedPrecondition if detail::<NamespaceInvalidStateFailure>(status).is_some() => refused(status),
        Code::FailedPrecondition if is_version_missing(status) => refused(status),
        Code::ResourceExhausted => retry(status, !is_one_workflow_busy(status)),
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented => retry(status, true),
        // Ok stands here for the compiler: it is no error.
        Code::Ok | Code::Unknown | Code::Internal | Code::Aborted | Code::OutOfRange | Code::DataLoss => {
            retry(status, is_transport(status))
        }
    }
}

fn already_exists(status: &Status, request_id: &str) -> StartOutcome {
    let found = detail::<WorkflowExecutionAlreadyStartedFailure>(status).unwrap_or_default();
    if found.start_request_id == request_id {
        return StartOutcome::Started { run_id: found.run_id };
    }
    StartOutcome::Conflict { start_request_id: found.start_request_id, run_id: found.run_id }
}

fn refused(status: &Status) -> StartOutcome {
    StartOutcome::Refused { reason: describe(status) }
}

fn retry(status: &Status, target_wide: bool) -> StartOutcome {
    StartOutcome::Retry { reason: describe(status), target_wide }
}

fn is_too_large(status: &Status) -> bool {
    match status.code() {
        Code::ResourceExhausted => status.message().contains("message larger than max"),
        Code::OutOfRange => status.message().contains("message length too large"),
        _ => false,
    }
}

/// A lock on this one workflow id; all other causes are about the namespace or the cluster.
fn is_one_workflow_busy(status: &Status) -> bool {
    detail::<ResourceExhaustedFailure>(status)
        .is_some_and(|failure| failure.cause == ResourceExhaustedCause::BusyWorkflow as i32)
}

/// A version that the definition names, and no worker of its queue is. Taken for anything else, one definition would keep all starts of its target
/// waiting for a build that may never come. The server attaches no detail, and knows this answer by the same words.
fn is_version_missing(status: &Status) -> bool {
    status.message().contains("is not present in task queue")
}

/// Made by our side of the wire rather than sent by the server.
fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The first detail of this type, if the server attached one.
fn detail<M: Message + Default + prost::Name>(status: &Status) -> Option<M> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let found = details.into_iter().find(|any| any.type_url.rsplit('/').next() == Some(&M::full_name()))?;
    M::decode(found.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use prost::Name;
    use temporalio_common::protos::temporal::api::errordetails::v1::{
        NamespaceNotActiveFailure, NamespaceNotFoundFailure,
    };

    use super::*;

    const OURS: &str = "request-1";

    /// What Temporal sends: the message, and the detail packed into `grpc-status-details-bin`.
    fn with_detail<M: Message + Name>(code: Code, message: &str, detail: &M) -> Status {
        #[derive(Clone, PartialEq, Message)]
        struct Any {
            #[prost(string, tag = "1")]
            type_url: String,
            #[prost(bytes = "vec", tag = "2")]
            value: Vec<u8>,
        }
        #[derive(Clone, PartialEq, Message)]
        struct Rpc {
            #[prost(int32, tag = "1")]
            code: i32,
            #[prost(string, tag = "2")]
            message: String,
            #[prost(message, repeated, tag = "3")]
            details: Vec<Any>,
        }
        let type_url = format!("type.googleapis.com/{}", M::full_name());
        let details = vec![Any { type_url, value: detail.encode_to_vec() }];
        let rpc = Rpc { code: code as i32, message: message.to_owned(), details };
        Status::with_details(code, message, rpc.encode_to_vec().into())
    }

    fn exists(start_request_id: &str) -> Status {
        let detail = WorkflowExecutionAlreadyStartedFailure {
            start_request_id: start_request_id.to_owned(),
            run_id: "run-1".to_owned(),
            first_execution_run_id: "run-1".to_owned(),
        };
        with_detail(Code::AlreadyExists, "Workflow execution is already running", &detail)
    }

    fn exhausted(cause: ResourceExhaustedCause) -> Status {
        with_detail(Code::ResourceExhausted, "limit", &ResourceExhaustedFailure { cause: cause as i32, scope: 1 })
    }

    #[derive(Debug, PartialEq)]
    enum Kind {
        Started,
        Conflict,
        Refused,
        RetryThis,
        RetryAll,
    }

    fn kind(outcome: &StartOutcome) -> Kind {
        match outcome {
            StartOutcome::Started { .. } => Kind::Started,
            StartOutcome::Conflict { .. } => Kind::Conflict,
            StartOutcome::Refused { .. } => Kind::Refused,
            StartOutcome::Retry { target_wide: false, .. } => Kind::RetryThis,
            StartOutcome::Retry { target_wide: true, .. } => Kind::RetryAll,
        }
    }

    #[test]
    fn each_error_has_its_outcome() {
        let not_found = NamespaceNotFoundFailure { namespace: "nowhere".to_owned() };
        let deleted = NamespaceInvalidStateFailure { namespace: "gone".to_owned(), ..Default::default() };
        let passive = NamespaceNotActiveFailure { namespace: "passive".to_owned(), ..Default::default() };
        let cases = [
            (exists(OURS), Kind::Started),
            (exists("someone-else"), Kind::Conflict),
            (Status::already_exists("without detail"), Kind::Conflict),
            (Status::invalid_argument("BadRequest: input exceeds limit"), Kind::Refused),
            (with_detail(Code::NotFound, "Namespace nowhere is not found.", &not_found), Kind::Refused),
            (Status::not_found("Namespace nowhere is not found."), Kind::Refused),
            (with_detail(Code::FailedPrecondition, "Namespace has invalid state", &deleted), Kind::Refused),
            (with_detail(Code::FailedPrecondition, "Namespace is not active here", &passive), Kind::RetryAll),
            (Status::failed_precondition("client version"), Kind::RetryAll),
            (
                Status::failed_precondition("Pinned version 'd:b' is not present in task queue 'q' of type 'Workflow'"),
                Kind::Refused,
            ),
            (Status::resource_exhausted("grpc: received message larger than max (5 vs. 4)"), Kind::Refused),
            (Status::out_of_range("Error, decoded message length too large: found 5 bytes"), Kind::Refused),
            (exhausted(ResourceExhaustedCause::RpsLimit), Kind::RetryAll),
            (exhausted(ResourceExhaustedCause::ConcurrentLimit), Kind::RetryAll),
            (exhausted(ResourceExhaustedCause::SystemOverloaded), Kind::RetryAll),
            (exhausted(ResourceExhaustedCause::PersistenceLimit), Kind::RetryAll),
            (exhausted(ResourceExhaustedCause::PersistenceStorageLimit), Kind::RetryAll),
            (exhausted(ResourceExhaustedCause::BusyWorkflow), Kind::RetryThis),
            (Status::resource_exhausted("without detail"), Kind::RetryAll),
            (Status::unavailable("connection refused"), Kind::RetryAll),
            (Status::deadline_exceeded("slow"), Kind::RetryAll),
            (Status::cancelled("closing"), Kind::RetryAll),
            (Status::unauthenticated("key expired"), Kind::RetryAll),
            (Status::permission_denied("no role"), Kind::RetryAll),
            (Status::unimplemented("not Temporal at all"), Kind::RetryAll),
            (Status::internal("shard status unknown"), Kind::RetryThis),
            (Status::unknown("odd"), Kind::RetryThis),
            (Status::from_error("connection reset".into()), Kind::RetryAll),
            (Status::aborted("again"), Kind::RetryThis),
            (Status::out_of_range("odd"), Kind::RetryThis),
            (Status::data_loss("odd"), Kind::RetryThis),
        ];
        for (status, expected) in cases {
            assert_eq!(kind(&failed(&status, OURS)), expected, "{status:?}");
        }
    }

    #[test]
    fn a_conflict_names_whose_it_is() {
        let outcome = failed(&exists("someone-else"), OURS);
        let expected =
            StartOutcome::Conflict { start_request_id: "someone-else".to_owned(), run_id: "run-1".to_owned() };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_detail_of_garbage_is_no_detail() {
        let status = Status::with_details(Code::AlreadyExists, "x", vec![0xff; 7].into());
        assert_eq!(kind(&failed(&status, OURS)), Kind::Conflict);
    }

    #[test]
    fn a_long_reason_is_cut_and_marked() {
        let StartOutcome::Refused { reason } = failed(&Status::invalid_argument("é".repeat(5000)), OURS) else {
            panic!("not refused");
        };
        assert!(reason.ends_with(" ...") && reason.len() < 500, "{reason}");
    }
}
