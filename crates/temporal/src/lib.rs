//! Where firings go: a Temporal cluster, over its raw gRPC service.
//!
//! This crate sends one start and says how it was answered, and looks things up; it reads Temporal's schedules, stops them and
//! lets them go on. It doesn't know shards, outboxes or queues, and it never tries again by itself: when and how often is the
//! dispatcher's business. The raw service is used because the client's own start call makes up a new request id on each try,
//! which would undo "started once".

pub mod closing;
pub mod error;
pub mod lookup;
pub mod options;
mod outcome;
mod request;
pub mod schedules;
pub mod sink;
pub mod target;

pub use closing::{ClosedRun, LEFT_BYTES, LeftBehind, Standing};
pub use error::CallError;
pub use lookup::{Execution, Found, NamespaceInfo, Probe, RunStatus};
pub use options::{OptionsError, Secret, TemporalOptions, TlsOverrides};
pub use schedules::{Described, Switch};
pub use sink::TemporalSink;
pub use target::Target;
