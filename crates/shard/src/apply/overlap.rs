//! What becomes of occurrences of a definition whose runs are tracked: they fire, wait, or are skipped, by the policy of each and by what is
//! open. The rules are those of Temporal's schedules, with three differences: a run that was allowed beside others counts as open as well;
//! what another one replaces is accounted for; and one that is allowed beside others runs also while others are being cancelled.

use bytes::Bytes;

use crate::apply::decided::{Decided, Payload};
use crate::entry::NEVER;
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{End, Key, NO_CHUNK, Reason};
use crate::slots::Slot;
use crate::tracks::{Policy, Run, Track, WAITING, Waiting, Wish};

/// One occurrence that may fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its policy.
    pub policy: Policy,
    /// A firing by hand: it acts on paused and disabled definitions too.
    pub by_hand: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It fires.
    Fire,
    /// It does not, for this reason.
    Skip(Reason),
    /// It waits.
    Wait,
}

/// Why what waits is looked at.
enum Turn {
    /// An occurrence comes, with its input. What runs now shall end, if it says so.
    Comes(Waiting, Bytes),
    /// A run has ended.
    Ended,
    /// The definition has another policy: that counts for what waits, too.
    Changed,
}

/// What becomes of all that came, in the order in which it came.
pub(crate) fn judge(candidates: &[Candidate], running: bool, acts: bool) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(candidates.len());
    let (mut chosen, mut kept) = (None, 0);
    for (index, candidate) in candidates.iter().enumerate() {
        let fires = if acts || candidate.by_hand { Verdict::Fire } else { Verdict::Skip(Reason::Paused) };
        let waits = if kept < WAITING { Verdict::Wait } else { Verdict::Skip(Reason::BufferFull) };
        let verdict = match candidate.policy {
            Policy::AllowAll => fires,
            _ if !running && chosen.is_none() => {
                chosen = Some(index).filter(|_| fires == Verdict::Fire);
                fires
            }
            Policy::Skip => Verdict::Skip(Reason::Overlap),
            Policy::BufferOne if kept > 0 => Verdict::Skip(Reason::Overlap),
            Policy::BufferOne | Policy::BufferAll => waits,
            Policy::CancelOther | Policy::TerminateOther if running => waits,
            Policy::CancelOther | Policy::TerminateOther => {
                if let (Verdict::Fire, Some(before)) = (fires, chosen) {
                    verdicts[before] = Verdict::Skip(Reason::Replaced);
                    chosen = Some(index);
                }
                fires
            }
        };
        kept += usize::from(verdict == Verdict::Wait);
        verdicts.push(verdict);
    }
    verdicts
}

/// What shall become of what runs, so that this one need not wait for long.
fn wish_of(candidate: &Candidate, verdict: Verdict) -> Wish {
    match candidate.policy {
        Policy::CancelOther if verdict == Verdict::Wait => Wish::Cancel,
        Policy::TerminateOther if verdict == Verdict::Wait => Wish::Terminate,
        _ => Wish::None,
    }
}

/// An occurrence comes. Only for a definition that has a track.
pub(crate) fn arrive(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    (key, policy, input): (Key, Option<Policy>, Bytes),
    decided: &mut Decided,
) -> Result<Verdict, ReadError> {
    let comes = Waiting { key, since: decided.at(), policy };
    resolve(m, txn, (number, slot), Turn::Comes(comes, input), decided)
}

/// A run has ended: what waits may have its turn.
pub(crate) fn settle(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    decided: &mut Decided,
) -> Result<(), ReadError> {
    if m.tracks.get(number).is_some_and(|track| track.waiting_len() > 0) {
        resolve(m, txn, (number, slot), Turn::Ended, decided)?;
    }
    Ok(())
}

/// The definition has another policy.
pub(crate) fn change(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    decided: &mut Decided,
) -> Result<(), ReadError> {
    resolve(m, txn, (number, slot), Turn::Changed, decided)?;
    Ok(())
}

fn candidate(track: &Track, waiting: &Waiting) -> Candidate {
    let policy = waiting.policy.unwrap_or_else(|| track.policy());
    Candidate { policy, by_hand: waiting.key.is_by_hand() }
}

