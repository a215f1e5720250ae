//! Ends of runs, brought to the definitions that wait for them: the way of events, but what comes of it is a due time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_events::{DueAfter, Subscription};
use flintwheel_model::definition::{RunOutcome, after_type};
use flintwheel_model::ids::dedupe_digest;
use flintwheel_model::{DefinitionKey, FiringKey};
use flintwheel_shard::entry::{Match, RunEnd};
use tokio::time::Instant;

use super::{PATIENCE, Pending, Published, ROUNDS, ShardBatch, send};
use crate::error::EngineError;
use crate::interest::restoring;
use crate::shared::Shared;

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Of which definition.
    pub key: DefinitionKey,
    /// Tells it from all other runs of that name, also of one that was deleted before.
    pub run_key: String,
    /// How.
    pub end: RunEnd,
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// All of that, for people.
    pub because: String,
}

/// Makes those due that wait for these runs. By run: whether all of them have it on disk.
pub async fn tell(shared: &Arc<Shared>, completions: &[Completion]) -> Result<Vec<bool>, EngineError> {
    let all = (0..completions.len() as u32).collect();
    let mut pending = Pending { events: all, of: None, failed: false };
    // Nobody asks how many there were.
    let mut published = Published::default();
    let (deadline, mut rounds) = (Instant::now() + PATIENCE, 0);
    while !pending.events.is_empty() && rounds < ROUNDS {
        let Some(batches) = match_all(shared, completions, &pending)? else {
            shared.interest.may_match(deadline).await?;
            continue;
        };
        pending = send(shared, batches, &mut published, deadline).await?;
        rounds += usize::from(!pending.failed);
    }
    Ok((0..completions.len() as u32).map(|index| !pending.events.contains(&index)).collect())
}

/// What each shard gets; `None` if this node may not match now. While a backup is being brought in, who waits may be about to come.
fn match_all(
    shared: &Shared,
    completions: &[Completion],
    pending: &Pending,
) -> Result<Option<BTreeMap<u32, ShardBatch>>, EngineError> {
    let Some(index) = shared.interest.matching() else { return Ok(None) };
    if let Some(shard) = restoring::shard(&index) {
        return Err(EngineError::Restoring { shard });
    }
    let mut batches: BTreeMap<u32, ShardBatch> = BTreeMap::new();
    for number in &pending.events {
        let completion = &completions[*number as usize];
        let listens = after_type(&completion.key.id);
        index.matches(
            &completion.key.namespace,
            &listens,
            |_| None,
            |subscription| {
                if pending.asks_for(*number, subscription.shard) {
                    push(&mut batches, *number, completion, subscription);
                }
            },
        );
    }
    Ok(Some(batches))
}

fn push(batches: &mut BTreeMap<u32, ShardBatch>, number: u32, completion: &Completion, waits: &Subscription) {
    let due = waits.matcher.after().iter().filter(|due| is_meant(due.outcome, completion.end));
    for due in due {
        let batch = batches.entry(waits.shard).or_default();
        if batch.indices.last() != Some(&number) {
            batch.indices.push(number);
            batch.events.push(Bytes::from(completion.because.clone().into_bytes()));
        }
        let key = key(completion, due);
        batch.matches.push(Match {
            event: batch.events.len() as u32 - 1,
            number: waits.number,
            version: waits.version,
            digest: dedupe_digest(waits.number, &FiringKey::Event(key.clone())),
            key,
            window: waits.matcher.window(),
            due: Some(completion.at.saturating_add(i64::try_from(due.delay).unwrap_or(i64::MAX / 2))),
        });
    }
}

/// By which it is known that a definition was told of a run. No event has such a key: it holds a control character. Not the place of the entry in
/// the definition: it may have changed between two tries.
fn key(completion: &Completion, due: &DueAfter) -> String {
    let Completion { key, run_key, .. } = completion;
    format!("{}:{run_key}:{}:{}", after_type(&key.id), due.outcome.as_str(), due.delay)
}

fn is_meant(outcome: RunOutcome, end: RunEnd) -> bool {
    match outcome {
        RunOutcome::Success => end == RunEnd::Completed,
        RunOutcome::Failure => matches!(end, RunEnd::Failed | RunEnd::TimedOut),
        RunOutcome::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_events::Matcher;
    use flintwheel_shard::entry::AFTER;

    use super::*;

    fn completion(end: RunEnd) -> Completion {
        let because = "nightly t:1 ended".to_owned();
        Completion { key: DefinitionKey::new("n", "nightly"), run_key: "7:t:1".into(), end, at: 1_000_000, because }
    }

    #[test]
    fn who_waits_for_a_run_is_due_by_how_it_has_ended() {
        let due = |outcome, delay| DueAfter { outcome, delay };
        let (success, failure, any) =
            (due(RunOutcome::Success, 1), due(RunOutcome::Failure, 20), due(RunOutcome::Any, 300));
        let matcher = Matcher::decode(&Matcher::encode_after(vec![success, failure, any])).expect("a matcher");
        let waits = Subscription { shard: 3, number: 5, version: 2, matcher };
        for (end, expected) in [
            (RunEnd::Completed, vec![1_000_001, 1_000_300]),
            (RunEnd::Failed, vec![1_000_020, 1_000_300]),
            (RunEnd::TimedOut, vec![1_000_020, 1_000_300]),
            (RunEnd::Canceled, vec![1_000_300]),
            (RunEnd::Terminated, vec![1_000_300]),
            (RunEnd::Gone, vec![1_000_300]),
        ] {
            let mut batches = BTreeMap::new();
            push(&mut batches, 0, &completion(end), &waits);
            let batch = &batches[&3];
            let found: Vec<i64> = batch.matches.iter().filter_map(|matched| matched.due).collect();
            assert_eq!((found, batch.events.len()), (expected, 1), "{end:?}");
        }
    }

    #[test]
    fn each_run_and_each_entry_has_a_key_of_its_own_that_no_event_has() {
        let done = completion(RunEnd::Completed);
        let other = Completion { run_key: "8:t:1".into(), ..done.clone() };
        let due = |outcome, delay| DueAfter { outcome, delay };
        let keys = [
            key(&done, &due(RunOutcome::Any, 0)),
            key(&done, &due(RunOutcome::Any, 1)),
            key(&done, &due(RunOutcome::Success, 0)),
            key(&other, &due(RunOutcome::Any, 0)),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(one.starts_with(AFTER) && !keys[..place].contains(one), "{one}");
        }
        assert!(after_type("a").starts_with(AFTER), "shards know them by that");
    }
}
