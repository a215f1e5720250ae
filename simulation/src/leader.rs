//! A shard's leader at work, as the node's shard actor does it: what is due, what was matched and what the sink answered become entries.
//!
//! The wheel, the plans, the decisions and the entries are the real ones; only the actor around them is this one, for actors need a runtime
//! of their own. Subscriptions are read from the shard's own state here, so nothing is said about the leases of the index.

use crate::chores::{Chore, Chores, Watched};
use crate::dispatch::{Dispatch, Finished};
use crate::node::Here;
use crate::operators::{Begin, Switch};
use crate::planted::Planted;
use crate::properties::Properties;
use bytes::Bytes;
use flintwheel_events::Matcher;
use flintwheel_model::ids::{dedupe_digest, request_content, request_digest};
use flintwheel_model::{ActivityDefinition, DefinitionKey, FiringKey, event};
use flintwheel_node::calendars;
use flintwheel_node::decide::{Armed, Circumstances, decide};
use flintwheel_node::plans::Plans;
use flintwheel_raft::{Group, Leadership, ProposeError};
use flintwheel_shard::calendar_entry::CalendarMark;
use flintwheel_shard::entry::{
    Ack, Body, Decision, Delete, Entry, Expire, Fire, Ingest, Match, NEVER, Request, Trigger,
};
use flintwheel_shard::reply::{Defined, Definite, Ingested, Outcome, Triggered};
use flintwheel_shard::{Applied, Machine, query};
use flintwheel_wheel::Wheel;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

const SECOND: i64 = 1_000_000;
/// How far ahead the wheel is filled: shorter than a run, so that it is filled again.
const HORIZON: i64 = 20 * SECOND;
/// As the shard actor has them, but sooner.
const OVERDUE: i64 = 10 * SECOND;
const AUDIT: i64 = 5 * SECOND;
const EXPIRE: i64 = 5 * SECOND;
const FLUSH: i64 = SECOND;
/// What was refused is tried again after this, in microseconds.
pub const RETRY: i64 = SECOND / 20;
const DECISIONS: usize = 64;
const IN_FLIGHT: usize = 2;
/// How often what has changed meanwhile is matched, or computed, again.
const ROUNDS: u32 = 4;
const INBOX: usize = 4096;
/// The clock may jump: nobody sleeps longer than this on its word.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// How long a node may need for what it computes beside its shard's actor, in milliseconds.
const COMPUTES: std::ops::Range<u64> = 1..60;

/// For how long a request is remembered, in seconds: longer than any try of it is under way.
pub const REMEMBERED: u32 = 55;

/// What a client asks of a shard.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Create or change a definition.
    Define(Box<ActivityDefinition>, Once),
    /// Remove one.
    Delete(String, String),
    /// An event.
    Publish(Event),
    /// A firing by hand.
    Trigger(String, String, String),
    /// Pause a definition, or let it go on.
    Switch(Switch),
    /// Have due times of the past fire.
    Backfill(Begin),
    /// Stop that: definition and backfill.
    Stop(String, String),
    /// Change the calendar: whether it has the day, and the request id.
    Calendar(bool, String),
    /// From the calendar's home: a shard is given its days.
    Days(CalendarMark, Bytes),
}

/// What keeps a change from being made twice.
#[derive(Clone, Debug)]
pub enum Once {
    /// It is made only if this is the version so far; 0: there is none.
    Expected(u32),
    /// It is made whatever is there, once under this request id.
    Request(String),
}

/// An event as it is published.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its CloudEvents attributes.
    pub id: String,
    pub event_type: String,
    /// As it is kept.
    pub bytes: Bytes,
}

/// Where all events are from.
pub const SOURCE: &str = "/simulation";

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is this version now.
    Defined(Definite),
    /// It was made before, and this version came of it.
    Repeated(u32),
    /// It has another version than was expected.
    Conflict(u32),
    /// It is gone.
    Deleted,
    /// Each match is durable, or there was none.
    Published,
    /// It fires, waits or is skipped, or has done so.
    Triggered,
    /// It is paused, or goes on, or did so before.
    Switched,
    /// There is no such definition any more.
    Gone,
    /// Its due times of the past fire from now on.
    Begun,
    /// They don't.
    Refused,
    /// They don't any more.
    Stopped,
    /// All shards have the calendar as it was given.
    Spread,
    /// This shard has these days, and its definitions are due by them.
    Follows,
    /// Not here, not now, or nobody knows.
    Failed,
}

