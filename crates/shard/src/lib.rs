//! Pure. One shard's state machine: entries in; state changes and replies out, over a small key-value trait.
//!
//! Apply reads nothing but the shard's state and the entry: no clock, no random, no time-zone database, no filter engine.
//! Cron, zones and filters are evaluated by the leader; their results stand in the entry.

pub mod kv;
pub mod replicated;

pub use kv::{Read, ReadError, Table, Txn, Write};
pub use replicated::{ApplyError, Replicated};
