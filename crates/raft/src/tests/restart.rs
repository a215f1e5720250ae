//! Closing and opening again: what is kept, what is replayed, and what is refused.

use super::toy::{self, Toy};
use crate::group_log::{NODE, tag};
use crate::open::put_number;
use crate::{Founding, Groups, Host, Leadership, META, OpenError, OpenOptions, ProposeError};
use bytes::Bytes;
use flintwheel_store::LogDb;
use std::path::Path;

async fn refused(options: OpenOptions) -> OpenError {
    match Groups::<Toy>::open(options).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// The state as it is on disk now goes to `to`, while the groups are closed.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn after_a_shutdown_all_is_there_and_nothing_is_replayed() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 2).await;
    let last = [toy::propose(&groups, 0, 10).await, toy::propose(&groups, 1, 20).await];
    let term = |groups: &Groups<Toy>| match groups.group(0).status().leadership {
        Leadership::Leader { term } => term,
        other => panic!("{other:?}"),
    };
    let before = term(&groups);
    groups.shutdown().await.unwrap();
    let groups = toy::open(root.path(), 2).await;
    for shard in [0, 1] {
        let want = Toy { since_open: 0, ..last[shard as usize] };
        assert_eq!((toy::machine(&groups, shard), toy::stored(&groups, shard)), (want, want));
    }
    assert!(term(&groups) > before);
    assert_eq!(toy::propose(&groups, 0, 1).await.count, 11);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_a_shutdown_proposals_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    let group = groups.group(0);
    let mut leadership = group.watch_leader();
    groups.shutdown().await.unwrap();
    assert!(matches!(group.propose(Bytes::from_static(b"late")).await, Err(ProposeError::Stopped(_))));
    leadership.wait_for(|seen| !seen.is_leader()).await.unwrap();
}

#[tokio::test]
async fn the_number_of_shards_can_not_change() {
    let root = tempfile::tempdir().unwrap();
    toy::open(root.path(), 2).await.shutdown().await.unwrap();
    let error = refused(toy::options(root.path(), 3)).await;
    assert!(matches!(error, OpenError::Shards { found: 2, wanted: 3 }), "{error}");
    toy::open(root.path(), 2).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn options_out_of_range_are_named() {
    let root = tempfile::tempdir().unwrap();
    let error = refused(toy::options(root.path(), 0)).await;
    assert_eq!(error.to_string(), "shards = 0: allowed is 1 to 4096");
}

#[tokio::test]
async fn a_replica_whose_state_is_older_than_its_log_is_fenced() {
    let root = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    toy::open(root.path(), 1).await.shutdown().await.unwrap();
    copy(&root.path().join("state"), old.path());
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 1000).await;
    groups.shutdown().await.unwrap();
    std::fs::remove_dir_all(root.path().join("state")).unwrap();
    copy(old.path(), &root.path().join("state"));
    let error = refused(toy::options(root.path(), 1)).await.to_string();
    assert!(error.contains("it is an older one"), "{error}");
    // Somebody wants to go on with it.
    std::fs::remove_file(root.path().join("state.files")).unwrap();
    let groups = toy::open(root.path(), 1).await;
    let damage = groups.group(0).damage().unwrap();
    assert!(damage.contains("the state is older than the log"), "{damage}");
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_replica_whose_log_lost_entries_is_fenced() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 10).await;
    groups.shutdown().await.unwrap();
    std::fs::remove_dir_all(root.path().join("log")).unwrap();
    let error = refused(toy::options(root.path(), 1)).await.to_string();
    assert!(error.contains("the file CURRENT is missing"), "{error}");
    std::fs::remove_file(root.path().join("log.files")).unwrap();
    let error = refused(toy::options(root.path(), 1)).await.to_string();
    assert!(error.contains("the end of the log is lost"), "{error}");
    // Somebody wants to go on without.
    std::fs::remove_file(root.path().join("synced")).unwrap();
    let groups = toy::open(root.path(), 1).await;
    let damage = groups.group(0).damage().unwrap();
    assert!(damage.contains("entries of the log are lost"), "{damage}");
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_replica_whose_log_lost_its_end_is_fenced_where_nobody_else_has_it() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 10).await;
    groups.shutdown().await.unwrap();
    toy::lose_end(&toy::options(root.path(), 1).data, 3);
    let groups = toy::open(root.path(), 1).await;
    let damage = groups.group(0).damage().unwrap();
    assert!(damage.contains("entries of the log are lost"), "{damage}");
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_directory_is_unlocked_again() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    groups.shutdown().await.unwrap();
    let moved = root.path().join("moved");
    std::fs::rename(root.path().join("log"), &moved).unwrap();
    std::fs::write(root.path().join("log"), "in the way").unwrap();
    refused(toy::options(root.path(), 1)).await;
    std::fs::remove_file(root.path().join("log")).unwrap();
    std::fs::rename(&moved, root.path().join("log")).unwrap();
    toy::open(root.path(), 1).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_directory_of_a_version_without_other_nodes_keeps_its_shards() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 2).await;
    let count = toy::propose(&groups, 1, 3).await.count;
    groups.shutdown().await.unwrap();
    {
        let log = LogDb::open(&toy::options(root.path(), 2).data).unwrap();
        let mut batch = log.batch();
        batch.remove_meta(NODE, tag::FOUNDED);
        [0, 1, META].into_iter().for_each(|group| batch.remove_meta(group, tag::HOST));
        log.commit(batch).unwrap();
    }
    let groups =
        Groups::open(OpenOptions { founding: Founding::Member, ..toy::options(root.path(), 2) }).await.unwrap();
    assert_eq!(toy::machine(&groups, 1).count, count);
    assert_eq!(toy::propose(&groups, 0, 1).await.count, 1);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_meta_group_stands_beside_the_shards() {
    let root = tempfile::tempdir().unwrap();
    for round in 1..=2 {
        let host = Host::open(toy::options(root.path(), 2)).await.unwrap();
        let (shards, meta) = (host.shards::<Toy>().await.unwrap(), host.meta::<Toy>().await.unwrap());
        assert_eq!((shards.iter().count(), meta.iter().count()), (2, 1));
        assert_eq!(meta.group(META).propose(Bytes::from_static(b"meta")).await.unwrap().count, round);
        assert_eq!(toy::propose(&shards, 0, 2).await.count, round * 2);
        assert!(shards.host(META).await.is_err() && meta.host(0).await.is_err());
        meta.shutdown().await.unwrap();
        shards.shutdown().await.unwrap();
        host.close().await;
    }
}

#[tokio::test]
async fn where_an_older_version_has_tried_its_disk_nothing_is_distrusted() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 3).await;
    groups.shutdown().await.unwrap();
    {
        let log = LogDb::open(&toy::options(root.path(), 1).data).unwrap();
        let mut batch = log.batch();
        put_number(&mut batch, b'd', 0);
        log.commit(batch).unwrap();
    }
    let groups = toy::open(root.path(), 1).await;
    assert_eq!((groups.group(0).damage(), toy::propose(&groups, 0, 1).await.count), (None, 4));
    groups.shutdown().await.unwrap();
}
