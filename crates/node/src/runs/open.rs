//! Which runs are open in the shards that this node leads, and what they are called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::workflow_id;
use flintwheel_shard::Machine;
use flintwheel_shard::query;
use flintwheel_shard::tracks::{Tracking, Wish};

use crate::dispatch::firing_key;
use crate::shared::Shared;

/// Names of definitions that are read at a time: each costs a read of its document.
const NAMES: usize = 10_000;

/// A run that Temporal has: shard, definition, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenRun {
    /// Which shard.
    pub shard: u32,
    /// Which definition of it.
    pub number: u64,
    /// Which run of that.
    pub seq: u64,
}

/// What there is to know of an open run.
#[derive(Clone, Debug)]
pub struct Described {
    /// In Temporal.
    pub workflow_id: String,
    /// What the definition asks for.
    pub tracking: Option<Tracking>,
    /// What shall become of it.
    pub wish: Wish,
    /// When it was decided, in microseconds since the epoch.
    pub since: i64,
    /// Others wait for its end.
    pub followed: bool,
}

/// Temporal's namespaces in which a shard that this node leads has open runs.
pub fn namespaces(shared: &Shared) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_led(shared, |_, machine| {
        let lanes = machine.tracks().lanes().filter_map(|lane| machine.lanes().get(usize::from(lane)));
        found.extend(lanes.map(|namespace| shared.dispatchers.routes.of(namespace).temporal_namespace.clone()));
    });
    found
}

fn each_led(shared: &Shared, mut visit: impl FnMut(u32, &Machine)) {
    // Without an actor nothing can be written down.
    for group in shared.led_groups().into_iter().filter(|group| shared.has_actor(group.shard())) {
        let shard = group.shard();
        // A shard that has stopped has no runs to watch.
        let _ = group.read(|machine, _| {
            if !machine.is_held() {
                visit(shard, machine)
            }
        });
    }
}

/// The open runs of one of Temporal's namespaces, and the names of their definitions.
#[derive(Default)]
pub struct OpenRuns {
    /// In order.
    pub runs: Vec<OpenRun>,
    /// Those that shall end.
    pub wishes: Vec<OpenRun>,
    names: HashMap<(u32, u64), DefinitionKey>,
    by_name: BTreeMap<DefinitionKey, (u32, u64)>,
    /// Of all their definitions.
    knows_all: bool,
}

impl OpenRuns {
    /// Brings it up to what the shards hold.
    pub async fn refresh(&mut self, shared: &Arc<Shared>, temporal_namespace: &str) {
        (self.runs, self.wishes) = (Vec::new(), Vec::new());
        each_led(shared, |shard, machine| {
            let here = |number: u64| {
                let lane = machine.tracks().get(number).and_then(|track| machine.lanes().get(usize::from(track.lane)));
                lane.is_some_and(|name| shared.dispatchers.routes.of(name).temporal_namespace == temporal_namespace)
            };
            let run = |(number, seq)| OpenRun { shard, number, seq };
            let mut of: Option<(u64, bool)> = None;
            for (number, seq) in machine.tracks().started_from((0, 0)) {
                let wanted = of.filter(|(known, _)| *known == number).map_or_else(|| here(number), |(_, here)| here);
                of = Some((number, wanted));
                if wanted {
                    self.runs.push(run((number, seq)));
                }
            }
            self.wishes.extend(machine.tracks().wishes().filter(|(number, _)| here(*number)).map(run));
        });
        self.refresh_names(shared).await;
    }

    async fn refresh_names(&mut self, shared: &Arc<Shared>) {
        let mut there: Vec<(u32, u64)> = self.runs.iter().map(|run| (run.shard, run.number)).collect();
        there.dedup();
        let unknown = there.iter().filter(|of| !self.names.contains_key(of)).take(NAMES);
        let unknown: Vec<(u32, u64)> = unknown.copied().collect();
        if !unknown.is_empty() {
            let shared = Arc::clone(shared);
            let read = move || unknown.into_iter().filter_map(|of| Some((of, name(&shared, of)?))).collect::<Vec<_>>();
            // A task that was cut off has read nothing: they are read the next time.
            for (of, name) in tokio::task::spawn_blocking(read).await.unwrap_or_default() {
                self.names.insert(of, name.clone());
                self.by_name.insert(name, of);
            }
        }
        if self.names.len() > there.len() {
            let there: BTreeSet<(u32, u64)> = there.iter().copied().collect();
            self.names.retain(|of, _| there.contains(of));
            self.by_name.retain(|_, of| there.contains(of));
        }
        self.knows_all = self.names.len() == there.len();
    }

    /// What there is to know of a run; none if it is not open any more.
    pub fn describe(&self, shared: &Shared, run: OpenRun) -> Option<Described> {
        let name = self.names.get(&(run.shard, run.number))?;
        let known = shared.led(run.shard)?.read(|machine, _| {
            let track = machine.tracks().get(run.number)?;
            let open = track.run(run.seq).filter(|open| open.place.is_none())?;
            Some((firing_key(&open.key), track.tracking, open.wish, open.since, track.is_followed()))
        });
        let (key, tracking, wish, since, followed) = known.ok().flatten()?;
        let workflow_id = workflow_id(&shared.dispatchers.prefix, name, &key);
        Some(Described { workflow_id, tracking, wish, since, followed })
    }

    /// The open run of a workflow id.
    pub fn find(&self, shared: &Shared, id: &str) -> Option<OpenRun> {
        let (namespace, rest) = id.strip_prefix(&shared.dispatchers.prefix)?.strip_prefix(':')?.split_once(':')?;
        let (definition, key) = rest.split_once(':')?;
        let (shard, number) = *self.by_name.get(&DefinitionKey::new(namespace, definition))?;
        let found = shared.led(shard)?.read(|machine, _| {
            let mut open = machine.tracks().get(number)?.open();
            open.find(|(_, run)| run.place.is_none() && firing_key(&run.key).text() == key).map(|(seq, _)| seq)
        });
        found.ok().flatten().map(|seq| OpenRun { shard, number, seq })
    }

    /// What the ids of all these runs begin with: so nothing is listed in vain where few definitions are watched.
    pub fn prefix(&self, shared: &Shared) -> String {
        let first = self.by_name.keys().next();
        let last = self.by_name.keys().next_back();
        let prefix = &shared.dispatchers.prefix;
        let id = |name: &DefinitionKey| format!("{prefix}:{}:{}:", name.namespace, name.id);
        match (first, last) {
            // In order, what the first and the last have in common is common to all.
            (Some(first), Some(last)) if self.knows_all => common(&id(first), &id(last)),
            _ => format!("{prefix}:"),
        }
    }
}

/// Of a definition. Waits for the disk.
fn name(shared: &Shared, (shard, number): (u32, u64)) -> Option<DefinitionKey> {
    let group = shared.led(shard)?;
    let version = group.read(|machine, _| machine.slots().get(number).map(|slot| slot.version)).ok()??;
    // A store that can't be read is noticed by those who write to it.
    let stored = query::version(&group.state(), number, version).ok()??;
    Some(DefinitionKey::new(stored.namespace, stored.id))
}

fn common(a: &str, b: &str) -> String {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_ids_begin_with() {
        for (a, b, expected) in
            [("f:n:a:", "f:n:a:", "f:n:a:"), ("f:n:abc:", "f:n:abd:", "f:n:ab"), ("f:a:x:", "f:b:x:", "f:")]
        {
            assert_eq!(common(a, b), expected);
        }
    }
}
