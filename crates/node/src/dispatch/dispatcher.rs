//! One namespace's dispatcher. It begins with what stands in the outbox, and is told of what comes after; a firing that it sends twice is one
//! start, for its ids are the same.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flintwheel_model::firing::{Left, Start, StartOutcome};
use flintwheel_raft::Group;
use flintwheel_shard::Machine;
use flintwheel_shard::entry::{Ack, AckEnd};
use flintwheel_shard::occurrence::{End, Key, Record};
use flintwheel_shard::reply::OutboxRef;
use flintwheel_shard::{query, tracks};
use flintwheel_temporal::Found;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::gate::{Gate, backoff};
use super::launch::Launch;
use super::line::{Class, KNOWN, Line};
use super::ready::Ready;
use super::route::Route;
use super::sink::Sink;
use crate::actors::shard::ShardMessage;
use crate::error::EngineError;
use crate::paces::Asks;
use crate::shared::Shared;

/// Compiled definitions kept; a namespace with more firing at once compiles some anew.
const LAUNCHES: usize = 65_536;
/// Answers of a chunk that is not done yet are written after this, so that a restart does not send them all again.
const FLUSH: Duration = Duration::from_secs(1);
/// A firing that is started later than this after its due time is noted as late, with the reason.
const LATE: i64 = 1_000_000;
/// How soon what has waited for long is looked at again, at least and at most, in microseconds.
const SOON: i64 = 20_000;
const LATER: i64 = 500_000;
/// Temporal keeps closed workflows at least this long; a firing that is younger need not be looked up.
const SHORTEST_RETENTION: i64 = 3600 * 1_000_000;

/// What a dispatcher is told.
pub enum DispatchMessage {
    /// A chunk of firings has been decided.
    Work {
        /// By which shard.
        shard: u32,
        /// Where it stands.
        chunk: OutboxRef,
        /// It was decided late, at the pace of what is.
        late: bool,
    },
    /// A shard's actor has begun anew, or ended because another node leads the shard.
    Restarted {
        /// Which.
        shard: u32,
    },
    /// The sink has answered.
    Finished(Box<Finished>),
    /// Look again: a wait is over.
    Wake,
    /// Write down the answers of chunks that are not done.
    Flush,
}

/// An answer of the sink.
pub struct Finished {
    firing: Firing,
    outcome: StartOutcome,
    /// When the call was made, in microseconds since the epoch.
    called: i64,
    /// How long the answer took.
    took: Duration,
}

/// One firing on its way.
pub(super) struct Firing {
    chunk: (u32, u64),
    record: u32,
    start: Start,
    decided: i64,
    pub(super) due: i64,
    /// Which start of the shard's actor it was read under.
    era: u32,
    pub(super) class: Class,
    attempts: u32,
    /// Why it was not started at the first try, and when that was.
    held: Option<(String, i64)>,
}

/// A firing that waits for its own next try.
struct Waiting {
    until: Instant,
    firing: Firing,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    /// The soonest is the greatest: `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.until.cmp(&self.until)
    }
}

/// A chunk that has been read and is not done.
struct Active {
    lane: u32,
    left: usize,
    ends: Vec<AckEnd>,
}

/// The actor.
pub struct DispatcherActor;

/// What it keeps in memory; all of it follows from the outbox.
pub struct State {
    namespace: String,
    shared: Arc<Shared>,
    route: Route,
    myself: ActorRef<DispatchMessage>,
    gate: Gate,
    /// Chunks that wait to be read.
    line: Line,
    active: HashMap<(u32, u64), Active>,
    /// How often each shard's actor has been started anew: answers to what was sent before count no more.
    eras: HashMap<u32, u32>,
    ready: Ready,
    /// Those that have waited for the sink for long wait until then, in microseconds since the epoch.
    aged_from: i64,
    waiting: BinaryHeap<Waiting>,
    in_flight: usize,
    launches: HashMap<(u32, u64, u32), Arc<Launch>>,
}

