//! Backfills on their way: for each that a shard led here has, the next due times are computed and decided in bounded entries, at its pace. What is
//! due by itself goes first: no more is decided than the sink takes.
//!
//! Nothing is kept here that the shards do not hold: who leads next goes on where each stands.

mod times;

pub use times::{Count, coming, count, first};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flintwheel_raft::Group;
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::entry::{AdvanceBackfill, BackfillStep, Body};
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Backfilled, Outcome};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::tracks::{Policy, Track};
use flintwheel_shard::{Machine, query};
use futures::{StreamExt, stream};

use crate::calendars;
use crate::error::EngineError;
use crate::plans::{Find, Plans, Timing};
use crate::shared::Shared;

/// How often backfills go on, while there are some; and how often it is looked whether there are.
const ROUND: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
/// Due times of one entry.
const BATCH: u32 = 128;
/// Firings of a shard's namespace that wait for the sink, beyond which backfills wait: so many may come before what is due by itself.
const AHEAD: u64 = 128;
/// Backfills that go on at the same time.
const SIDE_BY_SIDE: usize = 16;

/// One backfill: shard, definition, id.
type Which = (u32, u64, String);

/// How much of a backfill's pace has not been used.
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    /// Due times that may be decided now, at so many a second.
    fn take(&mut self, rate: u32, now: Instant) -> usize {
        let rate = f64::from(rate);
        let gained = now.duration_since(self.at).as_secs_f64() * rate;
        // What was not used for long is not made up for.
        (self.left, self.at) = ((self.left + gained).min(rate.max(1.0)), now);
        self.left.min(f64::from(BATCH)) as usize
    }
}

/// Goes on for all time.
pub async fn run(shared: Arc<Shared>) {
    let mut paces: HashMap<Which, Pace> = HashMap::new();
    loop {
        let running = running(&shared);
        let idle = running.is_empty();
        paces.retain(|which, _| running.contains(which));
        let now = Instant::now();
        let mut steps = Vec::with_capacity(running.len());
        for which in running {
            let pace = paces.remove(&which).unwrap_or(Pace { left: 1.0, at: now });
            steps.push(one(&shared, which, pace, now));
        }
        let mut steps = stream::iter(steps).buffer_unordered(SIDE_BY_SIDE);
        while let Some((which, pace)) = steps.next().await {
            paces.insert(which, pace);
        }
        tokio::time::sleep(if idle { IDLE } else { ROUND }).await;
    }
}

/// Those of all shards that this node leads.
fn running(shared: &Shared) -> Vec<Which> {
    let peers = &shared.peers;
    if !peers.clocks().may_fire(peers.me()) {
        return Vec::new();
    }
    let mut running = Vec::new();
    for group in shared.led_groups() {
        let shard = group.shard();
        // A shard that has stopped goes on elsewhere.
        let _ = group.read(|machine, _| {
            let of = machine.backfills().running().filter(|_| !machine.is_held());
            running.extend(of.map(|(number, id)| (shard, number, id.to_owned())));
        });
    }
    running
}

async fn one(shared: &Arc<Shared>, which: Which, mut pace: Pace, now: Instant) -> (Which, Pace) {
    match go_on(shared, &which, &mut pace, now).await {
        Ok(decided) => pace.left -= f64::from(decided),
        Err(error) => {
            let (shard, number, backfill) = &which;
            tracing::debug!(shard, number, backfill, %error, "a backfill did not go on; tried again");
        }
    }
    (which, pace)
}

/// Decides the next due times, if it may; says how many.
async fn go_on(shared: &Arc<Shared>, which: &Which, pace: &mut Pace, now: Instant) -> Result<u32, EngineError> {
    let (shard, number, id) = which;
    let Some(group) = shared.led(*shard) else { return Ok(0) };
    let Some((known, slot, most)) = stands(&group, *number, id)? else { return Ok(0) };
    let count = pace.take(known.range.rate, now).min(most);
    if count == 0 {
        return Ok(0);
    }
    let (with, of) = (Arc::clone(shared), (group.clone(), *number, id.clone()));
    let step = tokio::task::spawn_blocking(move || next_step((&with, &of.0), (of.1, of.2), &slot, &known, count)).await;
    let step = step.map_err(|error| EngineError::Read(format!("a schedule was not looked at: {error}")))??;
    let Some(step) = step else { return Ok(0) };
    let bytes = size_of_val(&*step.times);
    let applied = shared.command(*shard, Body::Backfill(vec![BackfillStep::Advance(step)]), bytes).await?;
    match applied.outcome {
        Outcome::Backfilled(outcomes) => match outcomes.first() {
            Some(Backfilled::Advanced { fired, skipped }) => {
                shared.metrics.backfilled(fired + skipped);
                Ok(fired + skipped)
            }
            // It was stopped, or its definition has changed: looked at again.
            _ => Ok(0),
        },
        _ => Err(EngineError::Read("a backfill entry was answered with another outcome".into())),
    }
}

