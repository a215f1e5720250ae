//! The disk of one node: its data directory, the log database and the state database.
//!
//! Owns every RocksDB type: key prefixes, column families, batches, options. Knows no Raft and no definitions: the log holds
//! opaque entries by group and index, the state holds opaque keys and values by group and column.

mod data_dir;
mod error;
mod export;
mod exported;
mod identity;
mod import;
mod keys;
mod log_batch;
mod log_db;
mod log_salvage;
mod manifest;
mod mark;
mod options;
mod pinned;
mod salvage;
mod shelf;
mod space;
mod state_batch;
mod state_db;
#[cfg(test)]
mod testing;

pub use data_dir::{DataDir, OpenError, Reserved};
pub use error::{Fault, StoreError};
pub use exported::{ExportedFile, verify};
pub use identity::{FORMAT, Identity};
pub use log_batch::LogBatch;
pub use log_db::{LogDb, LogStats, Loss};
pub use options::{ColumnSpec, Purpose, StateOptions};
pub use pinned::Pinned;
pub use shelf::{Change, Shelf};
pub use space::{FreeSpace, free_space};
pub use state_batch::StateBatch;
pub use state_db::{Column, StateDb, StateStats, Visit};
