//! Definitions paused or resumed. Due times that passed meanwhile are accounted as skipped when it is resumed.

use crate::apply::decided::Decided;
use crate::apply::find;
use crate::entry::{NEVER, Pause};
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, Reason};
use crate::query;
use crate::records::PauseNote;
use crate::reply::{Applied, Definite, Outcome, Pausing};
use crate::request::{Answer, Known};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Pause>) -> Result<Applied, ReadError> {
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        results.push(match m.known(txn, at, item.request.as_ref())? {
            Known::New => pause(m, txn, at, &item)?,
            Known::Answered(Answer::Paused { changed }) => Pausing::Repeated { changed },
            Known::Answered(_) | Known::Other => Pausing::Reused,
        });
    }
    Ok(Outcome::Paused(results).into())
}

fn pause(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Pause) -> Result<Pausing, ReadError> {
    let Some((number, slot)) = find(m, txn, &item.namespace, &item.id)? else { return Ok(Pausing::NotFound) };
    let paused = change(m, txn, at, item, number, slot)?;
    let changed = matches!(paused, Pausing::Changed(_));
    m.remember(txn, at, item.request.as_ref(), Answer::Paused { changed });
    Ok(paused)
}

fn change(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    item: &Pause,
    number: u64,
    mut slot: Slot,
) -> Result<Pausing, ReadError> {
    if item.paused {
        note(txn, at, item, number)?;
    }
    let definite = |slot: &Slot| Definite { number, generation: slot.generation, version: slot.version };
    if slot.is_paused() == item.paused {
        return Ok(Pausing::Same(definite(&slot)));
    }
    slot.generation += 1;
    slot.set_paused(item.paused);
    if !item.paused {
        txn.delete(Table::Meta, keys::pause_note(number));
        resume(m, txn, at, item, number, &mut slot);
    }
    m.put_slot(txn, number, slot);
    Ok(Pausing::Changed(definite(&slot)))
}

/// Since when and why. One that is paused already has been so since then; a new note replaces the old one, none does not.
fn note(txn: &mut Txn<'_>, at: i64, item: &Pause, number: u64) -> Result<(), ReadError> {
    let before = query::pause_note(txn, number)?;
    let text = match &before {
        Some(before) if item.note.is_empty() => &before.note,
        _ => &item.note,
    };
    let note = PauseNote { at: before.as_ref().map_or(at, |before| before.at), note: text.clone() };
    txn.put(Table::Meta, keys::pause_note(number), note.encode());
    Ok(())
}

fn resume(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Pause, number: u64, slot: &mut Slot) {
    // Without a next due time (no schedule, disabled, or exhausted) nothing was missed.
    if item.missed > 0 && slot.next != NEVER {
        let key = Key::Time { nominal: slot.next, due: slot.next, count: item.missed };
        let mut decided = Decided::new(at);
        decided.skip(m, txn, (number, slot), key, Reason::Paused);
        decided.put(m, txn);
    }
    // A cursor never moves back, even if the leader's clock is behind the one that moved it.
    slot.next = slot.next.max(item.next);
}