/// Where one stands, and how many due times may be decided now.
fn stands(group: &Group<Machine>, number: u64, id: &str) -> Result<Option<(Backfill, Slot, usize)>, EngineError> {
    let stands = group.read(|machine, _| {
        let known = machine.backfills().get(number, id)?.clone();
        let slot = *machine.slots().get(number)?;
        let room = AHEAD.saturating_sub(machine.outbox().pending_in(slot.lane.into()));
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(of_policy(&known, machine.tracks().get(number)));
        Some((known, slot, most))
    });
    Ok(stands?)
}

/// How many due times may be decided at once by its policy. Where each waits for the one before, one waits at most: what is due by itself comes
/// after that one, and not after all of them.
pub fn of_policy(known: &Backfill, track: Option<&Track>) -> usize {
    let policy = known.range.policy.or(track.map(Track::policy));
    match policy {
        Some(Policy::BufferAll) => usize::from(track.is_none_or(|track| track.waiting_len() == 0)),
        _ => BATCH as usize,
    }
}

fn next_step(
    (shared, group): (&Shared, &Group<Machine>),
    (number, backfill): (u64, String),
    slot: &Slot,
    known: &Backfill,
    count: usize,
) -> Result<Option<AdvanceBackfill>, EngineError> {
    let Some(stored) = query::version(&group.state(), number, slot.version)? else { return Ok(None) };
    let find = |namespace: &str, name: &str| calendars::find(&shared.calendars, group, namespace, name);
    let timing = timing(&stored, &find)?;
    let (times, next) = match &timing {
        Some(timing) => coming(&timing.plan, &known.range, known.next, count),
        // It has no schedule any more: nothing is left to be decided.
        None => (Vec::new(), flintwheel_shard::entry::NEVER),
    };
    Ok(Some(AdvanceBackfill { number, backfill, version: slot.version, times, next }))
}

/// The schedule of a stored version, if it has one.
pub fn timing(stored: &Version, find: Find<'_>) -> Result<Option<Arc<Timing>>, EngineError> {
    let mut plans = Plans::default();
    match plans.of_document(&stored.document, stored.incarnation, find) {
        Ok(plan) => Ok(Some(Arc::clone(plans.get(plan)))),
        Err(_) if !has_schedule(&stored.document) => Ok(None),
        Err(why) => Err(EngineError::Read(why)),
    }
}

fn has_schedule(document: &[u8]) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_slice(document).ok();
    document.is_none_or(|document| document.pointer("/spec/trigger/schedule").is_some_and(|s| !s.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_and_what_was_not_used_is_not_made_up_for() {
        let begun = Instant::now();
        let mut pace = Pace { left: 1.0, at: begun };
        let mut taken = Vec::new();
        for tenths in 0..20 {
            let now = begun + Duration::from_millis(100 * tenths);
            let may = pace.take(5, now);
            pace.left -= may as f64;
            taken.push(may);
        }
        // Floating point may be one short at a time.
        assert!((9..=11).contains(&taken.iter().sum::<usize>()), "{taken:?}");
        assert_eq!(pace.take(5, begun + Duration::from_secs(100)), 5, "a second's worth");
        assert_eq!(Pace { left: 1.0, at: begun }.take(1000, begun + Duration::from_secs(1)), BATCH as usize);
    }

    #[test]
    fn one_at_a_time_waits_where_all_wait() {
        let known = |policy| {
            let range = flintwheel_shard::entry::Range { from: 0, to: 1, newest_first: false, rate: 1, policy };
            Backfill { range, begun: 0, next: 0, total: 1, decided: 0, skipped: 0, ended: None }
        };
        assert_eq!(of_policy(&known(Some(Policy::BufferAll)), None), 1);
        for policy in [None, Some(Policy::Skip), Some(Policy::AllowAll)] {
            assert_eq!(of_policy(&known(policy), None), BATCH as usize);
        }
    }
}
