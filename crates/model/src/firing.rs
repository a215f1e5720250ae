//! What leaves the engine: one start of one workflow, complete and ready to send, and how the sink answered.

use std::time::Duration;

use bytes::Bytes;

use crate::definition::{Priority, RetryPolicy, VersioningOverride};

/// One `StartWorkflowExecution`, complete. Everything in it is a pure function of the firing and of its definition's version,
/// so that sending it again is harmless.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Temporal's namespace, not ours.
    pub temporal_namespace: String,
    /// See [`crate::ids::workflow_id`].
    pub workflow_id: String,
    /// See [`crate::ids::request_id`].
    pub request_id: String,
    /// As its worker registers it.
    pub workflow_type: String,
    /// Where its worker polls.
    pub task_queue: String,
    /// One JSON text per argument (`encoding: json/plain`).
    pub input: Vec<Bytes>,
    /// Name and JSON text of each memo field.
    pub memo: Vec<(String, Bytes)>,
    /// Name and JSON text of each search attribute.
    pub search_attributes: Vec<(String, Bytes)>,
    /// How it is tried again.
    pub retry_policy: Option<RetryPolicy>,
    /// Of the whole execution.
    pub execution_timeout: Option<Duration>,
    /// Of one run.
    pub run_timeout: Option<Duration>,
    /// Of one workflow task.
    pub task_timeout: Option<Duration>,
    /// A line for people, as JSON text.
    pub summary: Option<Bytes>,
    /// More for people, as JSON text.
    pub details: Option<Bytes>,
    /// How soon its tasks come, with its key rendered.
    pub priority: Option<Priority>,
    /// Which version of its worker it runs on.
    pub versioning_override: Option<VersioningOverride>,
    /// Name and JSON text of each header.
    pub header: Vec<(String, Bytes)>,
    /// W3C `traceparent` and `tracestate` of the event, if it had them: name and value.
    pub trace: Vec<(String, String)>,
    /// What the last run of the definition left for this one.
    pub left: Left,
}

/// What a run leaves for the next one, as the sink writes it. Empty where nothing is carried over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of the last one that ended well.
    pub result: Option<Bytes>,
    /// Of the last one, if it failed.
    pub failure: Option<Bytes>,
}

/// How the sink answered a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartOutcome {
    /// It runs, or has run: this try or an earlier one of ours started it.
    Started {
        /// Temporal's id of the run; empty from a sink that only counts.
        run_id: String,
    },
    /// Somebody else has started a workflow of this id.
    Conflict {
        /// Whose it is.
        start_request_id: String,
        /// Its run.
        run_id: String,
    },
    /// Not now: unreachable, slow, or too busy. Whether it has started is not known; try again.
    Retry {
        /// A short reason for people, without secrets.
        reason: String,
        /// Whether the target as a whole can't be reached or is throttling, so that other starts there should wait too.
        target_wide: bool,
    },
    /// Never: the sink will refuse it each time (namespace not found, input too large, permission ...).
    Refused {
        /// For the dead letter.
        reason: String,
    },
}
