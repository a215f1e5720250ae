//! The user's record, field for field as it is written in YAML or JSON.
//!
//! Names are snake_case; lowerCamelCase is accepted on input. An unknown field is an error: a misspelt `misfire_polcy`
//! that is silently ignored would fire at the wrong time. What the fields may hold is checked in [`crate::validate`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;
use crate::one_or_many::{OneOrMany, one_or_many};

mod schedule;

pub use schedule::{
    After, AfterEnd, CalendarTimes, CronDialect, DstPolicy, Exclusion, Fold, Gap, Interval, Jitter, JitterMode,
    MisfireMode, MisfirePolicy, OnResume, OverlapPolicy, Roll, RunOutcome, ScheduleTrigger, after_of_type, after_type,
};

/// The only accepted `apiVersion`.
pub const API_VERSION: &str = "flintwheel.dev/v1";
/// The only accepted `kind` of a definition. Calendars have [one of their own](crate::calendar::KIND).
pub const KIND: &str = "ActivityDefinition";

/// When something is to happen (a schedule, or events that match) and what (tasks to spawn, or a workflow to start).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivityDefinition {
    /// Always `flintwheel.dev/v1`.
    #[serde(rename = "apiVersion", alias = "api_version")]
    pub api_version: String,
    /// Always `ActivityDefinition`.
    pub kind: String,
    /// Who it is.
    pub metadata: Metadata,
    /// What it does.
    pub spec: Spec,
}

/// Who a definition is: its namespace and id never change, name and labels may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The tenant. 1 to 63 characters: a-z 0-9 - (default: `default`).
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// 1 to 200 characters: a-z 0-9 . _ - ; part of every workflow id.
    pub id: String,
    /// For people. At most 256 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// For selection with `-l`. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// What a definition does and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `false` keeps the definition but arms no schedule and matches no event (default: `true`).
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// A schedule, an event trigger, or both. With neither, it runs by `flintwheel trigger` only.
    #[serde(default, skip_serializing_if = "Trigger::is_empty")]
    pub trigger: Trigger,
    /// What makes two events the same firing. Without it: the event's `source` and `id`, for one day.
    #[serde(default, alias = "dedupeKeyStrategy", skip_serializing_if = "Option::is_none")]
    pub dedupe_key_strategy: Option<DedupeKeyStrategy>,
    /// Values that the tasks need, resolved when a run begins. For the built-in orchestrator only.
    #[serde(default, alias = "contextSources", skip_serializing_if = "Vec::is_empty")]
    pub context_sources: Vec<ContextSource>,
    /// What a run spawns. For the built-in orchestrator only.
    #[serde(default, alias = "taskTemplates", skip_serializing_if = "Vec::is_empty")]
    pub task_templates: Vec<TaskTemplate>,
    /// Start this workflow directly instead of the built-in orchestrator. Excludes context sources and task templates.
    #[serde(default, alias = "startWorkflow", skip_serializing_if = "Option::is_none")]
    pub start_workflow: Option<StartWorkflow>,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// What sets a definition off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Due times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleTrigger>,
    /// Events that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventTrigger>,
}

impl Trigger {
    /// Neither schedule nor event: such a definition runs by hand only.
    pub fn is_empty(&self) -> bool {
        self.schedule.is_none() && self.event.is_none()
    }
}

/// Events that set a definition off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTrigger {
    /// CloudEvents `type`: one of these, compared exactly.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub types: Vec<String>,
    /// Context attributes (`source`, `subject`, extensions) that must have exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What makes two events the same firing of a definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DedupeKeyStrategy {
    /// A CEL expression over `event` that yields a string, a number or a boolean (default: the event's source and id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For how long a key is remembered (default: 1d; 1s to 30d).
    #[serde(default = "DedupeKeyStrategy::default_window")]
    pub window: Span,
}

impl Default for DedupeKeyStrategy {
    fn default() -> Self {
        Self { key: None, window: Self::default_window() }
    }
}

impl DedupeKeyStrategy {
    fn default_window() -> Span {
        Span::from_secs(86_400)
    }
}

/// A named value that templates can use as `context.NAME`. Exactly one of the kinds is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextSource {
    /// a-z A-Z 0-9 _ , not beginning with a digit; unique in the definition.
    pub name: String,
    /// The value itself.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub static_value: Option<Value>,
    /// The answer of an HTTP service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// What happens when it can't be had (default: `fail`).
    #[serde(default, alias = "onError", skip_serializing_if = "OnError::is_fail")]
    pub on_error: OnError,
}

/// What a run does about a context source that can't be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The value is null and the run goes on.
    Null,
}

impl OnError {
    fn is_fail(&self) -> bool {
        *self == Self::Fail
    }
}

/// A context value fetched over HTTP when the run begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// A template; must yield an http or https URL.
    pub url: String,
    /// `GET` or `POST` (default: `GET`).
    #[serde(default = "get_method", skip_serializing_if = "is_get")]
    pub method: String,
    /// Header values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// JSON with templates in its strings; for `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// For one try (default: 10s; 100ms to 5m).
    #[serde(default = "HttpSource::default_timeout")]
    pub timeout: Span,
}

impl HttpSource {
    fn default_timeout() -> Span {
        Span::from_secs(10)
    }
}

fn get_method() -> String {
    "GET".to_owned()
}

