//! A node that is drained gives its leaders away at once, then its replicas.

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let shards = board.idle().into_iter();
    let led = |board: &Board<'_>, shard: u32| board.seats[&shard].leads.is_some_and(|leader| board.is_draining(leader));
    let (leaders, others): (Vec<u32>, Vec<u32>) = shards.partition(|shard| led(board, *shard));
    let hand_over = |board: &mut Board<'_>, shard| board.hand_over(shard, Reason::Drain);
    let mut steps: Vec<Step> = leaders.iter().filter_map(|shard| hand_over(board, *shard)).take(free).collect();
    let rest = free - steps.len();
    let all = leaders.into_iter().chain(others);
    steps.extend(all.filter_map(|shard| give_away(board, shard)).take(rest));
    steps
}

fn give_away(board: &mut Board<'_>, shard: u32) -> Option<Step> {
    let seat = &board.seats[&shard];
    if seat.busy {
        return None;
    }
    let from = seat.nodes.iter().copied().find(|node| board.is_draining(*node))?;
    let staying = seat.nodes.iter().filter(|node| !board.is_draining(**node)).count();
    if staying >= board.settings.replication as usize {
        return board.take_out(shard, from, Reason::Drain);
    }
    // (Its leaders are given away at once: what stays serves on, and can be copied in peace.)
    if board.is_crowded() {
        return None;
    }
    let to = board.target(shard, Some(from))?;
    Some(board.begin(shard, Some(from), to, Reason::Drain))
}
