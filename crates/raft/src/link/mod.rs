//! The transport between real nodes: one gRPC stream a lane to each peer, shared by all groups.
//!
//! `links` finds the link for a call; `lane_link` is one link, with what may be under way on it and its pauses after a failure; `session` is one
//! connection of it: what waits to be sent and what waits for an answer; `connect` is its task. On the other side, `door` is the gRPC service and
//! `answering` the task of one link. `notices` keeps what is tried again and again from filling the log. Knows no openraft type, and nothing of
//! what messages mean.

mod answering;
mod connect;
mod counters;
mod door;
mod greeting;
mod lane_link;
mod limits;
mod links;
mod notices;
mod outbox;
mod presence;
mod session;

pub use counters::{LaneStats, LinkStats};
pub use door::{PeerDoor, peer_server};
pub use greeting::{Identity, PROTOCOL_VERSIONS};
pub use limits::largest_message;
pub use links::Links;
pub use presence::{Presence, Rejection, Start};

#[cfg(test)]
mod tests;
