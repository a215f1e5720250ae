//! Random clusters: from any placement, with nodes drained, removed and gone, what the planner says comes to an end, and what it
//! leaves is as it should be. On the way no shard loses its majority; [`World`] checks that with each step.

use flintwheel_cluster::META;
use flintwheel_cluster::rows::Settings;
use proptest::prelude::*;

use crate::support::*;
use crate::world::{Done, World};

/// A cluster to begin with.
#[derive(Clone, Debug)]
struct Spec {
    /// Of each node: 0 is none.
    zones: Vec<u8>,
    replication: u32,
    shards: u32,
    most_moves: u32,
    /// Shards of different sizes and loads.
    uneven: bool,
    seed: u64,
}

fn spec(zones: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Spec> {
    (zones, 1_u32..6, 1_u32..40, 1_u32..9, any::<bool>(), any::<u64>()).prop_map(
        |(zones, replication, shards, most_moves, uneven, seed)| Spec {
            zones,
            replication,
            shards,
            most_moves,
            uneven,
            seed,
        },
    )
}

fn no_zones() -> impl Strategy<Value = Vec<u8>> {
    (1_usize..9).prop_map(|nodes| vec![0; nodes])
}

/// Some zones, with as many nodes each.
fn equal_zones() -> impl Strategy<Value = Vec<u8>> {
    (1_u8..5, 1_usize..4).prop_map(|(zones, nodes)| (1..=zones).flat_map(|zone| vec![zone; nodes]).collect())
}

fn any_zones() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..4, 1..9)
}

impl Spec {
    /// Each shard on random nodes, of which there may be too few or too many.
    fn world(&self, dice: &mut Dice) -> World {
        let names = [None, Some("a"), Some("b"), Some("c"), Some("d")];
        let zones: Vec<_> = self.zones.iter().map(|zone| names[usize::from(*zone)]).collect();
        let settings =
            Settings { shards: self.shards, replication: self.replication, most_moves: self.most_moves, ..settings() };
        let mut world = World::with(settings, &zones);
        for shard in 0..self.shards {
            let mut nodes: Vec<u64> = (1..=zones.len() as u64).collect();
            for index in (1..nodes.len()).rev() {
                nodes.swap(index, dice.below(index as u64 + 1) as usize);
            }
            nodes.truncate(1 + dice.below(u64::from(self.replication) + 1) as usize);
            nodes.truncate(9);
            world.place(shard, &nodes);
            if self.uneven {
                (world.shard(shard).bytes, world.shard(shard).load) = (dice.below(8 << 30), dice.below(3000));
            }
        }
        world
    }

    /// Enough for each replica to move a few times, one at a time.
    fn bound(&self) -> usize {
        100 + 60 * (self.shards as usize + 1) * (self.replication as usize + 1)
    }
}

/// How many pairs share a zone where so many replicas are spread over nodes of these zones as well as can be.
fn least_conflicts(zones: &[u8], replicas: usize) -> usize {
    let mut free: Vec<usize> = (1..=4).map(|zone| zones.iter().filter(|one| **one == zone).count()).collect();
    free.extend(zones.iter().filter(|zone| **zone == 0).map(|_| 1));
    let mut used = vec![0; free.len()];
    (0..replicas)
        .map(|_| {
            let best =
                (0..free.len()).filter(|zone| free[*zone] > 0).min_by_key(|zone| used[*zone]).expect("nodes are left");
            free[best] -= 1;
            used[best] += 1;
            used[best] - 1
        })
        .sum()
}

fn conflicts(zones: &[u8], nodes: &[u64]) -> usize {
    let zone = |node: u64| zones[node as usize - 1];
    let pairs =
        nodes.iter().enumerate().flat_map(|(index, one)| nodes[..index].iter().map(move |other| (*one, *other)));
    pairs.filter(|(one, other)| zone(*one) != 0 && zone(*one) == zone(*other)).count()
}

/// Each shard has what is wanted, where it should be.
fn assert_placed(spec: &Spec, world: &World) {
    let usable = world.usable();
    let wanted = usable.len().min(spec.replication as usize);
    let zones: Vec<u8> = usable.iter().map(|node| spec.zones[*node as usize - 1]).collect();
    let least = least_conflicts(&zones, wanted);
    for shard in (0..spec.shards).chain([META]) {
        let voters = world.voters(shard);
        let row: Vec<u64> = world.group.meta.shard(shard).expect("is there").voters().collect();
        assert_eq!((row.len(), world.groups[&shard].learners.len()), (voters.len(), 0), "shard {shard}");
        assert!(row.iter().all(|node| voters.contains(node)), "shard {shard}: {row:?} are {voters:?}");
        let live: Vec<u64> = voters.iter().copied().filter(|node| usable.contains(node)).collect();
        assert_eq!(live.len(), wanted, "shard {shard} is on {voters:?}, usable are {usable:?}");
        assert_eq!(conflicts(&spec.zones, &live), least, "shard {shard} is on {voters:?} in {:?}", spec.zones);
        if usable.len() >= spec.replication as usize {
            assert_eq!(voters, live, "shard {shard}");
        }
    }
}

