//! The planner's rules, one by one.

use flintwheel_cluster::entry::{Body, MoveOutcome};
use flintwheel_cluster::plan::describe::{describe, describe_all};
use flintwheel_cluster::plan::{Action, LAGGING, View, first_replicas, plan, plan_all};
use flintwheel_cluster::rows::{MoveStep, Reason, Settings};
use flintwheel_cluster::{META, Meta, Step};

use crate::support::*;
use crate::world::{Done, World};

/// So many shards on the first nodes, the meta group included, and room for many moves.
fn world(nodes: usize, shards: u32) -> World {
    let mut world = World::of(nodes, Settings { most_moves: 64, replication: 3, ..settings() });
    for shard in 0..shards {
        let rotated = (0..3).map(|index| 1 + (u64::from(shard) + index) % 3);
        world.place(shard, &rotated.collect::<Vec<_>>());
    }
    world.settle(200);
    world
}

/// What is done to a world, and its name.
type Change<'a> = (&'a str, &'a dyn Fn(&mut World));

fn added(steps: &[Step]) -> Vec<(u32, Option<u64>, u64)> {
    let added = |step: &Step| match step.action {
        Action::AddLearner { node, replaces } => Some((step.shard, replaces, node)),
        _ => None,
    };
    steps.iter().filter_map(added).collect()
}

#[test]
fn a_cluster_grows_from_its_first_node() {
    let mut world = World::of(1, Settings { shards: 8, replication: 3, most_moves: 2, ..settings() });
    let first = first_replicas(&world.view());
    assert_eq!(first.len(), 8);
    for placement in &first {
        assert_eq!(placement.nodes, [1], "one node, one replica");
        world.place(placement.shard, &placement.nodes);
    }
    assert_eq!(first_replicas(&world.view()), []);
    assert_eq!(world.plan(), [], "nothing can be better");
    let mut grown = World::of(3, Settings { shards: 8, replication: 3, most_moves: 2, ..settings() });
    (0..8).for_each(|shard| grown.place(shard, &[1]));
    let steps = grown.plan();
    assert_eq!(steps.len(), 2, "as many as may move at once");
    assert!(steps.iter().all(|step| step.reason == Reason::Repair));
    grown.settle(500);
    assert!((0..8).chain([META]).all(|shard| grown.voters(shard) == [1, 2, 3]));
    assert_eq!([1, 2, 3].map(|node| grown.leaders_on(node)), [3, 3, 3]);
}

#[test]
fn before_the_cluster_is_made_there_is_no_plan() {
    let (meta, seen) = (Meta::default(), Default::default());
    let view = View { meta: &meta, seen: &seen };
    assert_eq!((plan(&view), first_replicas(&view)), (vec![], vec![]));
}

