//! Snapshots of this version: a mark that says how far the files of the state database have come, without data.
//!
//! openraft purges the log only below a snapshot. With one voter nobody else needs the data; replicas bring snapshots that carry it.

use crate::codec::Applied;
use crate::machine::{Machine, MachineError};
use crate::types::{SnapshotMeta, Types};
use flintwheel_shard::Replicated;
use openraft::alias::SnapshotOf;
use openraft::{RaftSnapshotBuilder, Snapshot};
use std::io;
use std::sync::Arc;

/// A position of the state, and whether there was any state then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    empty: bool,
}

/// Makes the mark for what `build_snapshot` is asked for.
pub(crate) struct MarkBuilder<M> {
    pub(crate) machine: Arc<Machine<M>>,
    /// Whether to flush first, so that the mark stands at what is applied now; else it stands at the last flush.
    pub(crate) flush: bool,
}

impl<M: Replicated> RaftSnapshotBuilder<Types> for MarkBuilder<M> {
    type SnapshotData = Mark;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Mark>, io::Error> {
        let (machine, flush) = (self.machine.clone(), self.flush);
        let build = move || {
            if flush {
                let applied = machine.applied();
                machine.db().flush().map_err(io::Error::other)?;
                machine.set_flushed(applied);
            }
            mark(&machine)
        };
        tokio::task::spawn_blocking(build).await.map_err(io::Error::other)?
    }
}

/// The mark at the last flush. Blocks.
pub(crate) fn mark<M: Replicated>(machine: &Machine<M>) -> io::Result<SnapshotOf<Types, Mark>> {
    let Applied { last, membership } = machine.flushed();
    let empty = machine.is_empty().map_err(io::Error::other)?;
    Ok(Snapshot { meta: SnapshotMeta { last_log_id: last, last_membership: membership }, snapshot: Mark { empty } })
}

/// Takes over another replica's mark: possible only if there was no state to take over.
pub(crate) fn install<M: Replicated>(machine: &Machine<M>, meta: &SnapshotMeta, mark: Mark) -> io::Result<()> {
    if !mark.empty {
        return Err(io::Error::other(
            "snapshots of this version carry no data: another replica can't be brought up by one",
        ));
    }
    let applied = Applied { last: meta.last_log_id, membership: meta.last_membership.clone() };
    machine.reset(applied).map_err(|error: MachineError| io::Error::other(error))
}
