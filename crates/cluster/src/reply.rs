//! What the proposer of an entry learns when it has been applied, where it was not refused.

/// What an entry has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Of `Init` and `Join`: the node's id, the same for the same token.
    Node(u64),
    /// Of `Register`: it takes part with this epoch.
    Registered {
        /// The epoch.
        epoch: u64,
    },
    /// Of moves: the shard's generation now.
    Shard {
        /// What the next change of the shard is computed from.
        generation: u64,
    },
    /// It is so now.
    Done,
    /// It was so already.
    Same,
}
