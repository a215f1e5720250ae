//! Backfills begun, gone on with, and stopped. Which due times come next stands in the entry: here it is made sure that each is decided once, in
//! its order. What becomes of one while a run is open is decided as for any occurrence.

use bytes::Bytes;

use crate::apply::decided::{Decided, Payload};
use crate::apply::find;
use crate::apply::overlap::{self, Verdict};
use crate::backfills::Backfill;
use crate::entry::{AdvanceBackfill, BackfillStep, BeginBackfill, NEVER, Range};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::Key;
use crate::reply::{Applied, Backfilled, Outcome};
use crate::slots::Slot;
use crate::tracks::Policy;

pub(crate) fn apply(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    steps: Vec<BackfillStep>,
) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        outcomes.push(match step {
            BackfillStep::Begin(begin) => self::begin(m, txn, at, begin)?,
            BackfillStep::Advance(advance) => self::advance(m, txn, &advance, &mut decided)?,
            BackfillStep::Stop { namespace, id, backfill } => stop(m, txn, at, (&namespace, &id), &backfill)?,
        });
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Backfilled(outcomes) })
}

fn begin(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: BeginBackfill) -> Result<Backfilled, ReadError> {
    let BeginBackfill { namespace, id, backfill, range, next, total } = item;
    let Some((number, _)) = find(m, txn, &namespace, &id)? else { return Ok(Backfilled::NotFound) };
    if let Some(known) = m.backfills.get(number, &backfill) {
        // At another pace it is the same: the same due times fire, with the same keys.
        let same = Range { rate: range.rate, ..known.range } == range;
        return Ok(if same { Backfilled::Repeated } else { Backfilled::Reused });
    }
    if m.backfills.is_full(number) {
        return Ok(Backfilled::TooMany);
    }
    m.backfills.make_room(txn, number);
    let ended = (next == NEVER).then_some(at);
    let begun = Backfill { range, begun: at, next, total, decided: 0, skipped: 0, ended };
    m.backfills.put(txn, number, &backfill, begun);
    Ok(Backfilled::Begun)
}

fn advance(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    item: &AdvanceBackfill,
    decided: &mut Decided,
) -> Result<Backfilled, ReadError> {
    let number = item.number;
    let slot = m.slots.get(number).copied().filter(|slot| slot.version == item.version);
    let known = m.backfills.get(number, &item.backfill).filter(|known| known.ended.is_none()).cloned();
    let (Some(mut slot), Some(mut known)) = (slot, known) else { return Ok(Backfilled::Stale) };
    if !fits(&known, item) {
        return Ok(Backfilled::Stale);
    }
    let (mut fired, mut skipped) = (0, 0);
    for nominal in &item.times {
        let key = Key::Backfill { id: item.backfill.clone(), nominal: *nominal };
        match decide(m, txn, (number, &mut slot), (key, known.range.policy), decided)? {
            Verdict::Fire | Verdict::Wait => fired += 1,
            Verdict::Skip(_) => skipped += 1,
        }
    }
    m.put_slot(txn, number, slot);
    known.next = item.next;
    known.decided += u64::from(fired + skipped);
    known.skipped += u64::from(skipped);
    known.ended = (item.next == NEVER).then_some(decided.at());
    m.backfills.put(txn, number, &item.backfill, known);
    Ok(Backfilled::Advanced { fired, skipped })
}

/// The times go on where the backfill stands, in its order and within its range, and so does where it stands after them.
fn fits(known: &Backfill, item: &AdvanceBackfill) -> bool {
    let within = |time: i64| (known.range.from..=known.range.to).contains(&time);
    let ordered = item.times.windows(2).all(|pair| known.is_before(pair[0], pair[1]));
    let goes_on = item.times.first().is_none_or(|first| !known.is_before(*first, known.next));
    let last = item.times.last().copied();
    let ends = item.next == NEVER;
    let beyond = ends || last.map_or(known.is_before(known.next, item.next), |last| known.is_before(last, item.next));
    ordered && goes_on && beyond && item.times.iter().all(|time| within(*time)) && (ends || within(item.next))
}

fn decide(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (number, slot): (u64, &mut Slot),
    (key, policy): (Key, Option<Policy>),
    decided: &mut Decided,
) -> Result<Verdict, ReadError> {
    let brings = policy.is_some_and(|policy| policy != Policy::AllowAll);
    if !brings && !m.tracks.is_asked(number) {
        decided.fire(m, txn, (number, slot), key, Payload::None);
        return Ok(Verdict::Fire);
    }
    // Whatever the definition asks for: this one can only know of runs that are tracked.
    m.tracks.make(txn, number, slot.lane);
    overlap::arrive(m, txn, (number, slot), (key, policy, Bytes::new()), decided)
}

fn stop(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    (namespace, id): (&str, &str),
    backfill: &str,
) -> Result<Backfilled, ReadError> {
    let Some((number, _)) = find(m, txn, namespace, id)? else { return Ok(Backfilled::NotFound) };
    let Some(known) = m.backfills.get(number, backfill).cloned() else { return Ok(Backfilled::NoBackfill) };
    if known.ended.is_some() {
        return Ok(Backfilled::Ended);
    }
    m.backfills.put(txn, number, backfill, Backfill { ended: Some(at), ..known });
    Ok(Backfilled::Stopped)
}
