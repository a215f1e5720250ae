//! What an operator wishes: what is refused, and in which words.

use flintwheel_cluster::entry::{Body, Change};
use flintwheel_cluster::plan::{
    Action, LAGGING, View, can_drain, can_move, can_remove, can_set_replication, can_transfer,
};
use flintwheel_cluster::rows::{NodeState, Reason, Settings};
use flintwheel_cluster::{Accepted, META, Meta, Refusal};

use crate::support::*;
use crate::world::{Done, World};

/// Five nodes; shards 0 and 1 on the first three.
fn world() -> World {
    let mut world = World::of(5, Settings { replication: 3, most_moves: 1, ..settings() });
    world.place(0, &[1, 2, 3]);
    world.place(1, &[1, 2, 3]);
    world
}

#[test]
fn a_replica_is_moved_where_it_is_told_to() {
    let world = world();
    for (from, replaces) in [(Some(2), 2), (None, 1)] {
        let step = can_move(&world.view(), 0, from, 4).expect("can be");
        assert_eq!(step.action, Action::AddLearner { node: 4, replaces: Some(replaces) }, "from {from:?}");
        assert_eq!((step.reason, step.recorded), (Reason::Command, false));
        world.clone().execute(&step, Done::All);
    }
    let step = can_move(&world.view(), META, None, 4).expect("can be");
    assert_eq!(step.action, Action::AddLearner { node: 4, replaces: None }, "it has fewer than wanted");
}

/// What is done to the world before, the shard, from where, to where, and what is said.
type Wish<'a> = (&'a dyn Fn(&mut World), u32, Option<u64>, u64, &'a str);

#[test]
fn a_move_that_can_not_be_says_why() {
    let spoil: [Wish<'_>; 13] = [
        (&|_| (), 0, None, 2, "node 2 holds a replica of shard 0 already: choose another node"),
        (&|_| (), 0, None, 9, "there is no node 9 in this cluster: `flintwheel cluster nodes` lists them"),
        (&|_| (), 9, None, 4, "shard 9 has no replicas yet: they are placed when the cluster is made"),
        (&|_| (), 16, None, 4, "there is no shard 16: this cluster has 16, from 0"),
        (
            &|_| (),
            0,
            Some(5),
            4,
            "node 5 holds no voting replica of shard 0: `flintwheel cluster shards` shows where they are",
        ),
        (
            &|world| world.seen.nodes.get_mut(&4).unwrap().free = 65 << 20,
            0,
            None,
            4,
            "node 4 has 1048576 bytes free, and shard 0 needs 1310720: make room there, or choose another node",
        ),
        (&|world| world.gone(4, 1), 0, None, 4, "node 4 does not answer: start it, or choose another node"),
        (
            &|world| drop(world.group.drain(4, true)),
            0,
            None,
            4,
            "node 4 is draining: only a node that is up can do this",
        ),
        (
            &|world| drop(world.group.remove(4, true)),
            0,
            None,
            4,
            "node 4 was removed from the cluster and its id never comes back: empty its data directory, and let it join as a new node",
        ),
        (
            &|world| {
                world.place(2, &[1, 2, 4]);
                world.shard(2).lag.insert(4, LAGGING + 1);
            },
            0,
            None,
            4,
            "node 4 is behind with its log: wait until it has caught up, or choose another node",
        ),
        (
            &|world| drop(world.group.begin(0, Some(1), Some(5))),
            0,
            None,
            4,
            "shard 0 is being moved: wait until that has ended; `flintwheel cluster shards --moving` shows how far it is",
        ),
        (
            &|world| drop(world.group.begin(1, Some(1), Some(5))),
            0,
            None,
            4,
            "1 moves are under way, which is as many as are allowed at once: wait, or raise the limit",
        ),
        (
            &|world| world.shard(0).leader = None,
            0,
            None,
            4,
            "shard 0 has no leader that a majority of its voters follows: bring its nodes back first",
        ),
    ];
    for (spoil, shard, from, to, expected) in spoil {
        let mut world = world();
        spoil(&mut world);
        assert_eq!(can_move(&world.view(), shard, from, to).expect_err(expected).to_string(), expected);
    }
}

#[test]
fn the_leadership_goes_to_a_voter_that_has_the_log() {
    let mut world = world();
    let step = can_transfer(&world.view(), 0, 2).expect("can be");
    assert_eq!((step.action, step.reason), (Action::TransferLeader { from: 1, to: 2 }, Reason::Command));
    assert_eq!(can_transfer(&world.view(), 0, 1), Err(Refusal::LeadsAlready { shard: 0, node: 1 }));
    assert_eq!(can_transfer(&world.view(), 0, 4), Err(Refusal::HoldsNone { shard: 0, node: 4 }));
    assert_eq!(can_transfer(&world.view(), 0, 9), Err(Refusal::UnknownNode { node: 9 }));
    world.shard(0).lag.insert(2, 1000);
    assert_eq!(can_transfer(&world.view(), 0, 2), Err(Refusal::Lagging { node: 2 }));
    world.seen.nodes.get_mut(&2).expect("is there").clock_ahead = Some(90_000_000);
    assert_eq!(can_transfer(&world.view(), 0, 2), Err(Refusal::Astray { node: 2 }));
    let seen = world.seen.nodes.get_mut(&2).expect("is there");
    (seen.clock_ahead, seen.disk_low) = (None, true);
    assert_eq!(can_transfer(&world.view(), 0, 2), Err(Refusal::DiskLow { node: 2 }));
    world.gone(3, 1);
    assert_eq!(can_transfer(&world.view(), 0, 3), Err(Refusal::NotAlive { node: 3 }));
}

