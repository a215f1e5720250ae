//! The actors of a node: one a shard, one dispatcher a namespace, and the supervisor that starts them anew when they fail.

pub mod coming;
pub mod leaders;
pub mod shard;
pub mod supervisor;
pub mod ticker;
