//! What stands in the meta group's log: one entry, one change, with the leader's time.
//!
//! The format is versioned: an entry of a newer kind stops the meta group on a node that doesn't know it, never the node.

mod codec;

use crate::rows::{Addresses, Formats, MoveStep, Reason, Settings};

/// One log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The leader's clock when it proposed, in microseconds since the epoch. The latest seen is the only time that apply knows.
    pub at: i64,
    /// The change.
    pub body: Body,
}

/// The change, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The cluster is made, with its first node.
    Init(Init),
    /// A node asks for an id.
    Join(Join),
    /// A node's program has started.
    Register(Register),
    /// A node is drained, or no longer.
    Drain(Drain),
    /// A node is removed for good.
    Remove(Remove),
    /// Settings are changed.
    SetSettings(Change),
    /// Replicas begin to move.
    BeginMove(BeginMove),
    /// A move goes on to its next step.
    StepMove(StepMove),
    /// A move has ended.
    EndMove(EndMove),
    /// The first replicas of shards: all of them, or none.
    SetReplicas(Vec<Placement>),
}

/// The cluster is made. The meta group's only replica is on the first node then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// As they shall be.
    pub settings: Settings,
    /// Gets id 1.
    pub first: Join,
}

/// A node asks for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// For people; no other node that is up may have it.
    pub name: String,
    /// Where it is reached; no other node that is up may have its peer address.
    pub addresses: Addresses,
    /// Rack or zone.
    pub zone: Option<String>,
    /// Bytes that it offers.
    pub capacity: Option<u64>,
    /// Random; the same one again gives the same node.
    pub token: u128,
}

/// A node's program has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Which node.
    pub node: u64,
    /// One more than its disk knew, and written there before: so an older one is a disk that was rolled back.
    pub epoch: u64,
    /// Random, of this run of the program.
    pub incarnation: u64,
    /// Where it is reached now.
    pub addresses: Addresses,
    /// Rack or zone.
    pub zone: Option<String>,
    /// Bytes that it offers.
    pub capacity: Option<u64>,
    /// The version of its program.
    pub program: String,
    /// What its program speaks.
    pub formats: Formats,
}

/// A node is drained, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Which node.
    pub node: u64,
    /// Drain it; else let it take part again.
    pub drain: bool,
}

/// A node is removed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remove {
    /// Which node.
    pub node: u64,
    /// Although it holds replicas: they are made anew elsewhere.
    pub force: bool,
}

/// Settings that change; the others stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Replicas wanted of each shard.
    pub replication: Option<u32>,
    /// How long a node may be gone before its replicas are replaced, in microseconds.
    pub repair_after: Option<i64>,
    /// Moves under way at once.
    pub most_moves: Option<u32>,
}

/// Replicas begin to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginMove {
    /// Which shard.
    pub shard: u32,
    /// The generation that it was computed from; another one makes it stale.
    pub generation: u64,
    /// Who loses a replica.
    pub from: Option<u64>,
    /// Who gets one.
    pub to: Option<u64>,
    /// Why.
    pub reason: Reason,
}

/// A move goes on to its next step: the step before it is done in the shard's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepMove {
    /// Which shard.
    pub shard: u32,
    /// The generation that it was computed from.
    pub generation: u64,
    /// The step that is done from now on.
    pub step: MoveStep,
}

/// A move has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMove {
    /// Which shard.
    pub shard: u32,
    /// The generation that it was computed from.
    pub generation: u64,
    /// How.
    pub outcome: MoveOutcome,
}

/// How a move has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveOutcome {
    /// All its steps are done.
    Done,
    /// Given up: what it had brought is out of the shard's group again; where the old replica was to go, it stays.
    Abandoned,
}

/// A shard's first replicas, all voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Which shard.
    pub shard: u32,
    /// On which nodes.
    pub nodes: Vec<u64>,
}
