//! A whole cluster in one process, from one seed: the real groups, machines, schedules and ids, on a network, disks and clocks that are
//! simulated. A run is the same bit for bit each time.
//!
//! Not here: RocksDB, connections, actors, doors, the meta group, the leases of the subscription index. The proofs in `loadtest` show those,
//! on real processes.

mod campaign;
mod chores;
mod clients;
mod disk;
mod dispatch;
mod executor;
mod faults;
mod leader;
mod ledger;
mod network;
mod node;
mod observe;
mod operators;
mod planted;
mod properties;
mod random;
mod rest;
mod run;
mod stage;
mod temporal;
mod workload;

pub use campaign::{Campaign, TOTALS, campaign};
pub use planted::Planted;
pub use properties::Violation;
pub use run::{Report, run};
pub use stage::Counts;
