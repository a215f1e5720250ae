//! At which start of its program a node is. Each side of a link tells it, so that one whose disk was rolled back, or copied, is not talked to:
//! it may have forgotten votes, and entries that it has acknowledged.
//!
//! Knows no directory: who is known by which start, and who was removed, whoever implements [`Presence`] knows.

use std::fmt;

/// The oldest protocol version in which nodes tell it.
pub(super) const SINCE: u32 = 3;

/// A start of a node's program, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Counted on the node's disk before anything is told: it grows with each start.
    pub epoch: u64,
    /// Random: tells two programs with copies of one disk apart.
    pub incarnation: u64,
    /// How many writes its log has on disk. It grows while the program runs too, and what was told is never forgotten by a disk that is sound.
    pub written: u64,
}

/// Why a node is not talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// For now, or until somebody mends it.
    Refused(String),
    /// It has forgotten something, and never may talk again with the disk that it has: it ends when it hears that.
    RolledBack(String),
    /// It is no part of the cluster any more, and never will be with the data that it has: it ends when it hears that.
    Removed(String),
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(why) | Self::RolledBack(why) | Self::Removed(why)) = self;
        f.write_str(why)
    }
}

/// What this node says of itself, and knows of others.
pub trait Presence: Send + Sync + 'static {
    /// At which start this one is, now.
    fn mine(&self) -> Start;

    /// Whether a node may talk to this one, or why not: it was removed, say. Asked for each link and again with each message, so it should be quick.
    fn admit(&self, node: u64) -> Result<(), String>;

    /// A node has said at which start it is: asked for each link, before anything else of it is believed. What is accepted must be remembered before
    /// this returns, also across a restart.
    fn greeted(&self, node: u64, start: Start) -> Result<(), Rejection>;

    /// A node that was greeted has said how much its log has on disk by now. With each message: it should be quick.
    fn heard(&self, node: u64, written: u64);
}

/// For who only knows whom to admit.
impl<F: Fn(u64) -> Result<(), String> + Send + Sync + 'static> Presence for F {
    fn mine(&self) -> Start {
        Start { epoch: 1, ..Start::default() }
    }

    fn admit(&self, node: u64) -> Result<(), String> {
        self(node)
    }

    fn greeted(&self, _: u64, _: Start) -> Result<(), Rejection> {
        Ok(())
    }

    fn heard(&self, _: u64, _: u64) {}
}
