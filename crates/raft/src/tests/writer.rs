//! The writer thread: order, and who is told when.

use super::toy;
use crate::FatalHook;
use crate::candidate::Candidate;
use crate::fence::Fence;
use crate::group_log::GroupLog;
use crate::log_store::LogStore;
use crate::log_writer::LogWriter;
use crate::types::{Command, Entry, LeaderId, LogId, Types, Vote};
use bytes::Bytes;
use flintwheel_store::{LogBatch, LogDb, StoreError};
use futures::FutureExt;
use openraft::alias::OneshotReceiverOf;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Held by the one test that uses it while nothing may reach the disk.
static DISK: Mutex<()> = Mutex::new(());

fn commit_when_free(db: &LogDb, batch: LogBatch<'_>) -> Result<(), StoreError> {
    let _free = DISK.lock();
    db.commit(batch)
}

fn entry(term: u64, index: u64) -> Entry {
    let payload = EntryPayload::Normal(Command(Bytes::from(format!("{term}/{index}"))));
    Entry::new(LogId::new(LeaderId { term, node_id: 1 }, index), payload)
}

fn terms(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.log_id.committed_leader_id().term).collect()
}

async fn append(
    store: &mut LogStore,
    term: u64,
    indexes: std::ops::Range<u64>,
) -> OneshotReceiverOf<Types, std::io::Result<()>> {
    let (told, durable) = Types::oneshot();
    let entries: Vec<_> = indexes.map(|index| entry(term, index)).collect();
    store.append(entries, IOFlushed::<Types>::signal(told)).await.unwrap();
    durable
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_reaches_the_disk_in_order_and_nobody_is_told_before() {
    let root = tempfile::tempdir().unwrap();
    let options = toy::options(root.path(), 1);
    let db = Arc::new(LogDb::open(&options.data).unwrap());
    let (writer, thread) = LogWriter::start(db.clone(), commit_when_free, FatalHook::default()).unwrap();
    // The memory of this log holds nothing but what is not durable.
    let log = Arc::new(GroupLog::open(db.clone(), 0, 0).unwrap());
    let mut store = LogStore { log, writer, fence: Arc::new(Fence::new(0)) };

    let vote = Vote { leader_id: Candidate { term: 2, node_id: 1 }, committed: true };
    let (held, holding) = std::sync::mpsc::sync_channel::<()>(0);
    let (took, taken) = oneshot::channel();
    let holder = std::thread::spawn(move || {
        let _held = DISK.lock();
        took.send(()).unwrap();
        // Until the sender is dropped.
        let _ = holding.recv();
    });
    taken.await.unwrap();
    let _first = append(&mut store, 1, 0..5).await;
    let mut voting = store.clone();
    let voted = tokio::spawn(async move { voting.save_vote(&vote).await });
    while store.log.vote() != Some(vote) {
        tokio::task::yield_now().await;
    }
    store.truncate_after(Some(entry(1, 1).log_id)).await.unwrap();
    let mut second = append(&mut store, 2, 2..4).await;
    assert!((&mut second).now_or_never().is_none() && !voted.is_finished());
    assert_eq!(terms(&store.try_get_log_entries(0..9).await.unwrap()), [1, 1, 2, 2]);

    drop(held);
    holder.join().unwrap();
    second.await.unwrap().unwrap();
    voted.await.unwrap().unwrap();
    // Now the entries come from disk.
    assert_eq!(terms(&store.try_get_log_entries(0..9).await.unwrap()), [1, 1, 2, 2]);
    drop(store);
    thread.unwrap().join().unwrap();
    let log = GroupLog::open(db, 0, 0).unwrap();
    assert_eq!((log.vote(), log.last()), (Some(vote), Some(entry(2, 3).log_id)));
}
