//! What a node knows and holds across a restart.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use flintwheel_cluster::{META, Meta};

use super::nodes::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_meta_group_finds_the_others_after_a_restart() {
    let mut world = World::of(4).await;
    let meta = world.meta();
    let outside = (1..=4).find(|node| meta.shard(META).unwrap().on(*node).is_none()).unwrap();
    world.until("it is written down", |world| world.root(outside).join("directory").exists()).await;
    world.stop(outside).await;
    world.start(outside).await;
    let state = world.nodes[&outside].placement.status().await.unwrap();
    assert_eq!(state.nodes.len(), 4);
    world.settled().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_directory_takes_no_replica_away() {
    let mut world = World::founded().await;
    let mut before = BTreeMap::new();
    for node in 2..=4 {
        before.insert(node, Meta::clone(&world.meta()));
        world.join(node).await;
    }
    world.settled().await;
    let meta = world.meta();
    let outside = (1..=4).find(|node| meta.shard(META).unwrap().on(*node).is_none()).unwrap();
    let held = world.nodes[&outside].held();
    // It knows no more than before it had any replica, and has nobody to ask.
    let old = before.remove(&outside).unwrap_or_else(|| Meta::clone(&meta));
    world.stop(outside).await;
    fs::remove_file(world.root(outside).join("directory")).unwrap();
    world.isolate(outside);
    world.start(outside).await;
    world.nodes[&outside].peers.directory().set(1, old);
    // Nothing is to happen: some rounds pass, and all its tries to ask fail.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.nodes[&outside].held(), held);
    world.heal();
    world.settled().await;
    world.close().await;
}
