//! The stand-in's own door, over HTTP with JSON: set faults, ask for sums, export the record, go down and up.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::faults::Rule;
use super::{Standin, Sums};

/// Where to write the record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Export {
    pub(crate) path: PathBuf,
}

/// Serves until the listener fails.
pub async fn serve_control(listener: TcpListener, standin: Arc<Standin>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/sums", get(sums))
        .route("/faults", put(set_faults).get(faults))
        .route("/export", post(export))
        .route("/down", post(down))
        .route("/up", post(up))
        .with_state(standin);
    axum::serve(listener, router).await
}

async fn sums(State(standin): State<Arc<Standin>>) -> Json<Sums> {
    Json(standin.sums())
}

async fn faults(State(standin): State<Arc<Standin>>) -> Json<Vec<Rule>> {
    Json(standin.faults().get())
}

async fn set_faults(State(standin): State<Arc<Standin>>, Json(rules): Json<Vec<Rule>>) {
    standin.faults().set(rules);
}

async fn export(
    State(standin): State<Arc<Standin>>,
    Json(to): Json<Export>,
) -> Result<Json<u64>, (StatusCode, String)> {
    let written = tokio::task::spawn_blocking(move || standin.export(&to.path)).await;
    match written {
        Ok(Ok(lines)) => Ok(Json(lines)),
        Ok(Err(error)) => Err(internal(error)),
        Err(error) => Err(internal(error)),
    }
}

async fn down(State(standin): State<Arc<Standin>>) {
    standin.down().await;
}

async fn up(State(standin): State<Arc<Standin>>) -> Result<(), (StatusCode, String)> {
    standin.up().await.map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
