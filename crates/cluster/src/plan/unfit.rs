//! A node leads nothing while its clock is not that of the others (it would decide too early or too late) or its disk is low (it would take
//! nothing new in). It gives its leaders away by itself too; this is for one that does not see it.

use super::Step;
use super::board::Board;
use crate::rows::Reason;

pub(super) fn steps(board: &mut Board<'_>, free: usize) -> Vec<Step> {
    let unfit = |board: &Board<'_>, shard: &u32| {
        let leader = board.seats[shard].leads.and_then(|leader| board.spots.get(&leader));
        leader.is_some_and(|spot| !spot.is_fit())
    };
    let led: Vec<u32> = board.idle().into_iter().filter(|shard| unfit(board, shard)).collect();
    led.into_iter().filter_map(|shard| board.hand_over(shard, Reason::Repair)).take(free).collect()
}
