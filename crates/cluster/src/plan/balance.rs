//! Replicas are evened out: no node that takes part holds two more than another.
//!
//! Zones can forbid the direct way, from the fullest node to the emptiest. Then it goes over a third: that one gives a replica to the
//! emptiest, and gets one from the fullest. The first half alone makes nothing worse, and the second is a direct way.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    while steps.len() < free
        && !board.is_crowded()
        && let Some((shard, from, to)) = best(board)
    {
        steps.push(board.begin(shard, Some(from), to, Reason::Rebalance));
    }
    steps
}

type Way = (u32, u64, u64);

fn best(board: &Board<'_>) -> Option<Way> {
    let pairs = uneven(board);
    let (from, to) = *pairs.first()?;
    let first = ranks(board, from, to).min().map(|(.., shard)| (shard, from, to));
    first.or_else(|| other(board, &pairs))
}

/// Where the most uneven pair has no direct way: another pair's, or one over a third node.
fn other(board: &Board<'_>, pairs: &[(u64, u64)]) -> Option<Way> {
    let ways = Ways::new(board);
    let thirds = |(from, to): &(u64, u64)| {
        let (from, to) = (*from, *to);
        let next = board.spots[&to].replicas + 1;
        let mut thirds = board.spots.iter().filter(|(node, spot)| ![from, to].contains(node) && spot.replicas == next);
        thirds.find_map(|(third, _)| ways.direct(from, *third).and_then(|_| ways.direct(*third, to)))
    };
    pairs.iter().find_map(|(from, to)| ways.direct(*from, *to)).or_else(|| pairs.iter().find_map(thirds))
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

/// How good it is to move a shard: first that no more of its replicas share a zone, then that bytes become even, then that it is not
/// the leader that moves.
type Rank = (usize, u128, bool, u32);

fn ranks(board: &Board<'_>, from: u64, to: u64) -> impl Iterator<Item = Rank> {
    let movable = board.seats.keys().filter(move |shard| movable(board, **shard, from, to));
    movable.map(move |shard| rank(board, *shard, from, to))
}

fn rank(board: &Board<'_>, shard: u32, from: u64, to: u64) -> Rank {
    let seat = &board.seats[&shard];
    let gap = i128::from(board.spots[&from].bytes) - i128::from(board.spots[&to].bytes);
    let after = (gap - 2 * i128::from(seat.bytes)).unsigned_abs();
    (board.conflicts(&seat.nodes_after(from, to)), after, seat.leads == Some(from), shard)
}

/// The best shard for each way from one node to another.
struct Ways(BTreeMap<(u64, u64), Rank>);

impl Ways {
    fn new(board: &Board<'_>) -> Self {
        let mut ways = BTreeMap::new();
        let targets: Vec<u64> = board.spots.iter().filter(|(_, spot)| spot.takes()).map(|(node, _)| *node).collect();
        for (shard, seat) in board.seats.iter().filter(|(shard, _)| board.is_idle(**shard)) {
            let pairs = seat.nodes.iter().flat_map(|from| targets.iter().map(move |to| (*from, *to)));
            for (from, to) in pairs.filter(|(from, to)| movable(board, *shard, *from, *to)) {
                let new = rank(board, *shard, from, to);
                let best = ways.entry((from, to)).or_insert(new);
                *best = new.min(*best);
            }
        }
        Self(ways)
    }

    fn direct(&self, from: u64, to: u64) -> Option<Way> {
        self.0.get(&(from, to)).map(|(.., shard)| (*shard, from, to))
    }
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
