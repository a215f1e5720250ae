//! Looks at all nodes every few milliseconds, and tells the properties what is there.

use crate::properties::Properties;
use crate::stage::Stage;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Milliseconds between two looks.
const PACE: u64 = 50;
/// A node may apply an entry while its own disk is still busy writing it, or standing still: after so many nanoseconds it is written.
const SETTLES: u64 = 7_000_000_000;

/// Node, its start, shard.
type Replica = (u64, u64, u32);

/// How far a replica was looked at.
#[derive(Default)]
struct Looked {
    next: u64,
    /// What it had applied, and when.
    applied: VecDeque<(u64, u64)>,
}

/// Looks for as long as the run goes on.
pub async fn observe(stage: Arc<Stage>) {
    let mut looked: BTreeMap<Replica, Looked> = BTreeMap::new();
    loop {
        stage.sleep(PACE).await;
        states(&stage);
        entries(&stage, &mut looked);
    }
}

/// States that were reached since the last look.
pub fn states(stage: &Stage) {
    for (number, node) in &stage.nodes {
        for state in node.disk.state.take_seen() {
            stage.executor.note(state.digest);
            stage.count(|counts| counts.states += 1);
            stage.check("equal state", |properties| properties.equal_state.reached(*number, &state));
        }
    }
}

/// Entries that were applied since; after each start of a node, all that it has.
fn entries(stage: &Stage, looked: &mut BTreeMap<Replica, Looked>) {
    let now = stage.executor.now();
    for (number, node) in &stage.nodes {
        let (Some(groups), Some(owner)) = (node.groups(), node.owner()) else { continue };
        for group in groups.iter() {
            if group.is_asleep() {
                stage.count(|counts| counts.asleep += 1);
            }
            let status = group.status();
            let Some(applied) = status.applied else { continue };
            let looked = looked.entry((*number, owner, group.shard())).or_default();
            looked.applied.push_back((now, applied));
            let mut settled = None;
            while let Some((_, applied)) = looked.applied.pop_front_if(|(at, _)| *at + SETTLES <= now) {
                settled = Some(applied);
            }
            let Some(applied) = settled else { continue };
            let first = looked.next.max(status.purged.map_or(0, |purged| purged + 1));
            for index in first..=applied {
                let Some(bytes) = node.disk.log.entry(group.shard(), index) else { continue };
                stage.count(|counts| counts.entries += 1);
                let place = (group.shard(), index);
                let look = |properties: &mut Properties| properties.committed_prefix.applied(*number, place, &bytes);
                stage.check("the committed prefix never changes", look);
            }
            looked.next = applied + 1;
        }
    }
}
