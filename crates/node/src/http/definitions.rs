//! The definition API as JSON: the same calls as `DefinitionService`, on paths.

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use flintwheel_client::convert::definition::canonical;
use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome, BATCH_ITEMS, Code, ListQuery, PageRequest};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_model::ids::short;
use flintwheel_model::{ActivityDefinition, Calendar, Violations};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body::{Json, OptionalJson, from_value, json, json_with};
use super::conditions::{entity_tag, expected_version};
use super::operations;
use super::path::{Action, Key, Namespace};
use super::problem::{Answer, Problem, refused, within};
use super::query::{DryRun, List, Nothing, Query, bytes_of, page};
use crate::api::ApiError;
use crate::server::{Doors, Fault};

/// Parameters of [`put`] and [`delete`], here and of calendars.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeParameters {
    #[serde(alias = "dryRun")]
    dry_run: Option<DryRun>,
    #[serde(alias = "requestId", default)]
    request_id: String,
}

impl ChangeParameters {
    /// Whether it is only tried, and the request id.
    pub(super) fn parts(self) -> (bool, String) {
        (self.dry_run.is_some(), self.request_id)
    }
}

/// Parameters of [`get`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetParameters {
    version: Option<u64>,
    incarnation: Option<u64>,
    #[serde(default)]
    stale: bool,
}

/// Parameters of [`list`] and [`list_all`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParameters {
    #[serde(alias = "labelSelector", default)]
    label_selector: String,
    paused: Option<bool>,
    #[serde(alias = "pageSize", alias = "limit")]
    page_size: Option<u32>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
    #[serde(default)]
    stale: bool,
}

/// Parameters of [`next`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextParameters {
    #[serde(default)]
    count: u32,
    after: Option<DateTime<Utc>>,
    #[serde(default)]
    stale: bool,
}

/// Body of [`next_of_given`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextBody {
    definition: Value,
    #[serde(default)]
    count: u32,
    after: Option<DateTime<Utc>>,
    #[serde(default)]
    calendars: Vec<Calendar>,
}

/// Body of a resume.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeBody {
    #[serde(default)]
    note: String,
    #[serde(default, alias = "requestId")]
    request_id: String,
    #[serde(default)]
    missed: Option<OnResume>,
}

/// Body of a pause.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PauseBody {
    #[serde(default)]
    note: String,
    until: Option<DateTime<Utc>>,
    #[serde(default, alias = "requestId")]
    request_id: String,
}

/// Body of a trigger.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerBody {
    #[serde(default, alias = "requestId")]
    request_id: String,
    input: Option<Value>,
    #[serde(default, alias = "overlapPolicy")]
    overlap_policy: Option<OverlapPolicy>,
}

/// Body of [`batch`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    items: Vec<BatchItem>,
    #[serde(default, alias = "validateOnly")]
    validate_only: bool,
    #[serde(default)]
    calendars: Vec<Calendar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchItem {
    definition: Value,
    #[serde(default, alias = "requestId")]
    request_id: String,
    #[serde(alias = "expectedVersion")]
    expected_version: Option<u64>,
}

/// One definition with its state; its version is the entity tag.
pub async fn get(State(doors): State<Doors>, Key(key): Key, Query(p): Query<GetParameters>) -> Answer {
    let record = doors.api.reading(p.stale).get(&key, p.version, p.incarnation).await.map_err(refused)?;
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
    let definition = read(document, Some(&key.namespace))?;
    let metadata = &definition.metadata;
    let mut faults = Violations::default();
    for (field, here, path) in
        [("metadata.namespace", &metadata.namespace, &key.namespace), ("metadata.id", &metadata.id, &key.id)]
    {
        if here != path {
            faults.push(field, format!("{:?} is not the {path:?} of the path", short(here)));
        }
    }
    faults.into_result()?;
    let validate_only = p.dry_run.is_some();
    let options = ApplyOptions {
        validate_only,
        request_id: p.request_id,
        expected_version: expected_version(&headers)?,
        due_after: None,
    };
    let applied = doors.api.apply(&definition, &options).await.map_err(refused)?;
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
    let version = doors.api.delete(&key, expected, &p.request_id, p.dry_run.is_some()).await.map_err(refused)?;
    Ok(json(&serde_json::json!({ "version": version })))
}

/// Those of a namespace.
pub async fn list(
    State(doors): State<Doors>,
    Namespace(namespace): Namespace,
    Query(p): Query<ListParameters>,
) -> Answer {
    answer_list(&doors, namespace, p).await
}

/// Those of all namespaces.
pub async fn list_all(State(doors): State<Doors>, Query(p): Query<ListParameters>) -> Answer {
    answer_list(&doors, String::new(), p).await
}

async fn answer_list(doors: &Doors, namespace: String, p: ListParameters) -> Answer {
    let query = ListQuery { namespace, label_selector: p.label_selector, paused: p.paused };
    let page = page(p.page_size, p.page_token);
    let api = doors.api.reading(p.stale);
    let ask = async |page: PageRequest| Ok(List::from(api.list(&query, &page).await?));
    let list = doors.page(page, ask, bytes_of).await?;
    Ok(json(&list))
}

