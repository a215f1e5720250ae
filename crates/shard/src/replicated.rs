//! What a Raft group drives: a state machine over one shard's key-value space.
//!
//! `raft` is generic over this, so that its own tests run a machine of ten lines.

use crate::kv::{Read, ReadError, Txn};

/// A deterministic state machine. The same entries in the same order give the same writes on every replica.
pub trait Replicated: Send + Sync + Sized + 'static {
    /// What the proposer of an entry learns when it has been applied.
    type Reply: Send + 'static;

    /// Builds the in-memory part from the committed state. Called at start, and after a snapshot has been installed.
    fn open(state: &dyn Read) -> Result<Self, ReadError>;

    /// Applies one entry: collects its writes and changes the in-memory part at once. The driver makes the writes of one or more
    /// entries durable together, before it hands out their replies; if that fails, the process ends and memory with it.
    ///
    /// An entry that can't be understood (another version's kind) is [`ApplyError::Unknown`]: this shard stops here, the node goes on.
    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<Self::Reply, ApplyError>;
}

/// Why an entry was not applied. Never a user's mistake: those are refused before they are proposed, or answered in the reply.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The entry is of a kind or version that this program does not know, or is damaged.
    #[error("entry not understood: {0}")]
    Unknown(String),
}
