//! One step of a plan, and how it is recorded in the meta group.

use crate::entry::{BeginMove, Body, EndMove, MoveOutcome, StepMove};
use crate::rows::{MoveStep, Reason};

/// One thing to do to one shard.
///
/// Whoever does it proposes [`before`](Self::before) to the meta group, changes the shard's group, and proposes
/// [`after`](Self::after). If it fails anywhere, or its program ends, the next plan says the same or what follows; each part may be
/// done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which shard.
    pub shard: u32,
    /// The shard's generation that it was computed from.
    pub generation: u64,
    /// The meta group knows already that this is being done.
    pub recorded: bool,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What to do to a shard's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Add a learner.
    AddLearner {
        /// Where.
        node: u64,
        /// Whose replica goes in the end.
        replaces: Option<u64>,
    },
    /// Make the learner a voter: it has caught up.
    Promote {
        /// Where.
        node: u64,
        /// Whose replica goes in the end.
        replaces: Option<u64>,
    },
    /// Take a voter out.
    Remove {
        /// Where.
        node: u64,
    },
    /// Give the move up: take what it brought out, a learner or already a voter.
    Abandon {
        /// Where.
        node: u64,
    },
    /// Let the old replica be, for now: its shard can't do without. Nothing changes in the group.
    Keep {
        /// Where.
        node: u64,
    },
    /// Hand the leadership over.
    TransferLeader {
        /// Who leads.
        from: u64,
        /// Who shall.
        to: u64,
    },
}

impl Step {
    /// What to propose before the shard's group is changed; none where it is recorded already, or needs no record.
    pub fn before(&self) -> Option<Body> {
        let (shard, generation, reason) = (self.shard, self.generation, self.reason);
        match self.action {
            _ if self.recorded => None,
            Action::AddLearner { node, replaces } => {
                Some(Body::BeginMove(BeginMove { shard, generation, from: replaces, to: Some(node), reason }))
            }
            Action::Promote { .. } => Some(Body::StepMove(StepMove { shard, generation, step: MoveStep::Promote })),
            Action::Remove { node } => {
                Some(Body::BeginMove(BeginMove { shard, generation, from: Some(node), to: None, reason }))
            }
            Action::Abandon { .. } => Some(Body::StepMove(StepMove { shard, generation, step: MoveStep::Abandon })),
            Action::Keep { .. } | Action::TransferLeader { .. } => None,
        }
    }

    /// What to propose when the shard's group has changed. `generation` is what the reply to [`before`](Self::before) said; where
    /// nothing was proposed, the step's own.
    pub fn after(&self, generation: u64) -> Option<Body> {
        let shard = self.shard;
        let go_on = |step| Some(Body::StepMove(StepMove { shard, generation, step }));
        let end = |outcome| Some(Body::EndMove(EndMove { shard, generation, outcome }));
        match self.action {
            Action::AddLearner { .. } => go_on(MoveStep::CatchUp),
            Action::Promote { replaces: Some(_), .. } => go_on(MoveStep::Remove),
            Action::Promote { replaces: None, .. } | Action::Remove { .. } => end(MoveOutcome::Done),
            Action::Abandon { .. } | Action::Keep { .. } => end(MoveOutcome::Abandoned),
            Action::TransferLeader { .. } => None,
        }
    }
}
