//! One entry kind, one file: each borrows the machine and writes through the transaction.

pub mod ack;
pub mod dead;
pub mod define;
pub mod delete;
pub mod expire;
pub mod fire;
pub mod ingest;
pub mod pause;
pub mod trigger;

use crate::codec::Decoder;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::{LaneBatch, Machine, corrupt, hour_of};
use crate::outbox::Payloads;
use crate::records::Version;

/// The number of the definition of this name.
pub(crate) fn number_of(txn: &Txn<'_>, namespace: &str, id: &str) -> Result<Option<u64>, ReadError> {
    let value = txn.get(Table::Names, &keys::name(namespace, id))?;
    value.map(|bytes| Decoder::new(&bytes).u64().map_err(corrupt)).transpose()
}

/// A version that the cursor points at.
pub(crate) fn version_of(txn: &Txn<'_>, number: u64, version: u32) -> Result<Version, ReadError> {
    let value = txn.get(Table::Definitions, &keys::definition(number, version))?;
    let bytes = value.ok_or_else(|| ReadError(format!("definition {number} has no version {version}")))?;
    Version::decode(&bytes).map_err(corrupt)
}

/// Marks a version for removal when it is old enough.
pub(crate) fn retire(txn: &mut Txn<'_>, at: i64, number: u64, version: u32) {
    txn.put(Table::Retired, keys::retired(hour_of(at), number, version), Vec::new());
}

/// Gathers the firings of an entry by lane; most entries have one.
#[derive(Default)]
pub(crate) struct LaneBatches(Vec<LaneBatch>);

impl LaneBatches {
    /// The batch of a lane, with the account chunk that it will be.
    pub fn of<'b>(&'b mut self, machine: &mut Machine, txn: &mut Txn<'_>, at: i64, lane: u32) -> &'b mut LaneBatch {
        if let Some(index) = self.0.iter().rposition(|batch| batch.lane == lane) {
            return &mut self.0[index];
        }
        let seq = machine.next_chunk(txn, at);
        self.0.push(LaneBatch { lane, seq, records: Vec::new(), payloads: Payloads::default(), events: Vec::new() });
        self.0.last_mut().expect("just pushed")
    }

    /// Writes them.
    pub fn put(self, machine: &mut Machine, txn: &mut Txn<'_>, at: i64) -> Vec<crate::reply::OutboxRef> {
        self.0.into_iter().map(|batch| machine.put_firings(txn, at, batch)).collect()
    }
}