impl Told {
    /// The version of a definition that was changed.
    pub fn version(&self) -> Option<u32> {
        match self {
            Self::Defined(Definite { version, .. }) | Self::Repeated(version) | Self::Conflict(version) => {
                Some(*version)
            }
            _ => None,
        }
    }
}

/// What reaches a leader.
pub enum Message {
    /// From a client.
    Ask(Ask, oneshot::Sender<Told>),
    /// This node leads, as a majority says: the event can be matched.
    Confirmed(Event, oneshot::Sender<Told>),
    /// An entry has been applied, or not.
    Done(Result<Applied, ProposeError>, What),
    /// The sink has answered.
    Finished(Box<Finished>),
    /// Runs have been looked at.
    Watched(Box<Watched>),
    /// A calendar has been brought to all shards, or not.
    Brought(Option<CalendarMark>),
    /// What was computed a while ago is to be proposed.
    Computed(Box<(Body, What)>),
}

/// What an entry was proposed for.
pub enum What {
    /// A definition.
    Define(Box<ActivityDefinition>, Once, oneshot::Sender<Told>, u32),
    /// Its end.
    Delete(oneshot::Sender<Told>),
    /// A firing by hand.
    Trigger(oneshot::Sender<Told>),
    /// Due times.
    Fire(Vec<Armed>, Vec<Decision>),
    /// An event.
    Ingest(Event, oneshot::Sender<Told>, u32),
    /// Ends of firings.
    Ack(Vec<Ack>),
    /// Old buckets.
    Expire,
    /// Something else.
    Chore(Chore),
}

type Fault = String;

/// Leads the group whenever this node is elected, until its replica leaves.
pub async fn lead_when_elected(here: Here, group: Group<Machine>) {
    let (shard, mut leadership) = (group.shard(), group.watch_leader());
    loop {
        let seen = leadership.borrow_and_update().clone();
        match seen {
            Leadership::Leader { term } => {
                here.stage.count(|counts| counts.leaders += 1);
                let leads = (shard, term, here.number);
                here.stage.check("one leader a term", |properties| properties.one_leader.leads(leads));
                let (sender, inbox) = mpsc::channel(INBOX);
                here.node().set_desk(shard, Some(sender.clone()));
                Leader::new(here.clone(), group.clone(), term, sender).serve(&mut leadership, inbox).await;
                here.node().set_desk(shard, None);
            }
            Leadership::Follower { .. } => {
                if leadership.changed().await.is_err() {
                    return;
                }
            }
            Leadership::Stopped(stopped) => {
                // One that was moved away is meant to end.
                if !stopped.reason.contains("has left this node") {
                    let what = format!("shard {shard} stands still on node {}: {stopped}", here.number);
                    here.stage.check("no shard stands still", |_| Err(what));
                }
                return;
            }
        }
    }
}

/// What it keeps in memory; all of it follows from the shard's state.
pub struct Leader {
    pub(crate) here: Here,
    pub(crate) group: Group<Machine>,
    pub(crate) term: u64,
    pub(crate) me: mpsc::Sender<Message>,
    wheel: Wheel<Armed>,
    plans: Plans,
    filled_to: i64,
    next_audit: i64,
    next_expire: i64,
    next_flush: i64,
    due: VecDeque<Armed>,
    fires_in_flight: usize,
    /// Not before: a leader whose proposals are refused tries again after a moment.
    fires_from: i64,
    acks_from: i64,
    acks: Vec<Ack>,
    acks_in_flight: usize,
    pub(crate) dispatch: Dispatch,
    pub(crate) chores: Chores,
}

