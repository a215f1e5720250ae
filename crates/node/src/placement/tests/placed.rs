//! What comes true by itself: nodes join and get their share, a node that is gone is replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use super::nodes::{SHARDS, World, named};
use crate::hand_over;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_get_their_share_of_replicas_and_leaders() {
    let mut world = World::founded().await;
    assert_eq!(world.nodes[&1].held().len(), 5);
    world.join(2).await;
    world.join(3).await;
    world.settled().await;
    assert!(world.meta().shards().all(|(_, row)| row.voters().count() == 3));
    world.join(4).await;
    world.settled().await;
    assert!(world.nodes[&4].held().len() >= 3, "it has its share");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_that_is_gone_held_is_made_anew_elsewhere_and_given_up_when_it_is_back() {
    let world = World::of(4).await;
    let gone = 3;
    world.isolate(gone);
    world.until("no row names it", |world| named(&world.meta(), gone).is_empty()).await;
    assert!(!world.nodes[&gone].held().is_empty(), "it does not know");
    assert!(world.meta().shards().all(|(_, row)| row.voters().count() == 3));
    world.heal();
    world.settled().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_astray_gives_its_leaders_to_those_whose_clocks_are_not() {
    let world = World::of(3).await;
    let astray = 1;
    let set = |ahead| {
        let shown = BTreeMap::from([(astray, ahead), (2, 0), (3, 0)]);
        world.nodes.iter().for_each(|(id, node)| node.peers.clocks().take(*id, &shown, 3));
    };
    set(90_000_000);
    let node = &world.nodes[&astray];
    let fit = |other| node.peers.clocks().astray(other).is_none();
    hand_over::all(&node.shards, &node.meta, astray, fit, Duration::from_secs(60)).await;
    assert!(world.leads(astray).is_empty());
    let all = SHARDS as usize + 1;
    let taken = |world: &World| world.leads(2).len() + world.leads(3).len() == all;
    world.until("the others lead all", |world| taken(world) && world.leads(astray).is_empty()).await;
    set(0);
    world.settled().await;
    world.close().await;
}
