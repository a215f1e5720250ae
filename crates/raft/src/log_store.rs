//! openraft's view of a group's log: [`GroupLog`] in memory and on disk, [`LogWriter`] for what is to be durable.

use crate::error::Stopped;
use crate::fence::Fence;
use crate::group_log::{GroupLog, LogError};
use crate::log_writer::{LogWriter, Op};
use crate::runtime::blocking;
use crate::types::{Entry, LogId, Types, Vote};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

/// Entries that replication reads at once, in bytes.
const READ: usize = 1 << 20;

/// One group's log storage; also its own reader.
#[derive(Clone)]
pub(crate) struct LogStore {
    pub(crate) log: Arc<GroupLog>,
    pub(crate) writer: LogWriter,
    /// Raised by what can't be read.
    pub(crate) fence: Arc<Fence>,
}

impl LogStore {
    /// The entries at `indexes`, up to about `limit` bytes but at least one if there is one. What is missing at the front was purged.
    async fn read(&self, mut indexes: Range<u64>, limit: usize) -> io::Result<Vec<Entry>> {
        loop {
            let found = self.log.read_memory(indexes.clone(), limit);
            if found.on_disk.is_empty() {
                return Ok(found.entries);
            }
            indexes.start = found.on_disk.end;
            let log = self.log.clone();
            let read = blocking(move || log.read_disk(found.on_disk, limit));
            let entries = read.await.map_err(io::Error::other)?.map_err(|error| self.failed(error))?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    fn failed(&self, error: LogError) -> io::Error {
        self.fence.raise(Stopped::from(&error));
        error.into()
    }

    /// All entries at `indexes`, a piece at a time, without a hole between them.
    fn pieces(&self, indexes: Range<u64>) -> impl Stream<Item = io::Result<Vec<Entry>>> + Send + use<> {
        stream::try_unfold((self.clone(), indexes, None), |(store, rest, wanted)| async move {
            let piece = store.read(rest.clone(), READ).await?;
            let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return Ok(None) };
            let (found, next) = (first.log_id.index(), last.log_id.index() + 1);
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                return Err(store.failed(LogError::Hole { group: store.log.group, wanted, found }));
            }
            Ok(Some((piece, (store, next..rest.end, Some(next)))))
        })
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        self.pieces(half_open(&range)).try_concat().await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, READ).await
    }

    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let pieces = self.pieces(half_open(&range));
        pieces.flat_map(|piece| match piece {
            Ok(entries) => stream::iter(entries.into_iter().map(Ok)).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        Ok(LogState { last_purged_log_id: self.log.purged(), last_log_id: self.log.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.log.set_vote(*vote);
        self.writer.save_vote(self.log.group, *vote).await
    }

    async fn save_committed(&mut self, id: Option<LogId>) -> Result<(), io::Error> {
        self.log.set_committed(id);
        self.writer.send(Op::Committed { group: self.log.group, id }).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed())
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let epoch = self.log.append(&entries)?;
        self.writer.send(Op::Append { log: self.log.clone(), epoch, entries, done }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let indexes = self.log.truncate_after(last);
        self.writer.send(Op::Truncate { group: self.log.group, indexes }).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let indexes = self.log.purge(upto);
        self.writer.send(Op::Purge { group: self.log.group, indexes, upto, done: None }).await
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
