//! The key-value store as the state machine sees it: tables of ordered keys to read, and a transaction that collects writes.
//!
//! Knows no RocksDB and no shard prefix: whoever drives the machine adds both.

use std::collections::HashMap;
use std::ops::ControlFlow;

/// One table of the state: an ordered map of byte strings. The number is part of the disk format; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// `meta`: counters and positions of the shard. Few keys, written with each batch.
    Meta = 0,
    /// namespace, id -> definition number.
    Names = 1,
    /// definition number, version -> the definition as given.
    Definitions = 2,
    /// definition number -> generation, next due, counters: small and hot.
    Cursors = 3,
    /// namespace, event type, definition number -> what the ingress needs to match.
    Subscriptions = 4,
    /// window class, time bucket, digest -> when it was seen.
    Dedupe = 5,
    /// lane, sequence -> the firings of one entry that are not all acknowledged.
    Outbox = 6,
    /// sequence -> the occurrences of one entry; and how they ended.
    Account = 7,
    /// sequence -> a firing that the sink refused for good.
    Dead = 8,
    /// hour, definition number, version -> nothing: versions that may be dropped when they are old enough.
    Retired = 9,
    /// reason, account sequence -> nothing: chunks that hold what did not fire, by reason.
    Misses = 10,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Names,
        Self::Definitions,
        Self::Cursors,
        Self::Subscriptions,
        Self::Dedupe,
        Self::Outbox,
        Self::Account,
        Self::Dead,
        Self::Retired,
        Self::Misses,
    ];
}

/// The store could not be read: a disk or corruption fault, never a missing key.
#[derive(Debug, thiserror::Error)]
#[error("state store: {0}")]
pub struct ReadError(pub String);

/// Reading the committed state of one shard.
pub trait Read {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Visits keys in `[from, to)` in ascending order until `visit` breaks.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;
}

/// A write that a transaction has collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Set a key.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Remove a key.
    Delete(Table, Vec<u8>),
    /// Remove all keys in `[from, to)`.
    DeleteRange(Table, Vec<u8>, Vec<u8>),
}

/// Collects the writes of one or more entries that are applied together, and reads through them.
///
/// Reads see the transaction's own puts and deletes, but not its range deletes: no entry reads what an entry beside it drops
/// by range (whole time buckets that are past their window).
pub struct Txn<'a> {
    read: &'a dyn Read,
    writes: Vec<Write>,
    /// Newest value of the keys that later reads of this transaction may ask for.
    overlay: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a> Txn<'a> {
    /// An empty one over the committed state.
    pub fn new(read: &'a dyn Read) -> Self {
        Self { read, writes: Vec::new(), overlay: HashMap::new() }
    }

    /// The value of a key, with this transaction's own writes in place.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        if Self::is_read_back(table)
            && let Some(value) = self.overlay.get(&(table, key.to_vec()))
        {
            return Ok(value.clone());
        }
        self.read.get(table, key)
    }

    /// The committed state beneath, without this transaction's writes.
    pub fn committed(&self) -> &'a dyn Read {
        self.read
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        if Self::is_read_back(table) {
            self.overlay.insert((table, key.clone()), Some(value.clone()));
        }
        self.writes.push(Write::Put(table, key, value));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        if Self::is_read_back(table) {
            self.overlay.insert((table, key.clone()), None);
        }
        self.writes.push(Write::Delete(table, key));
    }

    /// Removes all keys in `[from, to)`.
    pub fn delete_range(&mut self, table: Table, from: Vec<u8>, to: Vec<u8>) {
        self.writes.push(Write::DeleteRange(table, from, to));
    }

    /// What is to be written, in order.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// Cursors are written for each decision and never read back: their newest values are in the machine's memory.
    fn is_read_back(table: Table) -> bool {
        table != Table::Cursors
    }
}
