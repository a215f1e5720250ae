//! Firings by hand. They act on paused and disabled definitions too: that is what a hand is for.

use crate::apply::decided::{Decided, Payload};
use crate::apply::overlap::{self, Verdict};
use crate::apply::{find, version_of};
use crate::entry::Trigger;
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::occurrence::Key;
use crate::reply::{Applied, Outcome, Triggered};
use crate::tracks::Policy;

/// For how long a request id is remembered, in seconds: a client that tries again does so within a day.
const WINDOW: u32 = 86_400;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: Vec<Trigger>) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        outcomes.push(trigger(m, txn, at, item, &mut decided)?);
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Triggered(outcomes) })
}

fn trigger(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    at: i64,
    item: Trigger,
    decided: &mut Decided,
) -> Result<Triggered, ReadError> {
    let Some((number, mut slot)) = find(m, txn, &item.namespace, &item.id)? else { return Ok(Triggered::NotFound) };
    let version = slot.version;
    let incarnation = version_of(txn, number, version)?.incarnation;
    if !m.counters.dedupe.insert(txn, at, &item.digest, WINDOW)? {
        return Ok(Triggered::Duplicate { incarnation });
    }
    let key = Key::Manual(item.request_id);
    let brings = item.policy.is_some_and(|policy| policy != Policy::AllowAll);
    let verdict = if brings || m.tracks.is_asked(number) {
        // Whatever the definition asks for: this one can only know of runs that are tracked.
        m.tracks.make(txn, number, slot.lane);
        overlap::arrive(m, txn, (number, &mut slot), (key, item.policy, item.input), decided)?
    } else {
        decided.fire(m, txn, (number, &mut slot), key, Payload::Own(item.input));
        Verdict::Fire
    };
    m.put_slot(txn, number, slot);
    Ok(match verdict {
        Verdict::Fire => Triggered::Fired { version, incarnation },
        Verdict::Wait => Triggered::Waits { version, incarnation },
        Verdict::Skip(_) => Triggered::Skipped { incarnation },
    })
}