#[test]
fn a_node_is_drained_where_its_replicas_have_somewhere_to_go() {
    let mut world = world();
    assert_eq!(can_drain(&world.view(), 1), Ok(()));
    assert_eq!(can_drain(&world.view(), 9), Err(Refusal::UnknownNode { node: 9 }));
    world.group.apply(Body::Join(join(6))).expect("joins");
    assert_eq!(can_drain(&world.view(), 6), Err(Refusal::NotUp { node: 6, is: NodeState::Joining }));
    // Room for one of two shards.
    for node in [4, 5] {
        world.seen.nodes.get_mut(&node).expect("is there").free = 64 << 20;
    }
    world.seen.nodes.get_mut(&4).expect("is there").free += 2_000_000;
    let expected = "no node that is up, answers and holds no replica of shard 1 has 1310720 bytes free: let a node join, or make room";
    assert_eq!(can_drain(&world.view(), 1).expect_err(expected).to_string(), expected);
    world.seen.nodes.get_mut(&4).expect("is there").free += 1_000_000;
    assert_eq!(can_drain(&world.view(), 3), Ok(()));
    assert_eq!(world.group.drain(3, true), Ok(Accepted::Done));
    assert_eq!(can_drain(&world.view(), 3), Ok(()), "it is drained already");
    world.group.remove(3, true).expect("a majority is left");
    assert_eq!(can_drain(&world.view(), 3), Err(Refusal::Removed { node: 3 }));
}

#[test]
fn three_nodes_with_three_replicas_can_not_be_drained() {
    let mut world = World::of(3, settings());
    world.place(0, &[1, 2, 3]);
    let expected = "every other node that is up holds a replica of shard 0 already: let a node join, or choose fewer replicas with \
                    `flintwheel cluster settings --replication` (3 are wanted)";
    assert_eq!(can_drain(&world.view(), 2).expect_err(expected).to_string(), expected);
    world.group.set(Change { replication: Some(2), ..Change::default() }).expect("is lowered");
    assert_eq!(can_drain(&world.view(), 2), Ok(()));
    let alone = World::of(1, settings());
    assert_eq!(can_drain(&alone.view(), 1), Err(Refusal::LastNode { node: 1 }));
}

#[test]
fn a_node_is_removed_where_every_shard_can_do_without_it() {
    let mut world = world();
    assert_eq!(can_remove(&world.view(), 5, false), Ok(()));
    assert_eq!(can_remove(&world.view(), 2, false), Err(Refusal::HoldsReplicas { node: 2, replicas: 2 }));
    assert_eq!(can_remove(&world.view(), 2, true), Ok(()));
    assert_eq!(can_remove(&world.view(), 1, true), Err(Refusal::LastVoter { node: 1, shard: META }));
    assert_eq!(can_remove(&world.view(), 9, true), Err(Refusal::UnknownNode { node: 9 }));
    world.gone(3, 1);
    let expected = "without node 2, shard 0 has no majority of its voters: bring its other nodes back first";
    assert_eq!(can_remove(&world.view(), 2, true).expect_err(expected).to_string(), expected);
    world.group.remove(3, true).expect("a majority is left");
    assert_eq!(can_remove(&world.view(), 3, false), Ok(()), "it is removed already");
}

#[test]
fn more_replicas_need_nodes_and_room() {
    let mut world = world();
    let set = |world: &World, wanted| can_set_replication(&world.view(), wanted);
    assert_eq!([1, 3, 5].map(|wanted| set(&world, wanted)), [Ok(()), Ok(()), Ok(())]);
    let expected =
        "6 replicas of each shard need as many nodes, and 5 are up: let more nodes join, or choose at most 5";
    assert_eq!(set(&world, 6).expect_err(expected).to_string(), expected);
    let expected = "replication factor is 0; 1 to 9 is allowed";
    assert_eq!(set(&world, 0).expect_err(expected).to_string(), expected);
    world.seen.nodes.get_mut(&5).expect("is there").free = 1;
    assert!(matches!(set(&world, 5), Err(Refusal::NoRoom { shard: 0, .. })));
    assert_eq!(set(&world, 4), Ok(()));
}

#[test]
fn without_a_cluster_nothing_can_be_wished() {
    let (meta, seen) = (Meta::default(), Default::default());
    let view = View { meta: &meta, seen: &seen };
    let none = || Err(Refusal::NotInitialised);
    assert_eq!(
        [can_drain(&view, 1), can_remove(&view, 1, true), can_set_replication(&view, 1)],
        [none(), none(), none()]
    );
    assert_eq!(can_move(&view, 0, None, 1), Err(Refusal::NotInitialised));
    assert_eq!(can_transfer(&view, 0, 1), Err(Refusal::NotInitialised));
}
