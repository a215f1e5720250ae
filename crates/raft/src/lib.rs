//! Many Raft groups on one node: each shard's log, its replication and the machine that applies it.
//!
//! Owns every openraft type; none appears in what is public here. Generic over [`flintwheel_shard::Replicated`]: knows nothing of
//! definitions, time or events. The other nodes are behind the small trait [`Transport`].

mod ahead;
mod apply_pool;
mod candidate;
mod codec;
mod config;
mod distrust;
mod error;
mod fatal;
mod fence;
mod group;
mod group_log;
mod groups;
mod host;
mod inbound;
mod leadership;
mod link;
mod log_store;
mod log_writer;
mod machine;
mod maintain;
mod members;
mod membership_codec;
mod message;
mod mute;
mod near;
mod network;
mod open;
mod propose;
mod receive_snapshot;
mod runtime;
mod send_snapshot;
mod sleep;
mod snapshot;
mod starts;
mod state;
mod state_machine;
mod tail;
mod transport;
mod types;
mod verify;
mod world;

pub use error::{OpenError, ProposeError, StopKind, Stopped};
pub use fatal::FatalHook;
pub use group::{Group, GroupStatus};
pub use groups::Groups;
pub use host::Host;
pub use inbound::Receiver;
pub use leadership::Leadership;
pub use link::{
    Identity, LaneStats, LinkStats, Links, PROTOCOL_VERSIONS, PeerDoor, Presence, Rejection, Start, largest_message,
    peer_server,
};
pub use maintain::Maintained;
pub use members::{ChangeError, Members};
pub use open::{Founding, Limits, META, OpenOptions};
pub use sleep::PAIR;
pub use starts::Starts;
pub use state::GroupState;
pub use transport::{CallError, Inbound, Lane, NoTransport, Peer, Transport};
pub use world::{World, enter};

#[cfg(test)]
mod tests;