impl Actor for DispatcherActor {
    type Msg = DispatchMessage;
    type State = State;
    type Arguments = (String, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (namespace, shared): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State {
            route: shared.dispatchers.routes.of(&namespace).clone(),
            myself: myself.clone(),
            gate: Gate::default(),
            line: Line::default(),
            active: HashMap::new(),
            eras: HashMap::new(),
            ready: Ready::default(),
            aged_from: i64::MIN,
            waiting: BinaryHeap::new(),
            in_flight: 0,
            launches: HashMap::new(),
            namespace,
            shared,
        };
        // Told of new work from here on; what is there already is read after, so that nothing falls between.
        state.shared.dispatchers.set(&state.namespace, myself.clone());
        state.reload();
        myself.send_interval(FLUSH, || DispatchMessage::Flush);
        myself.cast(DispatchMessage::Wake)?;
        Ok(state)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: DispatchMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DispatchMessage::Work { shard, chunk, late } => state.enqueue(shard, chunk, late),
            DispatchMessage::Restarted { shard } => state.restarted(shard),
            DispatchMessage::Finished(finished) => state.finished(*finished)?,
            DispatchMessage::Wake => {}
            DispatchMessage::Flush => state.flush()?,
        }
        state.pump()?;
        Ok(())
    }
}

impl State {
    fn enqueue(&mut self, shard: u32, chunk: OutboxRef, late: bool) {
        if !self.active.contains_key(&(shard, chunk.seq)) {
            self.line.come(shard, chunk, late, Instant::now());
        }
    }

    /// Finds open chunks in the outbox, oldest of each shard first, taking turns between shards.
    fn reload(&mut self) {
        self.line.reloaded();
        let mut by_shard: Vec<VecDeque<(u32, OutboxRef)>> =
            (0..self.shared.shards()).map(|shard| self.open_chunks(shard)).collect();
        while by_shard.iter().any(|chunks| !chunks.is_empty()) && !self.line.is_full() {
            for chunks in &mut by_shard {
                if let Some((shard, chunk)) = chunks.pop_front() {
                    self.find(shard, chunk);
                }
            }
        }
    }

    fn find(&mut self, shard: u32, chunk: OutboxRef) {
        if !self.active.contains_key(&(shard, chunk.seq)) {
            self.line.find(shard, chunk);
        }
    }

    /// The shard's actor has failed and begun anew. What it had not told of yet, and answers that it had not written down, went with it: so all
    /// of the shard is taken from the outbox again. What has been started is started again with the same ids.
    fn restarted(&mut self, shard: u32) {
        *self.eras.entry(shard).or_default() += 1;
        self.line.forget(shard);
        self.active.retain(|(of, _), _| *of != shard);
        self.ready.retain(|firing| firing.chunk.0 != shard);
        self.waiting.retain(|waiting| waiting.firing.chunk.0 != shard);
        self.open_chunks(shard).into_iter().for_each(|(shard, chunk)| self.find(shard, chunk));
    }

    fn era(&self, shard: u32) -> u32 {
        self.eras.get(&shard).copied().unwrap_or_default()
    }

    fn open_chunks(&self, shard: u32) -> VecDeque<(u32, OutboxRef)> {
        // What another node leads, that one dispatches.
        let Some(group) = self.shared.led(shard) else { return VecDeque::new() };
        let open = group.read(|machine, _| {
            let lane = machine.lanes().iter().position(|name| *name == self.namespace);
            // Until all of a backup is there, nothing of it is sent.
            let Some(lane) = lane.filter(|_| !machine.is_held()) else { return VecDeque::new() };
            let lane = lane as u32;
            let open = machine.outbox().range(lane, 0).take(KNOWN);
            open.map(|(seq, open)| (shard, OutboxRef { lane, seq, records: open.records })).collect()
        });
        // A shard that has stopped dispatches nothing.
        open.unwrap_or_default()
    }

