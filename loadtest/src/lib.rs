//! The other side of the bench: a stand-in for Temporal that records, a ledger that judges, generators of load, and the
//! proofs that put them together. Made so that a user can point the same at a cluster of their own.
//!
//! It knows the engine only from outside: its gRPC and HTTP doors, its command line, and what arrives at Temporal.

pub mod bare;
pub mod clock;
pub mod cluster;
pub mod disk;
pub mod door;
pub mod engine;
pub mod events;
pub mod hand_worker;
pub mod http;
pub mod ledger;
pub mod linear;
pub mod metrics;
pub mod nats;
pub mod network;
pub mod objects;
pub mod plan;
pub mod process;
pub mod prove;
pub mod raw_temporal;
pub mod registers;
pub mod report;
pub mod rhythm;
pub mod standin;
mod start_line;
pub mod temporal_dev;
pub mod wrong_clock;

pub use start_line::{LineError, StartLine};
