//! From a producer's batch to the shards: validate, match, compute dedupe keys, send each shard just what matched there, and answer when all of
//! them have it on disk. What matches nothing ends here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_events::Subscription;
use flintwheel_model::event::{self, Event};
use flintwheel_model::ids::dedupe_digest;
use flintwheel_model::violation::Violations;
use flintwheel_model::{FiringKey, limits};
use flintwheel_proto::cloudevent::Envelope;
use flintwheel_shard::entry::Match;
use flintwheel_shard::reply::Ingested;
use tokio::sync::oneshot;

use crate::actors::shard::IngestJob;
use crate::cloudevents;
use crate::error::EngineError;
use crate::shared::Shared;

/// A match that was stale is matched again; definitions that change faster than this is a caller that never stops applying.
const ROUNDS: usize = 8;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Events taken in: valid, whether they matched or not.
    pub accepted: u32,
    /// Of them, those that matched at least one definition.
    pub matched: u32,
    /// Matches that were dropped, for their key had been seen.
    pub duplicate: u32,
    /// Firings decided.
    pub fired: u32,
    /// Events that are not valid, by index.
    pub rejected: Vec<(u32, Rejection)>,
}

/// Why an event was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A word for programs.
    pub reason: &'static str,
    /// The attribute, empty for the whole event.
    pub field: String,
    /// For people.
    pub message: String,
}

impl Rejection {
    fn new(reason: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self { reason, field: field.to_owned(), message: message.into() }
    }
}

/// Takes a batch of encoded CloudEvents in; returns when all that fires is durable.
pub async fn publish(shared: &Arc<Shared>, namespace: &str, events: &[Bytes]) -> Result<Published, EngineError> {
    let mut published = Published::default();
    let mut pending: Vec<u32> = Vec::with_capacity(events.len());
    let now = shared.clock.now();
    for (index, bytes) in events.iter().enumerate() {
        match check(bytes, now) {
            Ok(()) => pending.push(index as u32),
            Err(rejection) => published.rejected.push((index as u32, rejection)),
        }
    }
    published.accepted = pending.len() as u32;
    let mut matched = vec![false; events.len()];
    for round in 0..ROUNDS {
        let jobs = match_all(shared, namespace, events, &pending, &mut published, &mut matched, round == 0);
        if jobs.is_empty() {
            break;
        }
        pending = send(shared, jobs, &mut published).await?;
        if pending.is_empty() {
            break;
        }
    }
    if !pending.is_empty() && published.fired == 0 && matched.iter().any(|m| *m) {
        tracing::debug!(namespace, "matches were stale to the last");
    }
    published.matched = matched.iter().filter(|m| **m).count() as u32;
    count(shared, &published);
    Ok(published)
}

fn count(shared: &Shared, published: &Published) {
    shared.metrics.events("matched", published.matched);
    shared.metrics.events("unmatched", published.accepted.saturating_sub(published.matched));
    shared.metrics.events("duplicate", published.duplicate);
    shared.metrics.events("rejected", published.rejected.len() as u32);
}

/// The rules of the envelope, on the wire form; most events pass without an allocation.
fn check(bytes: &[u8], now: i64) -> Result<(), Rejection> {
    if bytes.len() > limits::EVENT_BYTES {
        let message = format!("{} bytes; at most {}", bytes.len(), limits::EVENT_BYTES);
        return Err(Rejection::new("EVENT_TOO_LARGE", "", message));
    }
    let envelope = Envelope::read(bytes).map_err(|e| Rejection::new("EVENT_MALFORMED", "", e.to_string()))?;
    let plain = |text: &str| (1..=limits::ATTRIBUTE_LEN).contains(&text.len()) && !text.chars().any(char::is_control);
    let simple = envelope.attribute_count == 0
        && envelope.spec_version == "1.0"
        && plain(envelope.id)
        && plain(envelope.source)
        && plain(envelope.event_type);
    if simple {
        return Ok(());
    }
    if envelope.attribute_count + 4 > limits::ATTRIBUTES {
        let message = format!("{} attributes; at most {}", envelope.attribute_count + 4, limits::ATTRIBUTES);
        return Err(Rejection::new("EVENT_INVALID", "", message));
    }
    let event = cloudevents::event(bytes).map_err(|e| Rejection::new("EVENT_MALFORMED", "", e.to_string()))?;
    event.check().map_err(first)?;
    check_time(&event, now)
}

fn first(faults: Violations) -> Rejection {
    let fault = faults.0.into_iter().next();
    fault.map_or_else(
        || Rejection::new("EVENT_INVALID", "", "is not valid"),
        |fault| Rejection::new("EVENT_INVALID", &fault.field, fault.message),
    )
}

fn check_time(event: &Event, now: i64) -> Result<(), Rejection> {
    let Some(text) = event.attribute("time") else { return Ok(()) };
    let Ok(time) = chrono::DateTime::parse_from_rfc3339(&text) else { return Ok(()) };
    if time.timestamp() > now / 1_000_000 + limits::EVENT_AHEAD_SECS {
        let message = format!("{text} is more than a day ahead of this server's clock");
        return Err(Rejection::new("EVENT_INVALID", "time", message));
    }
    Ok(())
}