impl Leader {
    fn new(here: Here, group: Group<Machine>, term: u64, me: mpsc::Sender<Message>) -> Self {
        let now = here.now();
        Self {
            wheel: Wheel::new(now),
            plans: Plans::default(),
            filled_to: i64::MIN,
            next_audit: now + AUDIT,
            next_expire: now + EXPIRE,
            next_flush: now + FLUSH,
            due: VecDeque::new(),
            fires_in_flight: 0,
            fires_from: i64::MIN,
            acks_from: i64::MIN,
            acks: Vec::new(),
            acks_in_flight: 0,
            dispatch: Dispatch::default(),
            chores: Chores::new(now),
            here,
            group,
            term,
            me,
        }
    }

    pub(crate) fn has(&self, bug: Planted) -> bool {
        self.here.stage.has(bug)
    }

    async fn serve(mut self, leadership: &mut watch::Receiver<Leadership>, mut inbox: mpsc::Receiver<Message>) {
        let mut faulty = self.begin();
        while faulty.is_ok() {
            let wake = self.here.stage.executor.sleep(self.until_next());
            let message = tokio::select! {
                biased;
                changed = leadership.changed() => {
                    let leads = *leadership.borrow() == Leadership::Leader { term: self.term };
                    if changed.is_err() || !leads {
                        return;
                    }
                    None
                }
                message = inbox.recv() => message,
                () = wake => None,
            };
            faulty = message.map_or(Ok(()), |message| self.take(message)).and_then(|()| self.tick());
        }
        // A shard that has stopped meanwhile, or leaves, tells of it by its leadership.
        if let Err(fault) = faulty
            && self.group.read(|_, _| ()).is_ok()
        {
            self.here.stage.check("leaders can work", |_| Err(fault));
        }
        let _ = leadership.changed().await;
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.refill(self.here.now())?;
        self.find_open_chunks()
    }

    fn until_next(&self) -> Duration {
        let due = self.wheel.next_due_hint().unwrap_or(i64::MAX);
        let due = if self.here.now() < self.fires_from { self.fires_from } else { due };
        let next = due.min(self.next_flush);
        let micros = next.saturating_sub(self.here.now()).max(500);
        Duration::from_micros(micros as u64).min(LONGEST_SLEEP)
    }

    fn tick(&mut self) -> Result<(), Fault> {
        let now = self.here.now();
        if now + HORIZON / 2 > self.filled_to {
            self.refill(now)?;
        }
        if now >= self.next_audit {
            self.audit(now)?;
        }
        if now >= self.next_expire {
            self.next_expire = now + EXPIRE;
            let expire = Expire { account_before: i64::MIN, versions_before: i64::MIN, keep: 0 };
            self.propose(Body::Expire(expire), What::Expire);
        }
        if now >= self.next_flush {
            self.next_flush = now + FLUSH;
            self.acks.extend(self.dispatch.take_partial());
        }
        let ahead = if self.has(Planted::FiresEarly) { 2 * SECOND } else { 0 };
        let mut due = Vec::new();
        self.wheel.advance(now + ahead, &mut due);
        self.due.extend(due.into_iter().map(|(_, armed)| armed));
        self.propose_fires(now + ahead)?;
        self.pump()?;
        self.propose_acks();
        self.do_chores(now)
    }

    fn refill(&mut self, now: i64) -> Result<(), Fault> {
        let (from, to) = (self.filled_to, now + HORIZON);
        let near = self.cursors(|next| next > from && next <= to)?;
        self.filled_to = to;
        for (number, generation, nominal) in near {
            self.arm(number, generation, nominal)?;
        }
        Ok(())
    }

    fn audit(&mut self, now: i64) -> Result<(), Fault> {
        self.next_audit = now + AUDIT;
        if self.fires_in_flight > 0 || !self.due.is_empty() || self.has(Planted::TimerDropped) {
            return Ok(());
        }
        for (number, generation, nominal) in self.cursors(|next| next < now - OVERDUE)? {
            self.arm(number, generation, nominal)?;
        }
        Ok(())
    }

