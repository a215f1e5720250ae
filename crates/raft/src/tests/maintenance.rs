//! Flushing and shortening the log.

use super::toy::{self, Toy};
use crate::{Groups, Maintained};
use std::time::Duration;

#[tokio::test]
async fn little_log_is_left_alone_until_its_time() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    assert!(groups.maintain().await.unwrap().flushed, "the first time, whatever a crash may have left is flushed");
    toy::propose(&groups, 0, 10).await;
    let done = groups.maintain().await.unwrap();
    assert!(!done.flushed && done.log_bytes > 0, "{done:?}");
    assert!(groups.group(0).status().flushed < groups.group(0).status().applied);
    groups.shutdown().await.unwrap();

    let mut options = toy::options(root.path(), 1);
    options.limits.flush_interval = Duration::ZERO;
    let groups = Groups::<Toy>::open(options).await.unwrap();
    toy::propose(&groups, 0, 10).await;
    assert!(groups.maintain().await.unwrap().flushed);
    let status = groups.group(0).status();
    assert_eq!(status.flushed, status.applied);
    assert_eq!(groups.maintain().await.unwrap(), Maintained::default(), "nothing has changed");
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn much_log_is_removed_below_the_flush_and_the_rest_is_enough() {
    let root = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = toy::options(root.path(), 2);
        options.limits.replay_bytes = 1000;
        // Nothing stays in memory that is on disk: reading the log is tested too.
        options.limits.log_memory = 0;
        options
    };
    let mut want = Toy::default();
    for round in 1..=4_u64 {
        let groups = Groups::<Toy>::open(options()).await.unwrap();
        for _ in 0..3 {
            want = toy::propose(&groups, 0, 200).await;
            toy::propose(&groups, 1, 1).await;
            assert!(groups.maintain().await.unwrap().flushed);
        }
        let status = groups.group(0).status();
        assert!(status.purged.is_some() && status.purged < status.flushed, "{status:?}");
        assert_eq!((status.flushed, want.count), (status.applied, round * 600));
        assert_eq!(toy::machine(&groups, 1).count, round * 3);
        groups.shutdown().await.unwrap();
    }
    let groups = Groups::<Toy>::open(options()).await.unwrap();
    assert_eq!(toy::machine(&groups, 0), Toy { since_open: 0, ..want });
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn sizes_are_told() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 100).await;
    assert!(groups.log_stats().in_memory > 0 && groups.state_stats().keys >= 100);
    groups.flush().await.unwrap();
    assert!(groups.state_stats().on_disk > 0);
    groups.shutdown().await.unwrap();
}
