//! A backup on its way into a cluster: batches of rows, each for one shard. All but occurrences comes file by file; occurrences come in the order
//! of their time, for so a shard's account is kept.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bytes::Bytes;
use flintwheel_shard::rows::{Row, encode_all};

use crate::error::BackupError;
use crate::reader::{Backup, ShardReader};
use crate::route::Router;

/// A batch ends before the row that would make it longer. One row may be longer than this, and comes alone.
const BATCH_BYTES: usize = 768 * 1024;
/// Of all batches that are not full.
const HELD_BYTES: usize = 64 * 1024 * 1024;

/// See the module.
pub struct Restore<'a> {
    backup: &'a Backup,
    router: Router,
    targets: Vec<Target>,
    batch_bytes: usize,
    /// Files of which only occurrences are left.
    sources: Vec<ShardReader<'a>>,
    /// The one that is read up to its occurrences.
    source: Option<ShardReader<'a>>,
    /// The next occurrences of each file, by their time.
    next: BinaryHeap<Reverse<(i64, u32)>>,
    full: VecDeque<Batch>,
    ended: bool,
}

#[derive(Clone, Default)]
struct Target {
    /// Rows that were routed to it.
    rows: u64,
    /// Rows that it has: they are passed over.
    there: u64,
    batch: Vec<u8>,
    count: u64,
}

/// Rows for one shard, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which one.
    pub shard: u32,
    /// How many rows of the shard come before these.
    pub from: u64,
    /// Each with its length.
    pub rows: Bytes,
    /// How many.
    pub count: u64,
}

impl<'a> Restore<'a> {
    /// Into as many shards as there are numbers: of the rows that each has already. Firings that wait, and were due before `skip_before`
    /// (microseconds since the epoch), do not fire.
    pub fn new(backup: &'a Backup, there: &[u64], skip_before: i64) -> Self {
        let manifest = backup.manifest();
        let count = |shards: usize| u32::try_from(shards).unwrap_or(u32::MAX);
        let (sources, targets) = (count(manifest.shards.len()), count(there.len()));
        let target = |there: &u64| Target { there: *there, ..Target::default() };
        Self {
            backup,
            router: Router::new(manifest.backup_id, sources, targets, skip_before),
            targets: there.iter().map(target).collect(),
            batch_bytes: BATCH_BYTES.min(HELD_BYTES / there.len().max(1)),
            sources: Vec::new(),
            source: None,
            next: BinaryHeap::new(),
            full: VecDeque::new(),
            ended: false,
        }
    }

    /// The next batch; none after the last. Those of one shard are to be brought in this order.
    pub async fn next(&mut self) -> Result<Option<Batch>, BackupError> {
        loop {
            if let Some(batch) = self.full.pop_front() {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            match self.row().await? {
                Some((source, row)) => self.route(source, row)?,
                None => {
                    self.ended = true;
                    (0..self.targets.len()).for_each(|target| self.cut(target));
                }
            }
        }
    }

    /// By shard: how many rows it has in the end. Is known after the last batch.
    pub fn rows(&self) -> Vec<u64> {
        self.targets.iter().map(|target| target.rows).collect()
    }

    /// The next row, and the shard that it comes from.
    async fn row(&mut self) -> Result<Option<(u32, Row)>, BackupError> {
        let all = self.backup.manifest().shards.len();
        while self.sources.len() < all {
            let number = self.sources.len() as u32;
            let mut source = match self.source.take() {
                Some(source) => source,
                None => self.backup.shard(number).await?,
            };
            let at = match source.peek().await? {
                Some(Row::Chunk(chunk)) => Some(chunk.at),
                Some(_) => {
                    let row = source.next().await?;
                    self.source = Some(source);
                    return Ok(row.map(|row| (number, row)));
                }
                None => None,
            };
            at.into_iter().for_each(|at| self.next.push(Reverse((at, number))));
            self.sources.push(source);
        }
        let Some(Reverse((_, number))) = self.next.pop() else { return Ok(None) };
        let source = &mut self.sources[number as usize];
        let row = source.next().await?;
        match source.peek().await? {
            Some(Row::Chunk(chunk)) => self.next.push(Reverse((chunk.at, number))),
            Some(_) => return Err(self.damaged(number, "a row stands behind those of another kind")),
            None => {}
        }
        Ok(row.map(|row| (number, row)))
    }

    fn route(&mut self, source: u32, row: Row) -> Result<(), BackupError> {
        let routed = self.router.route(source, row).map_err(|e| self.damaged(source, &e.to_string()))?;
        routed.into_iter().for_each(|(target, row)| self.push(target as usize, &row));
        Ok(())
    }

    fn push(&mut self, place: usize, row: &Row) {
        let target = &self.targets[place];
        if target.rows >= target.there {
            let bytes = encode_all(std::slice::from_ref(row));
            if target.batch.len() + bytes.len() > self.batch_bytes {
                self.cut(place);
            }
            let target = &mut self.targets[place];
            target.batch.extend_from_slice(&bytes);
            target.count += 1;
        }
        self.targets[place].rows += 1;
    }

    /// Ends a shard's batch, if it has one.
    fn cut(&mut self, place: usize) {
        let target = &mut self.targets[place];
        if target.count == 0 {
            return;
        }
        let (rows, count) = (std::mem::take(&mut target.batch).into(), std::mem::take(&mut target.count));
        self.full.push_back(Batch { shard: place as u32, from: target.rows - count, rows, count });
    }

    fn damaged(&self, source: u32, why: &str) -> BackupError {
        let file = self.backup.manifest().shards.get(source as usize).map_or("?", |entry| &entry.file);
        BackupError::damaged(&format!("{}/{file}", self.backup.place()), why)
    }
}
