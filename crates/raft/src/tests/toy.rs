//! A machine of a few lines: it numbers its entries and chains a digest over them, in memory and in the state.

use crate::{Groups, OpenOptions};
use bytes::Bytes;
use flintwheel_shard::{ApplyError, Read, ReadError, Replicated, Table, Txn};
use flintwheel_store::{DataDir, LogDb};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// An entry that the machine does not understand.
pub(super) const UNKNOWN: &[u8] = b"?";
/// An entry that makes it panic.
pub(super) const PANIC: &[u8] = b"!";
/// One that makes as many machines panic as [`PANICS`] says.
pub(super) const PANIC_SOME: &[u8] = b"!!";
pub(super) static PANICS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Toy {
    /// Entries applied in all.
    pub(super) count: u64,
    /// Over all of them.
    pub(super) digest: u64,
    /// Entries applied since it was opened.
    pub(super) since_open: u64,
}

impl Toy {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let number = |at| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        Self { count: number(0), digest: number(8), since_open: 0 }
    }

    fn bytes(self) -> Vec<u8> {
        [self.count.to_be_bytes(), self.digest.to_be_bytes()].concat()
    }
}

impl Replicated for Toy {
    type Reply = Toy;

    fn open(state: &dyn Read) -> Result<Self, ReadError> {
        Ok(state.get(Table::Meta, b"toy")?.map_or_else(Self::default, |bytes| Self::parse(&bytes)))
    }

    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<Toy, ApplyError> {
        match entry {
            UNKNOWN => return Err(ApplyError::Unknown("kind 63".to_owned())),
            PANIC => panic!("an entry that panics, on purpose"),
            PANIC_SOME => {
                let left = PANICS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                assert!(left.is_err(), "an entry that panics here, on purpose");
            }
            _ => {}
        }
        self.count += 1;
        self.digest = xxh3_64_with_seed(entry, self.digest);
        self.since_open += 1;
        txn.put(Table::Account, self.count.to_be_bytes().to_vec(), self.bytes());
        txn.put(Table::Meta, b"toy".to_vec(), self.bytes());
        Ok(*self)
    }
}

pub(super) fn options(path: &Path, shards: u32) -> OpenOptions {
    OpenOptions::new(DataDir::open(path, 1, None).unwrap(), shards)
}

pub(super) async fn open(path: &Path, shards: u32) -> Groups<Toy> {
    Groups::open(options(path, shards)).await.unwrap()
}

/// Proposes `count` entries one after the other; what the last one was answered.
pub(super) async fn propose(groups: &Groups<Toy>, shard: u32, count: u64) -> Toy {
    let mut last = Toy::default();
    for n in 0..count {
        last = groups.group(shard).propose(Bytes::from(format!("{shard}/{n}"))).await.unwrap();
    }
    last
}

pub(super) fn machine(groups: &Groups<Toy>, shard: u32) -> Toy {
    groups.group(shard).read(|machine, _| *machine).unwrap()
}

/// Removes the last entries of shard 0's log, of a node that does not run.
pub(super) fn lose_end(data: &DataDir, count: u64) {
    let log = LogDb::open(data).unwrap();
    let (last, _) = log.last_entry(0).unwrap().unwrap();
    let mut batch = log.batch();
    batch.remove_entries(0, last + 1 - count..last + 1);
    log.commit(batch).unwrap();
}

/// What the state says, as a machine opened from it would be.
pub(super) fn stored(groups: &Groups<Toy>, shard: u32) -> Toy {
    Toy::open(&groups.group(shard).state()).unwrap()
}