    /// Keeps firings ready, and sends as many as the gate lets through: those that are in time first.
    fn pump(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|w| w.until <= now) {
            if let Some(waiting) = self.waiting.pop() {
                self.ready.put_first(waiting.firing);
            }
        }
        loop {
            self.read_ahead()?;
            let room = self.gate.room(self.in_flight, now);
            let aged = self.aged_allowed(self.ready.aged(room));
            let firings = self.ready.take(room, aged);
            if firings.is_empty() {
                return Ok(());
            }
            for firing in firings {
                self.send(firing);
            }
        }
    }

    /// How many of those may go that have waited for the sink for long. The others are looked at again when there may be more.
    fn aged_allowed(&mut self, wanted: usize) -> usize {
        let now = self.shared.clock.now();
        if wanted == 0 || now < self.aged_from {
            return 0;
        }
        let granted = self.shared.paces.take(&self.namespace, Asks::Dispatcher, self.shared.share(), now, wanted);
        if granted.count < wanted {
            let wait = (granted.next_at - now).clamp(SOON, LATER);
            self.aged_from = now + wait;
            self.myself.send_after(Duration::from_micros(wait.unsigned_abs()), || DispatchMessage::Wake);
        }
        granted.count
    }

    fn read_ahead(&mut self) -> Result<(), EngineError> {
        loop {
            if self.line.is_to_reload() {
                self.reload();
            }
            let now = Instant::now();
            let ready = &self.ready;
            let Some((shard, chunk, class)) = self.line.next(now, |class| ready.has_room(class)) else {
                return Ok(());
            };
            if matches!(self.route.sink, Sink::Null) {
                self.count(shard, chunk)?;
            } else {
                self.read(shard, chunk, class)?;
            }
        }
    }

    /// The sink that only counts needs no starts.
    fn count(&mut self, shard: u32, chunk: OutboxRef) -> Result<(), EngineError> {
        let at = self.shared.clock.now();
        let ends = (0..chunk.records).map(|record| AckEnd { record, at, refused: None, note: String::new() });
        let ack = Ack { lane: chunk.lane, seq: chunk.seq, ends: ends.collect() };
        self.shared.metrics.started(ack.ends.len());
        self.hand_over(shard, ack)
    }

    /// Makes starts of a chunk's firings.
    fn read(&mut self, shard: u32, chunk: OutboxRef, known: Option<Class>) -> Result<(), EngineError> {
        let Some(group) = self.shared.led(shard) else { return Ok(()) };
        let open = group.read(|machine, _| machine.outbox().get(chunk.lane, chunk.seq).cloned())?;
        let Some(open) = open else { return Ok(()) };
        let Some((stored, payloads)) = query::outbox_chunk(&group.state(), chunk.lane, chunk.seq)? else {
            return Ok(());
        };
        let mut active = Active { lane: chunk.lane, left: open.left as usize, ends: Vec::new() };
        let carried = carried(&group, &stored.records)?;
        let class = Class::of(known, self.shared.clock.now() - stored.at);
        for (index, record) in stored.records.iter().enumerate() {
            let number = index as u32;
            if open.ends.get(index).is_some_and(|end| *end != End::Pending) {
                continue;
            }
            let launch = self.launch(&group, record.number, record.version)?;
            let start = launch.and_then(|l| {
                l.start(&self.shared.dispatchers.prefix, &self.route, record, stored.at, payloads.of(number))
            });
            match start {
                Ok(mut start) => {
                    start.left = carried.get(&record.number).cloned().unwrap_or_default();
                    let due = if let Key::Time { due, .. } = record.key { due } else { stored.at };
                    let chunk = (shard, chunk.seq);
                    let decided = stored.at;
                    self.ready.put(Firing {
                        chunk,
                        record: number,
                        start,
                        decided,
                        due,
                        era: self.era(shard),
                        class,
                        attempts: 0,
                        held: None,
                    });
                }
                Err(why) => {
                    active.left -= 1;
                    let at = self.shared.clock.now();
                    active.ends.push(AckEnd { record: number, at, refused: Some(why), note: String::new() });
                }
            }
        }
        self.active.insert((shard, chunk.seq), active);
        self.settle((shard, chunk.seq))
    }

    /// The definition's version, compiled; the inner error is what the firing is refused with.
    fn launch(
        &mut self,
        group: &Group<Machine>,
        number: u64,
        version: u32,
    ) -> Result<Result<Arc<Launch>, String>, EngineError> {
        let shard = group.shard();
        if let Some(launch) = self.launches.get(&(shard, number, version)) {
            return Ok(Ok(Arc::clone(launch)));
        }
        let stored = query::version(&group.state(), number, version)?;
        let Some(stored) = stored else {
            return Ok(Err(format!("version {version} of the definition is not kept any more")));
        };
        let launch = match Launch::new(&stored, version) {
            Ok(launch) => Arc::new(launch),
            Err(why) => return Ok(Err(why)),
        };
        if self.launches.len() >= LAUNCHES {
            self.launches.clear();
        }
        self.launches.insert((shard, number, version), Arc::clone(&launch));
        Ok(Ok(launch))
    }

    fn send(&mut self, firing: Firing) {
        self.in_flight += 1;
        let (route, shared, myself) = (self.route.clone(), Arc::clone(&self.shared), self.myself.clone());
        tokio::spawn(async move {
            let (called, begun) = (shared.clock.now(), Instant::now());
            let outcome = start(&route, &firing, called).await;
            let took = begun.elapsed();
            // The actor is gone only when the node stops or it has failed; its successor sends the firing again.
            let _ = myself.cast(DispatchMessage::Finished(Box::new(Finished { firing, outcome, called, took })));
        });
    }

    fn finished(&mut self, finished: Finished) -> Result<(), EngineError> {
        self.in_flight -= 1;
        let Finished { firing, outcome, called, took } = finished;
        self.shared.metrics.answered(&outcome);
        if !matches!(outcome, StartOutcome::Retry { .. }) {
            self.gate.succeeded(took, self.in_flight, Instant::now());
        }
        if firing.era != self.era(firing.chunk.0) {
            return Ok(());
        }
        match outcome {
            StartOutcome::Started { .. } => {
                self.shared.metrics.started(1);
                self.shared.metrics.lag(called - firing.due);
                self.end(&firing, called, None)
            }
            StartOutcome::Conflict { start_request_id, run_id } => {
                let who = format!("request {start_request_id}, run {run_id}");
                let why = format!("conflict: {} was started by somebody else ({who})", firing.start.workflow_id);
                self.end(&firing, called, Some(why))
            }
            StartOutcome::Refused { reason } => self.end(&firing, called, Some(reason)),
            StartOutcome::Retry { reason, target_wide } => {
                self.retry(firing, reason, called, target_wide);
                Ok(())
            }
        }
    }

    fn retry(&mut self, mut firing: Firing, reason: String, called: i64, target_wide: bool) {
        let spread = rand::random::<f64>();
        let wait = if target_wide {
            let wait = self.gate.failed(Instant::now(), spread);
            if let Some(wait) = wait {
                let (namespace, sink) = (&self.namespace, self.route.sink.address());
                let waiting = self.ready.len() + self.in_flight;
                tracing::warn!(%namespace, %sink, %reason, ?wait, waiting, "the sink can't take starts; firings wait in the outbox");
            }
            wait
        } else {
            Some(backoff(firing.attempts, spread))
        };
        firing.attempts += 1;
        firing.held.get_or_insert((reason, called));
        if target_wide {
            self.ready.put_back(firing);
        } else {
            let until = Instant::now() + wait.unwrap_or_default();
            self.waiting.push(Waiting { until, firing });
        }
        if let Some(wait) = wait {
            self.myself.send_after(wait, || DispatchMessage::Wake);
        }
    }

    fn end(&mut self, firing: &Firing, at: i64, refused: Option<String>) -> Result<(), EngineError> {
        let late = at - firing.due.max(firing.decided) > LATE;
        let note = match &firing.held {
            Some((why, since)) if late => {
                format!("late: {why}, waiting since {}", flintwheel_model::ids::rfc3339(*since))
            }
            _ => String::new(),
        };
        if let Some(active) = self.active.get_mut(&firing.chunk) {
            active.left -= 1;
            active.ends.push(AckEnd { record: firing.record, at, refused, note });
        }
        self.settle(firing.chunk)
    }

    /// Hands a chunk's answers over when it is done.
    fn settle(&mut self, chunk: (u32, u64)) -> Result<(), EngineError> {
        if self.active.get(&chunk).is_none_or(|active| active.left > 0) {
            return Ok(());
        }
        let Some(active) = self.active.remove(&chunk) else { return Ok(()) };
        self.acknowledge(chunk, active.lane, active.ends)
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let partial: Vec<_> = self.active.iter_mut().filter(|(_, active)| !active.ends.is_empty()).collect();
        let answers: Vec<_> = partial.into_iter().map(|(c, a)| (*c, a.lane, std::mem::take(&mut a.ends))).collect();
        answers.into_iter().try_for_each(|(chunk, lane, ends)| self.acknowledge(chunk, lane, ends))
    }

    fn acknowledge(&self, (shard, seq): (u32, u64), lane: u32, ends: Vec<AckEnd>) -> Result<(), EngineError> {
        self.hand_over(shard, Ack { lane, seq, ends })
    }

    /// Without an actor, an answer is lost and nothing else: the next one, here or elsewhere, has the outbox dispatched again.
    fn hand_over(&self, shard: u32, ack: Ack) -> Result<(), EngineError> {
        match self.shared.send(shard, ShardMessage::Ack(vec![ack])) {
            Err(error) if !error.is_passing() => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// What the last runs of those definitions left that ask for it. Read when a start is made: if it is made again, another run may have ended
/// since, but Temporal takes the first that it gets.
fn carried(group: &Group<Machine>, records: &[Record]) -> Result<HashMap<u64, Left>, EngineError> {
    let numbers: HashSet<u64> = group.read(|machine, _| {
        let carries = |number: &u64| {
            let tracking = machine.tracks().get(*number).and_then(|track| track.tracking);
            tracking.is_some_and(|tracking| tracking.carry)
        };
        records.iter().map(|record| record.number).filter(carries).collect()
    })?;
    let mut carried = HashMap::with_capacity(numbers.len());
    for number in numbers {
        let left = tracks::left(&group.state(), number)?;
        carried.insert(number, Left { result: left.result, failure: left.failure });
    }
    Ok(carried)
}

/// Sends a start; one that has waited longer than Temporal may remember is looked up first.
async fn start(route: &Route, firing: &Firing, now: i64) -> StartOutcome {
    let waited = now - firing.decided;
    if waited >= SHORTEST_RETENTION
        && let Sink::Temporal(sink) = &route.sink
    {
        match sink.lookup(&firing.start.temporal_namespace, &firing.start.workflow_id).await {
            Ok(Some(found)) => return known(found, &firing.start),
            Ok(None) => {}
            Err(error) => return StartOutcome::Retry { reason: error.to_string(), target_wide: true },
        }
    }
    route.sink.start(&firing.start).await
}

/// A workflow that Temporal still remembers under our id.
fn known(found: Found, start: &Start) -> StartOutcome {
    let ours = found.start_request_ids.is_empty() || found.start_request_ids.contains(&start.request_id);
    if ours {
        return StartOutcome::Started { run_id: found.run_id };
    }
    StartOutcome::Conflict { start_request_id: found.start_request_ids.join(", "), run_id: found.run_id }
}
