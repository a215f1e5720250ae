//! A replica moves: begun, step by step, ended. Each names the generation that it was computed from, so that a proposal that comes
//! twice, or too late, does nothing.

use flintwheel_shard::Txn;

use super::{node_of, node_up, settings_of, shard_of};
use crate::entry::{BeginMove, EndMove, MoveOutcome, StepMove};
use crate::limits;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Move, MoveStep, Replica, Role, Shard};

pub(super) fn begin(m: &mut Meta, txn: &mut Txn<'_>, begin: BeginMove) -> Result<Accepted, Refusal> {
    let shard = begin.shard;
    let mut row = shard_of(m, shard, begin.generation)?.clone();
    if row.pending.is_some() {
        return Err(Refusal::MoveUnderWay { shard });
    }
    check_from(&row, &begin)?;
    check_to(m, &row, &begin)?;
    let most = settings_of(m)?.most_moves;
    if m.moves().count() >= most as usize {
        return Err(Refusal::TooManyMoves { most });
    }
    let step = if begin.to.is_some() { MoveStep::AddLearner } else { MoveStep::Remove };
    if let Some(node) = begin.to {
        row.replicas.push(Replica { node, role: Role::Learner, since: row.generation + 1 });
    }
    let (from, to, reason) = (begin.from, begin.to, begin.reason);
    row.pending = Some(Move { from, to, step, started: m.counters.clock, reason });
    Ok(Accepted::Shard { generation: m.put_shard(txn, shard, row) })
}

fn check_from(row: &Shard, begin: &BeginMove) -> Result<(), Refusal> {
    let shard = begin.shard;
    if begin.from == begin.to {
        return Err(Refusal::NothingToMove { shard });
    }
    let Some(node) = begin.from else { return Ok(()) };
    if !row.voters().any(|voter| voter == node) {
        return Err(Refusal::HoldsNone { shard, node });
    }
    if begin.to.is_none() && row.voters().count() == 1 {
        return Err(Refusal::LastVoter { node, shard });
    }
    Ok(())
}

fn check_to(m: &Meta, row: &Shard, begin: &BeginMove) -> Result<(), Refusal> {
    let (Some(node), shard) = (begin.to, begin.shard) else { return Ok(()) };
    node_up(m, node)?;
    if row.on(node).is_some() {
        return Err(Refusal::HoldsAlready { shard, node });
    }
    let most = limits::REPLICAS;
    if row.replicas.len() < most { Ok(()) } else { Err(Refusal::TooManyReplicas { shard, most }) }
}

pub(super) fn step(m: &mut Meta, txn: &mut Txn<'_>, next: StepMove) -> Result<Accepted, Refusal> {
    let (mut row, mut pending) = under_way(m, next.shard, next.generation)?;
    let follows = match (pending.step, next.step) {
        (MoveStep::AddLearner, MoveStep::CatchUp) | (MoveStep::CatchUp, MoveStep::Promote) => true,
        (MoveStep::Promote, MoveStep::Remove) => pending.from.is_some(),
        // It is a voter already, and another one was lost meanwhile.
        (MoveStep::Abandon, MoveStep::Promote) => true,
        (is, MoveStep::Abandon) => matches!(is, MoveStep::AddLearner | MoveStep::CatchUp | MoveStep::Promote),
        _ => false,
    };
    if !follows {
        return Err(Refusal::WrongStep { shard: next.shard, is: pending.step });
    }
    match (next.step, pending.to) {
        (MoveStep::Remove, to) => promote(&mut row, to),
        // A node that is gone for good must not be made a voter.
        (MoveStep::CatchUp | MoveStep::Promote, Some(node)) => node_of(m, node).map(|_| ())?,
        _ => {}
    }
    pending.step = next.step;
    row.pending = Some(pending);
    Ok(Accepted::Shard { generation: m.put_shard(txn, next.shard, row) })
}

pub(super) fn end(m: &mut Meta, txn: &mut Txn<'_>, end: EndMove) -> Result<Accepted, Refusal> {
    let (mut row, pending) = under_way(m, end.shard, end.generation)?;
    match (end.outcome, pending.step, pending.from) {
        (MoveOutcome::Done, MoveStep::Promote, None) => promote(&mut row, pending.to),
        (MoveOutcome::Done, MoveStep::Remove, from) => row.replicas.retain(|replica| Some(replica.node) != from),
        (MoveOutcome::Abandoned, MoveStep::Remove, _) => {}
        (MoveOutcome::Abandoned, MoveStep::Abandon, _) => {
            row.replicas.retain(|replica| Some(replica.node) != pending.to);
        }
        (_, is, _) => return Err(Refusal::WrongStep { shard: end.shard, is }),
    }
    row.pending = None;
    Ok(Accepted::Shard { generation: m.put_shard(txn, end.shard, row) })
}

fn under_way(m: &Meta, shard: u32, generation: u64) -> Result<(Shard, Move), Refusal> {
    let row = shard_of(m, shard, generation)?;
    let pending = row.pending.ok_or(Refusal::NoMove { shard })?;
    Ok((row.clone(), pending))
}

fn promote(row: &mut Shard, node: Option<u64>) {
    for replica in row.replicas.iter_mut().filter(|replica| Some(replica.node) == node) {
        replica.role = Role::Voter;
    }
}
