//! Replicas that are placed, come, vote and go.

use flintwheel_cluster::entry::{BeginMove, Body, Change, EndMove, MoveOutcome, Placement, StepMove};
use flintwheel_cluster::rows::{MoveStep, NodeState, Reason, Settings};
use flintwheel_cluster::{Accepted, META, Refusal};

use crate::support::*;

fn now(generation: u64) -> Reply {
    Ok(Accepted::Shard { generation })
}

#[test]
fn a_replica_is_replaced_step_by_step() {
    let mut group = Group::of(4, settings());
    group.place(5, &[1, 2, 3]);
    assert_eq!(group.begin(5, Some(2), Some(4)), now(2));
    assert_eq!(group.replicas(5), [(1, true), (2, true), (3, true), (4, false)]);
    assert_eq!(group.meta.shard(5).expect("is there").on(4).expect("holds it").since, 2);
    assert_eq!(group.step(5, MoveStep::CatchUp), now(3));
    assert_eq!(group.step(5, MoveStep::Promote), now(4));
    assert_eq!(group.replicas(5)[3], (4, false), "not before the group has done it");
    assert_eq!(group.step(5, MoveStep::Remove), now(5));
    assert_eq!(group.replicas(5), [(1, true), (2, true), (3, true), (4, true)]);
    assert_eq!(group.end(5, MoveOutcome::Done), now(6));
    assert_eq!(group.replicas(5), [(1, true), (3, true), (4, true)]);
    assert_eq!(group.meta.moves().count(), 0);
}

#[test]
fn a_replica_is_added_or_removed_alone() {
    let mut group = Group::of(3, settings());
    group.place(0, &[1]);
    assert_eq!(group.begin(0, None, Some(2)), now(2));
    assert_eq!(group.step(0, MoveStep::CatchUp), now(3));
    assert_eq!(group.step(0, MoveStep::Promote), now(4));
    assert_eq!(group.step(0, MoveStep::Remove), Err(Refusal::WrongStep { shard: 0, is: MoveStep::Promote }));
    assert_eq!(group.end(0, MoveOutcome::Done), now(5));
    assert_eq!(group.replicas(0), [(1, true), (2, true)]);
    assert_eq!(group.begin(0, Some(1), None), now(6));
    assert_eq!(group.end(0, MoveOutcome::Done), now(7));
    assert_eq!(group.replicas(0), [(2, true)]);
    assert_eq!(group.begin(0, Some(2), None), Err(Refusal::LastVoter { node: 2, shard: 0 }));
}

#[test]
fn a_replica_that_comes_back_has_a_later_beginning() {
    let mut group = Group::of(2, settings());
    group.place(0, &[1, 2]);
    let since = |group: &Group| group.meta.shard(0).expect("is there").on(2).map(|replica| replica.since);
    assert_eq!(since(&group), Some(1));
    assert!(group.begin(0, Some(2), None).is_ok() && group.end(0, MoveOutcome::Done).is_ok());
    assert_eq!(since(&group), None);
    assert_eq!(group.begin(0, None, Some(2)), now(4));
    assert_eq!(since(&group), Some(4));
}

#[test]
fn what_was_computed_from_an_older_generation_is_refused() {
    let mut group = Group::of(4, settings());
    group.place(0, &[1, 2, 3]);
    let begin = BeginMove { shard: 0, generation: 1, from: Some(1), to: Some(4), reason: Reason::Drain };
    assert_eq!(group.apply(Body::BeginMove(begin)), now(2));
    let stale = Err(Refusal::Stale { shard: 0, generation: 2 });
    assert_eq!(group.apply(Body::BeginMove(begin)), stale, "sent again");
    for generation in [0, 1, 3, u64::MAX] {
        let step = StepMove { shard: 0, generation, step: MoveStep::CatchUp };
        assert_eq!(group.apply(Body::StepMove(step)), stale);
        let end = EndMove { shard: 0, generation, outcome: MoveOutcome::Abandoned };
        assert_eq!(group.apply(Body::EndMove(end)), stale);
    }
}

/// A shard on nodes 1 to 3, of which 4 is to replace the first, and these steps done.
fn moving(steps: &[MoveStep]) -> Group {
    let mut group = Group::of(4, settings());
    group.place(0, &[1, 2, 3]);
    group.begin(0, Some(1), Some(4)).expect("begins");
    for step in steps {
        group.step(0, *step).expect("follows");
    }
    group
}

