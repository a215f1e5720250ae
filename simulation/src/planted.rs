//! Bugs that the properties must find. Each stands in the simulation, at a seam of the real code, so that none can ever be in a program that
//! serves: the disk that forgets, the leader that does not wait, the Temporal that keeps no ids.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Planted {
    /// The log is written and not synced
    FsyncSkipped,
    /// A vote is given before it is on disk
    VoteNotSynced,
    /// What is applied is written before the state that it stands for, not with it
    AppliedOutsideTheBatch,
    /// A flush of the state does nothing, and the log is removed all the same
    FlushForgotten,
    /// Entries that a new leader took back stay on disk
    TruncationForgotten,
    /// Keys that a snapshot does not have stay when it is installed
    SnapshotLeavesOldKeys,
    /// Dedupe buckets are dropped while windows reach into them
    DedupeDroppedEarly,
    /// Clients are answered when an entry is proposed
    AnsweredBeforeCommit,
    /// A leader matches events without asking whether it still leads
    StaleRead,
    /// A definition's timer is lost, and nobody looks for it
    TimerDropped,
    /// Due times are decided two seconds too soon
    FiresEarly,
    /// A new leader begins at the present, not at the cursors
    MissedIsForgotten,
    /// A firing is started when it is proposed, not when it is applied
    StartedBeforeCommit,
    /// A leader that was refused, for it leads no more, starts what it had decided all the same
    StaleLeaderStarts,
    /// A firing counts as started before the sink has said so
    AcknowledgedBeforeStart,
    /// Each try of a start has a request id of its own
    RequestIdRandom,
    /// Each try of a change of a definition has a request id of its own
    ApplyIdRandom,
    /// Each try of an event has a dedupe key of its own
    DedupeKeyRandom,
    /// Workflow ids are used again
    ReuseAllowed,
    /// A leader fires by a clock that was not compared with others, or that they contradict
    ClockNotCompared,
    /// A new leader asks only for runs that end from now on
    RunEndForgotten,
    /// The end of any run of a definition is taken for that of the one that is open
    AnotherRunEnds,
    /// What waited for a run is not sent when that ends
    WaitingNotSent,
    /// A new leader knows nothing of pauses that are to end by themselves
    PauseEndForgotten,
    /// A pause that ends by itself drops what was due until somebody came to end it
    PauseEndsNow,
    /// A definition goes on where the schedule would that it had when that was computed
    ResumeNotCompared,
    /// Firings are counted by the leader, and not in the state
    BoundCountedInMemory,
    /// Where a backfill stands is written after what it has decided, not with it
    BackfillOutsideTheBatch,
    /// A backfill is stopped where it is led, and not in the state
    BackfillStoppedInMemory,
    /// Definitions that name a calendar are not due anew when it changes
    CalendarNotFollowed,
}

impl Planted {
    /// All of them.
    pub fn all() -> &'static [Self] {
        clap::ValueEnum::value_variants()
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// In a sentence.
    pub fn about(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }
}
