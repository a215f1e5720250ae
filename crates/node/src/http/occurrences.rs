//! The account: how occurrences ended.

use axum::extract::State;
use chrono::{DateTime, Utc};
use flintwheel_client::{OccurrenceQuery, Outcome, PageRequest};
use flintwheel_model::ids::short;
use serde::Deserialize;

use super::body::json;
use super::path::Key;
use super::problem::Answer;
use super::query::{List, Query, bytes_of, page};
use crate::server::{Doors, Fault};

/// Parameters of [`list`] and [`of_definition`].
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    namespace: Option<String>,
    #[serde(alias = "definitionId")]
    definition_id: Option<String>,
    /// Several are parted by commas.
    outcome: Option<String>,
    reason: Option<String>,
    #[serde(alias = "firingKey")]
    firing_key: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    #[serde(alias = "pageSize", alias = "limit")]
    page_size: Option<u32>,
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
    #[serde(default)]
    stale: bool,
}

/// Over all definitions, or those of a namespace.
pub async fn list(State(doors): State<Doors>, Query(parameters): Query<Parameters>) -> Answer {
    answer(&doors, parameters).await
}

/// Of one definition.
pub async fn of_definition(
    State(doors): State<Doors>,
    Key(key): Key,
    Query(mut parameters): Query<Parameters>,
) -> Answer {
    if parameters.namespace.is_some() || parameters.definition_id.is_some() {
        return Err(Fault::field("query", "namespace and definition_id stand in the path here").into());
    }
    (parameters.namespace, parameters.definition_id) = (Some(key.namespace), Some(key.id));
    answer(&doors, parameters).await
}

async fn answer(doors: &Doors, p: Parameters) -> Answer {
    let query = OccurrenceQuery {
        namespace: p.namespace.unwrap_or_default(),
        definition_id: p.definition_id.unwrap_or_default(),
        outcomes: outcomes(&p.outcome.unwrap_or_default())?,
        reason: p.reason.unwrap_or_default(),
        firing_key: p.firing_key.unwrap_or_default(),
        since: p.since,
        until: p.until,
    };
    let page = page(p.page_size, p.page_token);
    let api = doors.api.reading(p.stale);
    let ask = async |page: PageRequest| Ok(List::from(api.occurrences(&query, &page).await?));
    let list = doors.page(page, ask, bytes_of).await?;
    Ok(json(&list))
}

fn outcomes(text: &str) -> Result<Vec<Outcome>, Fault> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or_else(|| odd(word)))
        .collect()
}

fn odd(word: &str) -> Fault {
    let allowed: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    Fault::field("outcome", format!("{:?} is not one of {}", short(word), allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_words_parted_by_commas() {
        for (text, read) in [
            ("", Some(vec![])),
            ("fired", Some(vec![Outcome::Fired])),
            ("fired, skipped", Some(vec![Outcome::Fired, Outcome::Skipped])),
            ("fired,late", None),
        ] {
            assert_eq!(outcomes(text).ok(), read, "{text}");
        }
    }
}
