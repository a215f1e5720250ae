//! Groups without work sleep: they have no ticks and no heartbeats. What stands for them is the liveness of the pair of nodes.
//!
//! A leader that has had nothing to do asks its followers to sleep with it; each of them agrees by a *token*, and from then on owes its leader a
//! notice before it does anything else for the group than follow. Nodes beat to each other, for all groups together, and a beat or its answer
//! brings all notices that are owed: so an answered beat says of each sleeping group what a heartbeat of its own would have said.
//!
//! `state` is one group's part, `leader` and `follower` what each of the two does; `pairs` is what is known of other nodes, `beat` the bytes of a
//! beat, `keeper` the tasks. Knows no machine.

mod beat;
mod follower;
mod keeper;
mod leader;
mod pairs;
#[cfg(test)]
mod pairs_tests;
mod state;

pub(crate) use follower::Heard;
pub(crate) use keeper::Sleepers;
pub(crate) use state::Doze;

use crate::config;
use crate::runtime::Moment;
use std::time::Duration;

/// The number under which beats travel, where others have a group's: above all shards.
pub const PAIR: u32 = u32::MAX - 2;

/// Between two beats to a node.
const BEAT: Duration = Duration::from_millis(200);
/// Whoever was heard within this time is not to be unseated: as long as openraft's own lease.
const LEASE: Duration = Duration::from_millis(config::LEASE);
/// Nothing was heard of a node for so long: the groups that it leads in their sleep are led by nobody. More than [`LEASE`] and a beat, so
/// that the others don't refuse their vote any more.
const LOST: Duration = Duration::from_millis(850);
/// A node that beats have not reached for so long is not waited for by who wants to sleep.
const AWAY: Duration = Duration::from_secs(3);

/// A group that can sleep, whatever its machine.
pub(crate) trait Sleeper: Send + Sync {
    /// It does not sleep any more by this token, where it still did.
    fn end(&self, token: u64, why: Why);
    /// Whether there is something to do: comes some times a second.
    fn look(&self, now: Moment);
    /// The nodes that take part in it.
    fn members(&self) -> Vec<u64>;
}

/// Why a group has to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It does not sleep any more on the other node.
    Told,
    /// The other node has been restarted.
    Restarted,
    /// Nothing is heard of the node that leads it.
    Lost,
    /// A member that was away when it fell asleep is heard again.
    Back,
}
