//! What operators do with stored definitions, and what became of it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use flintwheel_model::DefinitionKey;
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

/// One field of a definition that is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// From the root of the resource: `spec.trigger.schedule.timezone`.
    pub path: String,
    /// What it shall be; none: it is removed.
    pub value: Option<Value>,
}

/// Which versions to expect of a definition, and whether to change it at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// Check everything and answer as if it had been done, but change nothing.
    pub validate_only: bool,
    /// The request is carried out once for an hour, however often it is sent; empty: the client makes one, for its own retries.
    pub request_id: String,
    /// Only if this is the stored version.
    pub expected_version: Option<u64>,
}

/// What is done to each of many definitions.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkAction {
    /// Those that are not paused, or until another time.
    Pause {
        /// For people.
        note: String,
        /// When they go on by themselves.
        until: Option<DateTime<Utc>>,
    },
    /// Those that are paused.
    Resume {
        /// For people.
        note: String,
        /// What becomes of due times that passed meanwhile; without it, what each definition says.
        missed: Option<OnResume>,
    },
    /// Those that still have the version that was found.
    Delete,
    /// Those that still have the version that was found.
    Update(Vec<FieldChange>),
}

/// Many definitions, and what is done to them.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkRequest {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// Those whose labels match; `*` means every one. Not empty.
    pub label_selector: String,
    /// What is done.
    pub action: BulkAction,
    /// Of each definition: the same call again does nothing twice. Empty: the client makes one, for its own retries.
    pub request_id: String,
    /// Check everything and answer as if it had been done, but change nothing.
    pub validate_only: bool,
}

/// What became of one of many definitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BulkResult {
    /// Which one.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// The version that it has now, or had when it was deleted.
    pub version: u64,
    /// False if it was so before.
    pub changed: bool,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "said")]
    pub fault: Option<Error>,
}

fn said<S: serde::Serializer>(fault: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    fault.as_ref().map(ToString::to_string).serialize(serializer)
}

/// In which order due times of the past fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillOrder {
    /// As they would have come.
    #[default]
    OldestFirst,
    /// What is newest is wanted soonest.
    NewestFirst,
}

impl fmt::Display for BackfillOrder {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::OldestFirst => "oldest_first",
            Self::NewestFirst => "newest_first",
        })
    }
}

impl FromStr for BackfillOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "oldest_first" => Ok(Self::OldestFirst),
            "newest_first" => Ok(Self::NewestFirst),
            _ => Err("is oldest_first or newest_first".to_owned()),
        }
    }
}

/// Due times of the past to fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRequest {
    /// The first nominal time.
    pub from: DateTime<Utc>,
    /// The last nominal time; it belongs to the range.
    pub to: DateTime<Utc>,
    /// Due times a second, 1 to 1,000; 0 means 10.
    pub rate: u32,
    /// Which way through the range.
    pub order: BackfillOrder,
    /// What becomes of its due times while a run is open; none: what the definition says.
    pub overlap_policy: Option<OverlapPolicy>,
    /// Names it. The same id with the same range again fires nothing twice. Empty: made of the range.
    pub backfill_id: String,
    /// Count, and answer as if it had begun, but change nothing.
    pub validate_only: bool,
    /// More than 10,000 due times are meant.
    pub allow_many: bool,
}

/// What became of a backfill that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillBegun {
    /// How it stands.
    pub backfill: Backfill,
    /// The same had begun before; nothing was done.
    pub repeated: bool,
    /// Its total was not counted to the end, but estimated from its first part.
    pub estimated: bool,
}

/// Due times of the past that fire at a pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Whose.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// Which one.
    pub backfill_id: String,
    /// The first nominal time of its range.
    pub from: DateTime<Utc>,
    /// The last one.
    pub to: DateTime<Utc>,
    /// Due times a second, at most.
    pub rate: u32,
    /// Which way through the range.
    pub order: BackfillOrder,
    /// What becomes of its due times while a run is open; none: what the definition says.
    pub overlap_policy: Option<OverlapPolicy>,
    /// Due times that it had when it began, or about so many.
    pub total: u64,
    /// Of them, decided: fired, waiting for a run, or skipped.
    pub decided: u64,
    /// Of those, skipped at once because of a run.
    pub skipped: u64,
    /// The due time that comes next; none where there is none.
    pub next: Option<DateTime<Utc>>,
    /// When it began; none where it has only been tried.
    pub begun_at: Option<DateTime<Utc>>,
    /// When it ended; none while it is under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether somebody ended it before all was decided.
    pub stopped: bool,
}

impl Backfill {
    /// `running`, `done`, or `stopped`.
    pub fn state(&self) -> &'static str {
        match (self.ended_at, self.stopped) {
            (None, _) => "running",
            (Some(_), true) => "stopped",
            (Some(_), false) => "done",
        }
    }
}

/// Which backfills to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillQuery {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// Only this definition's, in `namespace`.
    pub definition_id: String,
    /// Only those under way.
    pub running: bool,
}

/// Backfills, 1,000 at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfills {
    /// In order of namespace, definition and id.
    pub items: Vec<Backfill>,
    /// There are more than these.
    pub truncated: bool,
}

/// What became of a backfill that was to be stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillStopped {
    /// How it stands now.
    pub backfill: Backfill,
    /// False if it had ended before.
    pub changed: bool,
}
