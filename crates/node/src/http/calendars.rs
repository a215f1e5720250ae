//! Named calendars as JSON: the same calls as `CalendarService`, on paths.

use axum::extract::State;
use axum::response::IntoResponse;
use flintwheel_client::{ApplyOptions, ApplyOutcome, PageRequest};
use flintwheel_model::ids::short;
use flintwheel_model::{Calendar, Violations};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::body::{Json, from_value, json, json_with};
use super::conditions::{entity_tag, expected_version};
use super::definitions::ChangeParameters;
use super::path::{Key, Namespace};
use super::problem::{Answer, refused};
use super::query::{List, Nothing, Query, bytes_of, page};
use crate::server::Doors;

/// Parameters of [`list`] and [`list_all`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParameters {
    #[serde(alias = "pageSize", alias = "limit")]
    page_size: Option<u32>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// One calendar with its state; its version is the entity tag.
pub async fn get(State(doors): State<Doors>, Key(key): Key, Query(Nothing {}): Query<Nothing>) -> Answer {
    let record = doors.api.calendar(&key).await.map_err(refused)?;
    Ok((entity_tag(record.status.version), json(&record)).into_response())
}

/// Creates it or changes it to what is given.
pub async fn put(
    State(doors): State<Doors>,
    Key(key): Key,
    Query(p): Query<ChangeParameters>,
    headers: HeaderMap,
    Json(document): Json<Value>,
) -> Answer {
    let calendar = read(document, &key.namespace)?;
    let metadata = &calendar.metadata;
    let mut faults = Violations::default();
    for (field, here, path) in
        [("metadata.namespace", &metadata.namespace, &key.namespace), ("metadata.id", &metadata.id, &key.id)]
    {
        if here != path {
            faults.push(field, format!("{:?} is not the {path:?} of the path", short(here)));
        }
    }
    faults.into_result()?;
    let (validate_only, request_id) = p.parts();
    let options =
        ApplyOptions { validate_only, request_id, expected_version: expected_version(&headers)?, due_after: None };
    let applied = doors.api.apply_calendar(&calendar, &options).await.map_err(refused)?;
    let created = applied.outcome == ApplyOutcome::Created && !validate_only;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((entity_tag(applied.new_version), json_with(status, &applied)).into_response())
}

/// Removes it; answers with its last version.
pub async fn delete(
    State(doors): State<Doors>,
    Key(key): Key,
    Query(p): Query<ChangeParameters>,
    headers: HeaderMap,
) -> Answer {
    let expected = expected_version(&headers)?;
    let (validate_only, request_id) = p.parts();
    let version = doors.api.delete_calendar(&key, expected, &request_id, validate_only).await.map_err(refused)?;
    Ok(json(&serde_json::json!({ "version": version })))
}

/// Those of a namespace.
pub async fn list(
    State(doors): State<Doors>,
    Namespace(namespace): Namespace,
    Query(p): Query<ListParameters>,
) -> Answer {
    answer_list(&doors, &namespace, p).await
}

/// Those of all namespaces.
pub async fn list_all(State(doors): State<Doors>, Query(p): Query<ListParameters>) -> Answer {
    answer_list(&doors, "", p).await
}

async fn answer_list(doors: &Doors, namespace: &str, p: ListParameters) -> Answer {
    let page = page(p.page_size, p.page_token);
    let ask = async |page: PageRequest| Ok(List::from(doors.api.calendars(namespace, &page).await?));
    let list = doors.page(page, ask, bytes_of).await?;
    Ok(json(&list))
}

/// A calendar. Where it names no namespace, that of the path is meant.
fn read(mut document: Value, namespace: &str) -> Result<Calendar, Violations> {
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
    from_value(document)
}
