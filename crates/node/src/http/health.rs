//! Whether the process lives, whether the node takes work, and what it has counted.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use flintwheel_client::reason;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::body::text;
use super::exposition;
use crate::server::Doors;

/// The process answers: that is all.
pub async fn live() -> &'static str {
    "ok\n"
}

/// 503 with the reason while the node takes no work. One that does, without some shards that nobody has any more, names them.
pub async fn ready(State(doors): State<Doors>) -> Response {
    match doors.api.ready() {
        Ok(()) => {
            let lines = std::iter::once("ok".to_owned()).chain(doors.api.damaged());
            lines.map(|line| line + "\n").collect::<String>().into_response()
        }
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}: {why}\n", reason::NOT_READY)).into_response(),
    }
}

/// OpenMetrics for those who ask for it, else the older text format of Prometheus.
pub async fn metrics(State(doors): State<Doors>, headers: HeaderMap) -> Response {
    let text_format = doors.api.metrics();
    if text(&headers, &ACCEPT).contains(exposition::OPENMETRICS) {
        let media_type = format!("{}; version=1.0.0; charset=utf-8", exposition::OPENMETRICS);
        return ([(CONTENT_TYPE, media_type)], text_format).into_response();
    }
    ([(CONTENT_TYPE, exposition::PLAIN)], exposition::plain(&text_format)).into_response()
}