/// What one shard gets of a batch, and which of the batch's events that is.
#[derive(Default)]
struct ShardBatch {
    events: Vec<Bytes>,
    indices: Vec<u32>,
    matches: Vec<Match>,
}

fn match_all(
    shared: &Shared,
    namespace: &str,
    events: &[Bytes],
    pending: &[u32],
    published: &mut Published,
    matched: &mut [bool],
    first_round: bool,
) -> BTreeMap<u32, ShardBatch> {
    let mut batches: BTreeMap<u32, ShardBatch> = BTreeMap::new();
    let index = shared.index.read();
    let mut found: Vec<Arc<Subscription>> = Vec::new();
    for number in pending {
        let bytes = &events[*number as usize];
        let Ok(envelope) = Envelope::read(bytes) else { continue };
        find(&index, namespace, &envelope, &mut found);
        matched[*number as usize] |= !found.is_empty();
        for subscription in found.drain(..) {
            match key(&subscription, &envelope, bytes) {
                Ok(key) => batches.entry(subscription.shard).or_default().push(*number, bytes, &subscription, key),
                // In later rounds it has been told already.
                Err(rejection) if first_round => published.rejected.push((*number, rejection)),
                Err(_) => {}
            }
        }
    }
    batches
}

/// The subscriptions that an event matches.
fn find(index: &flintwheel_events::Index, namespace: &str, envelope: &Envelope, found: &mut Vec<Arc<Subscription>>) {
    // Attributes in canonical form, only if the event has any: the closure hands out references to them.
    let attributes: Vec<(&str, std::borrow::Cow<str>)> = if envelope.attribute_count == 0 {
        Vec::new()
    } else {
        envelope.attributes().map(|(name, value)| (name, value.canonical())).collect()
    };
    let attribute = |name: &str| match name {
        "id" => Some(envelope.id),
        "source" => Some(envelope.source),
        "specversion" => Some(envelope.spec_version),
        other => attributes.iter().rev().find(|(name, _)| *name == other).map(|(_, value)| value.as_ref()),
    };
    index.matches(namespace, envelope.event_type, attribute, |subscription| found.push(Arc::clone(subscription)));
}

fn key(subscription: &Subscription, envelope: &Envelope, bytes: &[u8]) -> Result<String, Rejection> {
    if subscription.matcher.has_default_key() {
        return Ok(event::default_key(envelope.source, envelope.id));
    }
    match subscription.matcher.key_attribute() {
        Some("id") => return Ok(envelope.id.to_owned()),
        Some("source") => return Ok(envelope.source.to_owned()),
        Some("type") => return Ok(envelope.event_type.to_owned()),
        _ => {}
    }
    let event = cloudevents::event(bytes).map_err(|e| Rejection::new("EVENT_MALFORMED", "", e.to_string()))?;
    let key = subscription.matcher.key(&event);
    key.map_err(|e| Rejection::new("DEDUPE_KEY_FAILED", "dedupe_key_strategy.key", e.to_string()))
}

impl ShardBatch {
    fn push(&mut self, number: u32, bytes: &Bytes, subscription: &Subscription, key: String) {
        if self.indices.last() != Some(&number) {
            self.indices.push(number);
            self.events.push(bytes.clone());
        }
        let key = FiringKey::Event(key);
        let digest = dedupe_digest(subscription.number, &key);
        let FiringKey::Event(key) = key else { unreachable!("made an event's key above") };
        self.matches.push(Match {
            event: self.events.len() as u32 - 1,
            number: subscription.number,
            version: subscription.version,
            key,
            digest,
            window: subscription.matcher.window(),
        });
    }

    fn bytes(&self) -> usize {
        self.events.iter().map(Bytes::len).sum::<usize>() + self.matches.len() * size_of::<Match>()
    }
}

/// Hands each shard its part and waits for all of them; returns the events whose matches were stale.
async fn send(
    shared: &Arc<Shared>,
    batches: BTreeMap<u32, ShardBatch>,
    published: &mut Published,
) -> Result<Vec<u32>, EngineError> {
    let mut answers = Vec::with_capacity(batches.len());
    for (shard, batch) in batches {
        let permit = shared.admit(shard, batch.bytes()).await?;
        let (reply, answer) = oneshot::channel();
        let events: Vec<u32> = batch.matches.iter().map(|m| batch.indices[m.event as usize]).collect();
        shared.ingest(shard, IngestJob { events: batch.events, matches: batch.matches, reply, permit })?;
        answers.push((shard, events, answer));
    }
    let mut stale = Vec::new();
    for (shard, events, answer) in answers {
        let outcomes = answer.await.map_err(|_| EngineError::Restarting { shard })??;
        for (event, outcome) in events.into_iter().zip(outcomes) {
            match outcome {
                Ingested::Fired => published.fired += 1,
                Ingested::Duplicate => published.duplicate += 1,
                Ingested::Skipped => {}
                Ingested::Stale => stale.push(event),
            }
        }
    }
    stale.sort_unstable();
    stale.dedup();
    Ok(stale)
}
