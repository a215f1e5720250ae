//! Request bodies: read within limits of size and time, JSON with the path of what is wrong in it.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flintwheel_client::{Code, reason};
use flintwheel_model::event::is_json;
use flintwheel_model::expected;
use flintwheel_model::ids::short;
use flintwheel_model::limits::{JSON_DEPTH, MESSAGE_BYTES};
use flintwheel_model::{Violation, Violations};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Problem;
use crate::server::{Doors, Fault};

/// For the whole body: who is slower than this holds room that others need.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body in full, and the room that it takes.
#[derive(Debug)]
pub struct Whole {
    /// The headers that came with it.
    pub headers: HeaderMap,
    /// As it came.
    pub bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl FromRequest<Doors> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, doors: &Doors) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_encoding(&parts.headers)?;
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let announced: usize = announced.unwrap_or(MESSAGE_BYTES);
        if announced > MESSAGE_BYTES {
            return Err(too_large(&format!("the body has {announced} bytes")));
        }
        let room = doors.room_soon(announced).await?;
        Ok(Self { headers: parts.headers, bytes: read(body).await?, _room: room })
    }
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(other) => {
            let other = short(&String::from_utf8_lossy(other));
            Err(unsupported(format!("content-encoding {other:?} is not supported; send the body as it is")))
        }
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let Ok(read) = tokio::time::timeout(PATIENCE, to_bytes(body, MESSAGE_BYTES)).await else {
        let message = format!("the body did not arrive within {PATIENCE:?}");
        return Err(Fault::new(Code::DeadlineExceeded, reason::DEADLINE, message).into());
    };
    read.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) if cause.is::<LengthLimitError>() => too_large("the body has more"),
        _ => Fault::field("", format!("the body could not be read: {error}")).into(),
    })
}

fn too_large(what: &str) -> Problem {
    let message = format!("{what}; a request has at most {MESSAGE_BYTES} bytes: send less at a time");
    Fault::new(Code::OutOfRange, reason::TOO_LARGE, message).into()
}

/// 415, with what would be taken.
pub fn unsupported(message: String) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Fault::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", message),
    )
}

/// A header's text; empty where there is none, or none that is text.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Doors> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, doors: &Doors) -> Result<Self, Problem> {
        let whole = Whole::from_request(request, doors).await?;
        Ok(Self(whole.json()?))
    }
}

/// A JSON body that may be left out.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Doors> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, doors: &Doors) -> Result<Self, Problem> {
        let whole = Whole::from_request(request, doors).await?;
        Ok(Self(if whole.bytes.is_empty() { T::default() } else { whole.json()? }))
    }
}

impl Whole {
    fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let media_type = text(&self.headers, &CONTENT_TYPE);
        if !media_type.is_empty() && !is_json(media_type) {
            let media_type = short(media_type);
            return Err(unsupported(format!("content-type {media_type:?} is not taken here: send application/json")));
        }
        Ok(from_slice(&self.bytes)?)
    }
}

/// Reads JSON; what is wrong is told with its path.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Violations> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| at_path(&error))?;
    reader.end().map_err(|error| one("", &error.to_string()))?;
    Ok(value)
}

/// The same, from JSON that has been read.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Violations> {
    serde_path_to_error::deserialize(value).map_err(|error| at_path(&error))
}

fn at_path(error: &serde_path_to_error::Error<serde_json::Error>) -> Violations {
    let path = error.path().to_string();
    // The library writes "?" for a place that it could not name: the text ended inside, and there is no field to blame.
    let path = if path == "." || path == "?" { "" } else { &path };
    one(&short(path), &in_words(error.inner()))
}

/// The library says that it gave up, not what is allowed.
fn in_words(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.strip_prefix("recursion limit exceeded") {
        Some(place) => format!("is nested deeper than {JSON_DEPTH}{place}"),
        None => expected::in_words(&message).into_owned(),
    }
}

fn one(field: &str, message: &str) -> Violations {
    Violations(vec![Violation::new(field, message)])
}

/// 200 and a JSON body.
pub fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

/// A JSON body.
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("the types of the API can always be written");
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use flintwheel_model::ActivityDefinition;

    use super::*;

    #[test]
    fn what_is_wrong_in_json_is_told_with_its_path() {
        let head = r#""apiVersion":"flintwheel.dev/v1","kind":"ActivityDefinition","metadata":{"id":"a"}"#;
        for (spec, field, message) in [
            (r#"{"enabeld":true}"#, "spec.enabeld", "unknown field `enabeld`, expected one of `enabled`"),
            (r#"{"enabled":"x"}"#, "spec.enabled", "invalid type: string \"x\", expected a boolean"),
            (
                r#"{"trigger":{"schedule":{"timezone":5}}}"#,
                "spec.trigger.schedule.timezone",
                "invalid type: integer `5`",
            ),
            (
                r#"{"trigger":{"schedule":{"max_firings":-1}}}"#,
                "spec.trigger.schedule.max_firings",
                "invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
            ),
            (
                r#"{"trigger":{"schedule":{"interval":"1h"}}}"#,
                "spec.trigger.schedule.interval",
                "invalid type: string \"1h\", expected a map such as {every: 1h}",
            ),
            (
                r#"{"trigger":{"schedule":5}}"#,
                "spec.trigger.schedule",
                "invalid type: integer `5`, expected a map (key: value)",
            ),
            (r#"{"trigger":{"event":{"types":[5]}}}"#, "spec.trigger.event.types[0]", "invalid type"),
            (r#"{} "#, "", "EOF while parsing an object at line 1"),
        ] {
            let mut text = format!("{{{head},\"spec\":{spec}");
            if !field.is_empty() {
                text.push('}');
            }
            let faults = from_slice::<ActivityDefinition>(text.as_bytes()).expect_err("a fault");
            let fault = &faults.0[0];
            assert_eq!(fault.field, field, "{faults}");
            assert!(fault.message.contains(message), "{faults}");
        }
    }

    #[test]
    fn nesting_beyond_all_reason_is_a_fault_and_no_crash() {
        for text in ["[".repeat(10_000), r#"{"a":"#.repeat(10_000)] {
            let faults = from_slice::<serde_json::Value>(text.as_bytes()).expect_err("a fault");
            assert!(faults.0[0].message.starts_with("is nested deeper than 64 at line 1"), "{faults}");
            assert!(faults.0[0].field.len() < 200);
        }
    }

    #[test]
    fn more_than_one_document_is_a_fault() {
        let faults = from_slice::<serde_json::Value>(b"{} {}").expect_err("a fault");
        assert!(faults.0[0].message.contains("trailing characters"), "{faults}");
    }

    #[test]
    fn encodings_that_would_have_to_be_undone_are_refused() {
        for (encoding, fine) in [("identity", true), ("gzip", false), ("br", false)] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().expect("a value"))]);
            assert_eq!(check_encoding(&headers).is_ok(), fine, "{encoding}");
        }
    }
}
