//! Firings that the sink refused for good.

use axum::extract::State;
use chrono::{DateTime, Utc};
use flintwheel_client::{DeadLetterFilter, DeadLetterSelection, PageRequest};
use serde::Deserialize;

use super::body::{Json, json};
use super::problem::{Answer, refused};
use super::query::{List, Query, bytes_of, page};
use crate::server::{Doors, Fault};

/// Dead letters chosen at once by id; the contract names it.
const IDS: usize = 1000;

/// Parameters of [`list`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParameters {
    namespace: Option<String>,
    #[serde(alias = "definitionId")]
    definition_id: Option<String>,
    #[serde(alias = "reasonContains")]
    reason_contains: Option<String>,
    #[serde(alias = "refusedBefore")]
    refused_before: Option<DateTime<Utc>>,
    #[serde(alias = "pageSize", alias = "limit")]
    page_size: Option<u32>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// A filter in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    #[serde(default)]
    namespace: String,
    #[serde(default, alias = "definitionId")]
    definition_id: String,
    #[serde(default, alias = "reasonContains")]
    reason_contains: String,
    #[serde(alias = "refusedBefore")]
    refused_before: Option<DateTime<Utc>>,
}

/// Which ones: `{"ids": [...]}` or `{"filter": {...}}`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These.
    Ids(Vec<String>),
    /// All that meet it; an empty one is met by all.
    Filter(Filter),
}

/// One page of them.
pub async fn list(State(doors): State<Doors>, Query(p): Query<ListParameters>) -> Answer {
    let filter = DeadLetterFilter {
        namespace: p.namespace.unwrap_or_default(),
        definition_id: p.definition_id.unwrap_or_default(),
        reason_contains: p.reason_contains.unwrap_or_default(),
        refused_before: p.refused_before,
    };
    let page = page(p.page_size, p.page_token);
    let ask = async |page: PageRequest| Ok(List::from(doors.api.list_dead(&filter, &page).await?));
    let list = doors.page(page, ask, bytes_of).await?;
    Ok(json(&list))
}

/// Sends them again.
pub async fn retry(State(doors): State<Doors>, Json(selection): Json<Selection>) -> Answer {
    Ok(json(&doors.api.retry_dead(&read(selection)?).await.map_err(refused)?))
}

/// Gives them up.
pub async fn drop_them(State(doors): State<Doors>, Json(selection): Json<Selection>) -> Answer {
    Ok(json(&doors.api.drop_dead(&read(selection)?).await.map_err(refused)?))
}

fn read(selection: Selection) -> Result<DeadLetterSelection, Fault> {
    match selection {
        Selection::Ids(ids) if (1..=IDS).contains(&ids.len()) => Ok(DeadLetterSelection::Ids(ids)),
        Selection::Ids(ids) => Err(Fault::field("ids", format!("{} ids; 1 to {IDS} are allowed", ids.len()))),
        Selection::Filter(Filter { namespace, definition_id, reason_contains, refused_before }) => {
            let filter = DeadLetterFilter { namespace, definition_id, reason_contains, refused_before };
            Ok(DeadLetterSelection::Filter(filter))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::from_slice;
    use super::*;

    #[test]
    fn choosing_nothing_is_no_choice_of_all() {
        for (text, fine) in [
            (r#"{"ids":["3-17"]}"#, true),
            (r#"{"filter":{}}"#, true),
            (r#"{"filter":{"namespace":"a","refused_before":"2026-11-23T08:00:00Z"}}"#, true),
            (r#"{"ids":[]}"#, false),
            (r#"{}"#, false),
            (r#"{"ids":["3-17"],"filter":{}}"#, false),
            (r#"{"filter":{"namespase":"a"}}"#, false),
        ] {
            let selection = from_slice::<Selection>(text.as_bytes()).map_err(Fault::from).and_then(read);
            assert_eq!(selection.is_ok(), fine, "{text}: {selection:?}");
        }
    }
}
