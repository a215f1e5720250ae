//! Answers other nodes that ask for the subscriptions of shards that this one leads.
//!
//! A question waits here until there is something to tell, or the asking node's leases need to be renewed: so a change is with all nodes after one
//! way there, and confirmed by their next question.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_shard::query;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use super::book::Tell;
use super::wire::{Next, Request, Told, encode_answer};
use super::{confirm, restoring};
use crate::error::EngineError;
use crate::peers::Answers;
use crate::shared::{Place, Shared};

/// How long a question without news waits.
const HOLD: Duration = Duration::from_millis(200);
/// The same while all replicas here sleep. A lease counts from the question, so a third of one is left when the next answer has come.
const HOLD_ASLEEP: Duration = Duration::from_millis(300);
/// Bytes of changes and subscriptions of one answer; a lane takes four times that.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// See the module.
pub struct Leader(pub Arc<Shared>);

impl Answers for Leader {
    fn answer(&self, from: u64, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let shared = Arc::clone(&self.0);
        async move {
            let request = Request::decode(&body).map_err(|e| format!("a question about subscriptions: {e}"))?;
            Ok(answer(&shared, from, &request).await)
        }
        .boxed()
    }
}

async fn answer(shared: &Arc<Shared>, from: u64, request: &Request) -> Bytes {
    let news = shared.interest.news.subscribe();
    listen(shared, from, request);
    if !request.urgent {
        // Without news the lease is renewed.
        let hold = if shared.groups.all_asleep() { HOLD_ASLEEP } else { HOLD };
        let _ = timeout(hold, wait_for_news(shared, request, news)).await;
    }
    confirm(shared, request.asked.iter().map(|asked| asked.shard));
    let tells = {
        let mut book = shared.interest.book.lock();
        let now = shared.interest.uptime.now();
        let mut room = ANSWER_BYTES;
        let asked = request.asked.iter();
        asked.map(|asked| (asked.shard, book.tell(from, asked, now, &mut room))).collect::<Vec<_>>()
    };
    let mut room = ANSWER_BYTES;
    let mut told = Vec::with_capacity(tells.len());
    for (shard, tell) in tells {
        let this = match tell {
            Tell::This(told) => told,
            Tell::Elsewhere => Told::Elsewhere(elsewhere(shared, shard)),
            Tell::All(_) if room == 0 => Told::Later,
            Tell::All(next) => page(shared, shard, next, &mut room).await,
        };
        told.push((shard, this));
    }
    encode_answer(&told)
}

/// What the other node has is news to whoever waits to acknowledge a change.
fn listen(shared: &Shared, from: u64, request: &Request) {
    let interest = &shared.interest;
    let mut book = interest.book.lock();
    let met = book.is_alone();
    book.meet();
    let more = request.asked.iter().fold(false, |more, asked| book.heard(from, asked) | more);
    drop(book);
    if met {
        confirm(shared, 0..shared.shards());
    }
    if more {
        interest.heard.send_replace(());
    }
}

async fn wait_for_news(shared: &Shared, request: &Request, mut news: watch::Receiver<()>) {
    loop {
        let now = shared.interest.uptime.now();
        {
            let book = shared.interest.book.lock();
            if request.asked.iter().any(|asked| book.has_news(asked, now)) {
                return;
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

fn elsewhere(shared: &Shared, shard: u32) -> Option<u64> {
    let known = shard < shared.shards();
    match known.then(|| shared.place(shard)) {
        Some(Place::At(node)) => Some(node),
        _ => None,
    }
}

/// One page of all subscriptions. They are read after their position was: they may hold more than it says, never less, and every later change
/// names all subscriptions of its definition. So it is with a restore that is under way, which stands on the last page.
async fn page(shared: &Arc<Shared>, shard: u32, next: Next, room: &mut usize) -> Told {
    let Some(group) = shared.groups.find(shard) else { return Told::Later };
    let Next { of, from } = next;
    let bytes = *room;
    let read = tokio::task::spawn_blocking(move || {
        let (mut rows, next) = query::subscriptions_page(&group.state(), &from, bytes)?;
        let held = next.is_none() && group.read(|machine, _| machine.is_held())?;
        rows.extend(held.then(restoring::row));
        Ok::<_, EngineError>((rows, next))
    });
    match read.await.map_err(|e| EngineError::Read(e.to_string())).flatten() {
        Ok((rows, next)) => {
            let size = |row: &query::Subscribed| row.matcher.len() + row.namespace.len() + row.event_type.len() + 24;
            *room = room.saturating_sub(rows.iter().map(size).sum());
            Told::Rows { of, rows, next }
        }
        Err(error) => {
            tracing::warn!(shard, %error, "subscriptions could not be read for another node; it asks again");
            Told::Later
        }
    }
}
