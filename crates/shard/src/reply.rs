//! What the proposer of an entry learns when it has been applied.

use crate::calendars::Local;

/// The result of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// New work for the dispatcher.
    pub chunks: Vec<OutboxRef>,
    /// By decision.
    pub outcome: Outcome,
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        Self { chunks: Vec::new(), outcome }
    }
}

/// A chunk of firings in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxRef {
    /// Of the firings' namespace.
    pub lane: u32,
    /// Its sequence.
    pub seq: u64,
    /// How many firings.
    pub records: u32,
}

/// What became of the decisions of an entry, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// Of `Define`.
    Defined(Vec<Defined>),
    /// Of `Delete`.
    Deleted(Vec<Deleted>),
    /// Of `Pause`.
    Paused(Vec<Pausing>),
    /// Of `Fire`: indices of the decisions that were stale and did nothing.
    Fired {
        /// To be computed again.
        stale: Vec<u32>,
        /// Due times that were skipped because of an open run.
        overlapped: u32,
    },
    /// Of `Ingest`.
    Ingested(Vec<Ingested>),
    /// Of `Trigger`.
    Triggered(Vec<Triggered>),
    /// Of `Closed`.
    Closed {
        /// Runs that were open.
        closed: u32,
        /// Definitions that are paused by it.
        paused: Vec<u64>,
    },
    /// Of `Conclude`.
    Concluded(Vec<Concluded>),
    /// Of `Dead`: whether it was there.
    Dead(Vec<bool>),
    /// Of `Restore`.
    Restored(Restored),
    /// Of `Backfill`, by step.
    Backfilled(Vec<Backfilled>),
    /// Of `Calendar`.
    Calendar(Calendared),
    /// Of `Rezone`.
    Rezoned {
        /// How many are due at another time now. Those after one that was stale are not done.
        moved: u32,
    },
    /// Of anything else while a backup is brought in: nothing was done.
    Held,
}

/// What became of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// It is new.
    Created(Definite),
    /// It has a new version.
    Configured(Definite),
    /// It was the same already.
    Unchanged(Definite),
    /// It has another version than the one expected (0: it does not exist).
    Conflict {
        /// The version it has.
        actual: u32,
    },
    /// Its first due time lies before one that has been decided: compute it again, from after `last`.
    Behind {
        /// The latest nominal due time decided.
        last: i64,
    },
    /// Its due time was computed by calendars that are not those of now: compute it again.
    Outdated,
    /// The shard has given out all its lanes to other namespaces.
    TooManyNamespaces,
    /// The same request has been carried out before; nothing was done now.
    Repeated(Before),
    /// Another request has been carried out under this id; nothing was done.
    Reused,
}

/// What became of a definition when its request was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// What was done.
    pub change: Change,
    /// The version that it had then.
    pub version: u32,
    /// Its first due time after that, or [`NEVER`](crate::entry::NEVER).
    pub next: i64,
}

/// What a `Define` has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Created,
    /// It was another.
    Configured,
    /// It was the same already.
    Unchanged,
}

/// What became of a definition that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone {
        /// Its number.
        number: u64,
        /// Its last version.
        version: u32,
    },
    /// There is none of this name, or it is another incarnation.
    NotFound,
    /// It has another version than the one expected.
    Conflict {
        /// The version it has.
        actual: u32,
    },
    /// The same request has been carried out before; nothing was done now.
    Repeated {
        /// The last version of what was removed then.
        version: u32,
    },
    /// Another request has been carried out under this id; nothing was done.
    Reused,
}

/// What became of a definition whose schedule is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concluded {
    /// It is gone.
    Deleted {
        /// Its number.
        number: u64,
        /// Its namespace.
        namespace: String,
        /// Its id.
        id: String,
    },
    /// It is disabled.
    Disabled {
        /// Its number.
        number: u64,
        /// Its version.
        version: u32,
        /// Its namespace.
        namespace: String,
        /// Its id.
        id: String,
    },
    /// It has changed, it must still wait, or it was done before: nothing was done now.
    Stale,
}

/// Which definition it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definite {
    /// Its number.
    pub number: u64,
    /// Its generation.
    pub generation: u32,
    /// Its version.
    pub version: u32,
}

/// What became of a pause or resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pausing {
    /// It is paused, or resumed, now.
    Changed(Definite),
    /// It was so already; a new note is kept.
    Same(Definite),
    /// It has changed since it was computed where it goes on: compute it again.
    Stale,
    /// There is no such definition.
    NotFound,
    /// The same request has been carried out before; nothing was done now.
    Repeated {
        /// Whether it changed anything then.
        changed: bool,
    },
    /// Another request has been carried out under this id; nothing was done.
    Reused,
}

