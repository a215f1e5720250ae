//! CloudEvents over HTTP: 202 when all of a request is durable; anything less is no success.

use axum::extract::State;
use flintwheel_client::{Code, Error, PublishResult, RejectedEvent, reason};
use flintwheel_model::Violation;
use http::StatusCode;

use super::body::{Whole, json_with, unsupported};
use super::mode::Mode;
use super::path::Namespace;
use super::problem::{Answer, Problem};
use super::query::{Nothing, Query};
use crate::server::{Doors, Fault};

/// Why a single event does not fit; see `ingress`.
const TOO_LARGE: &str = "EVENT_TOO_LARGE";

/// One event or many. A batch with faults that can be seen before anything is done is refused as a whole.
pub async fn publish(
    State(doors): State<Doors>,
    Namespace(namespace): Namespace,
    Query(Nothing {}): Query<Nothing>,
    whole: Whole,
) -> Answer {
    let mode = Mode::of(&whole.headers).map_err(unsupported)?;
    let events = mode.events(&whole.headers, &whole.bytes)?;
    let result = doors.publish(&namespace, &events).await?;
    if result.rejected.is_empty() {
        return Ok(json_with(StatusCode::ACCEPTED, &result));
    }
    Err(refused(result, mode.is_batch()))
}

/// Some were refused after all. What else was in the batch is taken; sent again, it is dropped as duplicates.
fn refused(result: PublishResult, batch: bool) -> Problem {
    let violation = |rejected: &RejectedEvent| match (batch, rejected.field.is_empty()) {
        (false, _) => Violation::new(&rejected.field, &rejected.message),
        (true, true) => Violation::new(format!("[{}]", rejected.index), &rejected.message),
        (true, false) => Violation::new(format!("[{}].{}", rejected.index, rejected.field), &rejected.message),
    };
    let violations: Vec<Violation> = result.rejected.iter().map(violation).collect();
    let first = violations.first().map(ToString::to_string).unwrap_or_default();
    let count = result.rejected.len();
    let message = match (batch, result.accepted) {
        (false, _) => first,
        (true, 0) => format!("{count} events were refused, {first}"),
        (true, taken) => format!("{count} events were refused, {first}; the other {taken} are taken"),
    };
    let too_large = result.rejected.iter().all(|rejected| rejected.reason == TOO_LARGE);
    let (status, code, reason) = match too_large {
        true => (StatusCode::PAYLOAD_TOO_LARGE, Code::OutOfRange, reason::TOO_LARGE),
        false => (StatusCode::BAD_REQUEST, Code::InvalidArgument, reason::INVALID_ARGUMENT),
    };
    let fault = Fault::from(Error { violations, ..Error::new(code, reason, message) });
    Problem::new(status, fault).with_result(result)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    use super::*;

    async fn told(rejected: &[(u32, &str, &str)], accepted: u32, batch: bool) -> (u16, Value) {
        let event = |(index, reason, field): &(u32, &str, &str)| RejectedEvent {
            index: *index,
            reason: (*reason).to_owned(),
            field: (*field).to_owned(),
            message: "is odd".to_owned(),
        };
        let rejected = rejected.iter().map(event).collect();
        let response = refused(PublishResult { accepted, rejected, ..Default::default() }, batch).into_response();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn refused_events_are_no_success_and_tell_what_was_taken() {
        let (status, body) = told(&[(1, "EVENT_INVALID", "time"), (3, TOO_LARGE, "")], 2, true).await;
        assert_eq!((status, &body["reason"]), (400, &json!("INVALID_ARGUMENT")));
        let told = json!([{"field": "[1].time", "message": "is odd"}, {"field": "[3]", "message": "is odd"}]);
        assert_eq!((&body["violations"], &body["result"]["accepted"]), (&told, &json!(2)));
        assert_eq!(body["detail"], "2 events were refused, [1].time: is odd; the other 2 are taken");
    }

    #[tokio::test]
    async fn a_single_event_has_its_own_fields_and_status() {
        for (rejected, status, reason, field) in [
            ((0, "EVENT_INVALID", "time"), 400, "INVALID_ARGUMENT", "time"),
            ((0, TOO_LARGE, ""), 413, "TOO_LARGE", ""),
        ] {
            let (got, body) = told(&[rejected], 0, false).await;
            assert_eq!(
                (got, &body["reason"], &body["violations"][0]["field"]),
                (status, &json!(reason), &json!(field))
            );
        }
    }
}
