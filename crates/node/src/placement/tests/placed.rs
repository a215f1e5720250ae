//! What comes true by itself: nodes join and get their share, a node that is gone is replaced.

use super::nodes::{World, named};

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
