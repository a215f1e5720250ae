//! The details of a gRPC status: `ErrorInfo`, `BadRequest`, `RetryInfo`, and our own `Fault` where a violation means a part of a text.
//!
//! Details travel as HTTP/2 headers, of which some clients take no more than 8 KiB: long lists of violations are cut there, and say so.

use flintwheel_model::Violation;
use flintwheel_proto::v1;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{Error, reason};
use crate::convert::time;

/// Names whose error reasons these are.
const DOMAIN: &str = "flintwheel.dev";
/// Of all violations together; they may travel twice, and grow by a third as base64.
const VIOLATION_BYTES: usize = 1500;
/// Of the message, which travels percent-encoded.
const MESSAGE_BYTES: usize = 1000;
const GOOGLE: &str = "type.googleapis.com/google.rpc";
const FAULT: &str = "type.googleapis.com/flintwheel.v1.Fault";

pub(super) fn write(error: &Error) -> Status {
    let message = shorten(&error.message, MESSAGE_BYTES);
    let violations = fitting(&error.violations);
    let mut details = vec![error_info(error)];
    if !violations.is_empty() {
        details.push(bad_request(&violations));
    }
    if let Some(delay) = error.retry_delay {
        let info = pb::RetryInfo { retry_delay: Some(time::duration(delay)) };
        details.push(any(&format!("{GOOGLE}.RetryInfo"), &info));
    }
    if violations.iter().any(|violation| violation.part.is_some()) {
        let violations = violations.iter().map(write_violation).collect();
        details.push(any(FAULT, &v1::Fault { violations, ..Default::default() }));
    }
    let all = pb::Status { code: error.code as i32, message: message.clone(), details };
    Status::with_details(error.code, message, all.encode_to_vec().into())
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

fn error_info(error: &Error) -> Any {
    let info = pb::ErrorInfo { reason: error.reason.clone(), domain: DOMAIN.to_owned(), ..Default::default() };
    any(&format!("{GOOGLE}.ErrorInfo"), &info)
}

fn bad_request(violations: &[Violation]) -> Any {
    let write = |violation: &Violation| pb::bad_request::FieldViolation {
        field: violation.field.clone(),
        description: violation.message.clone(),
        ..Default::default()
    };
    let request = pb::BadRequest { field_violations: violations.iter().map(write).collect() };
    any(&format!("{GOOGLE}.BadRequest"), &request)
}

/// As many as fit, and one that tells how many don't.
fn fitting(violations: &[Violation]) -> Vec<Violation> {
    let mut room = VIOLATION_BYTES;
    let mut fit = Vec::new();
    for violation in violations {
        let violation = Violation { message: shorten(&violation.message, VIOLATION_BYTES / 3), ..violation.clone() };
        let size = violation.field.len() + violation.message.len() + 16;
        if size > room {
            let rest = violations.len() - fit.len();
            fit.push(Violation::new("", format!("and {rest} more faults, too many for a status; mend these first")));
            break;
        }
        room -= size;
        fit.push(violation);
    }
    fit
}

fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

pub(super) fn read(status: &Status) -> Error {
    let mut error = Error::new(status.code(), default_reason(status.code()), status.message());
    let details = pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    for detail in &details {
        read_detail(detail, &mut error);
    }
    error
}

/// Of a status that came without details: from a proxy, or from gRPC itself.
fn default_reason(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => reason::INVALID_ARGUMENT,
        Code::NotFound => reason::NOT_FOUND,
        Code::Unavailable => reason::UNREACHABLE,
        Code::DeadlineExceeded => reason::DEADLINE,
        Code::OutOfRange => reason::TOO_LARGE,
        _ => reason::INTERNAL,
    }
}

/// What can't be decoded is left out: the status says enough without it.
fn read_detail(detail: &Any, error: &mut Error) {
    let bytes = detail.value.as_slice();
    match detail.type_url.rsplit('/').next() {
        Some("google.rpc.ErrorInfo") => {
            if let Ok(info) = pb::ErrorInfo::decode(bytes) {
                error.reason = info.reason;
            }
        }
        Some("google.rpc.RetryInfo") => {
            let info = pb::RetryInfo::decode(bytes).ok();
            error.retry_delay = info.and_then(|info| info.retry_delay).map(time::length);
        }
        Some("google.rpc.BadRequest") if error.violations.is_empty() => {
            let request = pb::BadRequest::decode(bytes).unwrap_or_default();
            let read = |v: pb::bad_request::FieldViolation| Violation::new(v.field, v.description);
            error.violations = request.field_violations.into_iter().map(read).collect();
        }
        Some("flintwheel.v1.Fault") => {
            let fault = v1::Fault::decode(bytes).unwrap_or_default();
            error.violations = fault.violations.into_iter().map(read_violation).collect();
        }
        _ => {}
    }
}

pub(super) fn write_violation(violation: &Violation) -> v1::FieldViolation {
    let offset = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    v1::FieldViolation {
        field: violation.field.clone(),
        message: violation.message.clone(),
        part: violation.part.map(|(start, end)| v1::TextRange { start: offset(start), end: offset(end) }),
    }
}

pub(super) fn read_violation(proto: v1::FieldViolation) -> Violation {
    let part = proto.part.map(|range| (range.start as usize, range.end as usize));
    Violation { field: proto.field, message: proto.message, part }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::StatusExt;

    use super::*;

    fn error() -> Error {
        let violations = vec![Violation::new("a", "is required"), Violation::new("b[0]", "is odd").at(2, 4)];
        Error { violations, ..Error::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, "two faults") }
    }

    #[test]
    fn an_error_comes_back_as_it_went() {
        for error in [
            Error::new(Code::NotFound, reason::NOT_FOUND, "no"),
            Error::new(Code::ResourceExhausted, reason::BACK_PRESSURE, "full").retry_after(Duration::from_millis(250)),
            error(),
        ] {
            assert_eq!(Error::from(Status::from(error.clone())), error);
            assert_eq!(Error::from_proto(error.to_proto()), error);
        }
    }

    #[test]
    fn programs_that_know_only_googles_details_see_all_of_it() {
        let details = Status::from(error().retry_after(Duration::from_secs(2))).get_error_details();
        let info = details.error_info().expect("info");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_ARGUMENT", "flintwheel.dev"));
        let fields = &details.bad_request().expect("violations").field_violations;
        let fields: Vec<_> = fields.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect();
        assert_eq!(fields, [("a", "is required"), ("b[0]", "is odd")]);
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(2)));
    }

    #[test]
    fn many_faults_stay_below_what_headers_may_hold_and_say_that_there_are_more() {
        let violation = |i| Violation::new(format!("f[{i}]"), "ä".repeat(400)).at(0, 1);
        let violations: Vec<_> = (0..100).map(violation).collect();
        let error = Error { violations, message: "ö".repeat(5000), ..error() };
        let status = Status::from(error);
        let base64 = status.details().len() * 4 / 3;
        assert!(base64 + 3 * status.message().len() < 8 * 1024, "{base64}");
        let read = Error::from(status);
        let last = read.violations.last().expect("some");
        assert_eq!(
            last.message,
            format!("and {} more faults, too many for a status; mend these first", 101 - read.violations.len())
        );
    }
}
