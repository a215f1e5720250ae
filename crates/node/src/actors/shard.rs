//! One shard's actor: the only one who proposes to it. It turns what is due, what was matched and what the sink answered into entries, each
//! a batch of all that has come in while the one before was on its way to the disk.
//!
//! It keeps nothing that the shard's state does not hold: when it fails, its successor begins with the state.

mod retime;
mod rezone;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_raft::Group;
use flintwheel_schedule::catchup::LATE_AFTER;
use flintwheel_shard::calendar_entry::CalendarStep;
use flintwheel_shard::entry::{Ack, Body, Decision, Entry, Fire, Ingest, Match, NEVER, Restore};
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Defined, Ingested, Outcome, Pausing, Restored};
use flintwheel_shard::{Applied, Machine, query};
use flintwheel_wheel::Wheel;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actors::backlog::{Backlog, Deciding};
use crate::actors::bits::Bits;
use crate::actors::coming::{Coming, Found};
use crate::actors::watch::Watcher;
use crate::after;
use crate::calendars;
use crate::decide::{Armed, decide};
use crate::dedupe;
use crate::error::EngineError;
use crate::interest;
use crate::plans::{Plans, Timing};
use crate::room::Level;
use crate::shared::Shared;
use retime::Retiming;
use rezone::Rezoning;

/// Decisions of one entry: large enough that Raft and fsync cost nothing each, small enough that an entry stays below 64 KiB.
const DECISIONS: usize = 1024;
/// Matched events of one entry, and their bytes.
const MATCHES: usize = 4096;
const EVENT_BYTES: usize = 2 * 1024 * 1024;
/// Entries of one kind on their way at a time: one on the disk, one behind it. More would only make the batches smaller.
const IN_FLIGHT: usize = 2;
/// How far ahead the wheel is filled, in microseconds. A definition beyond it costs its slot and nothing else.
const HORIZON: i64 = 10 * 60 * 1_000_000;
/// How often what is due is looked at while the disk is nearly full, or the clock is not to be believed.
const HELD: i64 = 200_000;
/// When a proposal found no leader.
const RETRY: std::time::Duration = std::time::Duration::from_millis(50);

mod ends;
mod ends_of_runs;
mod late;
mod watch;

use late::Batch;

/// What a shard's actor is told.
pub enum ShardMessage {
    /// Its next due time has come.
    Tick,
    /// Cold work: definitions, triggers, dead letters.
    Command(Command),
    /// Matched events.
    Ingest(IngestJob),
    /// What the sink answered.
    Ack(Vec<Ack>),
    /// An entry has been applied, or not.
    Done(Done),
    /// For proofs: lets go of a definition that is armed, as a fault would. No door leads here.
    Forget(u64),
}

/// Work that is proposed as it is.
pub struct Command {
    /// The decisions.
    pub body: Body,
    /// Told when they are durable and applied.
    pub reply: oneshot::Sender<Result<Applied, EngineError>>,
}

/// Events of one batch that matched in this shard.
pub struct IngestJob {
    /// Each event once.
    pub events: Vec<Bytes>,
    /// Indices are into `events`.
    pub matches: Vec<Match>,
    /// Told by match, when durable.
    pub reply: oneshot::Sender<Result<Vec<Ingested>, EngineError>>,
    /// Given back when the job is answered.
    pub permit: OwnedSemaphorePermit,
}

/// The end of a proposal.
pub struct Done {
    result: Result<Applied, EngineError>,
    what: Proposed,
}

enum Proposed {
    Command { body: Body, reply: oneshot::Sender<Result<Applied, EngineError>> },
    Fire(Batch),
    Ingest { jobs: Vec<IngestJob> },
    Ack { acks: Vec<Ack> },
    Retime { numbers: Vec<u64> },
    Rezone { numbers: Vec<u64> },
}

/// The actor.
pub struct ShardActor;

