//! Replicas beyond what is wanted: after the replication factor was lowered, or a move was given up late.

use std::cmp::Reverse;

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    board.idle().into_iter().filter_map(|shard| drop_one(board, shard)).take(free).collect()
}

fn drop_one(board: &mut Board<'_>, shard: u32) -> Option<Step> {
    let seat = &board.seats[&shard];
    if seat.nodes.len() <= board.settings.replication as usize {
        return None;
    }
    // First who does not answer, then who shares a zone, then who holds most; rather not the leader.
    let rank = |node: &u64| {
        let rest: Vec<u64> = seat.nodes.iter().copied().filter(|other| other != node).collect();
        let spot = &board.spots[node];
        let leads = seat.leads == Some(*node);
        (board.serves(shard, *node), board.conflicts(&rest), Reverse(spot.replicas), leads, Reverse(spot.bytes), *node)
    };
    let dispensable = seat.nodes.iter().copied().filter(|node| board.can_lose(shard, *node));
    let node = dispensable.min_by_key(rank)?;
    board.take_out(shard, node, Reason::Rebalance)
}
