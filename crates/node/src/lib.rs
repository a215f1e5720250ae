//! A node: the actors of its shards and dispatchers, its doors (gRPC and HTTP), its configuration.
//!
//! Everything that runs meets here. What is decided, and how it is written, is the business of the pure crates below.

pub mod actors;
pub mod admission;
pub mod after;
pub mod api;
pub mod backfills;
pub mod calendars;
pub mod clock;
pub mod clocks;
pub mod cloudevents;
pub mod config;
pub mod decide;
mod dedupe;
pub mod dispatch;
pub mod due_anew;
pub mod engine;
pub mod error;
pub mod exports;
pub mod grpc;
mod hand_over;
pub mod http;
pub mod ingress;
pub mod interest;
pub mod load;
pub mod membership;
pub mod metrics;
pub mod paces;
pub mod pauses;
pub mod peers;
pub mod placement;
pub mod plans;
pub mod room;
pub mod run;
pub mod runs;
pub mod server;
pub mod shared;
mod zone_data;

pub use error::RunError;
pub use run::{Claim, Node};
