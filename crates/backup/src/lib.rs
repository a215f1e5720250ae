//! Backups as they are kept: files of rows with checksums, a manifest that is written last, the places that they can be in, and the way of each row
//! into a cluster with another number of shards.
//!
//! Knows no server: whoever reads shards hands rows in, whoever restores takes them out. The form is described in `docs/backup.md`.

mod block;
mod error;
mod manifest;
mod place;
mod reader;
mod restore;
mod route;
mod writer;

pub use error::BackupError;
pub use manifest::{FORMAT, Instant, MANIFEST, Manifest, ShardFile};
pub use place::{Access, New, Place};
pub use reader::{Backup, ShardReader, Verified};
pub use restore::{Batch, Restore};
pub use route::{RouteError, Routed, Router};
pub use writer::ShardWriter;