#[test]
fn first_replicas_are_even_and_in_different_zones() {
    let zones = [Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")];
    let world = World::with(Settings { shards: 12, replication: 3, ..settings() }, &zones);
    let placed = first_replicas(&world.view());
    let mut counts = [0; 6];
    for placement in &placed {
        let zones: std::collections::BTreeSet<_> =
            placement.nodes.iter().map(|node| zones[*node as usize - 1]).collect();
        assert_eq!(zones.len(), 3, "{placement:?}");
        placement.nodes.iter().for_each(|node| counts[*node as usize - 1] += 1);
    }
    assert_eq!(counts.iter().sum::<i32>(), 36);
    assert!(counts.iter().all(|count| (5..=7).contains(count)), "{counts:?}: node 1 holds the meta group too");
}

#[test]
fn a_node_that_is_gone_is_waited_for_and_then_replaced() {
    let mut world = world(4, 8);
    world.gone(2, REPAIR_AFTER);
    world.tick();
    world.gone(2, REPAIR_AFTER);
    assert_eq!(added(&world.plan()), [], "not a microsecond early");
    world.gone(2, REPAIR_AFTER + 1);
    let steps = world.plan();
    assert_eq!(steps[0].reason, Reason::Repair, "before anything else");
    assert!(!added(&steps).is_empty());
    assert!(added(&steps).iter().all(|(_, replaces, to)| *replaces == Some(2) && *to != 2));
    world.settle(200);
    assert_eq!(world.replicas_on(2), 0);
    assert!((0..8).chain([META]).all(|shard| world.voters(shard) == [1, 3, 4]));
}

#[test]
fn with_nowhere_to_go_a_replica_on_a_gone_node_is_kept_and_on_a_removed_one_dropped() {
    let mut world = world(3, 4);
    world.gone(3, 10 * REPAIR_AFTER);
    world.settle(200);
    assert_eq!(world.voters(0), [1, 2, 3]);
    world.group.remove(3, true).expect("the others are a majority");
    world.settle(200);
    assert!((0..4).chain([META]).all(|shard| world.voters(shard) == [1, 2]));
    assert_eq!(world.group.meta.replicas_on(3), 0);
}

#[test]
fn a_damaged_replica_is_taken_out_and_made_anew_where_its_shard_can_do_without() {
    let mut world = world(3, 4);
    world.seen.damaged.extend([(0, 2), (META, 3)]);
    world.tick();
    let steps = world.plan();
    let repairs = steps.iter().filter(|step| step.reason == Reason::Repair);
    let repairs: Vec<_> = repairs.map(|step| (step.shard, step.action)).collect();
    assert_eq!(repairs, [(0, Action::Remove { node: 2 }), (META, Action::Remove { node: 3 })]);
    world.settle(200);
    assert!((0..4).chain([META]).all(|shard| world.voters(shard) == [1, 2, 3]));
    assert!(world.seen.damaged.is_empty(), "they are new");
}

#[test]
fn a_damaged_replica_stays_where_its_shard_decides_nothing_without_it() {
    let two = Settings { replication: 2, ..settings() };
    let mut pair = World::of(2, two);
    pair.place(0, &[1, 2]);
    pair.seen.damaged.insert((0, 2));
    let mut gone = world(3, 1);
    gone.gone(1, 1);
    gone.seen.damaged.insert((0, 2));
    for mut world in [pair, gone] {
        world.tick();
        let steps = world.plan();
        assert!(steps.iter().all(|step| step.shard != 0), "{steps:?}");
    }
}

#[test]
fn a_new_replica_that_is_damaged_is_given_up_and_comes_anew() {
    let mut world = world(4, 4);
    let to = (1..=4).find(|node| !world.voters(0).contains(node)).expect("one has none");
    let from = world.voters(0)[0];
    world.group.begin(0, Some(from), Some(to)).expect("it can be");
    let add = world.plan().into_iter().find(|step| step.shard == 0).expect("it goes on");
    world.seen.damaged.insert((0, to));
    let still = world.plan().into_iter().find(|step| step.shard == 0);
    assert_eq!(still, Some(add), "what its node has of before is not what comes");
    world.execute(&add, Done::All);
    world.seen.damaged.insert((0, to));
    let step = world.plan().into_iter().find(|step| step.shard == 0).expect("it goes on");
    assert_eq!(step.action, Action::Abandon { node: to });
    world.execute(&step, Done::All);
    world.seen.damaged.clear();
    world.settle(200);
    assert_eq!(world.voters(0).len(), 3);
}

#[test]
fn the_shard_that_can_lose_least_is_repaired_first() {
    let mut world = World::of(7, Settings { most_moves: 3, replication: 3, ..settings() });
    world.place(0, &[1, 2, 3, 4]);
    world.place(1, &[1, 2, 4]);
    world.place(2, &[1, 2, 4, 5, 6]);
    world.gone(4, 2 * REPAIR_AFTER);
    let shards: Vec<u32> = world.plan().iter().map(|step| step.shard).collect();
    assert_eq!(shards, [META, 1, 0], "one voter, two of three, three of four; four of five come last");
}

#[test]
fn nothing_is_changed_without_a_leader_or_a_majority() {
    let mut world = World::of(5, Settings { most_moves: 64, ..settings() });
    world.place(0, &[2, 3, 4]);
    world.gone(3, 2 * REPAIR_AFTER);
    world.gone(4, 2 * REPAIR_AFTER);
    assert!(world.plan().iter().all(|step| step.shard != 0), "one of three");
    world.seen.nodes.get_mut(&3).expect("is there").gone_since = None;
    assert!(world.plan().iter().any(|step| step.shard == 0), "two of three");
    world.shard(0).leader = None;
    assert!(world.plan().iter().all(|step| step.shard != 0), "nobody leads");
    world.shard(0).leader = Some(4);
    assert!(world.plan().iter().all(|step| step.shard != 0), "who led is gone");
}

#[test]
fn a_node_of_which_nothing_is_known_gets_nothing_and_loses_nothing() {
    let mut world = world(4, 8);
    world.seen.nodes.remove(&4);
    let steps = world.plan();
    assert_eq!(added(&steps), [], "not repaired either");
    world.seen.nodes.clear();
    assert_eq!(world.plan(), []);
}

#[test]
fn a_drained_node_hands_its_leaders_over_and_then_its_replicas() {
    let mut world = world(4, 8);
    let led = world.leaders_on(1);
    assert!(led > 0);
    world.group.drain(1, true).expect("there are others");
    let steps = world.plan();
    let transfers = steps.iter().filter(|step| matches!(step.action, Action::TransferLeader { from: 1, .. })).count();
    assert_eq!(transfers, led);
    assert!(matches!(steps[0].action, Action::TransferLeader { .. }), "first of all");
    world.settle(300);
    assert_eq!((world.replicas_on(1), world.leaders_on(1)), (0, 0));
    assert_eq!(world.group.remove(1, false), Ok(flintwheel_cluster::Accepted::Done));
}

#[test]
fn a_replica_is_not_taken_from_a_leader_before_it_has_handed_over() {
    let mut world = World::of(2, Settings { replication: 1, shards: 1, ..settings() });
    world.place(0, &[2]);
    world.group.drain(2, true).expect("there is another");
    let actions: Vec<Action> = std::iter::from_fn(|| {
        world.tick();
        let step = world.plan().first().copied();
        step.iter().for_each(|step| world.execute(step, Done::All));
        (world.replicas_on(2) > 0 || step.is_some()).then_some(step.map(|step| step.action))
    })
    .flatten()
    .collect();
    let (node, replaces) = (1, Some(2));
    let expected = [
        Action::AddLearner { node, replaces },
        Action::Promote { node, replaces },
        Action::TransferLeader { from: 2, to: 1 },
        Action::Remove { node: 2 },
    ];
    assert_eq!(actions, expected);
}

#[test]
fn replicas_go_only_where_they_can_be() {
    let spoil: [Change<'_>; 6] = [
        ("full", &|world| world.seen.nodes.get_mut(&4).expect("is there").free = 64 << 20),
        ("gone", &|world| world.gone(4, SECOND)),
        ("draining", &|world| drop(world.group.drain(4, true))),
        ("removed", &|world| drop(world.group.remove(4, true))),
        ("lagging", &|world| {
            world.group.place(1, &[4, 1, 2]);
            let lag = [(4, LAGGING + 1), (1, 0), (2, 0)].into();
            world
                .seen
                .shards
                .insert(1, flintwheel_cluster::plan::ShardSeen { leader: Some(1), lag, ..Default::default() });
        }),
        ("joining", &|world| {
            drop(world.group.remove(4, true));
            drop(world.group.apply(Body::Join(join(5))));
            let seen = world.seen.nodes[&1];
            world.seen.nodes.insert(5, seen);
        }),
    ];
    for (case, spoil) in spoil {
        let mut world = World::of(4, Settings { most_moves: 64, replication: 3, ..settings() });
        world.place(0, &[1, 2, 3]);
        world.gone(3, 2 * REPAIR_AFTER);
        assert!(added(&world.plan()).contains(&(0, Some(3), 4)), "{case}: before");
        spoil(&mut world);
        assert!(
            added(&world.plan()).iter().all(|(shard, _, to)| *shard != 0 && *to != 4),
            "{case}: {:?}",
            world.plan()
        );
    }
}

#[test]
fn capacity_and_what_is_on_its_way_count_as_used() {
    let mut world = World::of(4, Settings { most_moves: 64, replication: 1, ..settings() });
    for shard in 0..6 {
        world.place(shard, &[1]);
        world.shard(shard).bytes = 1 << 30;
    }
    for node in [2, 3] {
        world.group.drain(node, true).expect("there are others");
    }
    // Room for two: a quarter more than their bytes, and the reserve.
    world.seen.nodes.get_mut(&4).expect("is there").free = (64 << 20) + 2 * (5 << 28);
    let steps = added(&plan_all(&world.view()));
    assert_eq!(steps.len(), 2, "{steps:?}");
    let register = flintwheel_cluster::entry::Register { capacity: Some(3 << 30), ..register(4, 2) };
    world.group.apply(Body::Register(register)).expect("registers");
    world.seen.nodes.get_mut(&4).expect("is there").free = 1 << 40;
    world.seen.nodes.get_mut(&4).expect("is there").bytes = 3 << 29;
    let large = added(&world.plan()).iter().filter(|(shard, ..)| *shard != META).count();
    assert_eq!(large, 1, "it offers less than its disk has");
}

#[test]
fn replicas_that_share_a_zone_are_spread() {
    let zones = [Some("a"), Some("a"), Some("b"), Some("c")];
    let mut world = World::with(Settings { replication: 2, shards: 2, most_moves: 64, ..settings() }, &zones);
    world.place(0, &[1, 2]);
    world.place(1, &[3, 4]);
    let steps = world.plan();
    let spread: Vec<_> = steps.iter().filter(|step| step.reason == Reason::Zone).map(|step| step.shard).collect();
    assert_eq!(spread, [0]);
    world.settle(200);
    let own: Vec<_> = world.voters(0).iter().map(|node| zones[*node as usize - 1]).collect();
    assert_ne!(own[0], own[1]);
}

#[test]
fn zones_are_not_shared_to_even_out_counts() {
    let zones = [Some("a"), Some("b"), Some("b"), Some("b")];
    let mut world = World::with(Settings { replication: 2, shards: 6, most_moves: 64, ..settings() }, &zones);
    (0..6).for_each(|shard| world.place(shard, &[1, 2]));
    world.settle(200);
    assert_eq!(world.replicas_on(1), 7, "each has one in zone a, which has one node");
    let mut others = [2, 3, 4].map(|node| world.replicas_on(node));
    others.sort_unstable();
    assert_eq!(others, [2, 2, 3]);
}

#[test]
fn a_replica_too_many_is_removed_where_it_is_missed_least() {
    let mut world = World::of(4, Settings { replication: 3, shards: 1, most_moves: 64, ..settings() });
    world.place(0, &[1, 2, 3, 4]);
    world.gone(2, SECOND);
    let removed: Vec<_> = world.plan().iter().filter(|step| step.shard == 0).map(|step| step.action).collect();
    assert_eq!(removed, [Action::Remove { node: 2 }], "the one that does not answer");
}

#[test]
fn bytes_are_evened_out_by_exchange() {
    let mut world = World::of(2, Settings { replication: 1, shards: 7, most_moves: 2, ..settings() });
    for shard in 0..7 {
        world.place(shard, &[1 + u64::from(shard >= 3)]);
        world.shard(shard).bytes = if shard < 3 { 20 << 30 } else { 1 << 30 };
    }
    let steps = world.plan();
    assert_eq!(added(&steps).len(), 2, "{steps:?}");
    world.settle(100);
    let bytes = |node: u64| -> u64 {
        let held = world.groups.iter().filter(|(_, truth)| truth.voters.contains(&node));
        held.map(|(shard, _)| world.seen.shards[shard].bytes >> 30).sum()
    };
    assert_eq!((bytes(1) + bytes(2), bytes(1).abs_diff(bytes(2)) < 25), (64, true));
    assert!(world.replicas_on(1).abs_diff(world.replicas_on(2)) <= 1);
}

#[test]
fn leaders_are_evened_out_over_nodes_that_share_no_shard() {
    let mut world = World::of(4, Settings { replication: 2, shards: 7, most_moves: 64, ..settings() });
    let placed = [[1, 2], [1, 2], [1, 2], [2, 3], [3, 4], [3, 4], [4, 3]];
    (0..7).zip(placed).for_each(|(shard, nodes)| world.place(shard, &nodes));
    world.settle(200);
    let leaders = [1, 2, 3, 4].map(|node| world.leaders_on(node));
    assert!(leaders.iter().max().expect("four") - leaders.iter().min().expect("four") <= 1, "{leaders:?}");
}

#[test]
fn leaders_are_not_evened_out_while_a_node_may_be_restarting() {
    let mut world = World::of(3, Settings { replication: 3, shards: 6, most_moves: 64, ..settings() });
    (0..6).for_each(|shard| world.place(shard, &[1, 2, 3]));
    let given =
        |world: &World| world.plan().iter().filter(|step| matches!(step.action, Action::TransferLeader { .. })).count();
    let cases = [(None, true), (Some(0), false), (Some(29), false), (Some(30), true)];
    for (gone, evened) in cases {
        world.seen.nodes.get_mut(&3).expect("is there").gone_since = gone.map(|ago| world.seen.now - ago * SECOND);
        assert_eq!(given(&world) > 0, evened, "gone for {gone:?} s");
    }
    world.seen.nodes.remove(&3);
    assert_eq!(given(&world), 0, "not heard yet");
}

#[test]
fn leaders_that_decide_much_are_spread() {
    let mut world = world(3, 8);
    let busy: Vec<u32> = world.seen.shards.iter().filter(|(_, seen)| seen.leader == Some(1)).map(|(s, _)| *s).collect();
    busy.iter().for_each(|shard| world.shard(*shard).load = 3000);
    world.settle(100);
    let loads = [1, 2, 3].map(|node| {
        world.seen.shards.values().filter(|seen| seen.leader == Some(node)).map(|seen| seen.load).sum::<u64>()
    });
    assert!(loads.iter().all(|load| *load > 2500), "{loads:?}");
}

#[test]
fn a_node_whose_clock_is_astray_or_whose_disk_is_low_leads_nothing() {
    let mut world = world(3, 8);
    assert_eq!(world.leaders_on(2), 3, "with the meta group there are nine");
    let set = |world: &mut World, clock_ahead, disk_low| {
        let seen = world.seen.nodes.get_mut(&2).expect("is there");
        (seen.clock_ahead, seen.disk_low) = (clock_ahead, disk_low);
        world.settle(200);
        [1, 2, 3].map(|node| world.leaders_on(node))
    };
    for (clock_ahead, disk_low) in [(Some(-90_000_000), false), (None, true)] {
        let [first, unfit, third] = set(&mut world, clock_ahead, disk_low);
        assert_eq!(unfit, 0);
        assert!(first.abs_diff(third) <= 1, "{first} and {third}");
        assert_eq!(set(&mut world, None, false), [3, 3, 3], "until all is well again");
    }
}

#[test]
fn a_voter_that_is_behind_does_not_lead() {
    let mut world = World::of(2, Settings { replication: 2, shards: 4, most_moves: 64, ..settings() });
    (0..4).for_each(|shard| world.place(shard, &[1, 2]));
    let behind = |world: &mut World, lag| {
        for shard in 0..4 {
            world.shard(shard).lag.insert(2, lag);
        }
    };
    let transfers =
        |world: &World| world.plan().iter().filter(|step| matches!(step.action, Action::TransferLeader { .. })).count();
    behind(&mut world, 65);
    assert_eq!(transfers(&world), 0);
    behind(&mut world, 64);
    assert_eq!(transfers(&world), 2);
}

#[test]
fn a_learner_is_promoted_when_it_has_caught_up() {
    let mut world = World::of(4, settings());
    world.place(0, &[1, 2, 3]);
    world.group.begin(0, Some(1), Some(4)).expect("begins");
    let of_shard = |world: &World| world.plan().into_iter().find(|step| step.shard == 0);
    let step = of_shard(&world).expect("goes on");
    assert_eq!((step.recorded, step.action), (true, Action::AddLearner { node: 4, replaces: Some(1) }), "said again");
    world.group.step(0, MoveStep::CatchUp).expect("follows");
    assert_eq!(of_shard(&world), None, "nothing is known of it");
    for (lag, expected) in [(65, None), (64, Some(Action::Promote { node: 4, replaces: Some(1) }))] {
        world.shard(0).lag.insert(4, lag);
        assert_eq!(of_shard(&world).map(|step| step.action), expected);
    }
}

#[test]
fn a_move_to_a_node_that_is_lost_is_given_up() {
    let lose: [Change<'_>; 3] = [
        ("gone", &|world| world.gone(4, 2 * REPAIR_AFTER)),
        ("drained", &|world| drop(world.group.drain(4, true))),
        ("removed", &|world| drop(world.group.remove(4, true))),
    ];
    for (case, lose) in lose {
        let mut world = World::of(4, settings());
        world.place(0, &[1, 2, 3]);
        world.group.begin(0, Some(1), Some(4)).expect("begins");
        world.group.step(0, MoveStep::CatchUp).expect("follows");
        world.gone(4, SECOND);
        assert!(world.plan().iter().all(|step| step.shard != 0), "{case}: it may come back");
        lose(&mut world);
        let step = world.plan().into_iter().find(|step| step.shard == 0).expect("is given up");
        assert_eq!(step.action, Action::Abandon { node: 4 }, "{case}");
        world.execute(&step, Done::All);
        assert_eq!(world.group.replicas(0), [(1, true), (2, true), (3, true)], "{case}");
    }
}

#[test]
fn who_is_being_promoted_may_lead_before_it_is_recorded() {
    let mut world = World::of(3, settings());
    world.place(0, &[1, 2]);
    world.group.begin(0, None, Some(3)).expect("begins");
    for step in [MoveStep::CatchUp, MoveStep::Promote] {
        world.group.step(0, step).expect("follows");
    }
    world.shard(0).leader = Some(3);
    let step = world.plan().into_iter().find(|step| step.shard == 0);
    assert_eq!(step.map(|step| step.action), Some(Action::Promote { node: 3, replaces: None }));
}

#[test]
fn a_move_that_is_given_up_is_not_taken_up_again() {
    let mut world = World::of(4, settings());
    world.place(0, &[1, 2, 3]);
    world.group.begin(0, Some(1), Some(4)).expect("begins");
    for step in [MoveStep::CatchUp, MoveStep::Promote, MoveStep::Abandon] {
        world.group.step(0, step).expect("follows");
    }
    let of_shard = |world: &World| world.plan().into_iter().find(|step| step.shard == 0).map(|step| step.action);
    assert_eq!(of_shard(&world), Some(Action::Abandon { node: 4 }), "although the node is well");
    world.shard(0).leader = Some(4);
    assert_eq!(of_shard(&world), Some(Action::TransferLeader { from: 4, to: 2 }), "it votes already, and leads");
}

#[test]
fn what_was_done_in_a_group_and_not_recorded_goes_on_where_another_replica_is_damaged_since() {
    use MoveStep::{Abandon, CatchUp, Promote, Remove};
    let promote = Action::Promote { node: 4, replaces: Some(1) };
    let cases = [
        (vec![CatchUp, Promote], vec![1, 2], vec![1, 2, 4], promote),
        // It can't be given up any more.
        (vec![CatchUp, Promote, Abandon], vec![1, 2], vec![1, 2, 4], promote),
        (vec![CatchUp, Promote, Remove], vec![1, 2, 3], vec![2, 3, 4], Action::Remove { node: 1 }),
    ];
    for (steps, before, votes, expected) in cases {
        let mut world = World::of(5, settings());
        world.place(0, &before);
        world.group.begin(0, Some(1), Some(4)).expect("begins");
        for step in &steps {
            world.group.step(0, *step).expect("follows");
        }
        world.groups.get_mut(&0).expect("is there").voters = votes.iter().copied().collect();
        world.seen.damaged.extend([(0, 1), (0, 2)].into_iter().filter(|(_, node)| *node == 2 || !votes.contains(node)));
        world.tick();
        let step = world.plan().into_iter().find(|step| step.shard == 0);
        assert_eq!(step.map(|step| step.action), Some(expected), "{steps:?}");
        world.settle(200);
        assert_eq!(world.voters(0).len(), 3, "{steps:?}");
    }
}

#[test]
fn a_replica_is_kept_where_another_was_lost_meanwhile() {
    let mut world = World::of(5, settings());
    world.place(0, &[1, 2]);
    world.group.begin(0, Some(2), Some(3)).expect("begins");
    for step in [MoveStep::CatchUp, MoveStep::Promote, MoveStep::Remove] {
        world.group.step(0, step).expect("follows");
    }
    world.groups.get_mut(&0).expect("is there").voters.insert(3);
    world.gone(1, SECOND);
    world.tick();
    let of_shard = |world: &World| world.plan().into_iter().find(|step| step.shard == 0);
    world.shard(0).leader = Some(3);
    assert_eq!(of_shard(&world), None, "it may come back");
    world.gone(1, 2 * REPAIR_AFTER);
    let step = of_shard(&world).expect("goes on");
    assert_eq!(step.action, Action::Keep { node: 2 });
    world.execute(&step, Done::All);
    assert_eq!(world.group.replicas(0), [(1, true), (2, true), (3, true)]);
    world.settle(200);
    assert!(!world.voters(0).contains(&1));
}

#[test]
fn a_step_may_be_done_twice() {
    for done in [Done::Recorded, Done::Changed] {
        let mut world = world(4, 8);
        world.gone(2, 2 * REPAIR_AFTER);
        for _ in 0..30 {
            world.tick();
            for step in world.plan() {
                world.execute(&step, done);
                let again = world.plan().into_iter().find(|one| one.shard == step.shard).unwrap_or(step);
                if matches!(step.action, Action::TransferLeader { .. }) {
                    continue;
                }
                assert_eq!(again.action, step.action, "{done:?}");
                world.execute(&again, Done::All);
            }
        }
        world.settle(100);
        assert_eq!(world.replicas_on(2), 0);
    }
}

#[test]
fn a_limit_that_was_lowered_lets_what_is_under_way_go_on() {
    let mut world = World::of(4, Settings { most_moves: 4, ..settings() });
    (0..4).for_each(|shard| world.place(shard, &[1, 2, 3]));
    for shard in 0..3 {
        world.group.begin(shard, Some(1), Some(4)).expect("begins");
    }
    let lower = flintwheel_cluster::entry::Change { most_moves: Some(1), ..Default::default() };
    world.group.set(lower).expect("is lowered");
    let shards: Vec<u32> = world.plan().iter().map(|step| step.shard).collect();
    assert_eq!(shards, [0, 1, 2]);
    assert!(plan_all(&world.view()).len() > 3);
    for shard in 0..3 {
        world.group.step(shard, MoveStep::Abandon).expect("follows");
        world.group.end(shard, MoveOutcome::Abandoned).expect("ends");
    }
    assert_eq!(world.plan().len(), 1);
}

#[test]
fn large_shards_are_copied_one_at_a_time_unless_it_is_urgent() {
    type Change = fn(&mut World);
    let cases: [(&str, u64, Change, usize); 6] = [
        ("a node that joined", 9 << 20, |_| (), 1),
        ("small ones", 3 << 20, |_| (), 3),
        ("empty ones", 0, |_| (), 5),
        ("a node that is drained", 9 << 20, |world| drop(world.group.drain(1, true)), 1),
        ("small ones of it", 3 << 20, |world| drop(world.group.drain(1, true)), 3),
        ("a node that is lost", 9 << 20, |world| world.gone(1, 2 * REPAIR_AFTER), 8),
    ];
    for (case, bytes, change, want) in cases {
        let mut world = World::of(4, Settings { most_moves: 64, ..settings() });
        // Led by others, so that nothing is handed over first.
        (0..8).for_each(|shard| world.place(shard, &[2, 1, 3]));
        (0..8).for_each(|shard| world.shard(shard).bytes = bytes);
        change(&mut world);
        let copied = |world: &World| added(&world.plan()).iter().filter(|(shard, ..)| *shard != META).count();
        assert_eq!(copied(&world), want, "{case}: {:?}", world.plan());
        for step in world.plan() {
            world.execute(&step, Done::Recorded);
        }
        assert_eq!(copied(&world), if bytes == 0 { copied(&world) } else { want }, "{case}: what is under way counts");
        world.settle(1000);
        assert!(world.replicas_on(4) >= 5, "{case}: and all is moved in the end");
    }
}

#[test]
fn a_plan_is_told_in_words() {
    let world = world(3, 4);
    let with = |shard, action, reason| Step { shard, generation: 1, recorded: false, action, reason };
    let steps = [
        with(1, Action::AddLearner { node: 2, replaces: None }, Reason::Repair),
        with(1, Action::AddLearner { node: 2, replaces: Some(1) }, Reason::Drain),
        with(2, Action::Promote { node: 2, replaces: Some(1) }, Reason::Zone),
        with(3, Action::Remove { node: 9 }, Reason::Rebalance),
        with(3, Action::Abandon { node: 3 }, Reason::Command),
        with(3, Action::Keep { node: 3 }, Reason::Drain),
        with(META, Action::TransferLeader { from: 1, to: 2 }, Reason::Rebalance),
    ];
    let expected = "\
shard 1: add a replica on node 2 (n2) (repair)
shard 1: add a replica on node 2 (n2), in place of node 1 (n1) (drain)
shard 2: let the replica on node 2 (n2) vote, in place of node 1 (n1) (zones)
shard 3: remove the replica on node 9 (rebalance)
shard 3: give up the new replica on node 3 (n3) (command)
shard 3: keep the replica on node 3 (n3) for now (drain)
the meta group: hand the leadership from node 1 (n1) to node 2 (n2) (rebalance)
";
    assert_eq!(describe_all(&world.view(), &steps), expected);
    assert_eq!(describe_all(&world.view(), &[]), "nothing to do\n");
    assert_eq!(describe(&world.view(), &steps[0]) + "\n", expected.lines().next().unwrap().to_owned() + "\n");
}
