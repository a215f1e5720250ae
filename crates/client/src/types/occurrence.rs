//! The account: every occurrence and how it ended.

use chrono::{DateTime, Utc};
use flintwheel_model::DefinitionKey;
use serde::{Deserialize, Serialize};

/// One due time, one matched event, or one manual trigger, of one definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Whose.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// The version of the definition that decided.
    pub version: u64,
    /// `t:` nominal time, `e:` dedupe key, `m:` request id.
    pub firing_key: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for programs; empty only where it fired.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// The due time with jitter, or when the event or the request arrived.
    pub due: DateTime<Utc>,
    /// When it was decided.
    pub decided_at: DateTime<Utc>,
    /// When the sink took it; none while it waits in the outbox, and where it did not fire.
    pub started_at: Option<DateTime<Utc>>,
    /// What runs, or ran, in Temporal; empty where it did not fire.
    pub workflow_id: String,
    /// How many due times it stands for: 1, or more where a run of them was skipped at once.
    pub count: u32,
    /// What the clock of the schedule's zone is ahead of UTC at `due`, as the current version names it. Only told where one definition's
    /// occurrences are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset_seconds: Option<i32>,
}

/// How an occurrence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A workflow was started, or is about to be.
    Fired,
    /// Left out on purpose: a policy said so.
    Skipped,
    /// Not taken: a duplicate, for example.
    Dropped,
    /// Refused by the sink for good.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fired, Self::Skipped, Self::Dropped, Self::Failed];

    /// As lists and filters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Skipped => "skipped",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// Which occurrences to list: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OccurrenceQuery {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// Only this definition's, in `namespace`.
    pub definition_id: String,
    /// Only those that ended so; none means all.
    pub outcomes: Vec<Outcome>,
    /// Only those with this reason code.
    pub reason: String,
    /// Only this one of `definition_id`.
    pub firing_key: String,
    /// Decided at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Decided before this time.
    pub until: Option<DateTime<Utc>>,
}
