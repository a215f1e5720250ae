//! Runs of one definition that make others due: whose runs are watched for that, and how who waits is told of their ends. What it knows it knows
//! of the shards and of the index of subscriptions; who leads a shard next goes on with what stands there.

mod follow;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use flintwheel_shard::Machine;
use tokio::time::MissedTickBehavior;

use crate::plans::Timing;
use crate::shared::Shared;
use follow::Followed;
use tell::Telling;

/// How often is looked what has ended. Who watches runs comes by once a second.
const ROUND: Duration = Duration::from_millis(500);
/// Rounds after which is looked again whose runs are to be watched: whoever applies a definition has that done at once, this is for what was
/// applied at the same time, restored, or deleted.
const FOLLOW_EVERY: u32 = 4;

/// For all time.
pub async fn run(shared: Arc<Shared>) {
    let (mut followed, mut telling) = (Followed::default(), Telling::default());
    let mut every = tokio::time::interval(ROUND);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in (0..FOLLOW_EVERY).cycle() {
        every.tick().await;
        if round == 0 {
            followed.look(&shared).await;
        }
        telling.round(&shared).await;
    }
}

/// A definition's timing with the due times that have come from runs of others; none where there are none, as nearly always.
pub fn with_coming(machine: &Machine, number: u64, timing: &Timing) -> Option<Timing> {
    let track = machine.tracks().get(number).filter(|track| track.coming_len() > 0)?;
    let plan = timing.plan.with_admitted(track.coming().map(|(nominal, _)| nominal));
    Some(Timing { plan, misfire: timing.misfire, seed: timing.seed })
}

/// The same of one definition: nominal times, each with what is known of the run, for people.
pub fn coming(machine: &Machine, number: u64) -> Vec<(i64, String)> {
    let track = machine.tracks().get(number);
    let coming = track.into_iter().flat_map(|track| track.coming());
    coming.map(|(nominal, why)| (nominal, String::from_utf8_lossy(why).into_owned())).collect()
}
