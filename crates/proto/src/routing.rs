//! Metadata of answers about one definition: how a node that had to ask another one tells a client where to go the next time. Clients that don't
//! know it lose a hop and nothing else.

/// How many shards the cluster has: with it, a client knows which other definitions are led there too.
pub const SHARDS: &str = "flintwheel-shards";
/// The address for clients of the node that leads the definition's shard.
pub const LEADER: &str = "flintwheel-leader";
