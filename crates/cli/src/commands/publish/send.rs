//! Sending: lines become batches, batches are under way together, and every event is accounted for at the end.

use std::time::Duration;

use flintwheel_client::publisher::BATCH_BYTES;
use flintwheel_client::{Error, PublishResult, Publisher, PublisherOptions, Ticket};
use flintwheel_model::limits::{EVENT_BYTES, JSON_DEPTH};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::event::{Encoded, encode};
use super::lines::{Line, Lines};
use crate::config::Session;
use crate::exit::{Exit, Failure, exit_of};
use crate::output::{Progress, say};

/// What is there is sent when nothing has followed for so long.
const QUIET: Duration = Duration::from_millis(20);
/// Batches under way.
const WINDOW: usize = 16;
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// What became of all events.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    /// Durable.
    pub accepted: u64,
    /// Of those, matched at least one definition.
    pub matched: u64,
    /// Firings made.
    pub fired: u64,
    /// Firings not made, because they had been before.
    pub duplicate: u64,
    /// Refused, here or by the server.
    pub refused: u64,
    /// Not acknowledged when publishing failed; how many lines followed is not known.
    pub lost: u64,
    /// How publishing failed, if it did.
    #[serde(skip)]
    pub failure: Option<Exit>,
}

impl Totals {
    fn add(&mut self, result: &PublishResult) {
        self.accepted += u64::from(result.accepted);
        self.matched += u64::from(result.matched);
        self.fired += u64::from(result.fired);
        self.duplicate += u64::from(result.duplicate);
        self.refused += result.rejected.len() as u64;
    }

    fn lose(&mut self, events: usize, error: &Error) {
        self.lost += events as u64;
        if self.failure.is_none() {
            self.failure = Some(exit_of(error.code));
            say(format_args!("error: {error}"));
        }
    }
}

/// One event, in a call of its own.
pub(super) async fn one(session: &Session, event: Encoded) -> Result<Totals, Failure> {
    let result = session.client.publish(&session.namespace, vec![event]).await?;
    for rejected in &result.rejected {
        say(format_args!("error: {}{}", field(&rejected.field), rejected.message));
    }
    let mut totals = Totals::default();
    totals.add(&result);
    Ok(totals)
}

/// Everything that the lines hold.
pub(super) async fn all(session: &Session, mut input: Lines, batch_events: usize) -> Totals {
    let options = PublisherOptions { window: WINDOW, give_up_after: GIVE_UP_AFTER };
    let publisher = session.client.publisher(&session.namespace, options);
    let (sent, under_way) = mpsc::channel(2 * WINDOW);
    let collector = tokio::spawn(collect(input.name.clone(), under_way));
    let mut batch = Batch::default();
    let mut refused = 0;
    loop {
        match timeout(QUIET, input.lines.recv()).await {
            Ok(Some(line)) => refused += u64::from(!take(&mut batch, &input.name, line)),
            Ok(None) => break,
            Err(_) if batch.is_empty() => continue,
            Err(_) => batch.full = true,
        }
        if (batch.full || batch.events.len() >= batch_events) && !send(&publisher, &mut batch, &sent).await {
            break;
        }
    }
    // Nothing follows a failure: whoever mends it sends the file again, and duplicates are dropped.
    send(&publisher, &mut batch, &sent).await;
    drop(sent);
    publisher.close().await;
    let mut totals = collector.await.unwrap_or_default();
    totals.refused += refused;
    totals
}

/// Events and the lines they stand on.
#[derive(Default)]
struct Batch {
    events: Vec<Encoded>,
    lines: Vec<u64>,
    bytes: usize,
    full: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// Adds a line's event; false, and a message, if it is none.
fn take(batch: &mut Batch, name: &str, (number, line): Line) -> bool {
    let parsed = line.and_then(|line| serde_json::from_slice(&line).map_err(|error| not_json(&error)));
    match parsed.and_then(|value| encode(value).map_err(|faults| faults.to_string())) {
        Ok(event) => {
            batch.bytes += event.len() + 8;
            batch.events.push(event);
            batch.lines.push(number);
            // The next one may be as large as an event can be.
            batch.full = batch.bytes + EVENT_BYTES + 8 > BATCH_BYTES;
            true
        }
        Err(message) => {
            say(format_args!("error: {name}:{number}: {message}"));
            false
        }
    }
}

fn not_json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // The library says that it gave up, not what is allowed.
    if message.starts_with("recursion limit") {
        return format!("is nested deeper than {JSON_DEPTH}");
    }
    format!("is not JSON: {message}")
}

type Sent = (Result<Ticket, Error>, Vec<u64>);

/// False when publishing has failed for good.
async fn send(publisher: &Publisher, batch: &mut Batch, sent: &mpsc::Sender<Sent>) -> bool {
    if batch.is_empty() {
        return true;
    }
    let Batch { events, lines, .. } = std::mem::take(batch);
    let ticket = publisher.send(events).await;
    let goes_on = ticket.is_ok();
    sent.send((ticket, lines)).await.is_ok() && goes_on
}

/// Awaits every acknowledgement and adds them up.
async fn collect(name: String, mut under_way: mpsc::Receiver<Sent>) -> Totals {
    let progress = Progress::open("publishing");
    let mut totals = Totals::default();
    while let Some((ticket, lines)) = under_way.recv().await {
        let result = match ticket {
            Ok(ticket) => ticket.acknowledged().await,
            Err(error) => Err(error),
        };
        progress.add(lines.len() as u64);
        match result {
            Ok(result) => {
                totals.add(&result);
                for rejected in &result.rejected {
                    let line = lines.get(rejected.index as usize).copied().unwrap_or_default();
                    progress.say(format_args!("error: {name}:{line}: {}{}", field(&rejected.field), rejected.message));
                }
            }
            Err(error) => {
                progress.done();
                totals.lose(lines.len(), &error);
            }
        }
    }
    progress.done();
    totals
}

fn field(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}
