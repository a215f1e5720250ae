//! One entry kind, one file: each borrows the machine and writes through the transaction.

pub mod ack;
pub mod backfill;
pub mod calendar;
pub mod closed;
pub mod conclude;
pub mod dead;
mod decided;
pub mod define;
pub mod delete;
pub mod expire;
pub mod fire;
pub mod follow;
pub mod ingest;
mod overlap;
pub mod pause;
pub mod restore;
pub mod rezone;
pub mod trigger;

use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::{Machine, hour_of};
use crate::query;
use crate::records::Version;
use crate::slots::Slot;

/// The definition of this name: its number, and its slot as it is now.
pub(crate) fn find(m: &Machine, txn: &Txn<'_>, namespace: &str, id: &str) -> Result<Option<(u64, Slot)>, ReadError> {
    let number = query::number(txn, namespace, id)?;
    Ok(number.and_then(|number| m.slots.get(number).map(|slot| (number, *slot))))
}

/// A version that the cursor points at.
pub(crate) fn version_of(txn: &Txn<'_>, number: u64, version: u32) -> Result<Version, ReadError> {
    let found = query::version(txn, number, version)?;
    found.ok_or_else(|| ReadError(format!("definition {number} has no version {version}")))
}

/// Marks a version for removal when it is old enough.
pub(crate) fn retire(txn: &mut Txn<'_>, at: i64, number: u64, version: u32) {
    txn.put(Table::Retired, keys::retired(hour_of(at), number, version), Vec::new());
}