/// `:pause`, `:resume`, `:trigger`, and what operators do.
pub async fn act(
    State(doors): State<Doors>,
    Action { key, verb }: Action,
    Query(Nothing {}): Query<Nothing>,
    OptionalJson(body): OptionalJson<Value>,
) -> Answer {
    let body = if body.is_null() { serde_json::json!({}) } else { body };
    match verb.as_str() {
        "pause" => {
            let PauseBody { note, until, request_id } = from_value(body)?;
            Ok(json(&doors.api.pause_until(&key, &note, until, &request_id).await.map_err(refused)?))
        }
        "resume" => {
            let ResumeBody { note, request_id, missed } = from_value(body)?;
            Ok(json(&doors.api.resume(&key, &note, missed, &request_id).await.map_err(refused)?))
        }
        "trigger" => {
            let TriggerBody { request_id, input, overlap_policy } = from_value(body)?;
            let triggered = doors.api.trigger(&key, &request_id, input.as_ref(), overlap_policy).await;
            Ok(json(&triggered.map_err(refused)?))
        }
        other => {
            if let Some(answer) = operations::act(&doors, &key, other, body).await {
                return answer;
            }
            let message = format!(
                "{:?} is nothing that can be done: post to {key}:pause, :resume, :trigger, :rollback, :backfill or :stop-backfill",
                short(other)
            );
            Err(Fault::new(Code::NotFound, "NO_SUCH_PATH", message).into())
        }
    }
}

/// Coming due times of a stored one.
pub async fn next(State(doors): State<Doors>, Key(key): Key, Query(p): Query<NextParameters>) -> Answer {
    Ok(json(&doors.api.reading(p.stale).next_times(&key, p.count, p.after).await.map_err(refused)?))
}

/// Coming due times of one that need not be stored.
pub async fn next_of_given(State(doors): State<Doors>, Json(body): Json<NextBody>) -> Answer {
    let definition = read(body.definition, None)?;
    let next = doors.api.next_times_of(definition, &body.calendars, body.count, body.after).await;
    Ok(json(&next.map_err(refused)?))
}

/// Applies many; each succeeds or fails by itself.
pub async fn batch(State(doors): State<Doors>, Json(body): Json<BatchBody>) -> Answer {
    if body.items.len() > BATCH_ITEMS {
        let message = format!("{} definitions; a batch has at most {BATCH_ITEMS}", body.items.len());
        return Err(Fault::field("items", message).into());
    }
    let (validate_only, calendars) = (body.validate_only, body.calendars);
    if !calendars.is_empty() && !validate_only {
        return Err(Fault::field("calendars", "are for validate_only: put them where calendars are").into());
    }
    let options =
        |request_id, expected_version| ApplyOptions { validate_only, request_id, expected_version, due_after: None };
    let read = body.items.into_iter().enumerate().map(|(place, item)| {
        let definition = read(item.definition, None);
        let definition = definition.map_err(|faults| at(place, faults))?;
        Ok((definition, options(item.request_id, item.expected_version)))
    });
    apply_all(&doors, read.collect(), &calendars).await
}

fn at(place: usize, faults: Violations) -> Violations {
    Violations(within(&format!("items[{place}].definition"), faults).collect())
}

async fn apply_all(
    doors: &Doors,
    items: Vec<Result<(ActivityDefinition, ApplyOptions), Violations>>,
    calendars: &[Calendar],
) -> Answer {
    let readable: Vec<_> = items.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let applied = match calendars {
        [] => doors.api.batch_apply(&readable).await,
        given => doors.api.preview_with(&readable, given).await.map_err(refused)?,
    };
    let mut applied = applied.into_iter();
    let result = |item: Result<_, Violations>| match item {
        Ok(_) => applied.next().unwrap_or(Err(ApiError::Engine(crate::error::EngineError::Stopping))).map_err(refused),
        Err(faults) => Err(faults.into()),
    };
    let results: Vec<Result<Applied, Problem>> = items.into_iter().map(result).collect();
    let shown = results.iter().map(|result| match result {
        Ok(applied) => BatchResult::Applied(applied),
        Err(problem) => BatchResult::Fault(problem.body()),
    });
    Ok(json(&BatchResults { results: shown.collect() }))
}

#[derive(Serialize)]
struct BatchResults<'a> {
    results: Vec<BatchResult<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum BatchResult<'a> {
    Applied(&'a Applied),
    Fault(super::problem::Body<'a>),
}

/// A definition as it is stored, whatever door it came through. Where it names no namespace, `namespace` is meant.
fn read(mut document: Value, namespace: Option<&str>) -> Result<ActivityDefinition, Violations> {
    let metadata = document.get_mut("metadata").and_then(Value::as_object_mut);
    if let (Some(metadata), Some(namespace)) = (metadata, namespace) {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
    canonical(&from_value(document)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(metadata: &Value, spec: &Value) -> Value {
        json!({"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": metadata, "spec": spec})
    }

    #[test]
    fn the_path_names_the_namespace_of_a_document_that_names_none() {
        for (metadata, path, namespace) in [
            (json!({"id": "a"}), Some("ops"), "ops"),
            (json!({"id": "a", "namespace": "billing"}), Some("ops"), "billing"),
            (json!({"id": "a"}), None, "default"),
        ] {
            let definition = read(document(&metadata, &json!({})), path).expect("a definition");
            assert_eq!(definition.metadata.namespace, namespace);
        }
    }

    #[test]
    fn documents_are_read_as_they_will_be_stored() {
        let spec = |number: Value| json!({"start_workflow": {"type": "W", "task_queue": "q", "input": [number]}});
        let metadata = json!({"id": "a"});
        let definition = read(document(&metadata, &spec(json!(1.0))), None).expect("a definition");
        assert_eq!(definition.spec.start_workflow.expect("set").input, [json!(1)]);
        let faults = read(document(&metadata, &spec(json!(u64::MAX))), None).expect_err("would be rounded");
        assert_eq!(faults.0[0].field, "spec.start_workflow.input[0]");
    }
}
