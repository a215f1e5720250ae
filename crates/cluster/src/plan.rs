//! What to do next, from what is recorded and what is observed. A pure function: equal views give equal plans.
//!
//! It is asked again and again, and remembers nothing: moves under way stand in the meta group. So each rule must make something
//! better that no other rule makes worse again: replicas that are damaged or missing, then zones that are shared, then counts, then bytes; and
//! for leaders counts, then load. A plan in which nothing changes is empty.

mod balance;
mod board;
pub mod describe;
mod drain;
mod even;
mod heal;
mod leaders;
mod pending;
mod place;
mod repair;
mod size;
mod step;
mod surplus;
mod unfit;
mod view;
mod wish;
mod zones;

pub use place::first_replicas;
pub use step::{Action, Step};
pub use view::{NodeSeen, Seen, ShardSeen, View};
pub use wish::{can_drain, can_move, can_remove, can_set_replication, can_transfer};

use board::Board;

/// A learner is made a voter, and a voter may lead, when it is at most so many log entries behind.
pub const CAUGHT_UP: u64 = 64;
/// A node with a voter that is further behind than this gets no new replicas.
pub const LAGGING: u64 = 10_000;
/// Bytes that stay free on a node that gets a replica, beyond what the replica needs.
pub const RESERVE: u64 = 64 << 20;
/// A node that is not heard for less than this, in microseconds, may be restarting. Leaders that were evened out without it would change twice, and
/// each change costs their shards a moment.
pub const RESTART: i64 = 30_000_000;
/// While so many bytes of shards are being copied, no move is begun that could as well wait: so many small shards move at a time, or one
/// large one. Copies take processors and disks from events, and more of them at a time are hardly done sooner.
const CALM: u64 = 8 << 20;

/// The next steps, the most urgent first: what goes on, and as much that is new as the limit on moves at once allows. Steps of
/// different shards may be done at the same time; there is one a shard. Empty where there is nothing to do, or nothing can be done.
pub fn plan(view: &View<'_>) -> Vec<Step> {
    let most = view.meta.settings().map_or(0, |settings| settings.most_moves as usize);
    steps(view, most, CALM)
}

/// As [`plan`], without a limit: what a whole rebalance would begin with, for a dry run.
pub fn plan_all(view: &View<'_>) -> Vec<Step> {
    steps(view, usize::MAX, u64::MAX)
}

fn steps(view: &View<'_>, most: usize, calm: u64) -> Vec<Step> {
    let Some(mut board) = Board::new(view, calm) else { return Vec::new() };
    let mut steps = pending::steps(&mut board);
    let rules = [
        unfit::steps,
        heal::steps,
        repair::steps,
        drain::steps,
        surplus::steps,
        zones::steps,
        balance::steps,
        size::steps,
        leaders::steps,
    ];
    let mut free = most.saturating_sub(view.meta.moves().count());
    for rule in rules {
        let new = rule(&mut board, free);
        free = free.saturating_sub(new.len());
        steps.extend(new);
    }
    steps
}
