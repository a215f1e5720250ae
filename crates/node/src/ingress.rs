//! From a producer's batch to the shards: validate, match, compute dedupe keys, send each shard just what matched there, wherever it is led, and
//! answer when all of them have it on disk. What matches nothing ends here.

pub mod after;
mod remote;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_events::Subscription;
use flintwheel_model::event::{self, Event};
use flintwheel_model::ids::dedupe_digest;
use flintwheel_model::violation::Violations;
use flintwheel_model::{FiringKey, limits};
use flintwheel_proto::cloudevent::Envelope;
use flintwheel_shard::entry::Match;
use flintwheel_shard::reply::Ingested;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::actors::shard::IngestJob;
use crate::cloudevents;
use crate::error::EngineError;
use crate::interest::restoring;
use crate::peers::Subject;
use crate::shared::{Place, Shared};

/// A match that was stale is matched again; definitions that change faster than this is a caller that never stops applying.
const ROUNDS: usize = 8;
/// For leases and leaders to be there: below the patience of the doors, so that the producer is told what was missing.
const PATIENCE: Duration = Duration::from_secs(4);
/// Before a shard that was not led is looked for again.
const AGAIN: Duration = Duration::from_millis(25);
/// Bytes of one message with matches to another node, unless one event alone has more.
const MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// What a match takes on the wire beside its key.
const MATCH_BYTES: usize = 48;

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

/// Lets other nodes bring matches for the shards that this one leads.
pub fn register(shared: &Arc<Shared>) {
    shared.peers.register(Subject::Ingest, Arc::new(remote::Taker(Arc::clone(shared))));
}

/// Takes a batch of encoded CloudEvents in; returns when all that fires is durable. Where a shard's leader is lost meanwhile, what it was sent is
/// sent again, and may then count as duplicate.
pub async fn publish(shared: &Arc<Shared>, namespace: &str, events: &[Bytes]) -> Result<Published, EngineError> {
    let mut published = Published::default();
    let mut valid: Vec<u32> = Vec::with_capacity(events.len());
    let now = shared.clock.now();
    for (index, bytes) in events.iter().enumerate() {
        match check(bytes, now) {
            Ok(()) => valid.push(index as u32),
            Err(rejection) => published.rejected.push((index as u32, rejection)),
        }
    }
    published.accepted = valid.len() as u32;
    let mut batch = Batch { namespace, events, matched: vec![false; events.len()] };
    let mut pending = Pending { events: valid, of: None, failed: false };
    let deadline = Instant::now() + PATIENCE;
    let mut rounds = 0;
    while !pending.events.is_empty() && rounds < ROUNDS {
        let Some(jobs) = match_all(shared, &mut batch, &pending, &mut published)? else {
            shared.interest.may_match(deadline).await?;
            continue;
        };
        pending = send(shared, jobs, &mut published, deadline).await?;
        // What was not taken in is tried until the deadline, and then refused: it may not be told as taken.
        rounds += usize::from(!pending.failed);
    }
    if !pending.events.is_empty() && published.fired == 0 && batch.matched.iter().any(|m| *m) {
        tracing::debug!(namespace, "matches were stale to the last");
    }
    published.matched = batch.matched.iter().filter(|m| **m).count() as u32;
    count(shared, &published);
    Ok(published)
}

/// A producer's batch on its way.
struct Batch<'a> {
    namespace: &'a str,
    events: &'a [Bytes],
    /// By event: whether anybody listens.
    matched: Vec<bool>,
}

/// Events that are to be matched (again).
struct Pending {
    events: Vec<u32>,
    /// With the subscriptions of these shards only, by event; of all shards in the first round.
    of: Option<BTreeSet<(u32, u32)>>,
    /// Some are not known to have been taken in; else all of them were stale.
    failed: bool,
}

impl Pending {
    fn again(of: BTreeSet<(u32, u32)>, failed: bool) -> Self {
        let mut events: Vec<u32> = of.iter().map(|(event, _)| *event).collect();
        events.dedup();
        Self { events, of: Some(of), failed }
    }

