//! Definitions whose schedule is over: what they say becomes of them. Told again, it changes nothing: what has changed since, or must still wait
//! for a run, is passed over.

use crate::apply::decided::Decided;
use crate::apply::{delete, version_of};
use crate::courses::AfterEnd;
use crate::entry::Conclude;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::records::Version;
use crate::reply::{Applied, Concluded, Outcome};
use crate::slots::Slot;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, items: &[Conclude]) -> Result<Applied, ReadError> {
    let mut decided = Decided::new(at);
    let mut concluded = Vec::with_capacity(items.len());
    for item in items {
        concluded.push(conclude(m, txn, item, &mut decided)?);
    }
    Ok(Applied { chunks: decided.put(m, txn), outcome: Outcome::Concluded(concluded) })
}

fn conclude(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    item: &Conclude,
    decided: &mut Decided,
) -> Result<Concluded, ReadError> {
    let number = item.number;
    let slot = m.slots.get(number).copied().filter(|slot| slot.generation == item.generation);
    let (Some(slot), Some(after_end)) = (slot, m.conclusion(number)) else { return Ok(Concluded::Stale) };
    let stored = version_of(txn, number, slot.version)?;
    let (namespace, id) = (stored.namespace.clone(), stored.id.clone());
    Ok(match after_end {
        AfterEnd::Keep => Concluded::Stale,
        AfterEnd::Disable => {
            disable(m, txn, (number, slot), stored);
            Concluded::Disabled { number, version: slot.version, namespace, id }
        }
        AfterEnd::Delete => {
            delete::remove(m, txn, (number, slot), stored, decided)?;
            Concluded::Deleted { number, namespace, id }
        }
    })
}

/// As if it had been applied with `enabled: false`, without a new version: the same document applied again finds it unchanged.
fn disable(m: &mut Machine, txn: &mut Txn<'_>, (number, mut slot): (u64, Slot), stored: Version) {
    for event_type in &stored.event_types {
        txn.delete(Table::Subscriptions, keys::subscription(&stored.namespace, event_type, number));
    }
    let silent = Version { event_types: Vec::new(), ..stored };
    txn.put(Table::Definitions, keys::definition(number, slot.version), silent.encode());
    slot.generation += 1;
    slot.set_enabled(false);
    m.courses.set_disabled(txn, number);
    m.put_slot(txn, number, slot);
}
