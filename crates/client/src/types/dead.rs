//! Firings that the sink refused for good.

use chrono::{DateTime, Utc};
use flintwheel_model::DefinitionKey;
use serde::{Deserialize, Serialize};

/// One firing that the sink refused for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Names it in retry and drop.
    #[serde(rename = "dead_letter_id")]
    pub id: String,
    /// Whose.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// The version of the definition that fired.
    pub version: u64,
    /// The firing's key.
    pub firing_key: String,
    /// What was to be started.
    pub workflow_id: String,
    /// The sink's answer.
    pub reason: String,
    /// The due time, or when the event or the request arrived.
    pub due: DateTime<Utc>,
    /// When the sink refused it.
    pub refused_at: DateTime<Utc>,
}

/// Some dead letters: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterFilter {
    /// Of this namespace; empty means all.
    pub namespace: String,
    /// Of this definition in `namespace`.
    pub definition_id: String,
    /// Whose reason contains this text.
    pub reason_contains: String,
    /// Refused before this time.
    pub refused_before: Option<DateTime<Utc>>,
}

/// Which dead letters to retry or drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterSelection {
    /// These, 1 to 1,000.
    Ids(Vec<String>),
    /// All that meet this.
    Filter(DeadLetterFilter),
}

/// What became of the selected ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// How many were retried or dropped.
    pub count: u64,
    /// Ids that name no dead letter.
    pub not_found: Vec<String>,
}
