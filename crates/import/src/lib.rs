//! Pure. Schedules of others become definitions: Temporal's schedules, crontabs, Kubernetes CronJobs. Each translation says what is the same,
//! what differs and what can't be carried over.
//!
//! It does not know where schedules come from, nor where definitions go: it is handed records and texts, and gives records and findings. What must
//! happen so that a schedule moves without a due time missed or doubled is decided here ([`temporal::cut`]), and carried out by others.

mod cron;
pub mod cronjob;
pub mod crontab;
mod finding;
mod literal;
mod names;
pub mod temporal;

pub use finding::{Finding, Weight, lost};
pub use names::definition_id;

use std::collections::BTreeMap;

/// Where definitions go, and what they bear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Of Flintwheel.
    pub namespace: String,
    /// In addition to those of what is translated; the same key replaces.
    pub labels: BTreeMap<String, String>,
}

/// The workflow that runs what was a command or a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runner {
    /// As its worker registers it.
    pub workflow_type: String,
    /// Where its worker polls.
    pub task_queue: String,
}
