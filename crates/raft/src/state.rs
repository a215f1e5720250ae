//! A shard's tables as columns of the state database, and reading them.

use flintwheel_shard::{Read, ReadError, Table, Visit, Write};
use flintwheel_store::{Column, ColumnSpec, Purpose, StateBatch, StateDb, StoreError};
use std::sync::Arc;

/// Raft's own column: what is applied. It comes first, the tables follow in the order of their numbers.
pub(crate) const RAFT: Column = Column(0);

/// The columns of the state database.
pub(crate) fn columns() -> Vec<ColumnSpec> {
    let raft = ColumnSpec { name: "raft", purpose: Purpose::Hot };
    std::iter::once(raft).chain(Table::ALL.map(spec)).collect()
}

/// All tables' columns.
pub(crate) fn table_columns() -> impl Iterator<Item = Column> {
    Table::ALL.into_iter().map(column)
}

fn column(table: Table) -> Column {
    Column(table as usize + 1)
}

fn spec(table: Table) -> ColumnSpec {
    let (name, purpose) = match table {
        Table::Meta => ("meta", Purpose::Hot),
        Table::Names => ("names", Purpose::Point),
        Table::Definitions => ("definitions", Purpose::Blob),
        Table::Cursors => ("cursors", Purpose::Point),
        Table::Subscriptions => ("subscriptions", Purpose::Point),
        Table::Dedupe => ("dedupe", Purpose::Point),
        Table::Outbox => ("outbox", Purpose::Sequence),
        Table::Account => ("account", Purpose::Sequence),
        Table::Dead => ("dead", Purpose::Blob),
        Table::Retired => ("retired", Purpose::Point),
        Table::Misses => ("misses", Purpose::Point),
    };
    ColumnSpec { name, purpose }
}

/// Adds a transaction's writes to a batch.
pub(crate) fn put_writes(batch: &mut StateBatch<'_>, writes: &[Write]) {
    for write in writes {
        match write {
            Write::Put(table, key, value) => batch.put(column(*table), key, value),
            Write::Delete(table, key) => batch.delete(column(*table), key),
            Write::DeleteRange(table, from, to) => batch.delete_range(column(*table), from, to),
        }
    }
}

/// The committed state of one shard, for reading at any time. Calls block on the disk; clones are cheap.
#[derive(Clone)]
pub struct GroupState {
    db: Arc<StateDb>,
    group: u32,
}

impl GroupState {
    pub(crate) fn new(db: Arc<StateDb>, group: u32) -> Self {
        Self { db, group }
    }
}

impl Read for GroupState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get(self.group, column(table), key).map_err(read_error)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.db.scan(self.group, column(table), from, to, visit).map_err(read_error)
    }
}

fn read_error(error: StoreError) -> ReadError {
    ReadError(error.to_string())
}