/// What it keeps in memory; all of it follows from the shard's state.
pub struct State {
    shard: u32,
    /// In which this node leads the shard.
    term: u64,
    shared: Arc<Shared>,
    group: Group<Machine>,
    myself: ActorRef<ShardMessage>,
    wheel: Wheel<Armed>,
    plans: Plans,
    /// Definitions whose calendars have changed.
    retiming: Retiming,
    /// Definitions that are due by other time-zone data.
    rezoning: Rezoning,
    /// Definitions with a nominal time up to here are in the wheel, among the coming ones, or on their way.
    filled_to: i64,
    coming: Coming,
    /// Definitions that are in the wheel.
    wheeled: Bits,
    /// Definitions whose schedule can't be read: each has been told of.
    unreadable: Bits,
    backlog: Backlog,
    /// Of late definitions, as they are decided.
    late_plans: Plans,
    late_in_flight: bool,
    deciding: Deciding,
    watcher: Watcher,
    /// When to ask again who is over, and from which number on.
    conclusions: (i64, u64),
    /// Definitions and runs of which it was told that they keep others out.
    stuck: HashSet<(u64, i64)>,
    due: VecDeque<Armed>,
    /// No due time is proposed before: a leader that hands over refuses proposals for a moment, and asking at once would be asking all the time.
    fires_from: i64,
    ingest: VecDeque<IngestJob>,
    acks: Vec<Ack>,
    fires_in_flight: usize,
    ingests_in_flight: usize,
    acks_in_flight: usize,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = State;
    /// Shard, and the term in which this node leads it.
    type Arguments = (u32, u64, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (shard, term, shared): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let group = shared.groups.find(shard).ok_or(EngineError::NotLed)?;
        let now = shared.clock.now();
        Ok(State {
            shard,
            term,
            group,
            myself: myself.clone(),
            wheel: Wheel::new(now),
            plans: Plans::default(),
            retiming: Retiming::default(),
            rezoning: Rezoning::default(),
            filled_to: i64::MIN,
            coming: Coming::default(),
            wheeled: Bits::default(),
            unreadable: Bits::default(),
            backlog: Backlog::default(),
            late_plans: Plans::default(),
            late_in_flight: false,
            deciding: Deciding::default(),
            watcher: Watcher::new(now),
            conclusions: (i64::MIN, 0),
            stuck: HashSet::new(),
            due: VecDeque::new(),
            fires_from: i64::MIN,
            ingest: VecDeque::new(),
            acks: Vec::new(),
            fires_in_flight: 0,
            ingests_in_flight: 0,
            acks_in_flight: 0,
            shared,
        })
    }

    /// Here and not before: many actors begin at once when a node takes over from another, and side by side they read what they need.
    async fn post_start(&self, myself: ActorRef<Self::Msg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if interest::lead(&state.shared, state.shard).await? != state.term {
            return Err(EngineError::NotLed.into());
        }
        state.refill(state.shared.clock.now())?;
        state.arm_coming()?;
        state.retime()?;
        state.rezone()?;
        state.shared.set_actor(state.shard, state.term, myself);
        state.shared.dispatchers.restarted(state.shard);
        state.sleep();
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: ShardMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Tick => state.tick()?,
            ShardMessage::Command(command) => state.command(command),
            ShardMessage::Ingest(job) => {
                state.ingest.push_back(job);
                state.propose_ingests();
            }
            ShardMessage::Ack(acks) => {
                state.acks.extend(acks);
                state.propose_acks();
            }
            ShardMessage::Done(done) => state.done(done)?,
            ShardMessage::Forget(number) => state.wheel.take_out(|armed| armed.number == number),
        }
        Ok(())
    }
}

impl State {
    /// Looks at the wheel, the horizon, and all cursors now and then.
    fn tick(&mut self) -> Result<(), EngineError> {
        let now = self.shared.clock.now();
        self.forget_worn(now)?;
        if now + HORIZON / 2 > self.filled_to {
            self.refill(now)?;
        }
        self.arm_coming()?;
        self.retime()?;
        self.rezone()?;
        self.watch(now)?;
        self.conclude(now)?;
        let mut due = Vec::new();
        self.wheel.advance(now, &mut due);
        for (_, armed) in due {
            self.wheeled.remove(armed.number);
            self.due.push_back(armed);
        }
        self.propose_fires()?;
        self.sleep();
        Ok(())
    }