    fn cursors(&self, wanted: impl Fn(i64) -> bool) -> Result<Vec<(u64, u32, i64)>, Fault> {
        self.read(|machine| {
            let armed = machine.slots().iter().filter(|(_, slot)| slot.is_armed() && wanted(slot.next));
            armed.map(|(number, slot)| (number, slot.generation, slot.next)).collect()
        })
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Machine) -> R) -> Result<R, Fault> {
        self.group.read(|machine, _| look(machine)).map_err(|stopped| stopped.to_string())
    }

    fn arm(&mut self, number: u64, generation: u32, nominal: i64) -> Result<(), Fault> {
        let Some(version) = self.read(|machine| machine.slots().get(number).map(|slot| slot.version))? else {
            return Ok(());
        };
        let stored = query::version(&self.group.state(), number, version).map_err(|error| error.to_string())?;
        let Some(stored) = stored else { return Ok(()) };
        let (known, group) = (&self.chores.known, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        // By the days of this moment it may never be due; it is looked at when they change.
        let Ok(plan) = self.plans.of_document(&stored.document, stored.incarnation, &find) else { return Ok(()) };
        self.note_bound(number, &stored.document);
        self.insert(Armed { number, nominal, generation, plan });
        Ok(())
    }

    fn insert(&mut self, armed: Armed) {
        if armed.nominal > self.filled_to || (self.has(Planted::TimerDropped) && self.here.stage.random().chance(20)) {
            return;
        }
        self.wheel.insert(self.plans.get(armed.plan).due(armed.nominal), armed);
    }

    pub(crate) fn arm_from_cursor(&mut self, number: u64) -> Result<(), Fault> {
        let slot = self.read(|machine| machine.slots().get(number).copied())?;
        match slot.filter(|slot| slot.is_armed() && slot.next <= self.filled_to) {
            Some(slot) => self.arm(number, slot.generation, slot.next),
            None => Ok(()),
        }
    }

    fn propose_fires(&mut self, now: i64) -> Result<(), Fault> {
        if self.here.now() < self.fires_from || !(self.here.may_fire() || self.has(Planted::ClockNotCompared)) {
            return Ok(());
        }
        while self.fires_in_flight < IN_FLIGHT && !self.due.is_empty() {
            let (due, decisions) = self.take_due(now)?;
            if decisions.is_empty() {
                continue;
            }
            if self.has(Planted::StartedBeforeCommit) {
                self.start_now(&decisions)?;
            }
            let (clock, may_fire) = (self.here.now(), self.here.may_fire());
            self.here.stage.check("nothing early", |properties| properties.nothing_early.by_a_clock(may_fire));
            for decision in decisions.iter().filter(|decision| decision.skip.is_none()) {
                let early = |properties: &mut Properties| properties.nothing_early.decided(clock, decision.due);
                self.here.stage.check("nothing early", early);
            }
            let through = if self.due.is_empty() { now } else { i64::MIN };
            self.fires_in_flight += 1;
            let fire = Fire { through, decisions: decisions.clone() };
            self.propose(Body::Fire(fire), What::Fire(due, decisions));
        }
        Ok(())
    }

    fn take_due(&mut self, now: i64) -> Result<(Vec<Armed>, Vec<Decision>), Fault> {
        let forgets = self.has(Planted::MissedIsForgotten);
        let (mut taken, mut decisions) = (Vec::new(), Vec::new());
        let (plans, due) = (&self.plans, &mut self.due);
        let looked = self.group.read(|machine, _| {
            while decisions.len() < DECISIONS
                && let Some(armed) = due.pop_front()
            {
                let slot = machine.slots().get(armed.number);
                let fresh = slot.is_some_and(|slot| {
                    slot.is_armed() && slot.generation == armed.generation && slot.next == armed.nominal
                });
                if fresh {
                    let timing = plans.get(armed.plan);
                    let first = decisions.len();
                    let with = circumstances(machine, armed.number, now);
                    let mut next = decide(&armed, timing, with, &mut decisions).next;
                    if forgets && decisions.len() > first + 1 {
                        decisions.truncate(first + 1);
                        next = timing.plan.next(now).unwrap_or(NEVER);
                        decisions[first].next = next;
                    }
                    taken.push(Armed { nominal: next, ..armed });
                }
            }
        });
        looked.map_err(|stopped| stopped.to_string())?;
        if self.has(Planted::BoundCountedInMemory) {
            self.keep_bound(&mut decisions);
        }
        Ok((taken, decisions))
    }

    fn propose_acks(&mut self) {
        if self.acks_in_flight < IN_FLIGHT && !self.acks.is_empty() && self.here.now() >= self.acks_from {
            let acks = std::mem::take(&mut self.acks);
            self.acks_in_flight += 1;
            self.propose(Body::Ack(acks.clone()), What::Ack(acks));
        }
    }

    pub(crate) fn acknowledge(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    pub(crate) fn propose(&self, body: Body, what: What) {
        let proposal = self.group.propose(Entry { at: self.here.now(), body }.encode());
        let me = self.me.clone();
        self.here.spawn(async move {
            let result = proposal.await;
            // Who led may lead no more: its successor begins with the state.
            let _ = me.send(Message::Done(result, what)).await;
        });
    }

    /// What a node computes beside its shard's actor: other entries may come between that and this one.
    pub(crate) fn propose_computed(&self, body: Body, what: What) {
        if self.here.stage.random().chance(500) {
            return self.propose(body, what);
        }
        let (here, me) = (self.here.clone(), self.me.clone());
        self.here.spawn(async move {
            here.stage.sleep_within(COMPUTES).await;
            let _ = me.send(Message::Computed(Box::new((body, what)))).await;
        });
    }

    fn take(&mut self, message: Message) -> Result<(), Fault> {
        match message {
            Message::Ask(Ask::Define(definition, once), to) => self.define(definition, once, to, 0, i64::MIN),
            Message::Ask(Ask::Delete(namespace, id), to) => {
                let delete = Delete { namespace, id, incarnation: None, expected_version: None, request: None };
                self.propose(Body::Delete(vec![delete]), What::Delete(to));
                Ok(())
            }
            Message::Ask(Ask::Trigger(namespace, id, request), to) => self.trigger(namespace, id, request, to),
            Message::Ask(Ask::Publish(event), to) if self.has(Planted::StaleRead) => self.publish(event, to, 0),
            Message::Ask(Ask::Publish(event), to) => {
                self.confirm(event, to);
                Ok(())
            }
            Message::Ask(Ask::Switch(switch), to) => self.switch(switch, to),
            Message::Ask(Ask::Backfill(begin), to) => self.begin_backfill(begin, to),
            Message::Ask(Ask::Stop(id, backfill), to) => {
                self.stop_backfill(id, backfill, to);
                Ok(())
            }
            Message::Ask(Ask::Calendar(closed, request), to) => self.turn_calendar(closed, &request, to),
            Message::Ask(Ask::Days(mark, days), to) => {
                self.take_days(mark, days, to);
                Ok(())
            }
            Message::Watched(watched) => self.watched(*watched),
            Message::Brought(mark) => self.brought(mark),
            Message::Computed(computed) => {
                self.propose(computed.0, computed.1);
                Ok(())
            }
            Message::Confirmed(event, to) => self.publish(event, to, 0),
            Message::Done(result, what) => self.done(result, what),
            Message::Finished(finished) => self.finished(*finished),
        }
    }

    fn define(
        &mut self,
        definition: Box<ActivityDefinition>,
        once: Once,
        to: oneshot::Sender<Told>,
        round: u32,
        decided: i64,
    ) -> Result<(), Fault> {
        let Some((admitted, calendars)) = self.admitted(&definition)? else {
            let _ = to.send(Told::Failed);
            return Ok(());
        };
        let next = admitted.next(self.here.now().max(decided));
        let incarnation = self.here.stage.random().number() >> 11;
        let expected = if let Once::Expected(version) = once { Some(version) } else { None };
        let mut define = admitted.define(next, incarnation, expected);
        define.calendars = calendars;
        if self.has(Planted::BoundCountedInMemory) {
            define.bounds = None;
        }
        define.request = self.request(&definition, &once, &define.document);
        let body = Body::Define(vec![define]);
        if self.has(Planted::AnsweredBeforeCommit) {
            let (untold, _) = oneshot::channel();
            let (namespace, id) = (&definition.metadata.namespace, &definition.metadata.id);
            let known = query::number(&self.group.state(), namespace, id).map_err(|error| error.to_string())?;
            let next = self.read(|machine| machine.counters().next_number)?;
            let slot = self.read(|machine| known.and_then(|number| machine.slots().get(number).copied()))?;
            let version = slot.map_or(0, |slot| slot.version) + 1;
            let _ = to.send(Told::Defined(Definite { number: known.unwrap_or(next), generation: 1, version }));
            self.propose(body, What::Define(definition, once, untold, round));
        } else {
            self.propose(body, What::Define(definition, once, to, round));
        }
        Ok(())
    }

    fn request(&self, definition: &ActivityDefinition, once: &Once, document: &Bytes) -> Option<Request> {
        let Once::Request(id) = once else { return None };
        let key = DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id);
        let id =
            if self.has(Planted::ApplyIdRandom) { self.here.stage.random().number().to_string() } else { id.clone() };
        let content = request_content(&[b"apply", document]);
        Some(Request { digest: request_digest(&key, &id), content, window: REMEMBERED })
    }

    fn trigger(
        &mut self,
        namespace: String,
        id: String,
        request: String,
        to: oneshot::Sender<Told>,
    ) -> Result<(), Fault> {
        let number = query::number(&self.group.state(), &namespace, &id).map_err(|error| error.to_string())?;
        let digest = dedupe_digest(number.unwrap_or(u64::MAX), &FiringKey::Manual(request.clone()));
        let trigger = Trigger { namespace, id, request_id: request, digest, input: Bytes::new(), policy: None };
        self.propose(Body::Trigger(vec![trigger]), What::Trigger(to));
        Ok(())
    }

    /// What is answered without an entry must not be answered by one who leads no more.
    fn confirm(&self, event: Event, to: oneshot::Sender<Told>) {
        let (confirming, me) = (self.group.confirm(), self.me.clone());
        self.here.spawn(async move {
            let _ = match confirming.await {
                Ok(()) => me.send(Message::Confirmed(event, to)).await.map_err(drop),
                Err(_) => to.send(Told::Failed).map_err(drop),
            };
        });
    }

    fn publish(&mut self, event: Event, to: oneshot::Sender<Told>, round: u32) -> Result<(), Fault> {
        let matches = self.matches(&event)?;
        if matches.is_empty() {
            let _ = to.send(Told::Published);
            return Ok(());
        }
        let body = Body::Ingest(Ingest { events: vec![event.bytes.clone()], matches });
        if self.has(Planted::AnsweredBeforeCommit) {
            let (untold, _) = oneshot::channel();
            let _ = to.send(Told::Published);
            self.propose(body, What::Ingest(event, untold, round));
        } else {
            self.propose(body, What::Ingest(event, to, round));
        }
        Ok(())
    }

    fn matches(&self, event: &Event) -> Result<Vec<Match>, Fault> {
        let subscribed = query::subscriptions(&self.group.state()).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for one in subscribed.into_iter().filter(|one| one.event_type == event.event_type) {
            let matcher = Matcher::decode(&one.matcher)?;
            let mut key = event::default_key(SOURCE, &event.id);
            if self.has(Planted::DedupeKeyRandom) {
                key = format!("{key}-{}", self.here.stage.random().number());
            }
            let firing = FiringKey::Event(key.clone());
            let digest = dedupe_digest(one.number, &firing);
            let (number, version, window) = (one.number, one.version, matcher.window());
            found.push(Match { event: 0, number, version, key, digest, window, due: None });
        }
        Ok(found)
    }

    fn done(&mut self, result: Result<Applied, ProposeError>, what: What) -> Result<(), Fault> {
        let frees = matches!(what, What::Chore(Chore::Close(_)));
        if let Ok(applied) = &result
            && !(frees && self.has(Planted::WaitingNotSent))
        {
            self.dispatch.enqueue(&applied.chunks);
        }
        let outcome = result.map(|applied| applied.outcome);
        match (what, outcome) {
            (What::Define(definition, once, to, round), outcome) => {
                return self.defined(definition, once, to, round, outcome);
            }
            (What::Ingest(event, to, round), outcome) => return self.ingested(event, to, round, outcome),
            (What::Delete(to), outcome) => drop(to.send(outcome.map_or(Told::Failed, |_| Told::Deleted))),
            (What::Trigger(to), outcome) => {
                let fired = |outcome: Outcome| match outcome {
                    Outcome::Triggered(all) => !all.contains(&Triggered::NotFound),
                    _ => false,
                };
                let told = if outcome.is_ok_and(fired) { Told::Triggered } else { Told::Failed };
                drop(to.send(told));
            }
            (What::Fire(due, decisions), outcome) => return self.fired(due, &decisions, outcome),
            (What::Ack(acks), outcome) => {
                self.acks_in_flight -= 1;
                if outcome.is_err() {
                    self.acks_from = self.here.now() + RETRY;
                    self.acks.extend(acks);
                }
            }
            (What::Expire, _) => {}
            (What::Chore(chore), outcome) => return self.chore_done(chore, outcome),
        }
        Ok(())
    }

    fn defined(
        &mut self,
        definition: Box<ActivityDefinition>,
        once: Once,
        to: oneshot::Sender<Told>,
        round: u32,
        outcome: Result<Outcome, ProposeError>,
    ) -> Result<(), Fault> {
        let Ok(Outcome::Defined(results)) = outcome else {
            let _ = to.send(Told::Failed);
            return Ok(());
        };
        match results.first() {
            Some(Defined::Created(now) | Defined::Configured(now) | Defined::Unchanged(now)) => {
                self.arm_from_cursor(now.number)?;
                let _ = to.send(Told::Defined(*now));
            }
            Some(Defined::Conflict { actual }) => drop(to.send(Told::Conflict(*actual))),
            Some(Defined::Repeated(before)) => drop(to.send(Told::Repeated(before.version))),
            Some(Defined::Outdated) if round < ROUNDS => return self.define(definition, once, to, round + 1, i64::MIN),
            Some(Defined::Behind { last }) if round < ROUNDS => {
                return self.define(definition, once, to, round + 1, *last);
            }
            _ => drop(to.send(Told::Failed)),
        }
        Ok(())
    }

    fn ingested(
        &mut self,
        event: Event,
        to: oneshot::Sender<Told>,
        round: u32,
        outcome: Result<Outcome, ProposeError>,
    ) -> Result<(), Fault> {
        match outcome {
            Ok(Outcome::Ingested(all)) if all.contains(&Ingested::Stale) && round < ROUNDS => {
                self.publish(event, to, round + 1)
            }
            Ok(Outcome::Ingested(all)) if !all.contains(&Ingested::Stale) => {
                let _ = to.send(Told::Published);
                Ok(())
            }
            _ => {
                let _ = to.send(Told::Failed);
                Ok(())
            }
        }
    }

    fn fired(
        &mut self,
        due: Vec<Armed>,
        decisions: &[Decision],
        outcome: Result<Outcome, ProposeError>,
    ) -> Result<(), Fault> {
        self.fires_in_flight -= 1;
        let Ok(Outcome::Fired { stale, .. }) = outcome else {
            if self.has(Planted::StaleLeaderStarts) {
                self.start_now(decisions)?;
            }
            // Nothing was decided, or nobody knows: what the cursors say now counts.
            self.fires_from = self.here.now() + RETRY;
            let mut numbers: Vec<u64> = decisions.iter().map(|decision| decision.number).collect();
            numbers.dedup();
            return numbers.into_iter().try_for_each(|number| self.arm_from_cursor(number));
        };
        let stale: Vec<u64> = stale.iter().map(|index| decisions[*index as usize].number).collect();
        for armed in due {
            if stale.contains(&armed.number) {
                self.arm_from_cursor(armed.number)?;
            } else if armed.nominal != NEVER {
                self.insert(armed);
            }
        }
        Ok(())
    }
}

/// What decides about a definition beside its schedule.
fn circumstances(machine: &Machine, number: u64, now: i64) -> Circumstances {
    let course = machine.courses().get(number);
    Circumstances {
        wanted_through: course.and_then(|course| course.wanted_through),
        firings: course.and_then(|course| course.left()).map_or(usize::MAX, |left| left as usize),
        ..Circumstances::at(now)
    }
}
