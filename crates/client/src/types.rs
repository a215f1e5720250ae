//! What the services answer, beyond the definition itself. Plain data; how it travels is `convert`'s business.
//!
//! Serialized as `-o json` prints it: snake_case, times in RFC 3339.

mod backup;
mod calendar;
mod clock;
mod cluster;
mod cluster_state;
mod dead;
mod init;
mod naming;
mod occurrence;
mod operation;
mod record;
mod run;
mod schedule;

pub use backup::{BackupSource, ExportBegun, ExportedRows, RestoreBegun, ShardRestore};
pub use calendar::{CalendarApplied, CalendarRecord, CalendarStatus, DueMove};
pub use clock::ClockOffset;
pub use cluster::{ClusterStatus, NamespaceOutbox, NodeStatus, Rates, ShardCounts, TemporalTarget};
pub use cluster_state::{
    ClusterNode, ClusterSettings, ClusterShard, ClusterState, Granted, META_SHARD, MoveReason, MoveStep, NodeState,
    PlannedStep, ReplicaRole, SettingsChange, ShardMove, ShardReplica,
};
pub use dead::{DeadLetter, DeadLetterFilter, DeadLetterSelection, Settled};
pub use init::{InitReply, InitRequest};
pub use naming::{parse_shard, shard_name};
pub use occurrence::{Occurrence, OccurrenceQuery, Outcome};
pub use operation::{
    Backfill, BackfillBegun, BackfillOrder, BackfillQuery, BackfillRequest, BackfillStopped, Backfills, BulkAction,
    BulkRequest, BulkResult, ChangeOptions, FieldChange,
};
pub use record::{
    Applied, ApplyOptions, ApplyOutcome, Counts, DefinitionRecord, DefinitionStatus, DueTime, ListQuery, NextTimes,
    OpenRun, Paused, Switched, Triggered, WatchedRuns,
};
pub use run::{Run, RunQuery, RunStatus, SpawnedTask, TaskKind, TaskStatus, TriggerKind};
pub use schedule::{AskedTime, DueCount, DuePart, DueQuery, Explanation, LeftOut, Moment};

/// Some of a list, and where the rest begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Ask with it for the next page; none on the last.
    pub next: Option<String>,
}

/// Which page to ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many, 1 to 1,000; 0 lets the server choose.
    pub size: u32,
    /// [`Page::next`] of the page before; empty for the first.
    pub token: String,
}
