//! Replicas that are damaged: taken out where their shard decides without them, so that they can be made anew. What is missing then, `repair` adds.
//!
//! First out, then in: who can't read what it had must not vote for it again, and a replica that comes anew begins with nothing.

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let mut shards = board.idle();
    shards.sort_by_key(|shard| (board.danger(*shard), *shard));
    shards.into_iter().filter_map(|shard| heal(board, shard)).take(free).collect()
}

fn heal(board: &mut Board<'_>, shard: u32) -> Option<Step> {
    let damaged = board.seats[&shard].row.voters().find(|voter| board.is_damaged(shard, *voter))?;
    board.take_out(shard, damaged, Reason::Repair)
}
