//! How a node becomes part of a cluster and stays one: it asks for an id, once, and registers each time that it starts.
//!
//! Knows nothing of shards but their number; where replicas go is the business of `placement`.

mod admission;
mod join;
mod register;
mod waiting;
mod which;

pub use admission::Admission;
pub use join::{New, Part, settle};
pub use register::Registrar;
pub use waiting::settle_behind_doors;
pub use which::same_cluster;

use flintwheel_cluster::rows::Addresses;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// For people.
    pub name: String,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Rack or zone.
    pub zone: Option<String>,
    /// Bytes that it offers.
    pub capacity: Option<u64>,
    /// Random, made with its data directory.
    pub token: u128,
}
