//! The way of an ask to the replica that leads its shard: here at once, or at another node, tried until one answers or patience ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_raft::{CallError, Leadership, Stopped};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::ask::{Ask, Question, Reply, Told, read, write};
use super::{Api, ApiError, desk};
use crate::error::EngineError;
use crate::peers::Subject;
use crate::shared::Place;

/// For all tries: an election and a hop fit in. Who asked from outside comes back by themselves.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one try at another node. A node that hangs is not waited for as long as its successor needs.
const TRY: Duration = Duration::from_secs(3);
/// Before the second try; doubled from one to the next.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Asks of one request under way at a time, each to a shard of its own.
pub(super) const SIDE_BY_SIDE: usize = 16;

/// One try that brought no answer.
struct Missed {
    why: EngineError,
    /// It may have been done all the same.
    unsure: bool,
    /// Who is said to lead.
    hint: Option<u64>,
}

/// An ask as it goes on its way.
struct Errand {
    shard: u32,
    ask: Ask,
    stale: bool,
    again: bool,
    until: Instant,
}

impl Api {
    /// Asks a shard, wherever it is led; for a view that may be stale, its replica here if there is one.
    pub(super) fn ask(&self, shard: u32, ask: impl Into<Ask>) -> BoxFuture<'_, Result<Told, ApiError>> {
        self.ask_within(shard, ask, PATIENCE)
    }

    /// The same, with another patience.
    pub(super) fn ask_within(
        &self,
        shard: u32,
        ask: impl Into<Ask>,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Told, ApiError>> {
        let ask = ask.into();
        // A change is made where the shard is led, whatever else is shown.
        let stale = self.stale && matches!(ask, Ask::Look(_));
        // Patience begins when it is its turn: of many asks of one request, only some are under way at a time.
        async move { self.run(Errand { shard, ask, stale, again: false, until: Instant::now() + patience }).await }
            .boxed()
    }

    async fn run(&self, mut errand: Errand) -> Result<Told, ApiError> {
        let until = errand.until;
        let (mut pause, mut next) = (FIRST_PAUSE, None);
        loop {
            let place = next.take().map_or_else(|| self.place(&errand), Place::At);
            let missed = match self.try_at(place, &errand).await? {
                Ok(told) => return Ok(told),
                Err(missed) => missed,
            };
            errand.again |= missed.unsure;
            // The first hint is followed at once. After that, nodes that point at each other wait for an election.
            let hint = missed.hint.filter(|hint| *hint != self.shared.peers.me());
            let wait = if hint.is_some() && pause == FIRST_PAUSE { Duration::ZERO } else { pause };
            if self.shared.stopping.load(Ordering::Acquire) {
                return Err(EngineError::Stopping.into());
            }
            if Instant::now() + wait >= until {
                return Err(missed.why.into());
            }
            tokio::time::sleep(wait).await;
            (pause, next) = ((pause * 2).min(LONGEST_PAUSE), hint);
        }
    }

    /// Asks several shards, some at a time; the answers are in the order of the asks.
    pub(super) async fn ask_each<A: Into<Ask>>(
        &self,
        asks: impl IntoIterator<Item = (u32, A)>,
    ) -> Result<Vec<Told>, ApiError> {
        let asks: Vec<_> = asks.into_iter().map(|(shard, ask)| self.ask(shard, ask)).collect();
        stream::iter(asks).buffered(SIDE_BY_SIDE).try_collect().await
    }

    fn place(&self, errand: &Errand) -> Place {
        let shard = errand.shard;
        let shows = || self.shared.groups.find(shard).is_some_and(|group| desk::shows(&self.shared, &group));
        if errand.stale && shows() { Place::Here } else { self.shared.place(shard) }
    }

    /// The outer error is for good.
    async fn try_at(&self, place: Place, errand: &Errand) -> Result<Result<Told, Missed>, ApiError> {
        match place {
            Place::Here => {
                let Errand { shard, ask, stale, again, .. } = errand;
                let reply = desk::answer(&self.shared, *shard, ask, *again, *stale).boxed().await;
                settle(reply, |error| matches!(error, EngineError::Restarting { .. } | EngineError::NotLed))
            }
            Place::At(node) => self.try_other(node, errand).await,
            Place::Nowhere => match self.stopped(errand.shard) {
                Some(stopped) => Err(stopped.into()),
                None => Ok(Err(Missed { why: EngineError::NotLed, unsure: false, hint: None })),
            },
        }
    }

    async fn try_other(&self, node: u64, errand: &Errand) -> Result<Result<Told, Missed>, ApiError> {
        let Errand { shard, ref ask, stale, again, until } = *errand;
        let message = write(&Question::Shard { shard, ask, again, stale }).map_err(EngineError::Read)?;
        let within = TRY.min(until.saturating_duration_since(Instant::now()));
        let answer = self.shared.peers.call(node, Subject::Ask, message, within).await;
        let missed = match answer.and_then(understood) {
            // Where the other node stops, for one.
            Ok(reply) => match settle(reply, passes_elsewhere)? {
                Ok(told) => return Ok(Ok(told)),
                Err(missed) => missed,
            },
            // Not sent. Waiting helps, at the same node.
            Err(CallError::Busy) => return Ok(Err(Missed { why: EngineError::Busy, unsure: false, hint: None })),
            Err(error) => lost(shard, node, &error)?,
        };
        self.shared.not_led_by(shard, node, missed.hint);
        Ok(Err(missed))
    }

    /// Why the replica here stands still, if it does.
    fn stopped(&self, shard: u32) -> Option<Stopped> {
        let group = self.shared.groups.find(shard)?;
        let leadership = group.watch_leader().borrow().clone();
        if let Leadership::Stopped(stopped) = leadership { Some(stopped) } else { None }
    }
}

fn understood(answer: Bytes) -> Result<Reply, CallError> {
    read(&answer).map_err(|why| CallError::Unreachable(format!("its answer {why}")))
}

/// What a reply means for the errand: an answer, another try, or the end. An error that passes may have come after the entry was proposed.
fn settle(reply: Reply, passes: impl Fn(&EngineError) -> bool) -> Result<Result<Told, Missed>, ApiError> {
    match reply {
        Reply::Told(told) => Ok(Ok(told)),
        Reply::NotLed { leader } => Ok(Err(Missed { why: EngineError::NotLed, unsure: false, hint: leader })),
        Reply::Failed(ApiError::Engine(why)) if passes(&why) => Ok(Err(Missed { why, unsure: true, hint: None })),
        Reply::Failed(error) => Err(error),
    }
}

/// What passes may pass at another node already, but for what is so wherever the shard is led.
fn passes_elsewhere(error: &EngineError) -> bool {
    error.is_passing() && !matches!(error, EngineError::Busy | EngineError::Restoring { .. })
}

/// What a call that failed means.
fn lost(shard: u32, node: u64, error: &CallError) -> Result<Missed, ApiError> {
    let why = || EngineError::NotReached { shard, why: format!("node {node}: {error}") };
    match error {
        CallError::TooLarge { .. } => Err(EngineError::Read(format!("node {node} was not asked: {error}")).into()),
        CallError::Refused(_) | CallError::Busy => Ok(Missed { why: why(), unsure: false, hint: None }),
        CallError::Unreachable(_) | CallError::TimedOut(_) => Ok(Missed { why: why(), unsure: true, hint: None }),
    }
}
