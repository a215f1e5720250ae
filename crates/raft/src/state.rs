//! A shard's tables as columns of the state database, and reading them.

use crate::codec::{decode_applied, place as seed};
use crate::error::Stopped;
use crate::fence::Fence;
use crate::machine::APPLIED;
use flintwheel_shard::{Read, ReadError, Table, Visit, Write};
use flintwheel_store::{Column, ColumnSpec, Pinned, Purpose, StateBatch, StateDb, StoreError};
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
        Table::Dedupe => ("dedupe", Purpose::Absent),
        Table::Outbox => ("outbox", Purpose::Sequence),
        Table::Account => ("account", Purpose::Sequence),
        Table::Dead => ("dead", Purpose::Blob),
        Table::Retired => ("retired", Purpose::Point),
        Table::Misses => ("misses", Purpose::Point),
    };
    ColumnSpec { name, purpose }
}

/// Adds a transaction's writes to a batch, in the order of their keys: that halves what inserting them costs. Writes of one key keep
/// their order, and none moves across a range that is removed.
pub(crate) fn put_writes(batch: &mut StateBatch<'_>, mut writes: Vec<Write>) {
    for run in writes.chunk_by_mut(|a, b| place(a).is_some() && place(b).is_some()) {
        run.sort_by(|a, b| place(a).cmp(&place(b)));
    }
    for write in &writes {
        match write {
            Write::Put(table, key, value) => batch.put(column(*table), key, value),
            Write::Delete(table, key) => batch.delete(column(*table), key),
            Write::DeleteRange(table, from, to) => batch.delete_range(column(*table), from, to),
        }
    }
}

/// What a write is sorted by, if it may move.
fn place(write: &Write) -> Option<(Table, &[u8])> {
    match write {
        Write::Put(table, key, _) | Write::Delete(table, key) => Some((*table, key)),
        Write::DeleteRange(..) => None,
    }
}

/// The committed state of one shard, for reading at any time. Calls block on the disk; clones are cheap. What can't be read is damaged: the
/// replica is fenced, whoever has asked.
#[derive(Clone)]
pub struct GroupState {
    db: Arc<StateDb>,
    fence: Arc<Fence>,
}

impl GroupState {
    pub(crate) fn new(db: Arc<StateDb>, fence: Arc<Fence>) -> Self {
        Self { db, fence }
    }

    fn failed(&self, error: StoreError) -> ReadError {
        let error = error.to_string();
        self.fence.raise(Stopped::damaged(error.as_str()));
        ReadError(error)
    }

    /// Looks at the state as it is at one instant, while entries go on being applied, and at the index of the last entry that is in it. Take
    /// minutes, not hours: what is overwritten meanwhile stays on the disk until then. Blocks.
    pub fn pinned<R>(&self, look: impl FnOnce(&dyn Read, Option<u64>) -> R) -> Result<R, ReadError> {
        let state = PinnedState { pinned: self.db.pin(), state: self };
        let applied = state.pinned.get(self.fence.group, RAFT, APPLIED).map_err(|error| self.failed(error))?;
        let decode = |bytes: Vec<u8>| decode_applied(seed(self.fence.group, 0), &bytes);
        let applied = applied.map(decode).transpose().map_err(|e| ReadError(format!("what is applied: {e}")))?;
        Ok(look(&state, applied.and_then(|applied| applied.last).map(|id| id.index())))
    }
}

/// The state of one shard at one instant.
struct PinnedState<'a> {
    pinned: Pinned<'a>,
    state: &'a GroupState,
}

impl Read for PinnedState<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.pinned.get(self.state.fence.group, column(table), key).map_err(|error| self.state.failed(error))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let scanned = self.pinned.scan(self.state.fence.group, column(table), from, to, visit);
        scanned.map_err(|error| self.state.failed(error))
    }
}

impl Read for GroupState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get(self.fence.group, column(table), key).map_err(|error| self.failed(error))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.db.scan(self.fence.group, column(table), from, to, visit).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flintwheel_store::{DataDir, StateOptions};
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    const TABLE: Table = Table::Dedupe;

    /// The same writes, one after the other.
    fn naive(writes: &[Write]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for write in writes {
            match write {
                Write::Put(_, key, value) => drop(rows.insert(key.clone(), value.clone())),
                Write::Delete(_, key) => drop(rows.remove(key)),
                Write::DeleteRange(_, from, to) => rows.retain(|key, _| key < from || key >= to),
            }
        }
        rows
    }

    /// A run of writes to a few keys, so that they meet often.
    fn writes(seed: u64) -> Vec<Write> {
        let number = |n: u64, below: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&n.to_le_bytes(), seed) % below;
        let key = |n: u64| vec![number(n, 6) as u8];
        let write = |n: u64| match number(n + 1_000, 8) {
            0 => Write::DeleteRange(TABLE, key(n), key(n + 2_000)),
            1 | 2 => Write::Delete(TABLE, key(n)),
            _ => Write::Put(TABLE, key(n), n.to_be_bytes().to_vec()),
        };
        let sensible = |write: &Write| !matches!(write, Write::DeleteRange(_, from, to) if from >= to);
        (0..40).map(write).filter(sensible).collect()
    }

    #[test]
    fn a_batch_in_key_order_does_what_its_writes_do_in_theirs() {
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(root.path(), 1, None).unwrap();
        let db = Arc::new(StateDb::open(&dir, StateOptions::default(), &columns()).unwrap());
        for group in 0..200 {
            let writes = writes(group.into());
            let mut batch = db.batch(group);
            put_writes(&mut batch, writes.clone());
            db.write(batch).unwrap();
            let mut rows = BTreeMap::new();
            let visit = &mut |key: &[u8], value: &[u8]| {
                rows.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            };
            GroupState::new(db.clone(), Arc::new(Fence::new(group))).scan(TABLE, &[], &[0xff], visit).unwrap();
            assert_eq!(rows, naive(&writes), "{writes:?}");
        }
    }
}
