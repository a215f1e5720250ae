//! Reading log and state once in a while only to see that they can be read: a bit that flipped where nobody looks is found while the others still have
//! what was there.

use crate::error::Stopped;
use crate::group::Group;
use crate::group_log::GroupLog;
use crate::groups::Groups;
use crate::machine::Machine;
use crate::runtime::blocking;
use flintwheel_shard::Replicated;
use flintwheel_store::{Fault, StoreError};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

impl<M: Replicated> Groups<M> {
    /// Reads log and state of all groups, `bytes_per_second` at most. A group of which something can't be read is fenced ([`crate::Group::damage`]).
    /// Ends when it is dropped.
    pub async fn verify(&self, bytes_per_second: u64) {
        let wanted = Wanted::default();
        for group in self.iter() {
            let (machine, log, still) = (group.inner.machine.clone(), group.inner.log.clone(), wanted.0.clone());
            drop(group);
            // An error means that the runtime ends; what was found is with the group.
            let _ = blocking(move || verify(&machine, &log, bytes_per_second, &still)).await;
        }
    }

    /// Lets the state be compacted from now on, unless something of it can't be read ([`crate::OpenOptions::state`], `hold_compactions`).
    pub fn release_compactions(&self) -> Result<(), StoreError> {
        self.shared.state.release_compactions()
    }

    /// Whether something of log or state of this node can't be read, of whichever group: the next start makes its database anew from what can.
    pub fn is_damaged(&self) -> bool {
        self.shared.log.is_damaged() || self.shared.state.is_damaged()
    }

    /// A new replica has nothing that could be damaged. If it can't be read all the same, what can't be is in a block with what is read: that is got rid of only
    /// by making the database anew.
    pub(crate) fn check_new(&self, group: &Group<M>) {
        if group.damage().is_some() && self.is_damaged() {
            self.end(group.shard());
        }
    }

    /// A replica is about to be removed because it is damaged. If the one that came in its place is damaged too, it is the same.
    pub(crate) fn note_relapse(&self, group: &Group<M>) {
        if group.damage().is_some() && !self.remade.lock().insert(group.shard()) && self.is_damaged() {
            self.end(group.shard());
        }
    }

    /// The next start makes the database anew.
    fn end(&self, shard: u32) {
        let why = format!(
            "shard {shard} was made anew and can't be read again: the next start makes the database anew, without what can't be read"
        );
        self.shared.fatal.call(&StoreError::new(Fault::Damaged, self.shared.state.path(), why));
    }
}

/// Says to the thread that reads that nobody wants it any more.
struct Wanted(Arc<AtomicBool>);

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn verify<M: Replicated>(machine: &Machine<M>, log: &GroupLog, bytes_per_second: u64, wanted: &AtomicBool) {
    let mut pace = |bytes: u64| {
        thread::sleep(Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / bytes_per_second.max(1)));
        let go_on = wanted.load(Ordering::Acquire) && machine.stopped().is_none();
        if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if pace(0).is_continue() {
        if let Err(error) = log.verify(&mut pace) {
            machine.stop(Stopped::from(&error));
        }
        // An error has fenced the group, with its reason.
        let _ = machine.verify(&mut pace);
    }
}
