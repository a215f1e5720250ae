//! The handshake of CloudEvents' webhooks: a sender asks whether it may deliver here before it does.

use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::path::Namespace;

/// Any origin may deliver, at any rate: what is too much is told when it comes.
pub async fn validate(_: Namespace, headers: HeaderMap) -> Response {
    let mut answer = (StatusCode::OK, [(ALLOW, "OPTIONS, POST")]).into_response();
    if let Some(origin) = headers.get("webhook-request-origin") {
        let answer = answer.headers_mut();
        answer.insert(HeaderName::from_static("webhook-allowed-origin"), origin.clone());
        answer.insert(HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*"));
    }
    answer
}
