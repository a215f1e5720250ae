//! Of what the cluster is made, and what an operator may ask of it. Nodes are named by their id or their name.

use axum::extract::State;
use flintwheel_client::{Code, PlannedStep, SettingsChange, parse_shard};
use flintwheel_model::Span;
use flintwheel_model::ids::short;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Json, OptionalJson, from_value, json};
use super::path::Named;
use super::problem::{Answer, Problem};
use super::query::{Nothing, Query};
use crate::api::ApiError;
use crate::server::{Doors, Fault};

/// A node as a body names it.
#[derive(Deserialize)]
#[serde(untagged)]
enum NodeName {
    /// By its id.
    Id(u64),
    /// By its name, or by its id as text.
    Name(String),
}

/// Body of `:move`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    to: NodeName,
    from: Option<NodeName>,
}

/// Body of `:transfer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    to: Option<NodeName>,
}

/// Body of `:remove`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    #[serde(default)]
    force: bool,
}

/// Body of `:replace`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplaceBody {
    with: NodeName,
}

/// Body of `:drain` and `:undrain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// Body of [`rebalance`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebalanceBody {
    #[serde(default, alias = "dryRun")]
    dry_run: bool,
}

/// Body of [`settings`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsBody {
    replication: Option<u32>,
    #[serde(alias = "repairAfter")]
    repair_after: Option<Span>,
    #[serde(alias = "mostMoves")]
    most_moves: Option<u32>,
}

/// What is done, or would be.
#[derive(Serialize)]
struct Plan {
    steps: Vec<PlannedStep>,
}

/// As `flintwheel cluster status -o json` prints it.
pub async fn state(State(doors): State<Doors>, Query(Nothing {}): Query<Nothing>) -> Answer {
    Ok(json(&doors.api.cluster_state().await?))
}

/// Moves a replica, or hands the leadership over.
pub async fn shard(
    State(doors): State<Doors>,
    Named { name, verb }: Named,
    Query(Nothing {}): Query<Nothing>,
    OptionalJson(body): OptionalJson<Value>,
) -> Answer {
    let shard = parse_shard(&name).map_err(|why| Fault::field("shard", why))?;
    match verb.as_str() {
        "move" => {
            let MoveBody { to, from } = from_value(or_empty(body))?;
            let from = optional(&doors, from).await?;
            Ok(json(&doors.api.move_shard(shard, from, id(&doors, to).await?).await?))
        }
        "transfer" => {
            let TransferBody { to } = from_value(or_empty(body))?;
            Ok(json(&doors.api.transfer_shard(shard, optional(&doors, to).await?).await?))
        }
        other => Err(nothing(other, &format!("/v1/cluster/shards/{shard}:move or :transfer"))),
    }
}

/// Drains a node or takes that back, removes it, replaces it.
pub async fn node(
    State(doors): State<Doors>,
    Named { name, verb }: Named,
    Query(Nothing {}): Query<Nothing>,
    OptionalJson(body): OptionalJson<Value>,
) -> Answer {
    let body = or_empty(body);
    let named = async |doors: &Doors| doors.api.node_named(&name).await;
    match verb.as_str() {
        "drain" | "undrain" => {
            let Empty {} = from_value(body)?;
            Ok(json(&doors.api.drain_node(named(&doors).await?, verb == "drain").await?))
        }
        "remove" => {
            let RemoveBody { force } = from_value(body)?;
            Ok(json(&doors.api.remove_node(named(&doors).await?, force).await?))
        }
        "replace" => {
            let ReplaceBody { with } = from_value(body)?;
            let new = id(&doors, with).await?;
            Ok(json(&doors.api.replace_node(named(&doors).await?, new).await?))
        }
        other => {
            let places = format!("/v1/cluster/nodes/{}:drain, :undrain, :remove or :replace", short(&name));
            Err(nothing(other, &places))
        }
    }
}

/// Evens out nodes, or tells what would be done for that.
pub async fn rebalance(
    State(doors): State<Doors>,
    Query(Nothing {}): Query<Nothing>,
    OptionalJson(body): OptionalJson<RebalanceBody>,
) -> Answer {
    Ok(json(&Plan { steps: doors.api.rebalance(body.dry_run).await? }))
}

/// Changes what an operator may change.
pub async fn settings(
    State(doors): State<Doors>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<SettingsBody>,
) -> Answer {
    let SettingsBody { replication, repair_after, most_moves } = body;
    Ok(json(&doors.api.change_settings(SettingsChange { replication, repair_after, most_moves }).await?))
}

fn or_empty(body: Value) -> Value {
    if body.is_null() { serde_json::json!({}) } else { body }
}

async fn id(doors: &Doors, name: NodeName) -> Result<u64, ApiError> {
    match name {
        NodeName::Id(id) => Ok(id),
        NodeName::Name(name) => doors.api.node_named(&name).await,
    }
}

async fn optional(doors: &Doors, name: Option<NodeName>) -> Result<Option<u64>, ApiError> {
    match name {
        Some(name) => Ok(Some(id(doors, name).await?)),
        None => Ok(None),
    }
}

fn nothing(verb: &str, places: &str) -> Problem {
    let message = format!("{:?} is nothing that can be done: post to {places}", short(verb));
    Fault::new(Code::NotFound, "NO_SUCH_PATH", message).into()
}
