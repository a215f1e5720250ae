//! The run log: what the built-in orchestrator did.

use chrono::{DateTime, Utc};
use flintwheel_model::DefinitionKey;
pub use flintwheel_model::run::TriggerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One execution of the `RunActivity` workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its own id.
    pub run_id: String,
    /// Which definition ran.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// Tells a definition from its predecessor of the same id.
    pub incarnation: u64,
    /// The version that it ran.
    pub version_used: u64,
    /// What set it off.
    pub trigger_kind: TriggerKind,
    /// The due time, or when the event or the request arrived.
    pub scheduled_for: DateTime<Utc>,
    /// When it was decided.
    pub fired_at: DateTime<Utc>,
    /// When it began to work.
    pub started_at: DateTime<Utc>,
    /// When it ended; none while it is at work.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it stands.
    pub status: RunStatus,
    /// Why it failed; empty otherwise.
    pub error: String,
    /// The workflow in Temporal.
    pub workflow_id: String,
    /// What the context sources yielded, by name.
    pub context_snapshot: Map<String, Value>,
    /// What it spawned.
    pub tasks_spawned: Vec<SpawnedTask>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Its workflow is at work.
    Running,
    /// All its tasks ended well, or it had none.
    Completed,
    /// It could not be carried through.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As lists and filters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One thing that a run spawned, or would have spawned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnedTask {
    /// The task template's name.
    pub name: String,
    /// A child workflow or an activity.
    pub kind: TaskKind,
    /// Workflow or activity type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its id in Temporal.
    pub id: String,
    /// How it stands.
    pub status: TaskStatus,
    /// Why it failed or was skipped; empty otherwise.
    pub detail: String,
}

/// What a task is in Temporal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A child workflow.
    Workflow,
    /// An activity.
    Activity,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Waits for the tasks that it depends on.
    Waiting,
    /// Was given to Temporal.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Was cancelled.
    Cancelled,
    /// Never started.
    Skipped,
}

impl TaskStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Skipped];

    /// As lists write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// Which runs to list: those that meet all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// Only this definition's, in `namespace`.
    pub definition_id: String,
    /// Only those that stand so; none means all.
    pub statuses: Vec<RunStatus>,
    /// Fired at this time or later.
    pub since: Option<DateTime<Utc>>,
}