    fn asks_for(&self, event: u32, shard: u32) -> bool {
        self.of.as_ref().is_none_or(|of| of.contains(&(event, shard)))
    }
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

/// What each shard gets; `None` if this node may not match now. While a backup is being brought in, nothing is taken: what an event is for may be
/// about to come.
fn match_all(
    shared: &Shared,
    batch: &mut Batch<'_>,
    pending: &Pending,
    published: &mut Published,
) -> Result<Option<BTreeMap<u32, ShardBatch>>, EngineError> {
    let Some(index) = shared.interest.matching() else { return Ok(None) };
    if let Some(shard) = restoring::shard(&index) {
        return Err(EngineError::Restoring { shard });
    }
    let mut batches: BTreeMap<u32, ShardBatch> = BTreeMap::new();
    let mut found: Vec<Arc<Subscription>> = Vec::new();
    for number in &pending.events {
        let bytes = &batch.events[*number as usize];
        let Ok(envelope) = Envelope::read(bytes) else { continue };
        find(&index, batch.namespace, &envelope, &mut found);
        batch.matched[*number as usize] |= !found.is_empty();
        for subscription in found.drain(..).filter(|one| pending.asks_for(*number, one.shard)) {
            match key(&subscription, &envelope, bytes) {
                Ok(key) => batches.entry(subscription.shard).or_default().push(*number, bytes, &subscription, key),
                // In later rounds it has been told already.
                Err(rejection) if pending.of.is_none() => published.rejected.push((*number, rejection)),
                Err(_) => {}
            }
        }
    }
    Ok(Some(batches))
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
            due: None,
        });
    }

    /// By match: which event of the producer's batch it is of.
    fn events_of_matches(&self) -> Vec<u32> {
        self.matches.iter().map(|matched| self.indices[matched.event as usize]).collect()
    }

    /// In parts that fit into a message each.
    fn parts(self) -> Vec<Self> {
        let wire = |m: &Match| MATCH_BYTES + m.key.len();
        let mut parts: Vec<(Self, usize)> = Vec::new();
        for matched in self.matches {
            let (event, number) = (&self.events[matched.event as usize], self.indices[matched.event as usize]);
            let bytes = wire(&matched);
            let more = |part: &Self| bytes + if part.indices.last() == Some(&number) { 0 } else { event.len() };
            let fits = parts.last().is_some_and(|(part, taken)| taken + more(part) <= MESSAGE_BYTES);
            if !fits {
                parts.push((Self::default(), 0));
            }
            let Some((part, taken)) = parts.last_mut() else { continue };
            if part.indices.last() != Some(&number) {
                part.indices.push(number);
                part.events.push(event.clone());
                *taken += event.len();
            }
            *taken += bytes;
            part.matches.push(Match { event: part.events.len() as u32 - 1, ..matched });
        }
        parts.into_iter().map(|(part, _)| part).collect()
    }
}

/// What matches of a shard take of its room, in bytes.
fn weight(events: &[Bytes], matches: &[Match]) -> usize {
    events.iter().map(Bytes::len).sum::<usize>() + size_of_val(matches)
}

/// Matches of a shard on their way, each with its event.
struct Sent {
    shard: u32,
    events: Vec<u32>,
    answer: Answer,
}

