//! Replicas that are missing, or on nodes that are gone: first of shards that can lose the fewest more, or have the fewest left.

use super::Step;
use super::board::Board;
use crate::rows::{NodeState, Reason};

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let mut shards = board.idle();
    shards.sort_by_key(|shard| (board.danger(*shard), *shard));
    shards.into_iter().filter_map(|shard| repair(board, shard)).take(free).collect()
}

fn repair(board: &mut Board<'_>, shard: u32) -> Option<Step> {
    let wanted = board.settings.replication as usize;
    let nodes = board.seats[&shard].nodes.clone();
    let Some(lost) = nodes.iter().copied().find(|node| board.is_lost(*node)) else {
        let target = if nodes.len() < wanted { board.target(shard, None) } else { None };
        return target.map(|to| board.begin(shard, None, to, Reason::Repair));
    };
    if nodes.iter().filter(|node| !board.is_lost(**node)).count() >= wanted {
        return board.take_out(shard, lost, Reason::Repair);
    }
    match board.target(shard, Some(lost)) {
        Some(to) => Some(board.begin(shard, Some(lost), to, Reason::Repair)),
        // It never comes back: a vote that nobody casts is worth nothing. One that is only gone may come back, and is waited for.
        None if board.spots.get(&lost).is_none_or(|spot| spot.node.state == NodeState::Removed) => {
            board.take_out(shard, lost, Reason::Repair)
        }
        None => None,
    }
}
