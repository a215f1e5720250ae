//! Bytes are evened out, where that leaves the counts as even as they are: one replica from a node that holds one more, or two in
//! exchange.

use super::balance::movable;
use super::board::Board;
use super::{Step, even};
use crate::rows::Reason;

/// Differences below this, in bytes, are left alone: a move costs more than it brings.
const LEAST: u64 = 1 << 30;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while steps.len() < free
        && !board.is_crowded()
        && let Some((from, to, (given, got))) = best(board, free - steps.len())
    {
        steps.push(board.begin(given, Some(from), to, Reason::Rebalance));
        steps.extend(got.map(|shard| board.begin(shard, Some(to), from, Reason::Rebalance)));
    }
    steps
}

fn best(board: &Board<'_>, free: usize) -> Option<(u64, u64, even::Exchange)> {
    let levels = board.spots.iter().filter(|(_, spot)| spot.levels());
    let weights: Vec<(u64, u64)> = levels.map(|(node, spot)| (*node, spot.bytes)).collect();
    even::uneven(&weights, LEAST).into_iter().find_map(|(gap, from, to)| {
        let single = board.spots[&from].replicas == board.spots[&to].replicas + 1;
        let exchange = even::best(gap, &things(board, from, to), &things(board, to, from), single, free > 1)?;
        Some((from, to, exchange))
    })
}

fn things(board: &Board<'_>, from: u64, to: u64) -> even::Things {
    let shards = board.seats.iter().filter(|(shard, _)| movable(board, **shard, from, to));
    shards.map(|(shard, seat)| (*shard, seat.bytes)).collect()
}