fn spread(nodes: &[u64], count: impl Fn(u64) -> usize) -> usize {
    let counts = || nodes.iter().map(|node| count(*node));
    counts().max().unwrap_or(0) - counts().min().unwrap_or(0)
}

fn assert_even(world: &World) {
    let usable = world.usable();
    let counts = |count: &dyn Fn(u64) -> usize| usable.iter().map(|node| count(*node)).collect::<Vec<_>>();
    let (replicas, leaders) = (|node| world.replicas_on(node), |node| world.leaders_on(node));
    assert!(spread(&usable, replicas) <= 1, "replicas {:?}", counts(&replicas));
    assert!(spread(&usable, leaders) <= 1, "leaders {:?}", counts(&leaders));
}

/// Drains, removes and loses some nodes, as long as each shard keeps a majority.
fn lose_some(world: &mut World, dice: &mut Dice) {
    for node in 1..=world.seen.nodes.len() as u64 {
        if !dice.one_in(4) || !world.decides_without(node) {
            continue;
        }
        match dice.below(3) {
            0 => drop(world.group.drain(node, true)),
            1 => drop(world.group.remove(node, true)),
            _ => world.gone(node, 2 * REPAIR_AFTER),
        }
    }
}

/// One round in which anything may happen: nodes go and come back, drains are taken back, replicas are damaged, drivers stop halfway.
fn disturb(world: &mut World, dice: &mut Dice) {
    let nodes: Vec<u64> = world.seen.nodes.keys().copied().collect();
    let node = dice.pick(&nodes).expect("there are nodes");
    match dice.below(7) {
        0 if world.decides_without(node) => world.gone(node, dice.below(2 * REPAIR_AFTER as u64) as i64),
        1 | 2 => world.seen.nodes.get_mut(&node).expect("is there").gone_since = None,
        3 => drop(world.group.drain(node, dice.one_in(2))),
        4 if dice.one_in(5) && world.decides_without(node) => drop(world.group.remove(node, true)),
        5 => {
            let shards: Vec<u32> = world.groups.keys().copied().collect();
            world.damage(dice.pick(&shards).expect("there are shards"), node);
        }
        _ => {}
    }
    world.tick();
    let steps = world.plan();
    world.assert_limited(&steps);
    for step in steps {
        let done = dice.pick(&[Done::Recorded, Done::Changed, Done::All, Done::All]).expect("one of four");
        if !dice.one_in(5) {
            world.execute(&step, done);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn without_zones_all_ends_even(spec in spec(no_zones())) {
        let mut dice = Dice(spec.seed);
        let mut world = spec.world(&mut dice);
        world.settle(spec.bound());
        assert_placed(&spec, &world);
        assert_even(&world);
    }

    #[test]
    fn with_equal_zones_all_ends_even_and_apart(spec in spec(equal_zones())) {
        let mut dice = Dice(spec.seed);
        let mut world = spec.world(&mut dice);
        world.settle(spec.bound());
        assert_placed(&spec, &world);
        assert_even(&world);
    }

    #[test]
    fn with_nodes_lost_everything_is_made_anew_elsewhere(spec in spec(any_zones())) {
        let mut dice = Dice(spec.seed);
        let mut world = spec.world(&mut dice);
        lose_some(&mut world, &mut dice);
        world.settle(spec.bound());
        assert_placed(&spec, &world);
        if spec.zones.iter().all(|zone| *zone == 0) && world.usable().len() >= spec.replication as usize {
            assert_even(&world);
        }
    }

    #[test]
    fn after_any_disturbance_it_ends_as_it_should(spec in spec(no_zones()), rounds in 1_usize..80) {
        let mut dice = Dice(spec.seed);
        let mut world = spec.world(&mut dice);
        (0..rounds).for_each(|_| disturb(&mut world, &mut dice));
        for node in world.seen.nodes.values_mut() {
            node.gone_since = None;
        }
        world.settle(spec.bound());
        assert_placed(&spec, &world);
        if world.usable().len() >= spec.replication as usize {
            assert_even(&world);
        }
    }
}