enum Answer {
    Here(oneshot::Receiver<Result<Vec<Ingested>, EngineError>>),
    There(BoxFuture<'static, Result<Vec<Ingested>, EngineError>>),
    /// It was not sent.
    No(EngineError),
}

impl Answer {
    async fn get(self, shard: u32) -> Result<Vec<Ingested>, EngineError> {
        match self {
            Self::Here(answer) => answer.await.map_err(|_| EngineError::Restarting { shard })?,
            Self::There(answer) => answer.await,
            Self::No(error) => Err(error),
        }
    }
}

/// Hands each shard its part and waits for all of them; returns what is to be matched again: stale, or not known to have been taken in.
async fn send(
    shared: &Arc<Shared>,
    batches: BTreeMap<u32, ShardBatch>,
    published: &mut Published,
    deadline: Instant,
) -> Result<Pending, EngineError> {
    let mut sent = Vec::with_capacity(batches.len());
    for (shard, batch) in batches {
        hand_over(shared, shard, batch, deadline, &mut sent).await?;
    }
    let (mut again, mut failed) = (BTreeSet::new(), None);
    for Sent { shard, events, answer } in sent {
        match answer.get(shard).await {
            Ok(outcomes) => {
                let stale = tell(published, &events, &outcomes);
                again.extend(stale.map(|event| (event, shard)));
            }
            // (One replica that stands still is led by another in a moment; where there is none, the deadline ends it.)
            Err(error @ (EngineError::NotLed | EngineError::Restarting { .. } | EngineError::ShardStopped(_))) => {
                again.extend(events.into_iter().map(|event| (event, shard)));
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let again = Pending::again(again, failed.is_some());
    if let Some(error) = failed {
        if shared.stopping.load(Ordering::Acquire) || Instant::now() + AGAIN > deadline {
            return Err(error);
        }
        sleep(AGAIN).await;
    }
    Ok(again)
}

async fn hand_over(
    shared: &Arc<Shared>,
    shard: u32,
    batch: ShardBatch,
    deadline: Instant,
    sent: &mut Vec<Sent>,
) -> Result<(), EngineError> {
    let node = match shared.place(shard) {
        Place::Here => {
            let permit = shared.admit(shard, weight(&batch.events, &batch.matches)).await?;
            let (reply, answer) = oneshot::channel();
            let events = batch.events_of_matches();
            let job = IngestJob { events: batch.events, matches: batch.matches, reply, permit };
            let answer = shared.ingest(shard, job).map_or_else(Answer::No, |()| Answer::Here(answer));
            sent.push(Sent { shard, events, answer });
            return Ok(());
        }
        Place::At(node) => node,
        Place::Nowhere => {
            sent.push(Sent { shard, events: batch.events_of_matches(), answer: Answer::No(EngineError::NotLed) });
            return Ok(());
        }
    };
    for part in batch.parts() {
        let events = part.events_of_matches();
        let answer = remote::bring(shared, (node, shard), part.events, part.matches, deadline);
        sent.push(Sent { shard, events, answer: Answer::There(answer) });
    }
    Ok(())
}

/// Counts the outcomes; gives the events whose matches were stale.
fn tell<'a>(
    published: &mut Published,
    events: &'a [u32],
    outcomes: &'a [Ingested],
) -> impl Iterator<Item = u32> + use<'a> {
    let of = |wanted: Ingested| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u32;
    published.fired += of(Ingested::Fired);
    published.duplicate += of(Ingested::Duplicate);
    events.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Ingested::Stale).map(|(event, _)| *event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shards_part_is_cut_into_messages_that_hold_each_match_once() {
        let key = "k".repeat(200);
        // Events of a megabyte, each with so many matches; matches of each message.
        for (matches, messages) in
            [(&[1, 1][..], &[1, 1][..]), (&[1, 1, 1], &[1, 1, 1]), (&[5000], &[4228, 772]), (&[0, 3, 0], &[3])]
        {
            let mut batch = ShardBatch::default();
            for (number, count) in matches.iter().enumerate() {
                let event = Bytes::from(vec![0; 1024 * 1024]);
                let one =
                    Match { event: 0, number: 1, version: 1, key: key.clone(), digest: [0; 16], window: 0, due: None };
                if *count > 0 {
                    batch.events.push(event);
                    batch.indices.push(number as u32);
                }
                let event = batch.events.len().saturating_sub(1) as u32;
                batch.matches.extend((0..*count).map(|_| Match { event, ..one.clone() }));
            }
            let of = batch.events_of_matches();
            let parts = batch.parts();
            assert_eq!(parts.iter().map(|part| part.matches.len()).collect::<Vec<_>>(), messages);
            assert_eq!(parts.iter().flat_map(ShardBatch::events_of_matches).collect::<Vec<_>>(), of);
        }
    }
}
