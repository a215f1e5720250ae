//! The HTTP door of a node that waits for its cluster: it lives, and takes no work.

use axum::Router;
use axum::routing::get;
use flintwheel_client::{Code, reason};

use super::health;
use super::problem::Problem;
use crate::server::{Fault, NOT_INITIALISED};

/// All routes: the process lives, everything else is 503 with what to do.
pub fn waiting() -> Router {
    Router::new().route("/livez", get(health::live)).fallback(not_yet)
}

async fn not_yet() -> Problem {
    Fault::new(Code::Unavailable, reason::NOT_READY, NOT_INITIALISED).into()
}
