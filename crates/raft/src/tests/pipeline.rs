//! Proposing: order, limits, independence of shards.

use super::toy::{self, Toy};
use crate::{Leadership, ProposeError};
use bytes::Bytes;
use flintwheel_shard::{Read, Table};
use futures::future::join_all;
use std::ops::ControlFlow;

#[tokio::test]
async fn a_new_group_leads_and_applies() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 3).await;
    for shard in 0..3 {
        assert!(matches!(groups.group(shard).status().leadership, Leadership::Leader { .. }));
        assert_eq!(groups.group(shard).shard(), shard);
        let last = toy::propose(&groups, shard, 2).await;
        assert_eq!(
            (last.count, toy::machine(&groups, shard), toy::stored(&groups, shard).digest),
            (2, last, last.digest)
        );
    }
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn entries_under_way_are_applied_in_the_order_of_the_calls() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    let group = groups.group(0);
    let mut waiting: Vec<_> = (0..2000).map(|n| group.propose(Bytes::from(format!("entry {n}")))).collect();
    // Whoever polls first, and whoever gives up, changes nothing.
    waiting.reverse();
    let given_up = waiting.split_off(1000);
    drop(given_up);
    let counts: Vec<_> = join_all(waiting).await.into_iter().map(|reply| reply.unwrap().count).collect();
    let want: Vec<_> = (1001..=2000).rev().collect();
    assert_eq!(counts, want);
    assert_eq!(toy::machine(&groups, 0).count, 2000);
    assert_eq!(group.status().in_flight, 0);
    drop(group);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn machine_and_state_fit_together_whenever_they_are_read() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    let group = groups.group(0);
    let mut writing: Vec<_> = (0..500).map(|n| group.propose(Bytes::from(format!("{n}")))).collect();
    let last = writing.pop().unwrap();
    let writing = tokio::spawn(join_all(writing));
    let mut seen = 0;
    while seen < 500 {
        seen = group
            .read(|machine, state| {
                let stored = state.get(Table::Meta, b"toy").unwrap();
                assert_eq!(machine.count, stored.map_or(0, |bytes| u64::from_be_bytes(bytes[..8].try_into().unwrap())));
                machine.count
            })
            .unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(last.await.unwrap().count, 500);
    writing.await.unwrap();
    drop(group);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_proposed() {
    let root = tempfile::tempdir().unwrap();
    let mut options = toy::options(root.path(), 1);
    (options.limits.entry_bytes, options.limits.in_flight_bytes) = (1000, 2000);
    let groups = crate::Groups::<Toy>::open(options).await.unwrap();
    let group = groups.group(0);
    let large = group.propose(Bytes::from(vec![0; 1001])).await;
    assert_eq!(large, Err(ProposeError::TooLarge { bytes: 1001, limit: 1000 }));
    let burst: Vec<_> = (0..100).map(|_| group.propose(Bytes::from(vec![1; 700]))).collect();
    let answers = join_all(burst).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(ProposeError::Busy { limit: 2000, .. }))).count();
    let applied = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(applied >= 2 && refused > 0 && applied + refused == 100, "{applied} applied, {refused} refused");
    assert_eq!(toy::machine(&groups, 0).count, applied as u64);
    assert!(group.propose(Bytes::from_static(b"again")).await.is_ok());
    drop(group);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_state_of_a_group_is_its_own() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 2).await;
    toy::propose(&groups, 0, 3).await;
    let mut keys = [0, 0];
    for (shard, keys) in keys.iter_mut().enumerate() {
        let count = &mut |_: &[u8], _: &[u8]| {
            *keys += 1;
            ControlFlow::Continue(())
        };
        groups.group(shard as u32).state().scan(Table::Account, &[], &[0xff; 9], count).unwrap();
    }
    assert_eq!(keys, [3, 0]);
    groups.shutdown().await.unwrap();
}
