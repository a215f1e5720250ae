//! A run as the run log keeps it: plain data, shared by the workflow that tells of it and the database that remembers it.

use flintwheel_model::run::TriggerKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One execution of the `RunActivity` workflow. Times are microseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Temporal's id of the run.
    pub run_id: String,
    /// The workflow in Temporal.
    pub workflow_id: String,
    /// The definition's namespace.
    pub namespace: String,
    /// The definition's id.
    pub activity_id: String,
    /// Tells a definition from its predecessor of the same id.
    pub incarnation: u64,
    /// The definition's version.
    pub version_used: u64,
    /// What set it off.
    pub trigger_kind: TriggerKind,
    /// The due time, or when the event or the request was accepted.
    pub scheduled_for: i64,
    /// When the firing was decided.
    pub fired_at: i64,
    /// When the run began to work.
    pub started_at: i64,
    /// When it ended; none while it runs.
    pub ended_at: Option<i64>,
    /// How it stands.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// What the context sources yielded, by name.
    pub context_snapshot: Map<String, Value>,
    /// What it spawned, in the order of the definition.
    pub tasks_spawned: Vec<TaskRecord>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Its workflow is at work.
    Running,
    /// All its tasks completed or were skipped by their own condition.
    Completed,
    /// It could not be carried through, or a task failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// As it stands in the database.
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
pub struct TaskRecord {
    /// The task template's name.
    pub name: String,
    /// A child workflow or an activity.
    pub kind: TaskKind,
    /// Workflow or activity type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its id in Temporal: the run's workflow id, a slash, the task's name.
    pub id: String,
    /// How it stands or how it ended.
    pub status: TaskStatus,
    /// Why it failed or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
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

impl TaskKind {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Activity => "activity",
        }
    }
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
    /// Never started: its condition was false, or a task that it depends on did not complete.
    Skipped,
}

impl TaskStatus {
    /// Nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// As it stands in JSON.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_json_and_in_the_database_are_the_same() {
        for status in RunStatus::ALL {
            assert_eq!(serde_json::json!(status), status.as_str());
        }
        for status in [TaskStatus::Waiting, TaskStatus::Running, TaskStatus::Completed, TaskStatus::Skipped] {
            assert_eq!(serde_json::json!(status), status.as_str());
        }
        assert_eq!(serde_json::json!(TaskKind::Workflow), TaskKind::Workflow.as_str());
    }
}
