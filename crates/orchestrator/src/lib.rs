//! Runs activity definitions in Temporal: the workflow `RunActivity`, its activities, its workers, and the log of its runs.
//!
//! Knows nothing of schedules, shards or the engine's state: a run gets its argument from Temporal and its definition through
//! [`Definitions`]. What it spawns it names by type and task queue alone; whose workers run it is not its business.

pub mod activities;
pub mod context;
pub mod definitions;
pub mod plan;
pub mod run_log;
pub mod service;
mod spawn;
mod worker;
pub mod workflow;

pub use definitions::{Definitions, DefinitionsError, ServerDefinitions};
pub use run_log::{RunLog, RunLogError};
pub use service::Runs;
pub use worker::{Options, Orchestrator, Queue, StartError, WorkerState};
