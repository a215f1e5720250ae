//! Whose runs are watched because others wait for them: brought up to what the index of subscriptions says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flintwheel_model::DefinitionKey;
use flintwheel_shard::entry::{Body, FollowStep};
use flintwheel_shard::query;
use flintwheel_shard::tracks::LINGER;

use crate::error::EngineError;
use crate::interest::restoring;
use crate::shared::Shared;

/// Steps of one entry.
const BATCH: usize = 256;

/// Of definitions that others wait for: shard and number, as they were seen. Can be lost at any time.
#[derive(Default)]
pub struct Followed(HashMap<DefinitionKey, (u32, u64)>);

/// A definition that others wait for, and its number if it is there.
type Found = (DefinitionKey, Result<Option<u64>, EngineError>);

impl Followed {
    /// Looks at the shards that this node leads.
    pub async fn look(&mut self, shared: &Arc<Shared>) {
        // In this order: who is watched now and whom nobody waits for after that is not about to be waited for by somebody who has asked before.
        let watched = watched(shared);
        let Some(wanted) = wanted(shared) else { return };
        if wanted.is_empty() && watched.is_empty() {
            self.0.clear();
            return;
        }
        let unknown: Vec<DefinitionKey> = wanted.iter().filter(|key| !self.is_watched(shared, key)).cloned().collect();
        let with = Arc::clone(shared);
        let find = move || unknown.into_iter().map(|key| (number(&with, &key), key)).collect::<Vec<_>>();
        // A task that was cut off has found nothing: it is looked again.
        let Ok(found) = tokio::task::spawn_blocking(find).await else { return };
        self.0.retain(|key, _| wanted.contains(key));
        let steps = self.steps(shared, watched, found.into_iter().map(|(number, key)| (key, number)));
        for (shard, steps) in steps {
            for part in steps.chunks(BATCH) {
                if let Err(error) = shared.command(shard, Body::Follow(part.to_vec()), part.len() * 16).await {
                    tracing::debug!(shard, %error, "whose runs are watched was not written; it is tried again");
                }
            }
        }
    }

    /// By shard: what is to be written.
    fn steps(
        &mut self,
        shared: &Shared,
        watched: Vec<(u32, u64, i64)>,
        found: impl Iterator<Item = Found>,
    ) -> BTreeMap<u32, Vec<FollowStep>> {
        let mut steps: BTreeMap<u32, Vec<FollowStep>> = BTreeMap::new();
        // Shards of which is not known all that others wait for: nobody there is forgotten.
        let mut unsure = BTreeSet::new();
        for (key, number) in found {
            let shard = key.shard(shared.shards());
            match number {
                Ok(Some(number)) => {
                    steps.entry(shard).or_default().push(FollowStep::Follow { number, followed: true });
                    self.0.insert(key, (shard, number));
                }
                Ok(None) => _ = self.0.remove(&key),
                Err(_) => _ = unsure.insert(shard),
            }
        }
        let wanted: BTreeSet<(u32, u64)> = self.0.values().copied().collect();
        let now = shared.clock.now();
        let idle = watched.into_iter().filter(|(shard, number, asked)| {
            now - asked >= LINGER && !unsure.contains(shard) && !wanted.contains(&(*shard, *number))
        });
        for (shard, number, _) in idle {
            steps.entry(shard).or_default().push(FollowStep::Follow { number, followed: false });
        }
        steps
    }

    /// Whether the runs of a definition of which that is wanted are watched.
    fn is_watched(&self, shared: &Shared, key: &DefinitionKey) -> bool {
        let Some((shard, number)) = self.0.get(key) else { return false };
        let Some(group) = shared.led(*shard) else { return false };
        group.read(|machine, _| machine.tracks().is_followed(*number)).unwrap_or(false)
    }
}

/// Definitions that others wait for; none where this node does not know that now, or where those who wait may be about to come with a backup.
fn wanted(shared: &Shared) -> Option<BTreeSet<DefinitionKey>> {
    let index = shared.interest.matching()?;
    if restoring::shard(&index).is_some() {
        return None;
    }
    Some(index.followed().map(|(namespace, id)| DefinitionKey::new(namespace, id)).collect())
}

/// Definitions whose runs are watched, in the shards that this node leads: shard, number, and when that was last asked for.
fn watched(shared: &Shared) -> Vec<(u32, u64, i64)> {
    let mut watched = Vec::new();
    for group in shared.led_groups().into_iter().filter(|group| shared.has_actor(group.shard())) {
        let shard = group.shard();
        // A shard that has stopped watches nothing.
        let _ = group.read(|machine, _| {
            let tracks = machine.tracks();
            let of = |number| Some((shard, number, tracks.get(number)?.followed_since()?));
            watched.extend(tracks.followed().filter_map(of));
        });
    }
    watched
}

/// The number of a definition that is there. Waits for the disk.
fn number(shared: &Shared, key: &DefinitionKey) -> Result<Option<u64>, EngineError> {
    let group = shared.led(key.shard(shared.shards())).ok_or(EngineError::NotLed)?;
    Ok(query::number(&group.state(), &key.namespace, &key.id)?)
}
