//! A schedule as Temporal describes it, as plain data. Times and lengths of time are microseconds, times since the Unix epoch.
//!
//! A server only ever describes schedules in their canonical form: cron lines and calendars of texts have become structured calendars.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a schedule is: when, what, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// When.
    pub spec: Spec,
    /// What; none where it is not the start of a workflow.
    pub action: Option<Action>,
    /// What happens when that is not simple.
    pub policies: Policies,
    /// Whether it acts.
    pub state: State,
    /// Names of the fields of its own memo.
    pub memo: Vec<String>,
    /// Names of its own search attributes.
    pub search_attributes: Vec<String>,
}

/// When something is due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Local times.
    pub structured_calendar: Vec<Calendar>,
    /// Times that are none.
    pub exclude_structured_calendar: Vec<Calendar>,
    /// Every so often.
    pub interval: Vec<Interval>,
    /// No nominal time before this one's second.
    pub start_time: Option<i64>,
    /// No nominal time after this one.
    pub end_time: Option<i64>,
    /// Each time is moved by less than this.
    pub jitter: i64,
    /// Of the IANA, or empty, or `Local`.
    pub timezone_name: String,
    /// Whether it brings a time zone of its own.
    pub timezone_data: bool,
}

/// Local times whose fields all match. An empty field matches nothing, save the year, of which it is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// 0 to 59.
    pub second: Vec<Range>,
    /// 0 to 59.
    pub minute: Vec<Range>,
    /// 0 to 23.
    pub hour: Vec<Range>,
    /// 1 to 31.
    pub day_of_month: Vec<Range>,
    /// 1 to 12.
    pub month: Vec<Range>,
    /// 2000 to 2100.
    pub year: Vec<Range>,
    /// 0 to 6, 0 is Sunday.
    pub day_of_week: Vec<Range>,
    /// For people.
    pub comment: String,
}

/// From `start` to `end`, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The first.
    pub start: i32,
    /// The last; before `start` it means `start`.
    pub end: i32,
    /// 0 means 1.
    pub step: i32,
}

/// At `phase` past each multiple of `every` since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Interval {
    /// A second at least.
    pub every: i64,
    /// Less than `every`.
    pub phase: i64,
}

/// The start of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// What workflow ids begin with: a due time follows.
    pub workflow_id: String,
    /// As its worker registers it.
    pub workflow_type: String,
    /// Where its worker polls.
    pub task_queue: String,
    /// Its arguments.
    pub input: Vec<Payload>,
    /// Kept with the workflow.
    pub memo: BTreeMap<String, Payload>,
    /// Of the whole execution; 0 is none.
    pub execution_timeout: i64,
    /// Of one run; 0 is none.
    pub run_timeout: i64,
    /// Of one workflow task; 0 is Temporal's own.
    pub task_timeout: i64,
    /// How it is tried again.
    pub retry_policy: Option<Retry>,
    /// Its search attributes.
    pub search_attributes: BTreeMap<String, Payload>,
    /// What interceptors of its worker read.
    pub header: BTreeMap<String, Payload>,
    /// A line for people.
    pub summary: Option<Payload>,
    /// More for people.
    pub details: Option<Payload>,
    /// How soon its tasks come.
    pub priority: Option<Priority>,
    /// Which version of its worker it runs on, whatever the worker says.
    pub versioning_override: Option<Versioning>,
}

/// How soon a workflow's tasks come; what is zero or empty is Temporal's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Priority {
    /// 1 comes first.
    pub priority_key: i32,
    /// Each gets its share.
    pub fairness_key: String,
    /// How large that is.
    pub fairness_weight: f32,
}

/// Which version of its worker a workflow runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// This one, to its end.
    Pinned(WorkerVersion),
    /// The current one.
    AutoUpgrade,
    /// This one for its first task.
    OneTime(WorkerVersion),
    /// In a form that nobody here knows, or none.
    Unknown,
}

/// A version of a worker deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerVersion {
    /// The deployment's name.
    pub deployment_name: String,
    /// The build in it.
    pub build_id: String,
}

/// How a workflow is tried again; what is zero is Temporal's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Before the second try.
    pub initial_interval: i64,
    /// How much longer each interval is.
    pub backoff_coefficient: f64,
    /// The longest interval.
    pub maximum_interval: i64,
    /// Tries in all.
    pub maximum_attempts: i32,
    /// Types of errors after which it is not tried again.
    pub non_retryable_error_types: Vec<String>,
}

/// One value, as it is on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payload {
    /// Of its metadata: `json/plain`.
    pub encoding: String,
    /// In that encoding.
    pub data: Vec<u8>,
}

/// What happens when the last run is still open, has failed, or a time is met late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// What becomes of a time while a run is open.
    pub overlap: Overlap,
    /// Later than this, nothing runs; none is a year.
    pub catchup_window: Option<i64>,
    /// A run that fails pauses the schedule.
    pub pause_on_failure: bool,
}

/// As in Temporal's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// The first one waits.
    BufferOne,
    /// All wait.
    BufferAll,
    /// What runs is asked to cancel.
    CancelOther,
    /// What runs is terminated.
    TerminateOther,
    /// It runs as well.
    AllowAll,
}

/// Whether a schedule acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// For people.
    pub notes: String,
    /// It does not.
    pub paused: bool,
    /// It acts so many times more; none is for ever.
    pub remaining_actions: Option<i64>,
}

/// What a schedule has done, and is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Info {
    /// Times that were left out: because of an open run, too late, or for want of room.
    pub passed_over: i64,
    /// Times that wait for a run to end.
    pub waiting: i64,
    /// Workflow ids of what runs, as far as the schedule cares.
    pub running: Vec<String>,
    /// Workflow ids of what it has started lately, ten at most.
    pub started: Vec<String>,
    /// Its next times, with jitter.
    pub coming: Vec<i64>,
}
