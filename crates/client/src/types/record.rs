//! A stored definition, how it stands, and what became of a call that changed it.

use chrono::{DateTime, Utc};
use flintwheel_model::ActivityDefinition;
use serde::{Deserialize, Serialize};

use super::ClockOffset;

/// Who a stored definition is, what it is, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DefinitionRecord {
    /// As it was applied.
    #[serde(flatten)]
    pub definition: ActivityDefinition,
    /// How it stands.
    pub status: DefinitionStatus,
}

/// How a stored definition stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefinitionStatus {
    /// Grows by one with each change of the definition.
    pub version: u64,
    /// Grows with each change of the definition or of whether it is paused.
    pub generation: u64,
    /// Another one for each life of an id.
    pub incarnation: u64,
    /// When this incarnation was created.
    pub created_at: DateTime<Utc>,
    /// When the current version was applied.
    pub updated_at: DateTime<Utc>,
    /// When it is due next; none where nothing is to come.
    pub next_due: Option<DateTime<Utc>>,
    /// When it last fired.
    pub last_fired: Option<DateTime<Utc>>,
    /// Set while it is paused.
    pub paused: Option<Paused>,
    /// How its occurrences ended.
    pub counts: Counts,
    /// Whether it is enabled, not paused, and has a due time ahead or a subscription.
    pub armed: bool,
    /// Its runs, where they are watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<WatchedRuns>,
    /// How many of `max_firings` are left, where the schedule has that bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firings_left: Option<u32>,
    /// Its schedule is over, and `after_end` has been carried out or is about to be.
    #[serde(default, skip_serializing_if = "is_false")]
    pub over: bool,
    /// Of the schedule's zone, at `next_due` and at the end of a pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<ClockOffset>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// The runs of a definition that have not ended, and what waits for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedRuns {
    /// Runs that are open.
    pub open: u32,
    /// Occurrences that wait for them.
    pub waiting: u32,
    /// Occurrences that were skipped because of the oldest open run.
    pub kept_out: u32,
    /// The oldest open ones, ten at most.
    pub oldest: Vec<OpenRun>,
    /// The firing keys of those that wait, in their order, ten at most.
    pub next: Vec<String>,
}

/// A run that has not ended, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRun {
    /// What runs in Temporal, or will when Temporal takes it.
    pub workflow_id: String,
    /// When it was decided.
    pub since: DateTime<Utc>,
    /// Whether Temporal has taken it.
    pub started: bool,
    /// `cancel` or `terminate`, where it was asked to make room; else empty.
    pub wish: String,
}

/// Since when and why a definition is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// For people.
    pub note: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// When it goes on by itself; none where somebody has to resume it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// How many occurrences ended how, since the incarnation was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Started a workflow, or are about to.
    pub fired: u64,
    /// Left out on purpose.
    pub skipped: u64,
    /// Refused by the sink for good.
    pub failed: u64,
    /// Not taken, duplicates for example.
    pub dropped: u64,
}

/// How to apply a definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOptions {
    /// Check everything and answer as if it had been done, but change nothing.
    pub validate_only: bool,
    /// The request is carried out once for an hour, however often it is sent; empty: the client makes one, for its own retries.
    pub request_id: String,
    /// Only if this is the stored version; 0: only if there is none.
    pub expected_version: Option<u64>,
    /// Due times after this one count, also where they have passed already (default: from now on). At most 31 days ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_after: Option<DateTime<Utc>>,
}

/// What became of an applied definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Created, configured or unchanged.
    pub outcome: ApplyOutcome,
    /// The version before; 0 if there was none.
    pub old_version: u64,
    /// The version now, or as it would be.
    pub new_version: u64,
    /// When it is due next; none where nothing is to come.
    pub next_due: Option<DateTime<Utc>>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
    /// Of the schedule's zone, at `next_due`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<ClockOffset>,
}

/// What an applied definition was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyOutcome {
    /// There was none of this id.
    Created,
    /// It was another.
    Configured,
    /// It was the same.
    Unchanged,
}

impl ApplyOutcome {
    /// As `apply` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Which definitions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// `k=v,k!=v,k in (a,b)`; empty means every one.
    pub label_selector: String,
    /// Only those that are paused, or are not.
    pub paused: Option<bool>,
}

/// What became of a pause or a resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switched {
    /// How the definition stands now.
    pub status: DefinitionStatus,
    /// False if it stood so before.
    pub changed: bool,
}

/// What became of a manual trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggered {
    /// The firing's key, `m:` and the request id.
    pub firing_key: String,
    /// What runs, or will, in Temporal.
    pub workflow_id: String,
    /// Whether this request id had fired before; then nothing was done.
    pub duplicate: bool,
    /// Whether it waits for a run of the definition to end.
    #[serde(default)]
    pub waits: bool,
    /// Whether it was skipped because a run of the definition is open.
    #[serde(default)]
    pub skipped: bool,
}

/// Coming due times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextTimes {
    /// Ascending.
    pub times: Vec<DueTime>,
    /// The schedule's zone, by its IANA name.
    pub timezone: String,
    /// Of that zone, at all times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<ClockOffset>,
}

/// One coming due time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTime {
    /// As the schedule names it.
    pub nominal: DateTime<Utc>,
    /// With jitter.
    pub due: DateTime<Utc>,
    /// Which run of another definition makes it due, for people; empty where the schedule names the time itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}
