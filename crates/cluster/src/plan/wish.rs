//! What an operator wishes: whether it can be, and where not, why. To be asked before it is proposed: the meta group itself refuses
//! only what its rows show.

use super::board::Board;
use super::{Step, View};
use crate::apply::{remove, settings};
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::rows::{NodeState, Reason, majority};

/// The step that moves a replica of a shard to a node, from the one given or from the one that it is best taken from. Without one to
/// replace, where the shard has fewer replicas than wanted, it gets one more.
pub fn can_move(view: &View<'_>, shard: u32, from: Option<u64>, to: u64) -> Result<Step, Refusal> {
    let mut board = board(view)?;
    free_shard(&board, shard)?;
    is_up(&board, to)?;
    let seat = &board.seats[&shard];
    if seat.row.on(to).is_some() {
        return Err(Refusal::HoldsAlready { shard, node: to });
    }
    if let Some(node) = from.filter(|node| !seat.row.voters().any(|voter| voter == *node)) {
        return Err(Refusal::HoldsNone { shard, node });
    }
    let spot = &board.spots[&to];
    if spot.lagging {
        return Err(Refusal::Lagging { node: to });
    }
    if spot.room < seat.needs() {
        return Err(Refusal::Full { node: to, free: spot.room, shard, needs: seat.needs() });
    }
    let (under_way, most) = (view.meta.moves().count(), board.settings.most_moves);
    if under_way >= most as usize {
        return Err(Refusal::TooManyMoves { most });
    }
    let from = from.or_else(|| replaced(&board, shard, to));
    Ok(board.begin(shard, from, to, Reason::Command))
}

/// Who gives its replica away: first who is lost or drained, then who shares a zone, then who holds most.
fn replaced(board: &Board<'_>, shard: u32, to: u64) -> Option<u64> {
    let seat = &board.seats[&shard];
    if seat.nodes.len() < board.settings.replication as usize {
        return None;
    }
    let rank = |node: &u64| {
        let spot = &board.spots[node];
        let stays = !spot.lost && !spot.draining;
        (stays, board.conflicts(&seat.nodes_after(*node, to)), std::cmp::Reverse(spot.replicas), *node)
    };
    seat.nodes.iter().copied().min_by_key(rank)
}

/// The step that hands a shard's leadership to a node.
pub fn can_transfer(view: &View<'_>, shard: u32, to: u64) -> Result<Step, Refusal> {
    let mut board = board(view)?;
    free_shard(&board, shard)?;
    is_up(&board, to)?;
    let seat = &board.seats[&shard];
    if !seat.row.voters().any(|voter| voter == to) {
        return Err(Refusal::HoldsNone { shard, node: to });
    }
    let from = seat.leads.ok_or(Refusal::NoLeader { shard })?;
    if from == to {
        return Err(Refusal::LeadsAlready { shard, node: to });
    }
    if board.spots[&to].astray {
        return Err(Refusal::Astray { node: to });
    }
    if board.spots[&to].low {
        return Err(Refusal::DiskLow { node: to });
    }
    if !board.may_lead(shard, to) {
        return Err(Refusal::Lagging { node: to });
    }
    Ok(board.transfer(shard, from, to, Reason::Command))
}

/// Whether a node can be drained: its replicas have somewhere to go.
pub fn can_drain(view: &View<'_>, node: u64) -> Result<(), Refusal> {
    let mut board = board(view)?;
    let state = known(view.meta, node)?;
    match state {
        NodeState::Draining => return Ok(()),
        NodeState::Up if view.meta.nodes_up() == 1 => return Err(Refusal::LastNode { node }),
        NodeState::Up => {}
        is => return Err(Refusal::NotUp { node, is }),
    }
    if let Some(spot) = board.spots.get_mut(&node) {
        spot.draining = true;
    }
    let wanted = board.settings.replication as usize;
    let held: Vec<u32> = board.seats.iter().filter(|(_, seat)| seat.nodes.contains(&node)).map(|(s, _)| *s).collect();
    for shard in held {
        let staying = board.seats[&shard].nodes.iter().filter(|held| !board.is_draining(**held)).count();
        if staying < wanted {
            find_room(&mut board, shard, Some(node), Reason::Drain)?;
        }
    }
    Ok(())
}

/// Whether a node can be removed: with `force` although it holds replicas, as long as every shard can do without it.
pub fn can_remove(view: &View<'_>, node: u64, force: bool) -> Result<(), Refusal> {
    let board = board(view)?;
    match known(view.meta, node) {
        Err(Refusal::Removed { .. }) => return Ok(()),
        other => other?,
    };
    remove::check(view.meta, node, force)?;
    for (shard, row) in view.meta.shards().filter(|(_, row)| row.voters().any(|voter| voter == node)) {
        let live = row.voters().filter(|voter| *voter != node && board.serves(shard, *voter)).count();
        if live < majority(row.voters().count()) {
            return Err(Refusal::NoMajority { node, shard });
        }
    }
    Ok(())
}

/// Whether so many replicas of each shard can be: there are nodes for them, and they have room.
pub fn can_set_replication(view: &View<'_>, wanted: u32) -> Result<(), Refusal> {
    let mut board = board(view)?;
    settings::check(&crate::rows::Settings { replication: wanted, ..board.settings.clone() })?;
    if wanted <= board.settings.replication {
        return Ok(());
    }
    settings::check_replication(view.meta, wanted)?;
    let shards: Vec<u32> = board.seats.keys().copied().collect();
    for shard in shards {
        while board.seats[&shard].nodes.len() < wanted as usize {
            find_room(&mut board, shard, None, Reason::Repair)?;
        }
    }
    Ok(())
}

fn board<'a>(view: &View<'a>) -> Result<Board<'a>, Refusal> {
    Board::new(view, u64::MAX).ok_or(Refusal::NotInitialised)
}

fn find_room(board: &mut Board<'_>, shard: u32, from: Option<u64>, reason: Reason) -> Result<(), Refusal> {
    let needs = board.seats[&shard].needs();
    let none = || {
        let wanted = board.settings.replication;
        if board.has_other(shard) { Refusal::NoRoom { shard, needs } } else { Refusal::NoOtherNode { shard, wanted } }
    };
    let to = board.target(shard, from).ok_or_else(none)?;
    board.begin(shard, from, to, reason);
    Ok(())
}

/// A node that is part of the cluster, and its state.
fn known(meta: &Meta, node: u64) -> Result<NodeState, Refusal> {
    match meta.node(node).map(|node| node.state) {
        None => Err(Refusal::UnknownNode { node }),
        Some(NodeState::Removed) => Err(Refusal::Removed { node }),
        Some(state) => Ok(state),
    }
}

/// A node that takes part, and answers.
fn is_up(board: &Board<'_>, node: u64) -> Result<(), Refusal> {
    match known(board.meta, node)? {
        NodeState::Up if board.is_live(node) => Ok(()),
        NodeState::Up => Err(Refusal::NotAlive { node }),
        is => Err(Refusal::NotUp { node, is }),
    }
}

/// A shard of which nothing is under way, and something can be changed.
fn free_shard(board: &Board<'_>, shard: u32) -> Result<(), Refusal> {
    let shards = board.settings.shards;
    match board.seats.get(&shard) {
        None if shard < shards => Err(Refusal::NotPlaced { shard }),
        None => Err(Refusal::UnknownShard { shard, shards }),
        Some(seat) if seat.busy => Err(Refusal::MoveUnderWay { shard }),
        Some(_) if !board.steerable(shard) => Err(Refusal::NoLeader { shard }),
        Some(_) => Ok(()),
    }
}
