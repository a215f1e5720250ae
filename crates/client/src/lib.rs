//! A typed Rust client: what the gRPC services do, in the types of `model` and of this crate.
//!
//! Knows the wire (`convert`) so that nobody above it must. It keeps no state beyond its connections and the batches under way.

pub mod convert;
pub mod publisher;
pub mod types;

mod call;
mod client;
mod error;
mod options;
mod routes;
mod transport;

pub use client::{BATCH_ITEMS, Client, NextOf, Progress, PublishResult, RejectedEvent, ShardExport};
pub use error::{Code, Error, reason};
pub use options::{ApiKey, DEFAULT_ADDRESS, Options, Tls};
pub use publisher::{Publisher, PublisherOptions, Ticket};
pub use types::*;
