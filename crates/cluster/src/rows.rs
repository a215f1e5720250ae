//! What the meta group keeps: settings, nodes, shards. Each row begins with its version.

mod codec;

/// What is fixed when a cluster is made, and what an operator may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which cluster: random, made once.
    pub cluster: [u8; 16],
    /// Shards of the cluster, without the meta group; fixed.
    pub shards: u32,
    /// Replicas wanted of each shard. With fewer nodes than that there are fewer.
    pub replication: u32,
    /// How long a node may be gone before its replicas are replaced, in microseconds.
    pub repair_after: i64,
    /// Moves under way at once, at most.
    pub most_moves: u32,
}

/// Positions of the meta group, written with each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The latest time that an entry has brought, in microseconds since the epoch. It never goes back.
    pub clock: i64,
    /// The next node's id. Ids are never used again.
    pub next_node: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { clock: i64::MIN, next_node: 1 }
    }
}

/// Where a node is reached, each as `host:port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// By other nodes.
    pub peer: String,
    /// By clients, over gRPC.
    pub client: String,
    /// By clients, over HTTP.
    pub http: String,
}

/// The versions of formats and wire that a program speaks, both ends included. `0..=0` until a node has registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// The oldest.
    pub least: u32,
    /// The newest.
    pub most: u32,
}

/// One node, also when it was removed: its id never comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number in the cluster.
    pub id: u64,
    /// For people; one at a time has it.
    pub name: String,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Rack or zone: replicas of one shard are kept in different ones. Without one, a node is a zone of its own.
    pub zone: Option<String>,
    /// Bytes that it offers; as many as its disk has where it doesn't say.
    pub capacity: Option<u64>,
    /// Of the request that made it join: the same request again is the same node.
    pub token: u128,
    /// Whether it takes part.
    pub state: NodeState,
    /// Since when it has this state, in microseconds since the epoch.
    pub since: i64,
    /// Grows each time that its program starts; a disk that knows an older one was rolled back. 0 until it has registered.
    pub epoch: u64,
    /// Random, of the program that registered last: tells a request that is sent again from another program with the same disk.
    pub incarnation: u64,
    /// The version of its program.
    pub program: String,
    /// What its program speaks.
    pub formats: Formats,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It has an id, and has not registered yet.
    Joining,
    /// It takes part.
    Up,
    /// Its replicas and leaders go elsewhere, and it gets no new ones.
    Draining,
    /// It is no longer part of the cluster.
    Removed,
}

/// Where one shard's replicas are, and what is being changed. The shard's own group has the last word on who votes; this is what its
/// membership is brought to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// In the order in which they came.
    pub replicas: Vec<Replica>,
    /// Grows with each change of this row; who proposes a change names the one that it was computed from.
    pub generation: u64,
    /// The one change that is under way.
    pub pending: Option<Move>,
}

/// A shard's copy on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where it is.
    pub node: u64,
    /// Whether it votes.
    pub role: Role,
    /// The shard's generation when this node got it. What a node holds from before that was removed, and must not come back.
    pub since: u64,
}

/// Whether a replica votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Voter,
    /// It gets the log, and does not vote.
    Learner,
}

/// One replica that comes, one that goes, or one that replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The node that loses its replica, at the end.
    pub from: Option<u64>,
    /// The node that gets one, at the beginning.
    pub to: Option<u64>,
    /// What is being done now.
    pub step: MoveStep,
    /// When it began, in microseconds since the epoch.
    pub started: i64,
    /// Why.
    pub reason: Reason,
}

/// What is being done, in this order. Up to [`Promote`](Self::Promote) a move can be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// The shard's group is told of the learner.
    AddLearner,
    /// The learner gets the state and the log.
    CatchUp,
    /// It is made a voter.
    Promote,
    /// The old replica is taken out of the group.
    Remove,
    /// The move is given up: the new replica is taken out again, a learner or already a voter. If its shard can't do without it by then, it goes
    /// on at [`Promote`](Self::Promote).
    Abandon,
}

/// Why something is moved, in order of urgency but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A replica is missing, or on a node that is gone.
    Repair,
    /// Its node is drained.
    Drain,
    /// Two replicas share a zone.
    Zone,
    /// Nodes are evened out.
    Rebalance,
    /// Somebody said so.
    Command,
}

impl Node {
    /// Its name and number, for people.
    pub fn title(&self) -> String {
        format!("node {} ({})", self.id, self.name)
    }
}

impl Shard {
    /// The replica on this node.
    pub fn on(&self, node: u64) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.node == node)
    }

    /// The nodes whose replicas vote.
    pub fn voters(&self) -> impl Iterator<Item = u64> + '_ {
        self.replicas.iter().filter(|replica| replica.role == Role::Voter).map(|replica| replica.node)
    }

    /// The node that holds no replica any more once what is under way has ended.
    pub fn leaving(&self) -> Option<u64> {
        let pending = self.pending.as_ref()?;
        if pending.step == MoveStep::Abandon { pending.to } else { pending.from }
    }

    /// The nodes that hold a replica once what is under way has ended.
    pub fn after_move(&self) -> Vec<u64> {
        let leaving = self.leaving();
        self.replicas.iter().map(|replica| replica.node).filter(|node| Some(*node) != leaving).collect()
    }
}

/// How many of these voters must agree.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}