/// What became of a matched event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// It fires.
    Fired,
    /// Its key was seen within the window.
    Duplicate,
    /// The definition is paused: skipped, and accounted as such.
    Skipped,
    /// The definition has changed or gone: match again.
    Stale,
}

/// What became of a firing by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// It fires.
    Fired {
        /// The version that fires.
        version: u32,
        /// Of the definition.
        incarnation: u64,
    },
    /// It waits for a run of the definition to end.
    Waits {
        /// The version that the definition has now.
        version: u32,
        /// Of the definition.
        incarnation: u64,
    },
    /// It does not fire, because of a run of the definition that is open.
    Skipped {
        /// Of the definition.
        incarnation: u64,
    },
    /// The same request id has fired it before.
    Duplicate {
        /// Of the definition.
        incarnation: u64,
    },
    /// There is no such definition.
    NotFound,
}

/// What became of a step of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfilled {
    /// It has begun.
    Begun,
    /// One of this id, for the same range, is there already; nothing was done.
    Repeated,
    /// One of this id, for another range, is there already; nothing was done.
    Reused,
    /// As many as there may be are under way; nothing was done.
    TooMany,
    /// Its next due times are decided.
    Advanced {
        /// How many fire, now or when a run has ended.
        fired: u32,
        /// How many do not, because of a run.
        skipped: u32,
    },
    /// It stands elsewhere, has ended, or the definition has changed; nothing was done.
    Stale,
    /// It is stopped.
    Stopped,
    /// It had ended before.
    Ended,
    /// There is no such definition.
    NotFound,
    /// There is no such backfill.
    NoBackfill,
}

/// What became of a step of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendared {
    /// Of `Put`: it is so at home, and not in all shards yet unless they had it before.
    Put {
        /// What was done.
        change: Change,
        /// The version that it has.
        version: u32,
        /// The revision that all shards must have.
        revision: u64,
    },
    /// Of `Remove`: it goes when all shards have let go of it.
    Leaving {
        /// The version that it has.
        version: u32,
        /// The revision that all shards must hear of.
        revision: u64,
    },
    /// Of `Remove`: the same request has removed it before.
    Gone {
        /// The version that it had.
        version: u32,
    },
    /// Of `Put`: the same request has been carried out before; nothing was done now.
    Repeated(Before),
    /// Another request has been carried out under this id; nothing was done.
    Reused,
    /// It has another version than the one expected (0: it does not exist).
    Conflict {
        /// The version it has.
        actual: u32,
    },
    /// Calendars have changed meanwhile: look again.
    Outdated,
    /// There is none of this name.
    NotFound,
    /// Of `Keep`, `Spread` and `Again`.
    Done,
    /// Of `Days` and `Drop`: how the shard stands with it now. What came late has changed nothing.
    Local {
        /// The days that it has, if it has some.
        local: Option<Local>,
        /// Definitions that use it.
        users: u64,
    },
    /// Of `Retime`.
    Retimed {
        /// So many of the items, the first ones, have been done. Those after them were stale.
        items: u32,
    },
}

/// What became of a step of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is done, or was before.
    At {
        /// Rows that are here.
        rows: u64,
        /// Whether it is finished.
        finished: bool,
    },
    /// It was not: nothing has changed, but that rows before one that is at fault are here.
    Refused(RestoreRefusal),
}

/// Why a step of a restore was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreRefusal {
    /// There is something.
    #[error("it has, or has had, definitions: a backup is restored into a new cluster")]
    NotEmpty,
    /// Another backup is being brought in, or was.
    #[error("another backup is being restored into it, or was: a backup is restored into a new cluster")]
    Another,
    /// The first step is missing.
    #[error("no restore has begun")]
    NotBegun,
    /// It is finished.
    #[error("this backup has been restored: what happens now is the cluster's own business")]
    Finished,
    /// Rows are missing in between, or at the end.
    #[error("it has {rows} rows of the backup, and was told of {told}")]
    Gap {
        /// What is here.
        rows: u64,
        /// What should be.
        told: u64,
    },
    /// A row can't be brought in.
    #[error("row {row} of the backup {why}")]
    Row {
        /// Its place among those of this shard.
        row: u64,
        /// What is wrong with it.
        why: String,
    },
}
