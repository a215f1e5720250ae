//! What a node knows and holds across a restart.

use std::fs;
use std::time::Duration;

use flintwheel_cluster::{META, Meta};

use super::nodes::{World, named};

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
    world.join(2).await;
    let old = Meta::clone(&world.nodes[&1].peers.directory().meta());
    world.join(3).await;
    world.settled().await;
    let held = world.nodes[&2].held();
    assert_eq!(held, named(&world.meta(), 2));
    // Back as it was before it had any replica, with nobody to ask.
    world.stop(2).await;
    fs::remove_file(world.root(2).join("directory")).unwrap();
    world.isolate(2);
    world.start(2).await;
    let rows = old.shards().filter(|(_, row)| row.on(2).is_none()).count();
    assert!(rows > 0, "it names it nowhere, or not everywhere");
    let node = &world.nodes[&2];
    if node.peers.directory().version() == 0 {
        node.peers.directory().set(1, old);
    }
    // (Nothing is to happen: rounds pass, and so do a few tries to ask.)
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.nodes[&2].held(), held);
    world.heal();
    world.settled().await;
    world.close().await;
}
