//! The actors of a node: one a shard, one dispatcher a namespace, and the supervisor that starts them anew when they fail.

pub mod backlog;
pub mod bits;
pub mod coming;
pub mod leaders;
pub mod shard;
pub mod supervisor;
pub mod ticker;
pub mod watch;
