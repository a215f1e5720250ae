//! Faults as `application/problem+json` (RFC 9457), with the reasons and violations that gRPC has too.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use flintwheel_client::{Code, PublishResult};
use flintwheel_model::{Violation, Violations};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::api::ApiError;
use crate::server::Fault;

/// Its media type.
const PROBLEM_JSON: &str = "application/problem+json";

/// An answer that says why not.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    fault: Box<Fault>,
    result: Option<Box<PublishResult>>,
}

/// Its body.
#[derive(Serialize)]
pub struct Body<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    facts: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a PublishResult>,
}

impl Problem {
    /// With a status that the fault's code does not tell.
    pub fn new(status: StatusCode, fault: Fault) -> Self {
        Self { status, fault: Box::new(fault), result: None }
    }

    /// Adds what was done all the same.
    #[must_use]
    pub fn with_result(mut self, result: PublishResult) -> Self {
        self.result = Some(Box::new(result));
        self
    }

    /// As it stands in an answer, or in an item of one.
    pub fn body(&self) -> Body<'_> {
        let Fault { error, about } = &*self.fault;
        let mut facts = BTreeMap::new();
        if let Some(about) = about {
            facts.extend(about.facts.iter().map(|(name, value)| (*name, value.as_str())));
            facts.extend([("namespace", about.key.namespace.as_str()), ("id", about.key.id.as_str())]);
        }
        Body {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &error.message,
            reason: &error.reason,
            violations: &error.violations,
            facts,
            result: self.result.as_deref(),
        }
    }
}

impl<T: Into<Fault>> From<T> for Problem {
    fn from(fault: T) -> Self {
        let fault = fault.into();
        Self::new(status(fault.error.code), fault)
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        // A version that was expected came in a header.
        Code::Aborted => StatusCode::PRECONDITION_FAILED,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).expect("strings and numbers can always be written");
        let mut response = (self.status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(delay) = self.fault.error.retry_delay {
            response.headers_mut().insert(RETRY_AFTER, seconds(delay).into());
        }
        response
    }
}

/// Rounded up: coming back too early would only be told to wait again.
fn seconds(delay: Duration) -> u64 {
    delay.as_millis().div_ceil(1000).max(1) as u64
}

/// One violation for each field, under the path of the item that it belongs to.
pub fn within(path: &str, faults: Violations) -> impl Iterator<Item = Violation> {
    faults.0.into_iter().map(move |fault| {
        let field = if fault.field.is_empty() { path.to_owned() } else { format!("{path}.{}", fault.field) };
        Violation { field, ..fault }
    })
}

/// What handlers give back.
pub type Answer = Result<Response, Problem>;

/// For errors of the engine.
pub fn refused(error: ApiError) -> Problem {
    Fault::from(error).into()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use flintwheel_model::DefinitionKey;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::EngineError;

    async fn read(problem: Problem) -> (u16, Option<String>, Value) {
        let response = problem.into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let retry = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("digits").to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        (status, retry, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn each_error_has_its_status_and_a_delay_only_where_it_passes() {
        let key = || DefinitionKey::new("ops", "cleanup");
        let violations = Violations(vec![Violation::new("a", "is odd")]);
        for (error, status, reason, retry) in [
            (ApiError::Invalid(violations), 400, "INVALID_ARGUMENT", None),
            (ApiError::NotFound(key()), 404, "NOT_FOUND", None),
            (ApiError::Conflict { key: key(), expected: 1, actual: 2 }, 412, "VERSION_CONFLICT", None),
            (ApiError::TooManyNamespaces("n".into()), 409, "TOO_MANY_NAMESPACES", None),
            (ApiError::Alone, 501, "ALONE", None),
            (EngineError::Busy.into(), 429, "BACK_PRESSURE", Some("1")),
            (EngineError::NotLed.into(), 503, "NOT_LEADER", Some("1")),
            (EngineError::Stopping.into(), 503, "NOT_READY", Some("1")),
            (EngineError::Read("disk".into()).into(), 500, "INTERNAL", None),
        ] {
            let (got, delay, body) = read(refused(error)).await;
            assert_eq!((got, delay.as_deref(), body["reason"].as_str()), (status, retry, Some(reason)));
            assert_eq!(body["status"], status);
        }
    }

    #[tokio::test]
    async fn all_violations_and_facts_stand_in_the_body() {
        let violations = vec![Violation::new("a", "is odd"), Violation::new("b", "is even").at(1, 3)];
        let (.., body) = read(Violations(violations).into()).await;
        let told = json!([{"field": "a", "message": "is odd"}, {"field": "b", "message": "is even", "part": [1, 3]}]);
        assert_eq!((&body["violations"], &body["title"]), (&told, &json!("Bad Request")));
        let conflict = ApiError::Conflict { key: DefinitionKey::new("ops", "x"), expected: 1, actual: 2 };
        let (.., body) = read(refused(conflict)).await;
        let facts = json!({"namespace": "ops", "id": "x", "expected_version": "1", "actual_version": "2"});
        assert_eq!(body["facts"], facts);
    }

    #[test]
    fn violations_of_an_item_are_told_with_its_place() {
        let faults = Violations(vec![Violation::new("id", "is required"), Violation::new("", "is odd")]);
        let fields: Vec<_> = within("[3]", faults).map(|fault| fault.field).collect();
        assert_eq!(fields, ["[3].id", "[3]"]);
    }
}
