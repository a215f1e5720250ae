//! Pure. One shard's state machine: entries in; state changes and replies out, over a small key-value trait.
//!
//! Apply reads nothing but the shard's state and the entry: no clock, no random, no time-zone database, no filter engine.
//! Cron, zones and filters are evaluated by the leader; their results stand in the entry.

mod apply;
pub mod backfills;
pub mod calendar_entry;
pub mod calendars;
pub mod codec;
pub mod courses;
mod dedupe;
pub mod entry;
pub mod export;
pub mod keys;
pub mod kv;
mod machine;
pub mod occurrence;
pub mod outbox;
pub mod pauses;
pub mod query;
pub mod records;
pub mod replicated;
pub mod reply;
pub mod request;
pub mod rows;
mod scan;
pub mod slots;
pub mod tracks;
pub mod zones;

pub use apply::ack::REFUSED;
pub use entry::Entry;
pub use kv::{Read, ReadError, Table, Txn, Visit, Write};
pub use machine::Machine;
pub use replicated::{ApplyError, Replicated};
pub use reply::Applied;
