//! A disk that fails, and entries that a machine can't apply.

use super::toy::{self, Toy};
use crate::{FatalHook, Groups, Leadership, ProposeError};
use bytes::Bytes;
use flintwheel_store::{Fault, LogBatch, LogDb, StoreError};
use futures::FutureExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// The disk of the one test that sets it fails.
static DISK_FAILS: AtomicBool = AtomicBool::new(false);

fn commit_or_fail(db: &LogDb, batch: LogBatch<'_>) -> Result<(), StoreError> {
    if DISK_FAILS.load(Ordering::SeqCst) {
        return Err(StoreError::new(Fault::Io, Path::new("/log"), "fdatasync: Input/output error"));
    }
    db.commit(batch)
}

#[tokio::test]
async fn a_failed_sync_calls_the_hook_once_and_answers_nobody() {
    let root = tempfile::tempdir().unwrap();
    let (called, mut calls) = mpsc::channel(2);
    let mut options = toy::options(root.path(), 2);
    options.fatal = FatalHook::new(move |error| called.try_send(error.clone()).unwrap());
    let groups = Groups::<Toy>::open_with(options, commit_or_fail).await.unwrap();
    toy::propose(&groups, 0, 1).await;

    DISK_FAILS.store(true, Ordering::SeqCst);
    let mut waiting = groups.group(0).propose(Bytes::from_static(b"lost")).boxed();
    let other = groups.group(1).propose(Bytes::from_static(b"lost too")).boxed();
    let error = calls.recv().await.unwrap();
    assert!(error.to_string().contains("fdatasync: Input/output error"), "{error}");
    assert_eq!(waiting.as_mut().now_or_never(), None);
    // The disk "works" again, as it would after a failed fsync. Nothing may be written any more.
    DISK_FAILS.store(false, Ordering::SeqCst);
    let after = groups.group(1).propose(Bytes::from_static(b"after")).boxed();
    groups.close().await;
    for answer in [waiting.await, other.await, after.await] {
        assert!(matches!(answer, Err(ProposeError::Stopped(_))), "{answer:?}");
    }
    assert!(calls.recv().await.is_none());

    let groups = toy::open(root.path(), 2).await;
    assert_eq!((toy::machine(&groups, 0).count, toy::machine(&groups, 1).count), (1, 0));
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_not_understood_stops_its_shard_only() {
    for (entry, reason) in [(toy::UNKNOWN, "entry not understood: kind 63"), (toy::PANIC, "applying an entry panicked")]
    {
        let root = tempfile::tempdir().unwrap();
        let groups = toy::open(root.path(), 2).await;
        let good = toy::propose(&groups, 0, 3).await;
        let group = groups.group(0);
        let mut leadership = group.watch_leader();
        let Err(ProposeError::Stopped(stopped)) = group.propose(Bytes::from_static(entry)).await else {
            panic!("it was applied")
        };
        assert!(stopped.reason.contains(reason), "{stopped}");
        let seen = leadership.wait_for(|seen| matches!(seen, Leadership::Stopped(_))).await.unwrap().clone();
        assert_eq!(seen, Leadership::Stopped(stopped.clone()));
        assert_eq!(group.status().leadership, seen);
        assert_eq!(group.read(|_, _| ()), Err(stopped.clone()));
        assert_eq!(group.propose(Bytes::from_static(b"after")).await, Err(ProposeError::Stopped(stopped)));
        drop(group);
        assert_eq!(toy::stored(&groups, 0).digest, good.digest);

        assert_eq!(toy::propose(&groups, 1, 5).await.count, 5);
        assert!(groups.flush().await.unwrap().flushed);
        groups.shutdown().await.unwrap();

        // It is still there after a restart, and the other shard still works.
        let groups = toy::open(root.path(), 2).await;
        assert!(matches!(groups.group(0).status().leadership, Leadership::Stopped(_)));
        assert_eq!(toy::propose(&groups, 1, 1).await.count, 6);
        groups.shutdown().await.unwrap();
    }
}