/// Decides about what waits and what comes; says what becomes of the latter.
fn resolve(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    turn: Turn,
    decided: &mut Decided,
) -> Result<Verdict, ReadError> {
    let Some(track) = m.tracks.get(number) else { return Ok(Verdict::Fire) };
    let changed = matches!(turn, Turn::Changed);
    let comes = if let Turn::Comes(comes, input) = turn { Some((comes, input)) } else { None };
    let waits: Vec<(u64, Waiting)> = track.waiting().map(|(seq, waiting)| (seq, waiting.clone())).collect();
    let all = waits.iter().map(|(_, waiting)| waiting).chain(comes.iter().map(|(waiting, _)| waiting));
    let candidates: Vec<Candidate> = all.map(|waiting| candidate(track, waiting)).collect();
    let mut verdicts = judge(&candidates, track.is_in_the_way(), slot.is_enabled() && !slot.is_paused());
    let wishes = candidates.iter().zip(&verdicts).map(|(candidate, verdict)| wish_of(candidate, *verdict));
    let heard = if changed { 0 } else { waits.len() };
    m.tracks.wish(txn, number, wishes.skip(heard).max().unwrap_or_default());
    let last = if comes.is_some() { verdicts.pop() } else { None };
    // What fires comes first, so that what is skipped can say what for.
    let mut skipped = Vec::new();
    for ((seq, waiting), verdict) in waits.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Fire => {
                let input = m.tracks.wake(txn, number, seq)?.unwrap_or_default();
                fire(m, txn, (number, slot), waiting.key, input, decided);
            }
            Verdict::Skip(reason) => {
                m.tracks.wake(txn, number, seq)?;
                skipped.push((waiting.key, reason));
            }
        }
    }
    match (comes, last) {
        (Some((comes, input)), Some(Verdict::Fire)) => fire(m, txn, (number, slot), comes.key, input, decided),
        (Some((comes, input)), Some(Verdict::Wait)) => m.tracks.wait(txn, number, comes, &input),
        (Some((comes, _)), Some(Verdict::Skip(reason))) => skipped.push((comes.key, reason)),
        _ => {}
    }
    for (key, reason) in skipped {
        skip(m, txn, (number, slot), key, reason, decided);
    }
    drain(m, txn, (number, slot), decided)?;
    Ok(last.unwrap_or(Verdict::Fire))
}

/// Due times that wait for a run can't fire any more when all firings are used up.
fn drain(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    decided: &mut Decided,
) -> Result<(), ReadError> {
    if !m.courses.is_used_up(number) {
        return Ok(());
    }
    let Some(track) = m.tracks.get(number) else { return Ok(()) };
    let due = track.waiting().filter(|(_, waiting)| matches!(waiting.key, Key::Time { .. }));
    let due: Vec<(u64, Key)> = due.map(|(seq, waiting)| (seq, waiting.key.clone())).collect();
    for (seq, key) in due {
        m.tracks.wake(txn, number, seq)?;
        skip(m, txn, (number, slot), key, Reason::UsedUp, decided);
    }
    Ok(())
}

fn fire(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    key: Key,
    input: Bytes,
    decided: &mut Decided,
) {
    let due = matches!(key, Key::Time { .. });
    if due && m.courses.is_used_up(number) {
        return skip(m, txn, (number, slot), key, Reason::UsedUp, decided);
    }
    let payload = if matches!(key, Key::Manual(_)) { Payload::Own(input) } else { Payload::None };
    let place = decided.fire(m, txn, (number, slot), key.clone(), payload);
    let run = Run { key, since: decided.at(), wish: Wish::None, place: Some(place) };
    m.tracks.open_run(txn, number, run);
    if due && m.courses.count(txn, number) {
        slot.next = NEVER;
    }
}

/// Skips an occurrence because of another run of its definition, or for a reason of its own.
fn skip(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    key: Key,
    reason: Reason,
    decided: &mut Decided,
) {
    let by_another = matches!(reason, Reason::Overlap | Reason::BufferFull | Reason::Replaced);
    let track = m.tracks.get(number).filter(|_| by_another);
    let run = track.and_then(|track| track.open().find(|(_, run)| !run.is_beside()));
    let end = run.map_or(End::Skipped, |(_, run)| End::Overlapped { by: run.key.clone(), since: run.since });
    let kept_out = track.map_or(0, |track| track.kept_out.saturating_add(1));
    if matches!(reason, Reason::Overlap | Reason::BufferFull) {
        m.tracks.set_kept_out(txn, number, kept_out);
    }
    decided.skip_by(m, txn, (number, slot), key, reason, end);
}

/// A definition has come with a backup.
pub(crate) fn restored(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    skip_before: i64,
    decided: &mut Decided,
) -> Result<(), ReadError> {
    let Some(track) = m.tracks.get(number) else { return Ok(()) };
    let nowhere = |run: &Run| run.place.is_some_and(|(chunk, _)| chunk == NO_CHUNK);
    let never: Vec<u64> = track.open().filter(|(_, run)| nowhere(run)).map(|(seq, _)| seq).collect();
    let due = |waiting: &Waiting| if let Key::Time { due, .. } = waiting.key { due } else { waiting.since };
    let old = track.waiting().filter(|(_, waiting)| due(waiting) < skip_before);
    let old: Vec<(u64, Key)> = old.map(|(seq, waiting)| (seq, waiting.key.clone())).collect();
    for (seq, key) in old {
        m.tracks.wake(txn, number, seq)?;
        decided.skip(m, txn, (number, slot), key, Reason::Restored);
    }
    for seq in &never {
        m.tracks.close_run(txn, number, *seq);
    }
    if never.is_empty() { Ok(()) } else { settle(m, txn, (number, slot), decided) }
}

/// A definition goes: what waits never fires.
pub(crate) fn abandon(m: &mut Machine, txn: &mut Txn<'_>, (number, slot): (u64, &mut Slot), decided: &mut Decided) {
    let Some(track) = m.tracks.get(number) else { return };
    let keys: Vec<Key> = track.waiting().map(|(_, waiting)| waiting.key.clone()).collect();
    for key in keys {
        decided.skip(m, txn, (number, slot), key, Reason::Deleted);
    }
    m.tracks.remove(txn, number);
}
