//! Definitions paused or resumed. Due times that passed meanwhile are accounted as skipped when it is resumed.

use crate::apply::decided::Decided;
use crate::apply::find;
use crate::codec::count;
use crate::entry::{NEVER, Pause};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::{Key, Reason};
use crate::query;
use crate::records::PauseNote;
use crate::reply::{Applied, Definite, Outcome, Pausing};
use crate::request::{Answer, Known};
use crate::slots::{NOT_YET, Slot};

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
    if paused == Pausing::Stale {
        return Ok(paused);
    }
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
        note(m, txn, at, item, number)?;
    }
    let definite = |slot: &Slot| Definite { number, generation: slot.generation, version: slot.version };
    // The one whose time had come may have been ended, or made longer, since that was seen.
    let is_another = !item.paused && item.until.is_some() && m.pauses().until(number) != item.until;
    if slot.is_paused() == item.paused || is_another {
        return Ok(Pausing::Same(definite(&slot)));
    }
    // Where another schedule goes on is no due time of this one, and what it has missed was not missed here.
    if !item.paused && item.computed.is_some_and(|computed| computed.generation != slot.generation) {
        return Ok(Pausing::Stale);
    }
    slot.generation += 1;
    slot.set_paused(item.paused);
    if !item.paused {
        m.forget_pause_note(txn, number);
        resume(m, txn, at, item, number, &mut slot);
        // The next due time may be one of days that have changed between our leader's look at them and this entry.
        m.calendars.look_again(txn, number)?;
    }
    m.put_slot(txn, number, slot);
    Ok(Pausing::Changed(definite(&slot)))
}

/// Since when and why. One that is paused already has been so since then; a new note replaces the old one, none does not. Until when is always
/// what was said last: whoever pauses it without an end does not want it to begin again by itself.
fn note(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Pause, number: u64) -> Result<(), ReadError> {
    let before = query::pause_note(txn, number)?;
    let text = match &before {
        Some(before) if item.note.is_empty() => &before.note,
        _ => &item.note,
    };
    let since = before.as_ref().map_or(at, |before| before.at);
    let note = PauseNote { at: since, note: text.clone(), until: item.until };
    m.put_pause_note(txn, number, &note);
    Ok(())
}

fn resume(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &Pause, number: u64, slot: &mut Slot) {
    // What has come from a run of another definition while the leader looked, and lies ahead, is not passed over; nor is what has passed, where
    // the leader passes nothing over.
    let from = if item.missed == 0 { i64::MIN } else { at };
    let track = m.tracks.get(number);
    let ahead = track.and_then(|track| track.coming().map(|(nominal, _)| nominal).find(|nominal| *nominal > from));
    // A cursor never moves back, even if the leader's clock is behind the one that moved it.
    let next = ahead.map_or(item.next, |ahead| item.next.min(ahead)).max(slot.next);
    let (came, last) = m.tracks.pass(txn, number, next);
    let missed = item.missed.max(count(came));
    // Without a next due time (no schedule, disabled, or exhausted) nothing was missed.
    if missed > 0 && slot.next != NEVER {
        let key = Key::Time { nominal: slot.next, due: slot.next, count: missed };
        let mut decided = Decided::new(at);
        decided.skip(m, txn, (number, slot), key, Reason::Paused);
        decided.put(m, txn);
    }
    let passed = item.computed.and_then(|computed| computed.passed).max(last);
    slot.last = slot.last.max(passed.unwrap_or(NOT_YET).min(next - 1));
    slot.next = next;
    if let Some(through) = item.wanted_through {
        m.courses.want(txn, number, through);
    }
}
