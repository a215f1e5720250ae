//! Pure. Who is in the cluster and where each shard's replicas are: the meta group's state machine, and the planner that decides
//! what to move.
//!
//! The machine only records: who joined, which replicas a shard has, which move is under way and how far. The planner reads that and
//! what is observed, and says what to do next. Neither knows Raft, a clock or a connection: whoever drives them changes the groups,
//! measures, and passes the time in.

mod apply;
mod copy;
pub mod entry;
pub mod keys;
pub mod limits;
mod machine;
pub mod plan;
pub mod refusal;
pub mod reply;
pub mod rows;

pub use entry::Entry;
pub use machine::Meta;
pub use plan::{Step, View, plan};
pub use refusal::Refusal;
pub use reply::Accepted;

/// The meta group as a shard: it is placed, moved and repaired by the same rules. No other shard has this number. (The one above it is
/// where a node's log keeps what is of no group.)
pub const META: u32 = u32::MAX - 1;