#[test]
fn steps_follow_each_other() {
    use MoveStep::*;
    let all = [AddLearner, CatchUp, Promote, Remove, Abandon];
    let cases: [(&[MoveStep], MoveStep, &[MoveStep]); 5] = [
        (&[], AddLearner, &[CatchUp, Abandon]),
        (&[CatchUp], CatchUp, &[Promote, Abandon]),
        (&[CatchUp, Promote], Promote, &[Remove, Abandon]),
        (&[CatchUp, Promote, Remove], Remove, &[]),
        (&[CatchUp, Abandon], Abandon, &[Promote]),
    ];
    for (steps, is, following) in cases {
        for step in all {
            let reply = moving(steps).step(0, step);
            let refused = (!following.contains(&step)).then_some(Refusal::WrongStep { shard: 0, is });
            assert_eq!(reply.err(), refused, "{is:?} to {step:?}");
        }
        for (outcome, ends) in
            [(MoveOutcome::Done, is == Remove), (MoveOutcome::Abandoned, is == Remove || is == Abandon)]
        {
            let refused = (!ends).then_some(Refusal::WrongStep { shard: 0, is });
            assert_eq!(moving(steps).end(0, outcome).err(), refused, "{is:?} to {outcome:?}");
        }
    }
}

#[test]
fn a_move_that_is_abandoned_leaves_what_was_there() {
    use MoveStep::*;
    let cases: [(&[MoveStep], &[u64]); 4] = [
        (&[Abandon], &[1, 2, 3]),
        (&[CatchUp, Abandon], &[1, 2, 3]),
        (&[CatchUp, Promote, Abandon], &[1, 2, 3]),
        (&[CatchUp, Promote, Remove], &[1, 2, 3, 4]),
    ];
    for (steps, left) in cases {
        let mut group = moving(steps);
        assert!(group.end(0, MoveOutcome::Abandoned).is_ok());
        let expected: Vec<_> = left.iter().map(|node| (*node, true)).collect();
        assert_eq!(group.replicas(0), expected, "{steps:?}");
        assert_eq!(group.end(0, MoveOutcome::Abandoned), Err(Refusal::NoMove { shard: 0 }));
        assert_eq!(group.step(0, CatchUp), Err(Refusal::NoMove { shard: 0 }));
    }
}

#[test]
fn a_move_that_can_not_be_is_refused() {
    let mut group = Group::of(6, Settings { most_moves: 2, ..settings() });
    for shard in 0..4 {
        group.place(shard, &[1, 2, 3]);
    }
    assert_eq!(group.drain(5, true), Ok(Accepted::Done));
    assert_eq!(group.remove(6, false), Ok(Accepted::Done));
    assert_eq!(group.apply(Body::Join(join(7))), Ok(Accepted::Node(7)));
    let cases = [
        (None, None, Refusal::NothingToMove { shard: 0 }),
        (Some(1), Some(1), Refusal::NothingToMove { shard: 0 }),
        (Some(4), None, Refusal::HoldsNone { shard: 0, node: 4 }),
        (Some(4), Some(1), Refusal::HoldsNone { shard: 0, node: 4 }),
        (Some(1), Some(2), Refusal::HoldsAlready { shard: 0, node: 2 }),
        (None, Some(5), Refusal::NotUp { node: 5, is: NodeState::Draining }),
        (None, Some(6), Refusal::Removed { node: 6 }),
        (None, Some(7), Refusal::NotUp { node: 7, is: NodeState::Joining }),
        (None, Some(8), Refusal::UnknownNode { node: 8 }),
    ];
    for (from, to, expected) in cases {
        assert_eq!(group.begin(0, from, to), Err(expected));
    }
    assert!(group.begin(0, Some(1), Some(4)).is_ok());
    assert_eq!(group.begin(0, Some(1), Some(4)), Err(Refusal::MoveUnderWay { shard: 0 }));
    assert!(group.begin(1, Some(1), Some(4)).is_ok());
    assert_eq!(group.begin(2, Some(1), Some(4)), Err(Refusal::TooManyMoves { most: 2 }));
    assert_eq!(group.set(Change { most_moves: Some(3), ..Change::default() }), Ok(Accepted::Done));
    assert!(group.begin(2, Some(1), Some(4)).is_ok());
    let unknown =
        |shard| Body::BeginMove(BeginMove { shard, generation: 1, from: None, to: Some(4), reason: Reason::Command });
    assert_eq!(group.apply(unknown(16)), Err(Refusal::UnknownShard { shard: 16, shards: 16 }));
    assert_eq!(group.apply(unknown(9)), Err(Refusal::NotPlaced { shard: 9 }));
}

