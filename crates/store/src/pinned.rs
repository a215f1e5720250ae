//! Reading the state as it is at one instant, while writers go on: for a backup, which looks at all of a group.
//!
//! Knows nothing of Raft: which log position the instant stands for, the caller reads from the state itself.

use crate::error::StoreError;
use crate::keys::group_key;
use crate::state_db::{Column, Db, StateDb, Visit};
use rocksdb::{ReadOptions, SnapshotWithThreadMode};

/// What is read ahead: whoever pins the state walks over much of it.
const READ_AHEAD: usize = 1 << 20;

/// The state at one instant. As long as it is there, compaction keeps the versions of all groups' keys that were current then.
pub struct Pinned<'a> {
    db: &'a StateDb,
    snapshot: SnapshotWithThreadMode<'a, Db>,
}

impl StateDb {
    /// As it is now. (A simulation takes no backups.)
    pub fn pin(&self) -> Pinned<'_> {
        Pinned { db: self, snapshot: self.rocks().snapshot() }
    }
}

impl Pinned<'_> {
    /// The value of a key.
    pub fn get(&self, group: u32, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut buffer = Vec::with_capacity(4 + key.len());
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        let key = group_key(&mut buffer, group, key);
        let value = self.snapshot.get_cf_opt(self.db.column(column), key, options);
        value.map_err(|e| self.db.failed("read", &e))
    }

    /// Visits the keys of `group` in `[from, to)` in ascending order until `visit` breaks; none where `from` is not before `to`.
    pub fn scan(
        &self,
        group: u32,
        column: Column,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let (mut start, mut end) = (Vec::new(), Vec::new());
        let mut options = ReadOptions::default();
        options.set_iterate_range(group_key(&mut start, group, from)..group_key(&mut end, group, to));
        // All of a group is read once: that must not drive out what others need.
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        let cursor = self.snapshot.raw_iterator_cf_opt(self.db.column(column), options);
        self.db.walk(cursor, visit)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{POINT, open, put};
    use std::ops::ControlFlow;

    #[test]
    fn what_is_pinned_stays_as_it_was_while_writers_go_on() {
        let root = tempfile::tempdir().unwrap();
        let db = open(&root);
        let row = |group: u8, key: u8, value: u8| ((POINT.0, vec![group, key]), vec![value]);
        put(&db, 7, &[row(7, 1, 1), row(7, 2, 1)].into());
        put(&db, 8, &[row(8, 1, 1)].into());
        let pinned = db.pin();
        put(&db, 7, &[row(7, 1, 2), row(7, 3, 2)].into());
        let mut batch = db.batch(7);
        batch.delete(POINT, &[7, 2]);
        db.write(batch).unwrap();
        db.flush().unwrap();
        let mut seen = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            seen.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        pinned.scan(7, POINT, &[], &[0xff; 8], visit).unwrap();
        assert_eq!(seen, [(vec![7, 1], vec![1]), (vec![7, 2], vec![1])]);
        assert_eq!(pinned.get(7, POINT, &[7, 1]).unwrap(), Some(vec![1]));
        assert_eq!(pinned.get(7, POINT, &[7, 3]).unwrap(), None);
        assert_eq!(db.get(7, POINT, &[7, 1]).unwrap(), Some(vec![2]));
    }
}
