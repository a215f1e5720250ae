//! Moves under way go on, whatever else is to be done: one that has begun must end before its shard can change otherwise.

use super::board::Board;
use super::{Action, Step};
use crate::rows::{Move, MoveStep};

pub(super) fn steps(board: &mut Board<'_>) -> Vec<Step> {
    let moves: Vec<(u32, Move)> = board.meta.moves().map(|(shard, pending)| (shard, *pending)).collect();
    moves.into_iter().filter_map(|(shard, pending)| next(board, shard, &pending)).collect()
}

/// None while there is nothing to do but wait.
fn next(board: &mut Board<'_>, shard: u32, pending: &Move) -> Option<Step> {
    if !board.steerable(shard) {
        return None;
    }
    if board.seats[&shard].leads.is_some_and(|leader| board.seats[&shard].row.leaving() == Some(leader))
        && matches!(pending.step, MoveStep::Remove | MoveStep::Abandon)
    {
        return hand_over(board, shard, pending);
    }
    let (action, recorded) = match (pending.step, pending.to) {
        (MoveStep::Remove, _) => (take_out(board, shard, pending)?, true),
        (_, None) => return None,
        // It votes, and its shard can't do without it any more: then it stays.
        (MoveStep::Abandon, Some(node)) if !board.decides_as_recorded(shard) => {
            (Action::Promote { node, replaces: pending.from }, false)
        }
        (MoveStep::Abandon, Some(node)) => (Action::Abandon { node }, true),
        (step, Some(node)) if is_lost_to(board, node, step) => (Action::Abandon { node }, false),
        // (At its first step, its node may still have a damaged one of before: it is made anew before it is added.)
        (MoveStep::CatchUp | MoveStep::Promote, Some(node)) if board.is_damaged(shard, node) => {
            (Action::Abandon { node }, false)
        }
        (_, Some(node)) if !board.is_live(node) => return None,
        (MoveStep::AddLearner, Some(node)) => (Action::AddLearner { node, replaces: pending.from }, true),
        (MoveStep::CatchUp, Some(node)) if !board.caught_up(shard, node) => return None,
        (step, Some(node)) => (Action::Promote { node, replaces: pending.from }, step == MoveStep::Promote),
    };
    Some(board.step(shard, recorded, action, pending.reason))
}

/// The new replica is on a node that is not to have it any more. One that is only drained, and may vote already, may lead: it goes on.
fn is_lost_to(board: &Board<'_>, node: u64, step: MoveStep) -> bool {
    board.is_lost(node) || (board.is_draining(node) && step != MoveStep::Promote)
}

fn take_out(board: &Board<'_>, shard: u32, pending: &Move) -> Option<Action> {
    let node = pending.from?;
    if board.can_lose(shard, node) {
        return Some(Action::Remove { node });
    }
    // Another one was lost or damaged meanwhile, and is to be replaced first: that can't begin before this has ended.
    let mut others = board.seats[&shard].row.voters().filter(|voter| *voter != node);
    let replaced = |voter| board.is_lost(voter) || board.is_damaged(shard, voter);
    others.any(replaced).then_some(Action::Keep { node })
}

/// The move must end before anything else is done to its shard: so rather a leader that has to move on again than none.
fn hand_over(board: &mut Board<'_>, shard: u32, pending: &Move) -> Option<Step> {
    board.hand_over(shard, pending.reason).or_else(|| {
        let from = board.seats[&shard].leads?;
        let to = board.seats[&shard].row.voters().find(|node| board.could_lead(shard, *node))?;
        Some(board.transfer(shard, from, to, pending.reason))
    })
}
