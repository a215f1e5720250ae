//! Many Raft groups on one node: each shard's log, its replication and the machine that applies it.
//!
//! Owns every openraft type; none appears in what is public here. Generic over [`flintwheel_shard::Replicated`]: knows nothing of
//! definitions, time or events. In this version each group has one voter, this node.

mod apply_pool;
mod codec;
mod config;
mod error;
mod fatal;
mod group;
mod group_log;
mod groups;
mod leadership;
mod log_store;
mod log_writer;
mod machine;
mod maintain;
mod membership_codec;
mod network;
mod open;
mod propose;
mod snapshot;
mod state;
mod state_machine;
mod tail;
mod types;

pub use error::{OpenError, ProposeError, Stopped};
pub use fatal::FatalHook;
pub use group::{Group, GroupStatus};
pub use groups::Groups;
pub use leadership::Leadership;
pub use maintain::Maintained;
pub use open::{Limits, OpenOptions};
pub use state::GroupState;

#[cfg(test)]
mod tests;
