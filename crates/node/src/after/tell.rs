//! Ends of runs told to those who wait for them, wherever these are, until they have them on disk; then their own shard forgets them. Told twice,
//! they are known by their keys.

use std::collections::HashMap;
use std::sync::Arc;

use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::rfc3339;
use flintwheel_raft::Group;
use flintwheel_shard::entry::{Body, FollowStep, RunEnd};
use flintwheel_shard::tracks::Ended;
use flintwheel_shard::{Machine, query};
use futures::stream::{self, StreamExt};

use crate::dispatch::firing_key;
use crate::error::EngineError;
use crate::ingress::after::{self, Completion};
use crate::shared::Shared;

/// Of one shard in one round; the others wait for the next.
const BATCH: usize = 256;
/// Shards whose ends are told at the same time: one that waits for somebody who can't be reached holds no other one up.
const SIDE_BY_SIDE: usize = 16;

/// Where each shard goes on. Can be lost at any time.
#[derive(Default)]
pub struct Telling(HashMap<u32, Place>);

/// One shard's.
#[derive(Clone, Copy)]
struct Place {
    /// Definition and run with which the next round begins.
    from: (u64, u64),
    /// As many are told together. One that can't be told to all who wait for it holds those up that are told with it, so after a round with one
    /// they are told one by one, and then more and more of them.
    many: usize,
}

const AT_FIRST: Place = Place { from: (0, 0), many: BATCH };

impl Telling {
    /// What has ended in the shards that this node leads.
    pub async fn round(&mut self, shared: &Arc<Shared>) {
        let mut work = Vec::new();
        // Without an actor nothing can be written down.
        for group in shared.led_groups().into_iter().filter(|group| shared.has_actor(group.shard())) {
            let place = self.0.remove(&group.shard()).unwrap_or(AT_FIRST);
            let ended = group.read(|machine, _| if machine.is_held() { Vec::new() } else { ended(machine, place) });
            // A shard that has stopped tells nothing.
            let ended = ended.unwrap_or_default();
            if !ended.is_empty() {
                work.push(told(shared, group, place, ended));
            }
        }
        let places: Vec<(u32, Place)> = stream::iter(work).buffer_unordered(SIDE_BY_SIDE).collect().await;
        self.0.extend(places);
    }
}

/// Tells some; says where to go on.
async fn told(
    shared: &Arc<Shared>,
    group: Group<Machine>,
    place: Place,
    ended: Vec<(u64, u64, Ended)>,
) -> (u32, Place) {
    let shard = group.shard();
    let after = ended.last().map_or((0, 0), |(number, run, _)| (*number, run + 1));
    let many = match tell(shared, &group, ended).await {
        Ok(()) => (place.many * 2).min(BATCH),
        Err(error) => {
            tracing::debug!(shard, %error, "ends of runs were not told to all who wait for them; it is tried again");
            1
        }
    };
    (shard, Place { from: after, many })
}

/// Some of the runs that have ended, in a circle.
fn ended(machine: &Machine, place: Place) -> Vec<(u64, u64, Ended)> {
    let tracks = machine.tracks();
    let of = |(number, run)| Some((number, run, tracks.get(number)?.ended_run(run)?.clone()));
    let circle = tracks.ended_from(place.from).chain(tracks.ended_from((0, 0)).take_while(|run| *run < place.from));
    circle.take(place.many).filter_map(of).collect()
}

async fn tell(shared: &Arc<Shared>, group: &Group<Machine>, ended: Vec<(u64, u64, Ended)>) -> Result<(), EngineError> {
    let of = group.clone();
    let read = tokio::task::spawn_blocking(move || completions(&of, ended)).await;
    let known = read.map_err(|error| EngineError::Read(format!("ends of runs were not read: {error}")))??;
    let (runs, completions): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    let told = after::tell(shared, &completions).await?;
    let done = runs.iter().zip(told).filter(|(_, told)| *told);
    let steps: Vec<FollowStep> =
        done.map(|((number, run), _)| FollowStep::Told { number: *number, run: *run }).collect();
    if !steps.is_empty() {
        let bytes = steps.len() * 16;
        shared.command(group.shard(), Body::Follow(steps), bytes).await?;
    }
    Ok(())
}

type Known = ((u64, u64), Completion);

/// With the names of their definitions. Waits for the disk.
fn completions(group: &Group<Machine>, ended: Vec<(u64, u64, Ended)>) -> Result<Vec<Known>, EngineError> {
    let mut known = Vec::with_capacity(ended.len());
    for (number, run, ended) in ended {
        // Deleted since: then its runs are nobody's business any more.
        let Some(version) = group.read(|machine, _| machine.slots().get(number).map(|slot| slot.version))? else {
            continue;
        };
        let Some(stored) = query::version(&group.state(), number, version)? else { continue };
        let (key, firing) = (DefinitionKey::new(stored.namespace, stored.id), firing_key(&ended.key).text());
        let because = format!("{} {firing} {} at {}", key.id, word(ended.end), rfc3339(ended.at));
        let run_key = format!("{}:{firing}", stored.incarnation);
        known.push(((number, run), Completion { key, run_key, end: ended.end, at: ended.at, because }));
    }
    Ok(known)
}

/// How a run has ended, for people.
fn word(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Completed => "succeeded",
        RunEnd::Failed => "failed",
        RunEnd::TimedOut => "timed out",
        RunEnd::Canceled => "was cancelled",
        RunEnd::Terminated => "was terminated",
        RunEnd::Gone => "is gone",
    }
}
