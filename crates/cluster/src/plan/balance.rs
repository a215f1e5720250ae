//! Replicas are evened out: no node that takes part holds two more than another.
//!
//! Zones can forbid the direct way, from the fullest node to the emptiest. Then it goes over a third: that one gives a replica to the
//! emptiest, and gets one from the fullest. The first half alone makes nothing worse, and the second is a direct way.

use std::cmp::Reverse;

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while steps.len() < free
        && let Some((shard, from, to)) = best(board)
    {
        steps.push(board.begin(shard, Some(from), to, Reason::Rebalance));
    }
    steps
}

type Way = (u32, u64, u64);

fn best(board: &Board<'_>) -> Option<Way> {
    let pairs = uneven(board);
    pairs.iter().find_map(|(from, to)| direct(board, *from, *to)).or_else(|| {
        let over = |from: u64, to: u64| {
            let thirds = board.spots.iter().filter(|(_, spot)| spot.levels());
            thirds.map(|(third, _)| *third).find_map(|third| first_half(board, from, third, to))
        };
        pairs.iter().find_map(|(from, to)| over(*from, *to))
    })
}

/// Nodes of which one holds two more than the other, the most uneven first.
fn uneven(board: &Board<'_>) -> Vec<(u64, u64)> {
    let levels = || board.spots.iter().filter(|(_, spot)| spot.levels());
    let pairs = levels().flat_map(|(from, full)| levels().map(move |(to, empty)| (*from, *to, full, empty)));
    let mut pairs: Vec<_> = pairs
        .filter(|(.., full, empty)| full.replicas >= empty.replicas + 2 && empty.takes())
        .map(|(from, to, full, empty)| (Reverse(full.replicas - empty.replicas), from, to))
        .collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, from, to)| (from, to)).collect()
}

/// The shard whose move evens out bytes best; rather not one that the node leads.
fn direct(board: &Board<'_>, from: u64, to: u64) -> Option<Way> {
    let (full, empty) = (&board.spots[&from], &board.spots[&to]);
    let gap = i128::from(full.bytes) - i128::from(empty.bytes);
    let shards = board.seats.iter().filter(|(shard, _)| movable(board, **shard, from, to));
    let rank = shards.map(|(shard, seat)| {
        let after = (gap - 2 * i128::from(seat.bytes)).abs();
        (board.conflicts(&seat.nodes_after(from, to)), after, seat.leads == Some(from), *shard)
    });
    rank.min().map(|(.., shard)| (shard, from, to))
}

fn first_half(board: &Board<'_>, from: u64, third: u64, to: u64) -> Option<Way> {
    if third == from || third == to || board.spots[&third].replicas != board.spots[&to].replicas + 1 {
        return None;
    }
    direct(board, from, third)?;
    direct(board, third, to)
}

/// Whether a shard may move so: nothing else of it is under way, all its voters answer, and no more of them share a zone after it.
pub(super) fn movable(board: &Board<'_>, shard: u32, from: u64, to: u64) -> bool {
    let seat = &board.seats[&shard];
    seat.nodes.contains(&from)
        && board.takes(shard, to)
        && board.is_idle(shard)
        && board.healthy(shard)
        && board.conflicts(&seat.nodes_after(from, to)) <= board.conflicts(&seat.nodes)
}
