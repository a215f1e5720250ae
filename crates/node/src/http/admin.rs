//! How the cluster stands.

use axum::extract::State;

use super::body::json;
use super::problem::{Answer, refused};
use super::query::{Nothing, Query};
use crate::server::Doors;

/// As `flintwheel status -o json` prints it.
pub async fn status(State(doors): State<Doors>, Query(Nothing {}): Query<Nothing>) -> Answer {
    Ok(json(&doors.api.status().await.map_err(refused)?))
}
