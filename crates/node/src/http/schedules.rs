//! What schedules say: the same calls as `ScheduleService`.

use axum::extract::State;
use chrono::{DateTime, Utc};
use flintwheel_client::{AskedTime, DueQuery};
use serde::Deserialize;

use super::body::json;
use super::path::Key;
use super::problem::{Answer, refused};
use super::query::Query;
use crate::server::{Doors, Fault};

/// A page of minutes, unless another step is asked for.
const STEP: u32 = 60;

/// Parameters of [`explain`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainParameters {
    /// An instant, or a local time of the schedule's zone.
    at: String,
    #[serde(default)]
    stale: bool,
}

/// Parameters of [`due`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueParameters {
    #[serde(default)]
    namespace: String,
    #[serde(alias = "labelSelector", default)]
    label_selector: String,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Seconds.
    step: Option<u32>,
    #[serde(default)]
    examples: u32,
    #[serde(alias = "pageToken", default)]
    page_token: String,
    #[serde(default)]
    stale: bool,
}

/// Why a definition is due at a time, or is not, and what became of it.
pub async fn explain(State(doors): State<Doors>, Key(key): Key, Query(p): Query<ExplainParameters>) -> Answer {
    let at: AskedTime = p.at.parse().map_err(|why: String| Fault::field("at", why))?;
    Ok(json(&doors.api.reading(p.stale).explain(&key, at).await.map_err(refused)?))
}

/// How many due times come in each step of a span of time; a part of the counts, and where the rest begins.
pub async fn due(State(doors): State<Doors>, Query(p): Query<DueParameters>) -> Answer {
    let query = DueQuery {
        namespace: p.namespace,
        label_selector: p.label_selector,
        from: p.from,
        until: p.until,
        step: p.step.unwrap_or(STEP),
        examples: p.examples,
    };
    Ok(json(&doors.api.reading(p.stale).count_due(&query, &p.page_token).await.map_err(refused)?))
}
