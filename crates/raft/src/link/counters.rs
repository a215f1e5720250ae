//! What has gone over links, counted by lane.

use crate::transport::Lane;
use std::sync::atomic::{AtomicU64, Ordering};

/// What has gone over all links of one side since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Entries and votes.
    pub log: LaneStats,
    /// Liveness.
    pub beat: LaneStats,
    /// Pieces of snapshots.
    pub bulk: LaneStats,
    /// What nodes ask each other beside Raft.
    pub call: LaneStats,
}

/// What has gone over the links of one lane. Bytes are those of the messages and answers alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Messages or answers sent.
    pub messages_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// The gRPC messages in which they travelled.
    pub batches_out: u64,
    /// Messages or answers received.
    pub messages_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// The gRPC messages in which they travelled.
    pub batches_in: u64,
    /// Links that were opened, handshake included.
    pub links_opened: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    log: LaneCounters,
    beat: LaneCounters,
    bulk: LaneCounters,
    call: LaneCounters,
}

#[derive(Default)]
pub(super) struct LaneCounters {
    sent: Direction,
    received: Direction,
    opened: AtomicU64,
}

#[derive(Default)]
struct Direction {
    messages: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

impl Counters {
    pub(super) fn lane(&self, lane: Lane) -> &LaneCounters {
        match lane {
            Lane::Log => &self.log,
            Lane::Beat => &self.beat,
            Lane::Bulk => &self.bulk,
            Lane::Call => &self.call,
        }
    }

    pub(super) fn stats(&self) -> LinkStats {
        LinkStats { log: self.log.stats(), beat: self.beat.stats(), bulk: self.bulk.stats(), call: self.call.stats() }
    }
}

impl LaneCounters {
    /// A batch went out; the sizes of its messages.
    pub(super) fn sent(&self, sizes: impl ExactSizeIterator<Item = usize>) {
        self.sent.add(sizes);
    }

    /// A batch came in; the sizes of its messages.
    pub(super) fn received(&self, sizes: impl ExactSizeIterator<Item = usize>) {
        self.received.add(sizes);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn stats(&self) -> LaneStats {
        let [messages_out, bytes_out, batches_out] = self.sent.read();
        let [messages_in, bytes_in, batches_in] = self.received.read();
        let links_opened = self.opened.load(Ordering::Relaxed);
        LaneStats { messages_out, bytes_out, batches_out, messages_in, bytes_in, batches_in, links_opened }
    }
}

impl Direction {
    fn add(&self, sizes: impl ExactSizeIterator<Item = usize>) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(sizes.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(sizes.sum::<usize>() as u64, Ordering::Relaxed);
    }

    fn read(&self) -> [u64; 3] {
        [&self.messages, &self.bytes, &self.batches].map(|counter| counter.load(Ordering::Relaxed))
    }
}
