//! Operations on stored definitions as JSON: the same calls as `OperationService`, on paths.

use axum::extract::State;
use chrono::{DateTime, Utc};
use flintwheel_client::{
    BackfillOrder, BackfillQuery, BackfillRequest, BulkAction, BulkRequest, ChangeOptions, FieldChange, PageRequest,
};
use flintwheel_model::DefinitionKey;
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::body::{Json, from_value, json};
use super::conditions::expected_version;
use super::path::Key;
use super::problem::{Answer, refused};
use super::query::{List, Query, bytes_of, page};
use crate::server::{Doors, Fault};

/// A field that is changed: `{"path": ..., "value": ...}`, or without a value to remove it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    path: String,
    /// `null` is a value.
    #[serde(default, deserialize_with = "given")]
    value: Option<Value>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn changes(changes: Vec<ChangeBody>) -> Vec<FieldChange> {
    changes.into_iter().map(|ChangeBody { path, value }| FieldChange { path, value }).collect()
}

/// Body of [`update`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateBody {
    changes: Vec<ChangeBody>,
    #[serde(default, alias = "requestId")]
    request_id: String,
    #[serde(default, alias = "validateOnly")]
    validate_only: bool,
}

/// Parameters of [`versions`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionParameters {
    #[serde(alias = "pageSize", alias = "limit")]
    page_size: Option<u32>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// Body of a rollback.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    version: u64,
    #[serde(alias = "expectedVersion")]
    expected_version: Option<u64>,
    #[serde(default, alias = "requestId")]
    request_id: String,
    #[serde(default, alias = "validateOnly")]
    validate_only: bool,
}

/// Body of a backfill.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackfillBody {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    #[serde(default)]
    rate: u32,
    #[serde(default)]
    order: BackfillOrder,
    #[serde(alias = "overlapPolicy")]
    overlap_policy: Option<OverlapPolicy>,
    #[serde(default, alias = "backfillId")]
    backfill_id: String,
    #[serde(default, alias = "validateOnly")]
    validate_only: bool,
    #[serde(default, alias = "allowMany")]
    allow_many: bool,
}

/// Body of what stops one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopBody {
    #[serde(alias = "backfillId")]
    backfill_id: String,
}

/// Parameters of [`backfills`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackfillParameters {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    running: bool,
}

/// Parameters of [`backfills_of`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningParameters {
    #[serde(default)]
    running: bool,
}

/// Body of [`bulk`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    #[serde(default)]
    namespace: String,
    #[serde(alias = "labelSelector")]
    label_selector: String,
    action: ActionBody,
    #[serde(default, alias = "pageSize")]
    page_size: u32,
    #[serde(default, alias = "pageToken")]
    page_token: String,
    #[serde(default, alias = "requestId")]
    request_id: String,
    #[serde(default, alias = "validateOnly")]
    validate_only: bool,
}

/// `{"pause": {"note": ..., "until": ...}}`, `{"resume": {"note": ...}}`, `{"delete": {}}`, `{"update": {"changes": [...]}}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ActionBody {
    Pause {
        #[serde(default)]
        note: String,
        until: Option<DateTime<Utc>>,
    },
    Resume {
        #[serde(default)]
        note: String,
        #[serde(default)]
        missed: Option<OnResume>,
    },
    Delete {},
    Update {
        changes: Vec<ChangeBody>,
    },
}

/// Changes the named fields.
pub async fn update(
    State(doors): State<Doors>,
    Key(key): Key,
    headers: HeaderMap,
    Json(body): Json<UpdateBody>,
) -> Answer {
    let UpdateBody { changes: asked, request_id, validate_only } = body;
    let options = ChangeOptions { validate_only, request_id, expected_version: expected_version(&headers)? };
    Ok(json(&doors.api.update(&key, &changes(asked), &options).await.map_err(refused)?))
}

/// The versions that are kept, newest first.
pub async fn versions(State(doors): State<Doors>, Key(key): Key, Query(p): Query<VersionParameters>) -> Answer {
    let page = page(p.page_size, p.page_token);
    let ask = async |page: PageRequest| Ok(List::from(doors.api.versions(&key, &page).await?));
    let list = doors.page(page, ask, bytes_of).await?;
    Ok(json(&list))
}

/// Backfills of one definition.
pub async fn backfills_of(State(doors): State<Doors>, Key(key): Key, Query(p): Query<RunningParameters>) -> Answer {
    let query = BackfillQuery { namespace: key.namespace, definition_id: key.id, running: p.running };
    Ok(json(&doors.api.backfills(&query).await.map_err(refused)?))
}

/// Backfills of all, or of a namespace.
pub async fn backfills(State(doors): State<Doors>, Query(p): Query<BackfillParameters>) -> Answer {
    let query = BackfillQuery { namespace: p.namespace, definition_id: String::new(), running: p.running };
    Ok(json(&doors.api.backfills(&query).await.map_err(refused)?))
}

/// Something done to many.
pub async fn bulk(State(doors): State<Doors>, Json(body): Json<BulkBody>) -> Answer {
    let BulkBody { namespace, label_selector, action, page_size, page_token, request_id, validate_only } = body;
    let action = match action {
        ActionBody::Pause { note, until } => BulkAction::Pause { note, until },
        ActionBody::Resume { note, missed } => BulkAction::Resume { note, missed },
        ActionBody::Delete {} => BulkAction::Delete,
        ActionBody::Update { changes: asked } => BulkAction::Update(changes(asked)),
    };
    let request = BulkRequest { namespace, label_selector, action, request_id, validate_only };
    let page = PageRequest { size: page_size, token: page_token };
    Ok(json(&List::from(doors.api.bulk(&request, &page).await.map_err(refused)?)))
}

/// `:rollback`, `:backfill`, `:stop-backfill`; none where it is something else.
pub async fn act(doors: &Doors, key: &DefinitionKey, verb: &str, body: Value) -> Option<Answer> {
    Some(match verb {
        "rollback" => rollback(doors, key, body).await,
        "backfill" => backfill(doors, key, body).await,
        "stop-backfill" => stop(doors, key, body).await,
        _ => return None,
    })
}

async fn rollback(doors: &Doors, key: &DefinitionKey, body: Value) -> Answer {
    let RollbackBody { version, expected_version, request_id, validate_only } = from_value(body)?;
    let options = ChangeOptions { validate_only, request_id, expected_version };
    Ok(json(&doors.api.rollback(key, version, &options).await.map_err(refused)?))
}

async fn backfill(doors: &Doors, key: &DefinitionKey, body: Value) -> Answer {
    let BackfillBody { from, to, rate, order, overlap_policy, backfill_id, validate_only, allow_many } =
        from_value(body)?;
    let request = BackfillRequest { from, to, rate, order, overlap_policy, backfill_id, validate_only, allow_many };
    Ok(json(&doors.api.backfill(key, &request).await.map_err(refused)?))
}

async fn stop(doors: &Doors, key: &DefinitionKey, body: Value) -> Answer {
    let StopBody { backfill_id } = from_value(body)?;
    if backfill_id.is_empty() {
        return Err(Fault::field("backfill_id", "is required").into());
    }
    Ok(json(&doors.api.stop_backfill(key, &backfill_id).await.map_err(refused)?))
}
