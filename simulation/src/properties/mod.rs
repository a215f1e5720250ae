//! What must hold, one file each. Those that hold at every instant are told what happens, and say when it can't be; the others look at what
//! is there when a run has come to rest.

pub mod account_complete;
pub mod backfilled_once;
pub mod bounded;
pub mod by_the_calendar;
pub mod carried_out_once;
pub mod committed_prefix;
pub mod equal_state;
pub mod fired_once;
pub mod nothing_early;
pub mod nothing_lost;
pub mod one_at_a_time;
pub mod one_leader;
pub mod pauses_kept;

use committed_prefix::CommittedPrefix;
use equal_state::EqualState;
use nothing_early::NothingEarly;
use one_leader::OneLeader;
use std::time::Duration;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: &'static str,
    /// How that was seen.
    pub what: String,
    /// When, since the beginning of the run.
    pub at: Duration,
}

/// Those that hold at every instant.
#[derive(Default)]
pub struct Properties {
    /// See its module.
    pub one_leader: OneLeader,
    /// See its module.
    pub committed_prefix: CommittedPrefix,
    /// See its module.
    pub equal_state: EqualState,
    /// See its module.
    pub nothing_early: NothingEarly,
    /// The first that did not hold.
    pub violation: Option<Violation>,
}
