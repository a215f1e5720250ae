//! Runs that have ended: what waits for them has its turn, what they left is kept, and one that failed may pause its definition. Told again,
//! it changes nothing: a run ends once.

use crate::apply::decided::Decided;
use crate::apply::overlap;
use crate::entry::{Closed, RunEnd};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::records::PauseNote;
use crate::reply::{Applied, Outcome};
use crate::slots::Slot;
use crate::tracks::{Ended, FAILURE, RESULT, Tracking};

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Closed>) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let (mut closed, mut paused) = (0, Vec::new());
    for item in items {
        let number = item.number;
        let Some(run) = m.tracks.close_run(txn, number, item.run) else { continue };
        closed += 1;
        let beside = run.is_beside();
        if m.tracks.is_followed(number) {
            // By the clock of whoever ran it, but never later than it is known here.
            let ended = Ended { key: run.key, end: item.end, at: item.at.map_or(at, |ended| ended.min(at)) };
            m.tracks.put_ended(txn, number, item.run, ended);
        }
        if beside {
            continue;
        }
        let Some(mut slot) = m.slots.get(number).copied() else { continue };
        let tracking = m.tracks.get(number).and_then(|track| track.tracking);
        if tracking.is_some_and(|tracking| tracking.carry) {
            keep(txn, &item);
        }
        if pauses(tracking, &item, &slot) {
            m.put_pause_note(txn, number, &PauseNote { at, note: item.note, until: None });
            slot.generation += 1;
            slot.set_paused(true);
            paused.push(number);
        }
        overlap::settle(m, txn, (number, &mut slot), &mut decided)?;
        m.put_slot(txn, number, slot);
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Closed { closed, paused } })
}

fn pauses(tracking: Option<Tracking>, item: &Closed, slot: &Slot) -> bool {
    let failed = matches!(item.end, RunEnd::Failed | RunEnd::TimedOut);
    failed && tracking.is_some_and(|tracking| tracking.pause_on_failure) && !slot.is_paused()
}

/// As Temporal does: a good end clears the failure, a failure leaves the last good result, and any other end leaves both.
fn keep(txn: &mut Txn<'_>, item: &Closed) {
    let part = |part| keys::track(item.number, part, 0);
    match item.end {
        RunEnd::Completed => {
            match &item.left {
                Some(result) => txn.put(Table::Meta, part(RESULT), result.to_vec()),
                None => txn.delete(Table::Meta, part(RESULT)),
            }
            txn.delete(Table::Meta, part(FAILURE));
        }
        RunEnd::Failed => match &item.left {
            Some(failure) => txn.put(Table::Meta, part(FAILURE), failure.to_vec()),
            None => txn.delete(Table::Meta, part(FAILURE)),
        },
        RunEnd::TimedOut | RunEnd::Canceled | RunEnd::Terminated | RunEnd::Gone => {}
    }
}