fn is_get(method: &str) -> bool {
    method == "GET"
}

/// Something that a run spawns: a child workflow or a Temporal activity. Exactly one of the two is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskTemplate {
    /// a-z A-Z 0-9 _ - ; unique in the definition; part of the spawned workflow's id.
    pub name: String,
    /// A CEL expression over `event`, `context`, `scheduled_for` ...; the task is left out where it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Names of tasks that must have succeeded before.
    #[serde(default, alias = "dependsOn", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// A child workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Target>,
    /// A Temporal activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Target>,
    /// The one argument. Strings are templates; a string that is nothing but one `{{ ... }}` keeps the value's type.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

/// A workflow or activity by type name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As its worker registers it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The queue that its worker polls. There is no default: on the orchestrator's own queue nobody knows the user's types, and the task
    /// would wait there for ever.
    #[serde(alias = "taskQueue")]
    pub task_queue: String,
    /// For one execution, from start to close (activity default: 1m; workflow default: none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// The user's own workflow, started directly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartWorkflow {
    /// As its worker registers it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where its worker polls.
    #[serde(alias = "taskQueue")]
    pub task_queue: String,
    /// One payload per element. Strings are templates over `scheduled_for`, `fired_at`, `event`, `definition`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<Value>,
    /// Plain JSON values kept with the workflow. Strings are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memo: BTreeMap<String, Value>,
    /// Search attributes that Temporal's namespace knows, and their values. Strings are templates.
    #[serde(default, alias = "searchAttributes", skip_serializing_if = "BTreeMap::is_empty")]
    pub search_attributes: BTreeMap<String, Value>,
    /// How a workflow that fails or times out is tried again (default: it is not).
    #[serde(default, alias = "retryPolicy", skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// Of the whole execution, with retries and continue-as-new (default: none).
    #[serde(default, alias = "executionTimeout", skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<Span>,
    /// Of one run (default: none).
    #[serde(default, alias = "runTimeout", skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<Span>,
    /// Of one workflow task (default: Temporal's, 10s).
    #[serde(default, alias = "taskTimeout", skip_serializing_if = "Option::is_none")]
    pub task_timeout: Option<Span>,
    /// A line for people, which Temporal's tools show beside the workflow. A template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// More for people, in Markdown. A template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// How soon its tasks come in a queue where others wait (default: Temporal's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Which version of its worker it runs on, whatever the worker says of it (default: what the worker says).
    #[serde(default, alias = "versioningOverride", skip_serializing_if = "Option::is_none")]
    pub versioning_override: Option<VersioningOverride>,
    /// What interceptors and context propagators of its worker read. Plain JSON values, whose strings are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Value>,
}

/// How soon tasks come in a queue where others wait, as in Temporal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// 1 comes first. Temporal has 5 of them unless its server is set otherwise, and takes larger ones for the last (default: the middle one).
    #[serde(default, alias = "priorityKey", skip_serializing_if = "Option::is_none")]
    pub priority_key: Option<u32>,
    /// Among tasks of one priority, each key gets its share. A template, such as `{{ event.data.tenant }}`.
    #[serde(default, alias = "fairnessKey", skip_serializing_if = "String::is_empty")]
    pub fairness_key: String,
    /// How large that share is, beside those of other keys: 0.001 to 1000 (default: 1).
    #[serde(default, alias = "fairnessWeight", skip_serializing_if = "Option::is_none")]
    pub fairness_weight: Option<f64>,
}

/// Which version of its worker a workflow runs on. Exactly one of the three is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersioningOverride {
    /// This version, to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<WorkerVersion>,
    /// `true`: the current version, also when that becomes another one while it runs.
    #[serde(default, alias = "autoUpgrade", skip_serializing_if = "schedule::is_false")]
    pub auto_upgrade: bool,
    /// This version for its first workflow task; then what the worker says.
    #[serde(default, alias = "oneTime", skip_serializing_if = "Option::is_none")]
    pub one_time: Option<WorkerVersion>,
}

/// A version of a worker deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerVersion {
    /// The deployment's name, as its workers say it.
    #[serde(alias = "deploymentName")]
    pub deployment_name: String,
    /// The build in it, as its workers say it.
    #[serde(alias = "buildId")]
    pub build_id: String,
}

/// How a workflow that fails or times out is tried again, as in Temporal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Before the second try (default: 1s).
    #[serde(default, alias = "initialInterval", skip_serializing_if = "Option::is_none")]
    pub initial_interval: Option<Span>,
    /// Each interval is so many times the one before; at least 1 (default: 2).
    #[serde(default, alias = "backoffCoefficient", skip_serializing_if = "Option::is_none")]
    pub backoff_coefficient: Option<f64>,
    /// The longest interval (default: 100 times the first one).
    #[serde(default, alias = "maximumInterval", skip_serializing_if = "Option::is_none")]
    pub maximum_interval: Option<Span>,
    /// Tries, the first one included (default: no limit).
    #[serde(default, alias = "maximumAttempts", skip_serializing_if = "Option::is_none")]
    pub maximum_attempts: Option<u32>,
    /// Types of errors after which it is not tried again.
    #[serde(default, alias = "nonRetryableErrorTypes", skip_serializing_if = "Vec::is_empty")]
    pub non_retryable_error_types: Vec<String>,
}
