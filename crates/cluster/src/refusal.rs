//! Why an entry or a wish was refused: what is wrong, and what to do. Nothing has changed then.

use crate::META;
use crate::limits;
use crate::rows::{Formats, MoveStep, NodeState};

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no cluster yet.
    #[error("there is no cluster yet: make one with `flintwheel cluster init`")]
    NotInitialised,
    /// There is one already.
    #[error("there is a cluster already, {}: join it with `flintwheel server --join`", hex(cluster))]
    AlreadyInitialised {
        /// Which.
        cluster: [u8; 16],
    },
    /// A text of this length is not allowed.
    #[error("{field} has {len} bytes; 1 to {most} are allowed")]
    Length {
        /// Which field.
        field: &'static str,
        /// Its bytes.
        len: usize,
        /// As many are allowed.
        most: usize,
    },
    /// A number out of its range.
    #[error("{field} is {value}; {least} to {most} is allowed")]
    Range {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: i64,
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// No such node.
    #[error("there is no node {node} in this cluster: `flintwheel cluster nodes` lists them")]
    UnknownNode {
        /// What was given.
        node: u64,
    },
    /// The node is no longer part of the cluster.
    #[error(
        "node {node} was removed from the cluster and its id never comes back: empty its data directory, and let it join as a new node"
    )]
    Removed {
        /// Which.
        node: u64,
    },
    /// Another node has this name.
    #[error("the name {name:?} belongs to node {node}: choose another, or drain or remove node {node} first")]
    NameTaken {
        /// What was given.
        name: String,
        /// Who has it.
        node: u64,
    },
    /// Another node has this address.
    #[error("the address {address} belongs to node {node}: choose another, or drain or remove node {node} first")]
    AddressTaken {
        /// What was given.
        address: String,
        /// Who has it.
        node: u64,
    },
    /// As many nodes as a cluster can have.
    #[error("the cluster has had {most} nodes, which is as many as it can")]
    TooManyNodes {
        /// How many.
        most: usize,
    },
    /// The node's disk is older than what it has been.
    #[error(
        "node {node} comes with epoch {given}, but has been at {recorded}: its disk was rolled back or copied, and may have \
         forgotten votes. Empty its data directory, let it join as a new node, and drain node {node}"
    )]
    RolledBack {
        /// Which.
        node: u64,
        /// What the cluster knows.
        recorded: u64,
        /// What the node knows.
        given: u64,
    },
    /// The node's program and another's have no format in common.
    #[error(
        "node {node} speaks formats {}, and node {other} {}: they have none in common. Go on one version at a time",
        range(mine),
        range(theirs)
    )]
    Formats {
        /// Who comes.
        node: u64,
        /// What it speaks.
        mine: Formats,
        /// Who is there.
        other: u64,
        /// What that one speaks.
        theirs: Formats,
    },
    /// The node does not take part, or no longer.
    #[error("node {node} is {}: only a node that is up can do this", state_name(*is))]
    NotUp {
        /// Which.
        node: u64,
        /// What it is.
        is: NodeState,
    },
    /// The node holds replicas.
    #[error("node {node} holds {replicas} replicas: drain it first, or use --force if it is lost for good")]
    HoldsReplicas {
        /// Which.
        node: u64,
        /// How many.
        replicas: usize,
    },
    /// There is no other node.
    #[error("node {node} is the only one that is up: let another node join first")]
    LastNode {
        /// Which.
        node: u64,
    },
    /// The shard would be gone.
    #[error("{} has its only voter on node {node}: move it to another node first", shard_name(*shard))]
    LastVoter {
        /// Which node.
        node: u64,
        /// Which shard.
        shard: u32,
    },
    /// The shard could decide nothing any more.
    #[error("without node {node}, {} has no majority of its voters: bring its other nodes back first", shard_name(*shard))]
    NoMajority {
        /// Which node.
        node: u64,
        /// Which shard.
        shard: u32,
    },
    /// More replicas than nodes.
    #[error(
        "{wanted} replicas of each shard need as many nodes, and {nodes} are up: let more nodes join, or choose at most {nodes}"
    )]
    ReplicationAboveNodes {
        /// Replicas.
        wanted: u32,
        /// Nodes that are up.
        nodes: usize,
    },
    /// No such shard.
    #[error("there is no shard {shard}: this cluster has {shards}, from 0")]
    UnknownShard {
        /// What was given.
        shard: u32,
        /// How many there are.
        shards: u32,
    },
    /// The shard has no replicas yet.
    #[error("{} has no replicas yet: they are placed when the cluster is made", shard_name(*shard))]
    NotPlaced {
        /// Which.
        shard: u32,
    },
    /// The shard has replicas already.
    #[error("{} has its first replicas already: move them", shard_name(*shard))]
    AlreadyPlaced {
        /// Which.
        shard: u32,
    },
    /// It was computed from what is no longer so.
    #[error("{} has changed meanwhile (generation {generation}): look again", shard_name(*shard))]
    Stale {
        /// Which.
        shard: u32,
        /// Its generation now.
        generation: u64,
    },
    /// One change of a shard at a time.
    #[error("{} is being moved: wait until that has ended; `flintwheel cluster shards --moving` shows how far it is", shard_name(*shard))]
    MoveUnderWay {
        /// Which.
        shard: u32,
    },
    /// As many moves as are allowed at once.
    #[error("{most} moves are under way, which is as many as are allowed at once: wait, or raise the limit")]
    TooManyMoves {
        /// How many.
        most: u32,
    },
    /// As many replicas as a shard can have.
    #[error("{} has {most} replicas, which is as many as it can: remove one first", shard_name(*shard))]
    TooManyReplicas {
        /// Which.
        shard: u32,
        /// How many.
        most: usize,
    },
    /// The target holds one.
    #[error("node {node} holds a replica of {} already: choose another node", shard_name(*shard))]
    HoldsAlready {
        /// Which shard.
        shard: u32,
        /// Which node.
        node: u64,
    },
    /// The node holds none.
    #[error("node {node} holds no voting replica of {}: `flintwheel cluster shards` shows where they are", shard_name(*shard))]
    HoldsNone {
        /// Which shard.
        shard: u32,
        /// Which node.
        node: u64,
    },
    /// There is no move.
    #[error("{} is not being moved", shard_name(*shard))]
    NoMove {
        /// Which.
        shard: u32,
    },
    /// The step does not follow.
    #[error("the move of {} stands at {}: that step does not follow", shard_name(*shard), step_name(*is))]
    WrongStep {
        /// Which shard.
        shard: u32,
        /// Where it stands.
        is: MoveStep,
    },
    /// Neither a source nor a target, or both the same.
    #[error("a move of {} needs two different nodes, or one to add or to remove", shard_name(*shard))]
    NothingToMove {
        /// Which shard.
        shard: u32,
    },
    /// The node does not answer.
    #[error("node {node} does not answer: start it, or choose another node")]
    NotAlive {
        /// Which.
        node: u64,
    },
    /// The node has no room for the shard.
    #[error("node {node} has {free} bytes free, and {} needs {needs}: make room there, or choose another node", shard_name(*shard))]
    Full {
        /// Which node.
        node: u64,
        /// What it has.
        free: u64,
        /// Which shard.
        shard: u32,
        /// What the shard needs.
        needs: u64,
    },
    /// The replica, or what the node holds, is behind.
    #[error("node {node} is behind with its log: wait until it has caught up, or choose another node")]
    Lagging {
        /// Which.
        node: u64,
    },
    /// It would decide too early or too late.
    #[error(
        "the clock of node {node} is not that of the others, so it leads nothing: set its clock right, or choose another node"
    )]
    Astray {
        /// Which.
        node: u64,
    },
    /// What it led would take nothing new in.
    #[error(
        "the disk of node {node} has less free than its reserve, so it leads nothing: make room there, or choose another node"
    )]
    DiskLow {
        /// Which.
        node: u64,
    },
    /// No node can take the shard's replica.
    #[error("no node that is up, answers and holds no replica of {} has {needs} bytes free: let a node join, or make room", shard_name(*shard))]
    NoRoom {
        /// Which shard.
        shard: u32,
        /// What it needs.
        needs: u64,
    },
    /// All other nodes that could hold it do.
    #[error(
        "every other node that is up holds a replica of {} already: let a node join, or choose fewer replicas with `flintwheel \
         cluster settings --replication` ({wanted} are wanted)",
        shard_name(*shard)
    )]
    NoOtherNode {
        /// Which shard.
        shard: u32,
        /// Replicas wanted.
        wanted: u32,
    },
    /// The time after which replicas are replaced is out of its range.
    #[error("repair_after is {}; {} to {} is allowed", span(*value), span(1), span(limits::REPAIR_AFTER))]
    RepairAfter {
        /// What was given, in microseconds.
        value: i64,
    },
    /// The shard has no leader, so that nothing of it can be changed.
    #[error("{} has no leader that a majority of its voters follows: bring its nodes back first", shard_name(*shard))]
    NoLeader {
        /// Which.
        shard: u32,
    },
    /// It is so already.
    #[error("node {node} leads {} already", shard_name(*shard))]
    LeadsAlready {
        /// Which shard.
        shard: u32,
        /// Which node.
        node: u64,
    },
}