    /// What did not work is tried again in a while; a shard that has ended meanwhile is not told any more.
    fn tell_myself_soon(&self, what: ShardMessage) {
        let myself = self.myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RETRY).await;
            let _ = myself.cast(what);
        });
    }

    fn sleep(&self) {
        if !self.coming.is_empty() {
            return self.shared.set_wake_at(self.shard, i64::MIN);
        }
        let waits = !self.due.is_empty() || !self.backlog.is_empty();
        if let Some(until) = self.held_until().filter(|_| waits) {
            return self.shared.set_wake_at(self.shard, until);
        }
        let refill = self.filled_to - HORIZON / 2;
        let due = self.wheel.next_due_hint().unwrap_or(i64::MAX);
        // What is under way wakes it when it is done.
        let late = self.backlog.wake_at().filter(|_| self.due.is_empty() && !self.late_in_flight);
        let wake_at = [due, refill, self.watcher.next(), late.unwrap_or(i64::MAX), self.ends_at()];
        self.shared.set_wake_at(self.shard, wake_at.into_iter().min().unwrap_or(i64::MAX));
    }

    /// Finds the definitions whose nominal time has come within the horizon. Those that are late are found when it is their turn.
    fn refill(&mut self, now: i64) -> Result<(), EngineError> {
        let (late, to) = (now - LATE_AFTER, now + HORIZON);
        if self.wheel.is_empty() && self.is_idle() {
            self.plans = Plans::default();
        }
        if self.filled_to < late {
            self.backlog.look();
        }
        let from = self.filled_to.max(late);
        let found = self.cursors(|next| next > from && next <= to)?;
        found.iter().for_each(|found| self.watcher.waits(found.number));
        self.coming.add(found);
        self.filled_to = to;
        Ok(())
    }

    /// Arms the soonest of those found. One that has changed since is dropped when it is due; the change has armed it anew.
    fn arm_coming(&mut self) -> Result<(), EngineError> {
        self.coming.take().try_for_each(|found| self.arm(found))
    }

    /// Nothing that is due or soon due is on its way to the wheel or from it.
    fn is_idle(&self) -> bool {
        let none_waits = self.coming.is_empty() && self.due.is_empty() && self.backlog.is_empty();
        none_waits && self.fires_in_flight == 0 && !self.late_in_flight
    }

    fn cursors(&self, wanted: impl Fn(i64) -> bool) -> Result<Vec<Found>, EngineError> {
        let found = self.group.read(|machine, _| {
            // Until all of a backup is there, nothing of it fires.
            let slots = machine.slots().iter().filter(|_| !machine.is_held());
            let armed = slots.filter(|(_, slot)| slot.is_armed() && wanted(slot.next));
            armed.map(|(number, slot)| Found { number, generation: slot.generation, nominal: slot.next }).collect()
        });
        Ok(found?)
    }

    fn arm(&mut self, found: Found) -> Result<(), EngineError> {
        let Found { number, generation, nominal } = found;
        let Some(stored) = self.stored(number)? else { return Ok(()) };
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        match self.plans.of_document(&stored.document, stored.incarnation, &find) {
            Ok(plan) => {
                self.unreadable.remove(number);
                self.insert(Armed { number, nominal, generation, plan });
            }
            Err(why) => self.cannot_read(number, &stored, &why)?,
        }
        Ok(())
    }

    /// Who can't read a schedule can't fire it: it is told of, and not searched for again.
    fn cannot_read(&mut self, number: u64, stored: &Version, why: &str) -> Result<(), EngineError> {
        let (namespace, id) = (&stored.namespace, &stored.id);
        self.unreadable.insert(number);
        if self.waits_for_calendars(number)? {
            // After a restore: they are on their way, and it is armed when they have come.
            tracing::debug!(shard = self.shard, %namespace, %id, why, "a definition waits for its calendars");
        } else {
            tracing::error!(shard = self.shard, %namespace, %id, why, "a schedule can't be read; it does not fire");
        }
        Ok(())
    }

    /// A definition as it stands.
    fn stored(&self, number: u64) -> Result<Option<Version>, EngineError> {
        let version = self.group.read(|m, _| m.slots().get(number).map(|slot| slot.version))?;
        let stored = version.map(|version| query::version(&self.group.state(), number, version)).transpose()?;
        Ok(stored.flatten())
    }

    fn insert(&mut self, armed: Armed) {
        if armed.nominal <= self.filled_to {
            self.insert_at(self.plans.get(armed.plan).due(armed.nominal), armed);
        }
    }

    fn insert_at(&mut self, due: i64, armed: Armed) {
        self.wheeled.insert(armed.number);
        self.watcher.waits(armed.number);
        self.wheel.insert(due, armed);
    }

    /// Arms a definition as its cursor stands now.
    fn arm_from_cursor(&mut self, number: u64) -> Result<(), EngineError> {
        let slot = self.group.read(|m, _| m.slots().get(number).copied())?;
        match slot.filter(|slot| slot.is_armed() && slot.next <= self.filled_to) {
            Some(slot) => self.arm(Found { number, generation: slot.generation, nominal: slot.next }),
            None => Ok(()),
        }
    }

    fn propose_fires(&mut self) -> Result<(), EngineError> {
        if self.held_until().is_some() {
            return Ok(());
        }
        while self.fires_in_flight < IN_FLIGHT && !self.due.is_empty() {
            let now = self.shared.clock.now();
            let (due, decisions) = self.take_due(now)?;
            if decisions.is_empty() {
                continue;
            }
            decisions.iter().filter(|one| one.skip.is_none()).for_each(|one| self.shared.load.note(one.due));
            let through = if self.due.is_empty() && self.backlog.is_empty() { now } else { i64::MIN };
            self.fires_in_flight += 1;
            self.propose_batch(now, through, Batch::live(due, decisions));
        }
        self.propose_late()
    }

    fn propose_batch(&mut self, now: i64, through: i64, mut batch: Batch) {
        batch.id = self.deciding.begin(batch.decisions.iter().map(|decision| decision.number).collect());
        let body = Body::Fire(Fire { through, decisions: batch.decisions.clone() });
        self.propose(now, &body, Proposed::Fire(batch));
    }

    /// Until when what is due waits: the disk is nearly full, the clock may be wrong, or the last proposal was refused a moment ago.
    fn held_until(&self) -> Option<i64> {
        let now = self.shared.clock.now();
        let peers = &self.shared.peers;
        if peers.rooms().own() == Level::Out || !peers.clocks().may_fire(peers.me()) {
            return Some(now + HELD);
        }
        Some(self.fires_from).filter(|from| now < *from)
    }

    /// Takes from the queue what one entry holds. What a later generation has overtaken is dropped here; what is late waits for its turn.
    fn take_due(&mut self, now: i64) -> Result<(Vec<Armed>, Vec<Decision>), EngineError> {
        let (mut taken, mut decisions, mut late) = (Vec::new(), Vec::new(), Vec::new());
        let (plans, due) = (&self.plans, &mut self.due);
        self.group.read(|machine, _| {
            while decisions.len() < DECISIONS
                && let Some(armed) = due.pop_front()
            {
                let slot = machine.slots().get(armed.number);
                let fresh = slot.is_some_and(|slot| {
                    slot.is_armed() && slot.generation == armed.generation && slot.next == armed.nominal
                });
                let timing: &Timing = plans.get(armed.plan);
                let with_coming = after::with_coming(machine, armed.number, timing);
                let timing = with_coming.as_ref().unwrap_or(timing);
                if let Some(slot) = slot.filter(|_| fresh && now - timing.due(armed.nominal) >= LATE_AFTER) {
                    late.push((
                        slot.lane,
                        Found { number: armed.number, generation: armed.generation, nominal: armed.nominal },
                    ));
                } else if fresh {
                    let with = late::circumstances(machine, armed.number, now);
                    let next = decide(&armed, timing, with, &mut decisions).next;
                    taken.push(Armed { nominal: next, ..armed });
                }
            }
        })?;
        late.into_iter().for_each(|(lane, found)| self.backlog.come(lane, found));
        Ok((taken, decisions))
    }

    fn propose_ingests(&mut self) {
        while self.ingests_in_flight < IN_FLIGHT && !self.ingest.is_empty() {
            let (jobs, mut body) = self.take_ingest();
            self.keep_to_schedules(&mut body.matches);
            // A shard that has stopped takes nothing: who proposes is told.
            let _ = self.group.read(|machine, _| dedupe::as_restored(machine, &mut body.matches));
            self.ingests_in_flight += 1;
            self.propose(self.shared.clock.now(), &Body::Ingest(body), Proposed::Ingest { jobs });
        }
    }

    fn take_ingest(&mut self) -> (Vec<IngestJob>, Ingest) {
        let (mut jobs, mut entry) = (Vec::new(), Ingest { events: Vec::new(), matches: Vec::new() });
        let mut bytes = 0;
        while let Some(mut job) = self.ingest.pop_front() {
            let first = entry.events.len() as u32;
            bytes += job.events.iter().map(Bytes::len).sum::<usize>();
            entry.events.append(&mut job.events);
            entry.matches.extend(job.matches.iter().cloned().map(|m| Match { event: m.event + first, ..m }));
            jobs.push(job);
            if entry.matches.len() >= MATCHES || bytes >= EVENT_BYTES {
                break;
            }
        }
        (jobs, entry)
    }

    fn propose_acks(&mut self) {
        if self.acks_in_flight < IN_FLIGHT && !self.acks.is_empty() {
            let acks = std::mem::take(&mut self.acks);
            self.acks_in_flight += 1;
            self.propose(self.shared.clock.now(), &Body::Ack(acks.clone()), Proposed::Ack { acks });
        }
    }

    fn command(&self, command: Command) {
        let Command { body, reply } = command;
        let bytes = Entry { at: self.shared.clock.now(), body: body.clone() }.encode();
        self.spawn(bytes, Proposed::Command { body, reply });
    }

    fn propose(&self, at: i64, body: &Body, what: Proposed) {
        self.spawn(Entry { at, body: body.clone() }.encode(), what);
    }

    fn spawn(&self, entry: Bytes, what: Proposed) {
        let proposal = self.group.propose(entry);
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let result = proposal.await.map_err(EngineError::from);
            // The actor is gone only when the node stops or it has failed; its successor begins with the state.
            let _ = myself.cast(ShardMessage::Done(Done { result, what }));
        });
    }

    fn done(&mut self, mut done: Done) -> Result<(), EngineError> {
        if matches!(&done.result, Ok(Applied { outcome: Outcome::Held, .. })) {
            done.result = Err(EngineError::Restoring { shard: self.shard });
        }
        if let Ok(applied) = &done.result {
            let now = self.shared.clock.now();
            let late = matches!(&done.what, Proposed::Fire(batch) if batch.goes_behind(now));
            self.shared.dispatchers.notify(&self.shared, self.shard, &applied.chunks, late);
        }
        match done.what {
            Proposed::Command { body, reply } => self.command_done(&body, done.result, reply)?,
            Proposed::Fire(batch) => self.fire_done(done.result, batch)?,
            Proposed::Ingest { jobs } => self.ingest_done(done.result, jobs)?,
            Proposed::Ack { acks } => self.ack_done(done.result, acks),
            Proposed::Retime { numbers } => self.retimed(done.result, &numbers)?,
            Proposed::Rezone { numbers } => self.rezoned(done.result, &numbers)?,
        }
        Ok(())
    }

    fn command_done(
        &mut self,
        body: &Body,
        result: Result<Applied, EngineError>,
        reply: oneshot::Sender<Result<Applied, EngineError>>,
    ) -> Result<(), EngineError> {
        let applied = match result {
            Ok(applied) => applied,
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
        };
        self.follow(body, &applied.outcome)?;
        match interest::changes(body, &applied.outcome) {
            Some(changes) => {
                let position = self.shared.interest.change(self.shard, self.term, changes)?;
                interest::reply(&self.shared, self.shard, position, applied, reply);
            }
            // Who asked may have gone; what they asked for is done all the same.
            None => _ = reply.send(Ok(applied)),
        }
        Ok(())
    }

    /// Brings the wheel up to what has changed, before anybody is told that it has.
    fn follow(&mut self, body: &Body, outcome: &Outcome) -> Result<(), EngineError> {
        match (body, outcome) {
            (Body::Define(_), Outcome::Defined(results)) => {
                for result in results {
                    if let Defined::Created(now) | Defined::Configured(now) = result {
                        self.arm_from_cursor(now.number)?;
                    }
                }
            }
            (Body::Pause(_), Outcome::Paused(results)) => {
                for result in results {
                    if let Pausing::Changed(now) = result {
                        self.arm_from_cursor(now.number)?;
                    }
                }
                self.retime()?;
            }
            (Body::Conclude(_), Outcome::Concluded(results)) => ends::tell(self.shard, results),
            (Body::Calendar(CalendarStep::Days { .. }), _) => self.retime()?,
            (Body::Restore(Restore::Finish { .. }), Outcome::Restored(Restored::At { finished: true, .. })) => {
                self.filled_to = i64::MIN;
                self.refill(self.shared.clock.now())?;
                self.shared.dispatchers.restarted(self.shard);
            }
            _ => {}
        }
        self.sleep();
        Ok(())
    }

    fn fire_done(&mut self, result: Result<Applied, EngineError>, batch: Batch) -> Result<(), EngineError> {
        self.deciding.end(batch.id);
        if batch.is_late() {
            self.late_in_flight = false;
        } else {
            self.fires_in_flight -= 1;
        }
        match result {
            Ok(Applied { outcome: Outcome::Fired { stale, overlapped }, .. }) => {
                self.shared.metrics.overlapped(overlapped);
                self.shared.metrics.decided(batch.decisions.len() - stale.len());
                let stale: Vec<u64> = stale.iter().map(|index| batch.decisions[*index as usize].number).collect();
                self.go_on(batch, &stale)?;
            }
            Ok(_) => return Err(EngineError::Read("a fire entry was answered with another outcome".into())),
            Err(error) => self.fire_failed(&error, &batch)?,
        }
        self.propose_fires()?;
        self.sleep();
        Ok(())
    }

    /// What was decided is armed for its next time; what was stale, as its cursor stands.
    fn go_on(&mut self, batch: Batch, stale: &[u64]) -> Result<(), EngineError> {
        let now = self.shared.clock.now();
        for armed in batch.due {
            if stale.contains(&armed.number) {
                self.arm_from_cursor(armed.number)?;
            } else if armed.nominal != NEVER {
                self.insert(armed);
            }
        }
        for late in batch.late {
            if stale.contains(&late.next.number) {
                self.arm_from_cursor(late.next.number)?;
            } else {
                self.late_goes_on(late, now)?;
            }
        }
        Ok(())
    }

    /// Nothing was decided, or nobody knows: what the cursors say now counts.
    fn fire_failed(&mut self, error: &EngineError, batch: &Batch) -> Result<(), EngineError> {
        if !error.is_passing() {
            return Err(error.clone());
        }
        self.fires_from = self.shared.clock.now() + RETRY.as_micros() as i64;
        if batch.is_late() {
            self.backlog.look();
            return Ok(());
        }
        let mut numbers: Vec<u64> = batch.decisions.iter().map(|d| d.number).collect();
        numbers.dedup();
        numbers.into_iter().try_for_each(|number| self.arm_from_cursor(number))
    }

    fn ingest_done(&mut self, result: Result<Applied, EngineError>, jobs: Vec<IngestJob>) -> Result<(), EngineError> {
        self.ingests_in_flight -= 1;
        match result {
            Ok(Applied { outcome: Outcome::Ingested(outcomes), .. }) => {
                self.arm_due(&jobs, &outcomes)?;
                let mut outcomes = outcomes.into_iter();
                for job in jobs {
                    let of_job = outcomes.by_ref().take(job.matches.len()).collect();
                    let _ = job.reply.send(Ok(of_job));
                }
            }
            Ok(_) => answer_all(jobs, &EngineError::Read("an ingest entry was answered with another outcome".into())),
            Err(error) => answer_all(jobs, &error),
        }
        self.propose_ingests();
        Ok(())
    }

    fn ack_done(&mut self, result: Result<Applied, EngineError>, acks: Vec<Ack>) {
        self.acks_in_flight -= 1;
        match result {
            Ok(_) => self.shared.metrics.acknowledged(acks.iter().map(|ack| ack.ends.len()).sum()),
            Err(error) => {
                tracing::debug!(shard = self.shard, %error, "acknowledgements were not written; they are tried again");
                self.tell_myself_soon(ShardMessage::Ack(acks));
            }
        }
        self.propose_acks();
    }
}

fn answer_all(jobs: Vec<IngestJob>, error: &EngineError) {
    for job in jobs {
        let _ = job.reply.send(Err(error.clone()));
    }
}
