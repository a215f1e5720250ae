//! What an operator wants, asked on any node.

use std::time::Duration;

use flintwheel_client::{ClusterState, NodeState, SettingsChange};
use flintwheel_cluster::META;

use super::nodes::{SHARDS, World, named, some_shard};
use crate::placement::MetaError;

fn refused<T: std::fmt::Debug>(answer: Result<T, MetaError>) -> String {
    match answer {
        Err(MetaError::Refused(why)) => why,
        other => panic!("it is not refused: {other:?}"),
    }
}

fn missing<T: std::fmt::Debug>(answer: Result<T, MetaError>) -> String {
    match answer {
        Err(MetaError::NotFound(what)) => what,
        other => panic!("it is not missing: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_drained_ends_empty_and_can_be_removed() {
    let world = World::of(4).await;
    let asked = &world.nodes[&3].placement;
    let why = refused(asked.remove(2, false).await);
    assert!(why.contains("drain it first"), "{why}");
    assert!(asked.drain(2, true).await.unwrap().changed);
    assert!(!asked.drain(2, true).await.unwrap().changed, "it is draining already");
    world
        .until("it holds nothing", |world| world.nodes[&2].held().is_empty() && named(&world.meta(), 2).is_empty())
        .await;
    world.settled().await;
    assert!(asked.remove(2, false).await.unwrap().changed);
    assert!(!asked.remove(2, false).await.unwrap().changed, "it is removed already");
    let state = asked.status().await.unwrap();
    assert_eq!(state.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 3, 4]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_replaced_stretch_by_stretch() {
    let mut world = World::of(3).await;
    let why = missing(world.nodes[&1].placement.replace(2, 4).await);
    assert!(why.contains("there is no node 4"), "{why}");
    world.join(4).await;
    world.settled().await;
    let asked = &world.nodes[&1].placement;
    assert!(refused(asked.replace(4, 4).await).contains("itself"));
    while asked.replace(2, 4).await.unwrap().changed {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(world.nodes[&2].held().is_empty() || named(&world.meta(), 2).is_empty());
    let state = asked.status().await.unwrap();
    assert_eq!(state.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 3, 4]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_leaders_go_where_they_are_told_to() {
    let world = World::of(4).await;
    let asked = &world.nodes[&4].placement;
    let meta = world.meta();
    let shard = some_shard(&meta, 1);
    let to = (1..=4).find(|node| meta.shard(shard).unwrap().on(*node).is_none()).unwrap();
    let granted = asked.move_shard(shard, Some(1), to).await.unwrap();
    assert!(granted.changed && granted.description.contains("(command)"), "{granted:?}");
    assert!(!asked.move_shard(shard, Some(1), to).await.unwrap().changed, "it is on its way");
    world.until("it has moved", |world| world.meta().shard(shard).unwrap().on(1).is_none()).await;
    let why = missing(asked.move_shard(SHARDS, None, to).await);
    assert!(why.contains("there is no shard 4"), "{why}");
    world.settled().await;
    let leader = world.nodes.keys().copied().find(|node| world.leads(*node).contains(&shard)).unwrap();
    assert!(!asked.transfer(shard, Some(leader)).await.unwrap().changed, "it leads");
    assert!(missing(asked.transfer(shard, Some(9)).await).contains("there is no node 9"));
    assert!(asked.transfer(shard, None).await.unwrap().changed);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_the_cluster_is_told_by_any_node() {
    let world = World::of(4).await;
    let known = |state: &ClusterState| {
        state.shards.iter().all(|shard| shard.leader.is_some() && shard.replicas.iter().all(|r| r.lag.is_some()))
    };
    let asked = &world.nodes[&1].placement;
    while !known(&asked.status().await.unwrap()) || !asked.rebalance(true).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for node in world.nodes.values() {
        let state = node.placement.status().await.unwrap();
        assert_eq!((state.nodes.len(), state.shards.len(), state.moves.len()), (4, SHARDS as usize + 1, 0));
        assert!(state.nodes.iter().all(|node| node.alive && node.state == NodeState::Up && node.free > 0));
        assert_eq!(state.nodes.iter().map(|node| node.replicas).sum::<u32>(), 3 * (SHARDS + 1));
        let meta = state.shards.last().unwrap();
        assert_eq!((meta.shard, meta.leader), (META, Some(state.observed_by)));
        assert!(known(&state) && state.shards.iter().all(|shard| shard.term > 0));
        assert_eq!((state.settings.shards, state.settings.replication), (SHARDS, 3));
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_come_where_they_are_wanted() {
    let world = World::of(4).await;
    let asked = &world.nodes[&2].placement;
    let set = |replication| SettingsChange { replication: Some(replication), ..SettingsChange::default() };
    let why = refused(asked.set_settings(set(5)).await);
    assert!(why.contains("5 replicas of each shard need as many nodes, and 4 are up"), "{why}");
    assert!(asked.set_settings(set(4)).await.unwrap().changed);
    assert!(!asked.set_settings(set(4)).await.unwrap().changed);
    world.until("all are everywhere", |world| world.meta().shards().all(|(_, row)| row.voters().count() == 4)).await;
    assert!(asked.set_settings(set(3)).await.unwrap().changed);
    world.settled().await;
    world.close().await;
}
