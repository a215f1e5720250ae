//! Leaders are evened out: no node that takes part leads two more than another; then the decisions a second that they make.
//!
//! Where the node that leads most shares no shard with the one that leads least, the way goes over others, and its last stretch comes
//! first: each stretch makes the rest of the way shorter, and nothing worse. Where replicas are even, there is always such a way.
//!
//! Not while a node is away for a moment: it is being restarted, and will get some of them back.

use std::collections::{BTreeMap, VecDeque};

use super::board::Board;
use super::{Step, even};
use crate::rows::Reason;

/// Differences below this, in decisions a second, are left alone: loads change, and each change of a leader costs its shard a moment.
const LEAST: u64 = 200;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    if board.spots.values().any(|spot| spot.restarts) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    while steps.len() < free
        && let Some((shard, from, to)) = count(board)
    {
        steps.push(board.transfer(shard, from, to, Reason::Rebalance));
    }
    while steps.len() < free
        && let Some((from, to, (given, got))) = load(board, free - steps.len())
    {
        steps.push(board.transfer(given, from, to, Reason::Rebalance));
        steps.extend(got.map(|shard| board.transfer(shard, to, from, Reason::Rebalance)));
    }
    steps
}

/// Which shard each node can hand to each other.
type Ways = BTreeMap<u64, BTreeMap<u64, u32>>;

fn count(board: &Board<'_>) -> Option<(u32, u64, u64)> {
    let most = leading(board).map(|node| board.spots[&node].leaders).max()?;
    let least = leading(board).map(|node| board.spots[&node].leaders).min()?;
    if most < least + 2 {
        return None;
    }
    let ways = ways(board);
    let mut starts: Vec<u64> = leading(board).collect();
    starts.sort_by_key(|node| (std::cmp::Reverse(board.spots[node].leaders), *node));
    let found = starts.into_iter().filter_map(|start| last_stretch(board, &ways, start));
    let (_, from, to) = found.min_by_key(|(length, ..)| *length)?;
    Some((ways[&from][&to], from, to))
}

fn leading<'b>(board: &'b Board<'_>) -> impl Iterator<Item = u64> + 'b {
    board.spots.iter().filter(|(_, spot)| spot.leads()).map(|(node, _)| *node)
}

/// Of the shards that could be handed over so, the one whose load evens the two out best.
fn ways(board: &Board<'_>) -> Ways {
    let mut best: BTreeMap<(u64, u64), (u128, u32)> = BTreeMap::new();
    for (shard, from, to, load) in transfers(board) {
        let gap = i128::from(board.spots[&from].load) - i128::from(board.spots[&to].load);
        let rank = ((gap - 2 * i128::from(load)).unsigned_abs(), shard);
        let entry = best.entry((from, to)).or_insert(rank);
        *entry = rank.min(*entry);
    }
    let mut ways = Ways::new();
    for ((from, to), (_, shard)) in best {
        ways.entry(from).or_default().insert(to, shard);
    }
    ways
}

/// Each shard of which nothing is under way, its leader, each voter that could lead it, and its load.
fn transfers<'b>(board: &'b Board<'_>) -> impl Iterator<Item = (u32, u64, u64, u64)> + 'b {
    let idle = board.seats.iter().filter(|(shard, _)| board.is_idle(**shard));
    let led = idle.filter_map(|(shard, seat)| Some((*shard, seat.leader?, seat)));
    led.flat_map(move |(shard, from, seat)| {
        let others = seat.row.voters().filter(move |node| *node != from && board.may_lead(shard, *node));
        others.map(move |to| (shard, from, to, seat.load))
    })
}

/// The shortest way to a node that leads two fewer: its length, and its last stretch.
fn last_stretch(board: &Board<'_>, ways: &Ways, start: u64) -> Option<(usize, u64, u64)> {
    let leaders = board.spots[&start].leaders;
    let mut reached = BTreeMap::from([(start, 0)]);
    let mut queue = VecDeque::from([start]);
    while let Some(from) = queue.pop_front() {
        let length = reached[&from] + 1;
        for to in ways.get(&from).into_iter().flatten().map(|(to, _)| *to) {
            if board.spots[&to].leaders + 2 <= leaders {
                return Some((length, from, to));
            }
            if let std::collections::btree_map::Entry::Vacant(new) = reached.entry(to) {
                new.insert(length);
                queue.push_back(to);
            }
        }
    }
    None
}

fn load(board: &Board<'_>, free: usize) -> Option<(u64, u64, even::Exchange)> {
    let weights: Vec<(u64, u64)> = leading(board).map(|node| (node, board.spots[&node].load)).collect();
    even::uneven(&weights, LEAST).into_iter().find_map(|(gap, from, to)| {
        let single = board.spots[&from].leaders == board.spots[&to].leaders + 1;
        let exchange = even::best(gap, &things(board, from, to), &things(board, to, from), single, free > 1)?;
        Some((from, to, exchange))
    })
}

fn things(board: &Board<'_>, from: u64, to: u64) -> even::Things {
    let between = transfers(board).filter(|(_, leader, other, _)| (*leader, *other) == (from, to));
    between.map(|(shard, .., load)| (shard, load)).collect()
}
