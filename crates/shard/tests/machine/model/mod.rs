//! The machine beside the naive model: random histories must give the same replies, the same state, and hold the same promises.

mod after;
mod calendars;
mod check;
mod naive;
mod ops;
mod runs;

use bytes::Bytes;
use flintwheel_shard::Entry;
use flintwheel_shard::reply::Applied;
use proptest::prelude::*;

use crate::support::{Memory, Shard, View};
use naive::Model;
use ops::{Step, history};

/// A history that was applied one entry at a time: each entry, its reply, and the state after it.
struct Told {
    entries: Vec<Bytes>,
    replies: Vec<Applied>,
    states: Vec<Memory>,
}

/// Applies a history one entry at a time, beside the model, and checks both after each.
fn tell(steps: &[Step]) -> Told {
    let (mut shard, mut model) = (Shard::default(), Model::default());
    let mut told = Told { entries: Vec::new(), replies: Vec::new(), states: Vec::new() };
    let mut proposed: Vec<Entry> = Vec::new();
    let mut carried_out = check::CarriedOut::new();
    for step in steps {
        shard.at += step.elapsed;
        let Some(entry) = step.op.entry(shard.at, &model, &proposed) else { continue };
        let bytes = entry.encode();
        let reply = shard.apply_together(std::slice::from_ref(&bytes)).remove(0);
        let pending = model.pending().count();
        assert_eq!(model.apply(&entry), reply.outcome, "{entry:?}");
        check::adopt(&mut model, &shard);
        check::work(&model, &reply, pending);
        check::memory(&model, &shard);
        check::tables(&model, &shard);
        check::promises(&model, &shard);
        check::bounds(&shard);
        check::after(&model, &shard);
        calendars::check(&model, &shard);
        check::requests(&mut carried_out, model.clock, &entry, &reply.outcome);
        proposed.push(entry);
        told.entries.push(bytes);
        told.replies.push(reply);
        told.states.push(shard.state.clone());
    }
    told
}

/// Applies what was told again, so many entries in each transaction; opens the machine anew where `reopen` says so.
fn retell(told: &Told, groups: &[(usize, bool)]) {
    let mut shard = Shard::default();
    let (mut done, mut groups) = (0, groups.iter().cycle());
    while done < told.entries.len() {
        let (size, reopen) = groups.next().expect("there is a group");
        let end = (done + size).min(told.entries.len());
        let replies = shard.apply_together(&told.entries[done..end]);
        assert_eq!(replies, told.replies[done..end], "replies of entries {done}..{end}");
        assert_eq!(shard.state, told.states[end - 1], "state after entries {done}..{end}");
        if *reopen {
            let before = View::of(&shard.machine);
            shard.machine = shard.open();
            assert_eq!(View::of(&shard.machine), before);
        }
        done = end;
    }
}

/// `PROPTEST_CASES` asks for more histories, for a long night.
fn config() -> ProptestConfig {
    let defaults = ProptestConfig::default();
    ProptestConfig { cases: 4 * defaults.cases, failure_persistence: None, max_shrink_iters: 20_000, ..defaults }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_history_is_as_the_naive_model_has_it_however_it_is_batched(
        steps in history(),
        groups in proptest::collection::vec((1_usize..9, any::<bool>()), 1..5),
    ) {
        let told = tell(&steps);
        retell(&told, &groups);
    }
}
