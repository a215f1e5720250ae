//! How large what an entry brings may be. Checked at apply, so that no replica ever holds more.

/// Bytes of a node's name and of a zone.
pub const NAME: usize = 128;
/// Bytes of an address (`host:port`).
pub const ADDRESS: usize = 300;
/// Bytes of a program's version.
pub const PROGRAM: usize = 64;
/// Nodes that a cluster ever had, those removed included.
pub const NODES: usize = 65_536;
/// Shards of a cluster.
pub const SHARDS: u32 = 4096;
/// Replicas that are wanted of a shard.
pub const REPLICATION: u32 = 9;
/// Replicas of one shard, those that come and go included.
pub const REPLICAS: usize = 16;
/// Moves at once.
pub const MOVES: u32 = 1024;
/// The longest that a node may be gone before its replicas are replaced, in microseconds: a year.
pub const REPAIR_AFTER: i64 = 365 * 24 * 3_600_000_000;