/// A shard's name, for people.
pub fn shard_name(shard: u32) -> String {
    if shard == META { "the meta group".to_owned() } else { format!("shard {shard}") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A length of time in the largest unit that tells it exactly, as settings write it.
fn span(micros: i64) -> String {
    const UNITS: [(i64, &str); 5] =
        [(24 * 3_600_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms")];
    let unit = UNITS.iter().find(|(unit, _)| micros != 0 && micros % unit == 0);
    match unit {
        Some((unit, name)) => format!("{}{name}", micros / unit),
        None if micros == 0 => "0s".to_owned(),
        None => format!("{micros}us"),
    }
}

fn range(formats: &Formats) -> String {
    if formats.least == formats.most {
        formats.most.to_string()
    } else {
        format!("{} to {}", formats.least, formats.most)
    }
}

/// A node's state in words.
pub fn state_name(state: NodeState) -> &'static str {
    match state {
        NodeState::Joining => "joining",
        NodeState::Up => "up",
        NodeState::Draining => "draining",
        NodeState::Removed => "removed",
    }
}

/// A step in words.
pub fn step_name(step: MoveStep) -> &'static str {
    match step {
        MoveStep::AddLearner => "add-learner",
        MoveStep::CatchUp => "catch-up",
        MoveStep::Promote => "promote",
        MoveStep::Remove => "remove",
        MoveStep::Abandon => "abandon",
    }
}
