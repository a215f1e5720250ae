//! Two replicas of a shard in one zone, though another zone has room.

use std::cmp::Reverse;

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    board.idle().into_iter().filter_map(|shard| spread(board, shard)).take(free).collect()
}

fn spread(board: &mut Board<'_>, shard: u32) -> Option<Step> {
    let seat = &board.seats[&shard];
    let before = board.conflicts(&seat.nodes);
    if before == 0 || board.is_crowded() || !board.healthy(shard) {
        return None;
    }
    let moves = seat.nodes.iter().filter_map(|from| {
        let to = board.target(shard, Some(*from))?;
        let spot = &board.spots[from];
        let after = board.conflicts(&seat.nodes_after(*from, to));
        Some(((after, seat.leads == Some(*from), Reverse(spot.replicas), board.spots[&to].replicas, *from), to))
    });
    let ((after, .., from), to) = moves.min()?;
    (after < before).then(|| board.begin(shard, Some(from), to, Reason::Zone))
}
