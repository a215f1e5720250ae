//! Random histories: equal entries give equal rows and replies however they are batched, what is refused has changed nothing, and
//! what must hold holds after each.

use std::collections::BTreeSet;

use bytes::Bytes;
use flintwheel_cluster::entry::{
    BeginMove, Body, Change, Drain, EndMove, Init, Join, MoveOutcome, Placement, Register, Remove, StepMove,
};
use flintwheel_cluster::rows::{MoveStep, NodeState, Reason, Settings};
use flintwheel_cluster::{Entry, META, Meta, keys};
use proptest::prelude::*;

use crate::support::*;

/// An entry that mostly hits something: ids, generations and steps are those there are, or near.
fn body(dice: &mut Dice, meta: &Meta) -> Body {
    let node = 1 + dice.below(meta.counters().next_node);
    let shard = if dice.one_in(6) { META } else { dice.below(5) as u32 };
    let generation = meta.shard(shard).map_or(1, |row| row.generation).saturating_sub(dice.one_in(8).into());
    let pending = meta.shard(shard).and_then(|row| row.pending);
    match dice.below(14) {
        0 => Body::Init(Init {
            settings: Settings { shards: 4, most_moves: 3, ..settings() },
            first: Join { token: dice.below(3).into(), ..join(1) },
        }),
        1 => Body::Join(Join { token: dice.below(12).into(), ..join(dice.below(8)) }),
        2 | 3 => Body::Register(Register { incarnation: dice.below(2), ..register(node, dice.below(6)) }),
        4 => Body::Drain(Drain { node, drain: dice.one_in(2) }),
        5 if dice.one_in(4) => Body::Remove(Remove { node, force: dice.one_in(2) }),
        6 => Body::SetSettings(Change { replication: Some(dice.below(6) as u32), ..Change::default() }),
        7 => Body::SetReplicas(vec![Placement { shard, nodes: vec![node, 1 + dice.below(3)] }]),
        8 | 9 => {
            let other = 1 + dice.below(meta.counters().next_node);
            let (from, to) = (dice.one_in(2).then_some(node), (!dice.one_in(4)).then_some(other));
            Body::BeginMove(BeginMove { shard, generation, from, to, reason: Reason::Command })
        }
        10..=12 => {
            let next = match pending.filter(|_| !dice.one_in(8)).map(|pending| pending.step) {
                Some(MoveStep::AddLearner) => MoveStep::CatchUp,
                Some(MoveStep::CatchUp) => MoveStep::Promote,
                Some(MoveStep::Promote) => MoveStep::Remove,
                _ => MoveStep::Abandon,
            };
            Body::StepMove(StepMove { shard, generation, step: next })
        }
        _ => {
            let outcome = if dice.one_in(3) { MoveOutcome::Abandoned } else { MoveOutcome::Done };
            Body::EndMove(EndMove { shard, generation, outcome })
        }
    }
}

fn check(before: &Meta, after: &Meta) {
    assert!(
        after.counters().next_node >= before.counters().next_node && after.counters().clock >= before.counters().clock
    );
    for node in before.nodes() {
        let now = after.node(node.id).expect("a node's row stays");
        assert!(now.epoch >= node.epoch && now.token == node.token);
        assert!(node.state != NodeState::Removed || now == node, "what was removed never changes");
    }
    for (shard, row) in after.shards() {
        let was = before.shard(shard);
        assert!(was == Some(row) || row.generation == was.map_or(0, |was| was.generation) + 1, "{row:?}");
        assert!(row.voters().count() > 0, "{row:?}");
        let nodes: BTreeSet<u64> = row.replicas.iter().map(|replica| replica.node).collect();
        assert_eq!(nodes.len(), row.replicas.len(), "{row:?}");
        assert!(
            row.replicas.iter().all(|replica| replica.since <= row.generation && after.node(replica.node).is_some())
        );
        let learners = row.replicas.len() - row.voters().count();
        assert!(learners <= usize::from(row.pending.is_some_and(|pending| pending.to.is_some())), "{row:?}");
        let (learned, voted) = (row.after_move().len(), row.voters().count());
        assert!(learned > 0 && learned + 1 >= voted, "{row:?}");
    }
    assert!(after.moves().count() <= 3);
    let up = |node: &&_| matches!(node, flintwheel_cluster::rows::Node { state: NodeState::Up, .. });
    let names: BTreeSet<_> = after.nodes().filter(up).map(|node| &node.name).collect();
    assert_eq!(names.len(), after.nodes().filter(up).count(), "one name, one node");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_same_rows_however_it_is_batched(
        seed in any::<u64>(),
        length in 1_usize..200,
        batches in proptest::collection::vec(1_usize..9, 1..5),
    ) {
        let (mut dice, mut group) = (Dice(seed), Group::default());
        let (mut entries, mut replies): (Vec<Bytes>, Vec<Reply>) = Default::default();
        for _ in 0..length {
            group.at = (group.at + dice.below(3) as i64) - 1;
            let entry = Entry { at: group.at, body: body(&mut dice, &group.meta) }.encode();
            let before = group.clone();
            let reply = group.apply_together(std::slice::from_ref(&entry)).remove(0);
            check(&before.meta, &group.meta);
            if reply.is_err() {
                let without_clock = |group: &Group| {
                    let mut rows = group.state.0.clone();
                    rows.remove(keys::COUNTERS);
                    (rows, group.meta.counters().next_node)
                };
                assert_eq!(without_clock(&group), without_clock(&before), "{reply:?}");
            }
            entries.push(entry);
            replies.push(reply);
        }
        let (mut again, mut told) = (Group::default(), Vec::new());
        let mut sizes = batches.iter().cycle();
        while told.len() < entries.len() {
            let end = (told.len() + sizes.next().expect("cycles")).min(entries.len());
            told.extend(again.apply_together(&entries[told.len()..end]));
        }
        prop_assert_eq!(told, replies);
        prop_assert_eq!(again.state, group.state);
        prop_assert_eq!(again.meta, group.meta);
    }
}
