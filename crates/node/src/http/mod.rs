//! The HTTP door: CloudEvents in all their forms, the definition API as JSON, metrics and health.
//!
//! Each handler translates: bodies and queries to the types of `client` and `model`, faults to `application/problem+json`.

mod admin;
mod binary;
mod body;
mod calendars;
mod cluster;
mod conditions;
mod dead;
mod definitions;
mod events;
mod exposition;
mod health;
mod mode;
mod occurrences;
mod operations;
mod path;
mod problem;
mod query;
mod schedules;
mod waiting;
mod webhook;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, patch, post};
use flintwheel_client::Code;
use http::StatusCode;

use crate::server::{Doors, Fault};
use problem::Problem;
pub use waiting::waiting;

/// All routes. Paths of one definition end in its id; what is done with it follows after a colon, which no id can hold.
pub fn router(doors: Doors) -> Router {
    let definition = get(definitions::get).put(definitions::put).delete(definitions::delete).post(definitions::act);
    let definition = definition.patch(operations::update);
    let calendar = get(calendars::get).put(calendars::put).delete(calendars::delete);
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(admin::status))
        .route("/v1/cluster", get(cluster::state))
        .route("/v1/cluster:rebalance", post(cluster::rebalance))
        .route("/v1/cluster/settings", patch(cluster::settings))
        .route("/v1/cluster/nodes/{node}", post(cluster::node))
        .route("/v1/cluster/shards/{shard}", post(cluster::shard))
        .route("/v1/namespaces/{namespace}/events", post(events::publish).options(webhook::validate))
        .route("/v1/calendars", get(calendars::list_all))
        .route("/v1/namespaces/{namespace}/calendars", get(calendars::list))
        .route("/v1/namespaces/{namespace}/calendars/{name}", calendar)
        .route("/v1/definitions", get(definitions::list_all))
        .route("/v1/definitions:batch", post(definitions::batch))
        .route("/v1/definitions:bulk", post(operations::bulk))
        .route("/v1/backfills", get(operations::backfills))
        .route("/v1/definitions:next", post(definitions::next_of_given))
        .route("/v1/namespaces/{namespace}/definitions", get(definitions::list))
        .route("/v1/namespaces/{namespace}/definitions/{id}", definition)
        .route("/v1/namespaces/{namespace}/definitions/{id}/next", get(definitions::next))
        .route("/v1/namespaces/{namespace}/definitions/{id}/occurrences", get(occurrences::of_definition))
        .route("/v1/namespaces/{namespace}/definitions/{id}/explain", get(schedules::explain))
        .route("/v1/due", get(schedules::due))
        .route("/v1/namespaces/{namespace}/definitions/{id}/versions", get(operations::versions))
        .route("/v1/namespaces/{namespace}/definitions/{id}/backfills", get(operations::backfills_of))
        .route("/v1/occurrences", get(occurrences::list))
        .route("/v1/dead-letters", get(dead::list))
        .route("/v1/dead-letters:retry", post(dead::retry))
        .route("/v1/dead-letters:drop", post(dead::drop_them))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(doors)
}

async fn nothing_here(request: Request) -> Problem {
    let message = format!("there is nothing at {}", flintwheel_model::ids::short(request.uri().path()));
    Fault::new(Code::NotFound, "NO_SUCH_PATH", message).into()
}

async fn wrong_method(request: Request) -> Problem {
    let message =
        format!("{} is not a method of {}", request.method(), flintwheel_model::ids::short(request.uri().path()));
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, Fault::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message))
}