#[test]
fn a_node_that_was_removed_meanwhile_does_not_get_a_vote() {
    let cases: [(&[MoveStep], MoveStep); 2] = [(&[], MoveStep::CatchUp), (&[MoveStep::CatchUp], MoveStep::Promote)];
    for (steps, next) in cases {
        let mut group = moving(steps);
        assert_eq!(group.remove(4, false), Err(Refusal::HoldsReplicas { node: 4, replicas: 1 }));
        assert_eq!(group.remove(4, true), Ok(Accepted::Done));
        assert_eq!(group.step(0, next), Err(Refusal::Removed { node: 4 }));
        assert!(group.step(0, MoveStep::Abandon).is_ok() && group.end(0, MoveOutcome::Abandoned).is_ok());
        assert_eq!(group.replicas(0), [(1, true), (2, true), (3, true)]);
    }
}

#[test]
fn a_shard_has_a_limited_number_of_replicas() {
    let mut group = Group::of(17, Settings { most_moves: 1, replication: 9, ..settings() });
    group.place(0, &(1..=9).collect::<Vec<_>>());
    for node in 10..=16 {
        group.begin(0, None, Some(node)).expect("begins");
        for step in [MoveStep::CatchUp, MoveStep::Promote] {
            group.step(0, step).expect("follows");
        }
        group.end(0, MoveOutcome::Done).expect("ends");
    }
    assert_eq!(group.begin(0, None, Some(17)), Err(Refusal::TooManyReplicas { shard: 0, most: 16 }));
}

/// Shards and where they are put.
type Placed<'a> = &'a [(u32, &'a [u64])];

#[test]
fn first_replicas_are_placed_all_or_none() {
    let mut group = Group::of(3, settings());
    assert_eq!(group.drain(3, true), Ok(Accepted::Done));
    let place = |items: Placed<'_>| {
        let item = |(shard, nodes): &(u32, &[u64])| Placement { shard: *shard, nodes: nodes.to_vec() };
        Body::SetReplicas(items.iter().map(item).collect())
    };
    let empty = Refusal::Range { field: "first replicas", value: 0, least: 1, most: 9 };
    let many = Refusal::Range { field: "first replicas", value: 10, least: 1, most: 9 };
    let cases: [(Placed<'_>, Refusal); 8] = [
        (&[(0, &[1]), (0, &[2])], Refusal::AlreadyPlaced { shard: 0 }),
        (&[(0, &[1]), (16, &[2])], Refusal::UnknownShard { shard: 16, shards: 16 }),
        (&[(0, &[1]), (META, &[2])], Refusal::AlreadyPlaced { shard: META }),
        (&[(0, &[1]), (1, &[])], empty),
        (&[(0, &[1]), (1, &[1; 10])], many),
        (&[(0, &[1]), (1, &[2, 1, 2])], Refusal::HoldsAlready { shard: 1, node: 2 }),
        (&[(0, &[1]), (1, &[2, 3])], Refusal::NotUp { node: 3, is: NodeState::Draining }),
        (&[(0, &[1]), (1, &[4])], Refusal::UnknownNode { node: 4 }),
    ];
    let before = group.state.clone();
    for (items, expected) in cases {
        assert_eq!(group.apply(place(items)), Err(expected));
    }
    assert_eq!(group.state, before);
    assert_eq!(group.apply(place(&[(0, &[1, 2]), (3, &[2])])), Ok(Accepted::Done));
    assert_eq!((group.replicas(0), group.replicas(3)), (vec![(1, true), (2, true)], vec![(2, true)]));
    assert_eq!(group.apply(place(&[(3, &[2])])), Err(Refusal::AlreadyPlaced { shard: 3 }));
    assert_eq!(group.apply(place(&[])), Ok(Accepted::Done));
}
