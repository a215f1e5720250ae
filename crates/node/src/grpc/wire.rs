//! Requests that never reach a service, because their bytes are no message of the contract: told as the sender's fault, with details.
//!
//! tonic calls them internal errors, which a client would take for ours and try again.

use axum::response::Response;
use flintwheel_client::{Code, reason};
use flintwheel_model::limits::MESSAGE_BYTES;
use tonic::Status;

use crate::server::Fault;

/// Replaces a status that the codec made by one that says whose fault it is. For calls with one request.
pub async fn mend(response: Response) -> Response {
    let status = Status::from_header_map(response.headers());
    match status.as_ref().and_then(explain) {
        Some(fault) => Status::from(fault).into_http(),
        None => response,
    }
}

/// The same for a request of a stream.
pub fn mended(status: Status) -> Status {
    explain(&status).map_or(status, Status::from)
}

fn explain(status: &Status) -> Option<Fault> {
    if !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    match status.code() {
        Code::Internal if message.contains("failed to decode Protobuf message") => {
            let message =
                format!("the request is not the message that this call takes, or is nested too deep: {message}");
            Some(Fault::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, message))
        }
        Code::OutOfRange if message.contains("message length too large") => {
            let message = format!("a message has at most {MESSAGE_BYTES} bytes; send less at a time ({message})");
            Some(Fault::new(Code::OutOfRange, reason::TOO_LARGE, message))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    #[tokio::test]
    async fn faults_of_the_codec_are_the_senders() {
        for (status, code, reason) in [
            (
                Status::internal("failed to decode Protobuf message: recursion limit reached"),
                Code::InvalidArgument,
                Some("INVALID_ARGUMENT"),
            ),
            (
                Status::out_of_range("Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
                Code::OutOfRange,
                Some("TOO_LARGE"),
            ),
            (Status::internal("disk"), Code::Internal, None),
            (Status::not_found("x"), Code::NotFound, None),
        ] {
            let response = mend(status.clone().into_http()).await;
            let mended = Status::from_header_map(response.headers()).expect("a status");
            let info = mended.get_error_details().error_info().cloned();
            assert_eq!((mended.code(), info.as_ref().map(|info| info.reason.as_str())), (code, reason), "{status}");
        }
    }

    #[tokio::test]
    async fn answers_without_a_status_pass() {
        let response = mend(Response::new("body".into())).await;
        assert!(response.headers().is_empty());
    }
}
