//! The state machine once more, as naive as can be: plain maps and lists, every question answered by going through all that ever happened.
//! Written from what entries mean, not from how the machine does it. Where an occurrence is stored (chunk and index) is not modelled: it is
//! read from the account once, and from then on it must stay so.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::courses::{AfterEnd, Bounds};
use flintwheel_shard::entry::{
    AFTER, Ack, AdvanceBackfill, BackfillStep, Body, Conclude, DeadAction, Decision, Define, Delete, Entry, Expire,
    Fire, Ingest, Match, NEVER, Pause, Request, Trigger,
};
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::reply::{
    Backfilled, Before, Change, Concluded, Defined, Definite, Deleted, Ingested, Outcome, Pausing, Triggered,
};

use super::calendars::Calendars;
use super::runs::Runs;
use crate::support::HOUR;

/// A definition that exists.
#[derive(Clone, Debug)]
pub struct Definition {
    pub namespace: String,
    pub id: String,
    pub generation: u32,
    pub version: u32,
    pub enabled: bool,
    pub note: Option<(i64, String)>,
    /// When its pause ends by itself.
    pub until: Option<i64>,
    pub backfills: BTreeMap<String, Backfill>,
    pub next: i64,
    pub last: Option<i64>,
    pub subscriptions: Vec<(String, Bytes)>,
    pub runs: Runs,
    /// The calendars that it names.
    pub uses: Vec<String>,
    pub bounds: Option<Bounds>,
    /// Due times that have fired since it has a bound.
    pub used: u32,
    /// By its own end.
    pub disabled: bool,
    pub wanted: Option<i64>,
    /// Nominal times that have come from runs of others, with what was told of them.
    pub coming: BTreeMap<i64, Bytes>,
}

impl Definition {
    pub fn is_used_up(&self) -> bool {
        self.bounds.and_then(|bounds| bounds.max).is_some_and(|max| self.used >= max)
    }

    /// What is due first: that, or what has come from a run of another one.
    pub fn soonest(&self, next: i64) -> i64 {
        self.coming.keys().copied().chain([next]).min().unwrap_or(next)
    }

    /// What is to become of it now.
    pub fn conclusion(&self) -> Option<AfterEnd> {
        let over = self.enabled && self.next == NEVER && self.note.is_none() && self.runs.are_none();
        let after_end = self.bounds.map(|bounds| bounds.after_end).filter(|after_end| *after_end != AfterEnd::Keep);
        after_end.filter(|_| over)
    }
}

/// A version that has been made, and is still kept.
#[derive(Clone, Debug)]
pub struct Made {
    pub document: Bytes,
    pub incarnation: u64,
    pub created: i64,
    pub retired: Option<i64>,
}

/// One occurrence of one definition, from decision to end.
#[derive(Clone, Debug)]
pub struct Happened {
    pub number: u64,
    pub lane: u32,
    pub version: u32,
    pub key: Key,
    pub skip: Option<Reason>,
    pub decided: i64,
    pub payload: Option<Bytes>,
    pub end: End,
    /// Chunk and index in the account, once known.
    pub place: Option<(u64, u32)>,
    /// Dropped from the account for its age.
    pub dropped: bool,
    /// It waited for a run before it fired.
    pub waited: bool,
}

/// A request that was carried out, and its answer.
#[derive(Clone, Debug)]
pub struct Done {
    pub at: i64,
    pub request: Request,
    pub answer: Told,
}

/// What was told of one change.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    Defined(Defined, i64),
    Deleted(Deleted),
    Paused(Pausing),
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub clock: i64,
    pub fired_through: Option<i64>,
    pub lanes: Vec<String>,
    pub definitions: BTreeMap<u64, Definition>,
    pub made: BTreeMap<(u64, u32), Made>,
    /// Digests of definition and key: when each was last taken.
    pub seen: BTreeMap<[u8; 16], i64>,
    /// All requests that were ever carried out, in their order.
    pub done: Vec<Done>,
    pub happened: Vec<Happened>,
    /// Dead letters: sequence, and which occurrence.
    pub letters: BTreeMap<u64, usize>,
    pub calendars: Calendars,
    pub numbers: u64,
    pub buried: u64,
    /// By the entry that is applied.
    overlapped: u32,
}

/// What becomes of an occurrence that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    Fires,
    Waits,
    Skipped,
}

const DAY: u32 = 86_400;

impl Model {
    /// What the proposer must be told.
    pub fn apply(&mut self, entry: &Entry) -> Outcome {
        self.clock = self.clock.max(entry.at);
        let outcome = self.apply_body(entry);
        for definition in self.definitions.values_mut() {
            definition.wanted = definition.wanted.filter(|through| definition.next <= *through);
        }
        outcome
    }

    fn apply_body(&mut self, entry: &Entry) -> Outcome {
        match &entry.body {
            Body::Define(items) => Outcome::Defined(items.iter().map(|item| self.define_once(item)).collect()),
            Body::Delete(items) => Outcome::Deleted(items.iter().map(|item| self.delete_once(item)).collect()),
            Body::Pause(items) => Outcome::Paused(items.iter().map(|item| self.pause_once(item)).collect()),
            Body::Fire(fire) => self.fire(fire),
            Body::Ingest(ingest) => {
                Outcome::Ingested(ingest.matches.iter().map(|matched| self.ingest(ingest, matched)).collect())
            }
            Body::Follow(steps) => {
                steps.iter().for_each(|step| self.follow(*step));
                Outcome::Done
            }
            Body::Trigger(items) => Outcome::Triggered(items.iter().map(|item| self.trigger(item)).collect()),
            Body::Closed(items) => self.closed(items),
            Body::Conclude(items) => Outcome::Concluded(items.iter().map(|item| self.conclude(*item)).collect()),
            Body::Ack(items) => {
                items.iter().for_each(|item| self.ack(item));
                Outcome::Done
            }
            Body::Dead(items) => Outcome::Dead(items.iter().map(|item| self.dead(item)).collect()),
            Body::Expire(expire) => {
                self.expire(expire);
                Outcome::Done
            }
            Body::Backfill(steps) => Outcome::Backfilled(steps.iter().map(|step| self.backfill(step)).collect()),
            Body::Calendar(step) => Outcome::Calendar(self.calendar(step)),
            Body::Rezone(_) => unreachable!("no operation makes one: see the examples"),
            Body::Restore(_) => panic!("the model restores nothing: restores have tests of their own"),
        }
    }

    pub fn number(&self, namespace: &str, id: &str) -> Option<u64> {
        let found = self.definitions.iter().find(|(_, d)| d.namespace == namespace && d.id == id);
        found.map(|(number, _)| *number)
    }

    pub fn definite(&self, number: u64) -> Definite {
        let definition = &self.definitions[&number];
        Definite { number, generation: definition.generation, version: definition.version }
    }

    /// Firings that have not ended.
    pub fn pending(&self) -> impl Iterator<Item = &Happened> {
        self.happened.iter().filter(|h| h.end == End::Pending)
    }

    fn define_once(&mut self, item: &Define) -> Defined {
        if let Some(done) = self.done_before(item.request) {
            let (told, next) = match done.answer {
                Told::Defined(told, next) if Some(done.request) == item.request => (told, next),
                _ => return Defined::Reused,
            };
            let before = |change, now: Definite| Defined::Repeated(Before { change, version: now.version, next });
            return match told {
                Defined::Created(now) => before(Change::Created, now),
                Defined::Configured(now) => before(Change::Configured, now),
                Defined::Unchanged(now) => before(Change::Unchanged, now),
                other => panic!("{other:?} is not carried out"),
            };
        }
        let told = self.define(item);
        self.pass();
        if let Defined::Created(now) | Defined::Configured(now) | Defined::Unchanged(now) = told {
            let used_up = self.definitions[&now.number].is_used_up();
            let next = if item.enabled && !used_up { item.next } else { NEVER };
            self.carried_out(item.request, Told::Defined(told, next));
        }
        told
    }

    fn delete_once(&mut self, item: &Delete) -> Deleted {
        if let Some(done) = self.done_before(item.request) {
            return match done.answer {
                Told::Deleted(Deleted::Gone { version, .. }) if Some(done.request) == item.request => {
                    Deleted::Repeated { version }
                }
                _ => Deleted::Reused,
            };
        }
        let told = self.delete(item);
        if matches!(told, Deleted::Gone { .. }) {
            self.carried_out(item.request, Told::Deleted(told));
        }
        told
    }

    fn pause_once(&mut self, item: &Pause) -> Pausing {
        if let Some(done) = self.done_before(item.request) {
            return match done.answer {
                Told::Paused(told) if Some(done.request) == item.request => {
                    Pausing::Repeated { changed: matches!(told, Pausing::Changed(_)) }
                }
                _ => Pausing::Reused,
            };
        }
        let told = self.pause(item);
        if !matches!(told, Pausing::NotFound | Pausing::Stale) {
            self.carried_out(item.request, Told::Paused(told));
        }
        told
    }

    /// What was carried out under the request's id, within its window.
    pub fn done_before(&self, request: Option<Request>) -> Option<Done> {
        let request = request?;
        let window = i64::from(request.window) * 1_000_000;
        let mut same_id = self.done.iter().filter(|done| done.request.digest == request.digest);
        same_id.rfind(|done| self.clock - done.at < window).cloned()
    }

    pub fn carried_out(&mut self, request: Option<Request>, answer: Told) {
        self.done.extend(request.map(|request| Done { at: self.clock, request, answer }));
    }

    fn define(&mut self, item: &Define) -> Defined {
        let seen = self.calendars.seen.get(&item.namespace).copied().unwrap_or(0);
        if item.calendars.as_ref().is_some_and(|uses| uses.revision != seen) {
            return Defined::Outdated;
        }
        let known = self.number(&item.namespace, &item.id);
        let actual = known.map_or(0, |number| self.definitions[&number].version);
        if item.expected_version.is_some_and(|expected| expected != actual) {
            return Defined::Conflict { actual };
        }
        let next = if item.enabled { item.next } else { NEVER };
        let Some(number) = known else { return Defined::Created(self.create(item, next)) };
        if self.made[&(number, actual)].document == item.document {
            return Defined::Unchanged(self.definite(number));
        }
        if let Some(last) = self.definitions[&number].last.filter(|last| next <= *last) {
            return Defined::Behind { last };
        }
        let Made { incarnation, created, .. } = self.made[&(number, actual)];
        self.made.get_mut(&(number, actual)).expect("the current version is kept").retired = Some(self.clock);
        let definition = self.definitions.get_mut(&number).expect("was found by name");
        definition.generation += 1;
        self.configure(number, item, next, incarnation, created);
        self.turn(number, true);
        Defined::Configured(self.definite(number))
    }

    fn create(&mut self, item: &Define, next: i64) -> Definite {
        if !self.lanes.contains(&item.namespace) {
            self.lanes.push(item.namespace.clone());
        }
        let number = self.numbers;
        self.numbers += 1;
        let definition = Definition {
            namespace: item.namespace.clone(),
            id: item.id.clone(),
            generation: 1,
            version: 0,
            enabled: false,
            note: None,
            until: None,
            backfills: BTreeMap::new(),
            next,
            last: None,
            subscriptions: Vec::new(),
            runs: Runs::default(),
            bounds: None,
            used: 0,
            disabled: false,
            wanted: None,
            coming: BTreeMap::new(),
            uses: Vec::new(),
        };
        self.definitions.insert(number, definition);
        self.configure(number, item, next, item.incarnation, self.clock);
        self.definite(number)
    }

    fn configure(&mut self, number: u64, item: &Define, next: i64, incarnation: u64, created: i64) {
        let definition = self.definitions.get_mut(&number).expect("exists");
        definition.version += 1;
        definition.enabled = item.enabled;
        definition.subscriptions = if item.enabled { item.subscriptions.clone() } else { Vec::new() };
        if !definition.subscriptions.iter().any(|(event_type, _)| event_type.starts_with(AFTER)) {
            definition.coming.clear();
        }
        definition.next = definition.soonest(next);
        definition.runs.ask(item.tracking);
        let counts = |bounds: Option<Bounds>| bounds.is_some_and(|bounds| bounds.max.is_some());
        definition.used = if counts(definition.bounds) && counts(item.bounds) { definition.used } else { 0 };
        definition.bounds = item.bounds;
        (definition.disabled, definition.wanted) = (false, None);
        if definition.is_used_up() {
            definition.next = NEVER;
        }
        self.calendars.again.remove(&number);
        definition.uses = item.calendars.as_ref().map_or(Vec::new(), |uses| uses.names.clone());
        let made = Made { document: item.document.clone(), incarnation, created, retired: None };
        self.made.insert((number, definition.version), made);
    }

    fn delete(&mut self, item: &Delete) -> Deleted {
        let Some(number) = self.number(&item.namespace, &item.id) else { return Deleted::NotFound };
        let version = self.definitions[&number].version;
        let made = self.made.get_mut(&(number, version)).expect("is kept");
        if item.incarnation.is_some_and(|incarnation| incarnation != made.incarnation) {
            return Deleted::NotFound;
        }
        if item.expected_version.is_some_and(|expected| expected != version) {
            return Deleted::Conflict { actual: version };
        }
        made.retired = Some(self.clock);
        for waiting in self.definitions[&number].runs.waiting.clone() {
            self.happen(number, waiting.key, Some(Reason::Deleted), None);
        }
        self.definitions.remove(&number);
        self.calendars.again.remove(&number);
        Deleted::Gone { number, version }
    }

    fn pause(&mut self, item: &Pause) -> Pausing {
        let Some(number) = self.number(&item.namespace, &item.id) else { return Pausing::NotFound };
        let clock = self.clock;
        let definition = self.definitions.get_mut(&number).expect("was found by name");
        let was_paused = definition.note.is_some();
        if item.paused {
            let (since, before) = definition.note.clone().unwrap_or((clock, String::new()));
            definition.note = Some((since, if item.note.is_empty() { before } else { item.note.clone() }));
            definition.until = item.until;
        }
        let meant = item.paused || item.until.is_none() || item.until == definition.until;
        if was_paused == item.paused || !meant {
            return Pausing::Same(self.definite(number));
        }
        if !item.paused && item.computed.is_some_and(|computed| computed.generation != definition.generation) {
            return Pausing::Stale;
        }
        definition.generation += 1;
        if !item.paused {
            (definition.note, definition.until) = (None, None);
            let missed_from = definition.next;
            // What has come and is not known to who resumes it.
            let passes = |nominal: &&i64| item.missed > 0 && **nominal <= clock;
            let ahead = definition.coming.keys().find(|nominal| !passes(nominal)).copied().unwrap_or(NEVER);
            definition.next = item.next.min(ahead).max(missed_from);
            let came = definition.coming.range(..definition.next).count() as u32;
            let missed = item.missed.max(came);
            let passed = item.computed.and_then(|computed| computed.passed);
            let last = passed.max(definition.coming.range(..definition.next).next_back().map(|(nominal, _)| *nominal));
            definition.last = definition.last.max(last.map(|last| last.min(definition.next - 1)));
            definition.wanted = item.wanted_through.or(definition.wanted);
            if !definition.uses.is_empty() {
                self.calendars.again.insert(number);
            }
            if missed > 0 && missed_from != NEVER {
                let key = Key::Time { nominal: missed_from, due: missed_from, count: missed };
                self.happen(number, key, Some(Reason::Paused), None);
            }
            self.pass();
        }
        Pausing::Changed(self.definite(number))
    }

    /// A due time fires.
    pub fn count(&mut self, number: u64) {
        let definition = self.definitions.get_mut(&number).expect("exists");
        if definition.bounds.is_some_and(|bounds| bounds.max.is_some()) {
            definition.used += 1;
        }
        if definition.is_used_up() {
            definition.next = NEVER;
        }
    }

    pub fn is_used_up(&self, number: u64) -> bool {
        self.definitions[&number].is_used_up()
    }

    fn conclude(&mut self, item: Conclude) -> Concluded {
        let number = item.number;
        let Some(definition) = self.definitions.get_mut(&number) else { return Concluded::Stale };
        if definition.generation != item.generation {
            return Concluded::Stale;
        }
        let (namespace, id, version) = (definition.namespace.clone(), definition.id.clone(), definition.version);
        match definition.conclusion() {
            Some(AfterEnd::Disable) => {
                definition.generation += 1;
                (definition.enabled, definition.disabled) = (false, true);
                definition.subscriptions.clear();
                Concluded::Disabled { number, version, namespace, id }
            }
            Some(AfterEnd::Delete) => {
                self.definitions.remove(&number);
                self.calendars.again.remove(&number);
                self.made.get_mut(&(number, version)).expect("is kept").retired = Some(self.clock);
                Concluded::Deleted { number, namespace, id }
            }
            Some(AfterEnd::Keep) | None => Concluded::Stale,
        }
    }

    fn fire(&mut self, fire: &Fire) -> Outcome {
        self.fired_through = self.fired_through.max(Some(fire.through));
        let mut stale = Vec::new();
        self.overlapped = 0;
        for (index, decision) in fire.decisions.iter().enumerate() {
            if !self.decide(decision) {
                stale.push(index as u32);
            }
        }
        Outcome::Fired { stale, overlapped: self.overlapped }
    }

    fn decide(&mut self, decision: &Decision) -> bool {
        let Some(definition) = self.definitions.get_mut(&decision.number) else { return false };
        let acts = definition.enabled && definition.note.is_none();
        let computed_from_this = definition.generation == decision.generation && definition.next == decision.nominal;
        if !acts || !computed_from_this || decision.nominal == NEVER || decision.next <= decision.nominal {
            return false;
        }
        definition.last = Some(decision.nominal);
        definition.next = decision.next;
        let key = Key::Time { nominal: decision.nominal, due: decision.due, count: decision.count };
        match decision.skip {
            None => self.overlapped += u32::from(self.come(decision.number, key, None, None) == Came::Skipped),
            Some(_) => self.happen(decision.number, key, decision.skip, None),
        }
        self.pass();
        true
    }

    fn ingest(&mut self, ingest: &Ingest, matched: &Match) -> Ingested {
        let Some(definition) = self.definitions.get(&matched.number) else { return Ingested::Stale };
        if definition.version != matched.version || !definition.enabled {
            return Ingested::Stale;
        }
        let paused = definition.note.is_some();
        if self.is_repeated(matched.digest, matched.window) {
            return Ingested::Duplicate;
        }
        if let Some(due) = matched.due {
            return self.come_due(matched.number, due, &ingest.events[matched.event as usize]);
        }
        let key = Key::Event(matched.key.clone());
        if paused {
            self.happen(matched.number, key, Some(Reason::Paused), None);
            return Ingested::Skipped;
        }
        self.fire_event(matched.number, key, ingest.events[matched.event as usize].clone());
        Ingested::Fired
    }

    fn trigger(&mut self, item: &Trigger) -> Triggered {
        let Some(number) = self.number(&item.namespace, &item.id) else { return Triggered::NotFound };
        let version = self.definitions[&number].version;
        let incarnation = self.made[&(number, version)].incarnation;
        if self.is_repeated(item.digest, DAY) {
            return Triggered::Duplicate { incarnation };
        }
        match self.come(number, Key::Manual(item.request_id.clone()), item.policy, Some(item.input.clone())) {
            Came::Fires => Triggered::Fired { version, incarnation },
            Came::Waits => Triggered::Waits { version, incarnation },
            Came::Skipped => Triggered::Skipped { incarnation },
        }
    }

    /// Whether the key was last taken within its window; else it is taken now.
    fn is_repeated(&mut self, digest: [u8; 16], window: u32) -> bool {
        let now = self.clock;
        let repeated = self.seen.get(&digest).is_some_and(|at| now - at < i64::from(window) * 1_000_000);
        if !repeated {
            self.seen.insert(digest, now);
        }
        repeated
    }

    pub fn happen(&mut self, number: u64, key: Key, skip: Option<Reason>, payload: Option<Bytes>) {
        let definition = &self.definitions[&number];
        let lane = self.lanes.iter().position(|name| *name == definition.namespace).expect("has one") as u32;
        self.happened.push(Happened {
            number,
            lane,
            version: definition.version,
            key,
            skip,
            decided: self.clock,
            payload,
            end: if skip.is_some() { End::Skipped } else { End::Pending },
            place: None,
            dropped: false,
            waited: false,
        });
    }

    fn ack(&mut self, item: &Ack) {
        for end in &item.ends {
            let place = Some((item.seq, end.record));
            let found = self.happened.iter_mut().position(|h| h.place == place && h.lane == item.lane);
            let Some(index) = found.filter(|index| self.happened[*index].end == End::Pending) else { continue };
            self.happened[index].end = match &end.refused {
                None => End::Started { at: end.at, note: end.note.clone() },
                Some(reason) => End::Failed { at: end.at, reason: reason.clone() },
            };
            if end.refused.is_some() {
                self.buried += 1;
                self.letters.insert(self.buried, index);
            }
            self.answered(index, end.refused.is_some());
            self.pass();
        }
    }

    fn dead(&mut self, item: &DeadAction) -> bool {
        let Some(index) = self.letters.remove(&item.seq) else { return false };
        let happened = &mut self.happened[index];
        let End::Failed { reason, .. } = happened.end.clone() else { panic!("a letter is of what failed") };
        happened.end = if item.retry { End::Pending } else { End::Dropped { at: self.clock, reason } };
        if item.retry {
            self.sent_again(index);
        }
        true
    }

    /// When the oldest occurrence was decided that is pending or has a letter: nothing from then on may be dropped.
    fn held_since(&self) -> i64 {
        let letters = self.letters.values().map(|index| &self.happened[*index]);
        self.pending().chain(letters).map(|h| h.decided).min().unwrap_or(i64::MAX)
    }

    /// Drops by whole hours.
    fn expire(&mut self, expire: &Expire) {
        let hour = |at: i64| at.div_euclid(HOUR);
        let held = self.held_since();
        for happened in &mut self.happened {
            happened.dropped |= hour(happened.decided) < hour(expire.account_before.min(held));
        }
        let (before, at) = (expire.versions_before.min(held), self.clock);
        let newest: BTreeMap<u64, u32> = self.definitions.iter().map(|(number, d)| (*number, d.version)).collect();
        self.made.retain(|(number, version), made| {
            if made.retired.is_none_or(|at| hour(at) >= hour(before)) {
                return true;
            }
            // One that stays is looked at again as if it had been superseded just now.
            made.retired = Some(at.max(before));
            newest.get(number).is_some_and(|newest| newest - version < expire.keep)
        });
    }

    fn backfill(&mut self, step: &BackfillStep) -> Backfilled {
        match step {
            BackfillStep::Begin(item) => {
                let Some(number) = self.number(&item.namespace, &item.id) else { return Backfilled::NotFound };
                let known = &mut self.definitions.get_mut(&number).expect("exists").backfills;
                if let Some(known) = known.get(&item.backfill) {
                    let (mut one, mut other) = (known.range, item.range);
                    (one.rate, other.rate) = (0, 0);
                    return if one == other { Backfilled::Repeated } else { Backfilled::Reused };
                }
                let ended = (item.next == NEVER).then_some(self.clock);
                let (range, begun, next, total) = (item.range, self.clock, item.next, item.total);
                let begun = Backfill { range, begun, next, total, decided: 0, skipped: 0, ended };
                known.insert(item.backfill.clone(), begun);
                Backfilled::Begun
            }
            BackfillStep::Stop { namespace, id, backfill } => {
                let Some(number) = self.number(namespace, id) else { return Backfilled::NotFound };
                let clock = self.clock;
                match self.definitions.get_mut(&number).expect("exists").backfills.get_mut(backfill) {
                    None => Backfilled::NoBackfill,
                    Some(Backfill { ended: Some(_), .. }) => Backfilled::Ended,
                    Some(running) => {
                        running.ended = Some(clock);
                        Backfilled::Stopped
                    }
                }
            }
            BackfillStep::Advance(item) => self.advance(item).unwrap_or(Backfilled::Stale),
        }
    }

    fn advance(&mut self, item: &AdvanceBackfill) -> Option<Backfilled> {
        let definition = self.definitions.get(&item.number).filter(|d| d.version == item.version)?;
        let known = definition.backfills.get(&item.backfill).filter(|known| known.ended.is_none())?;
        let (range, mut position) = (known.range, known.next);
        // All of it in one direction, as if time ran that way.
        let on = |time: i64| if range.newest_first { -time } else { time };
        let inside = |time: i64| range.from <= time && time <= range.to;
        let mut first = true;
        for time in &item.times {
            let goes_on = if first { on(*time) >= on(position) } else { on(*time) > on(position) };
            (first, position) = (false, *time);
            if !goes_on || !inside(*time) {
                return None;
            }
        }
        if item.next != NEVER && (!inside(item.next) || on(item.next) <= on(position)) {
            return None;
        }
        let (mut fired, mut skipped) = (0, 0);
        for nominal in &item.times {
            let key = Key::Backfill { id: item.backfill.clone(), nominal: *nominal };
            match self.come(item.number, key, range.policy, None) {
                Came::Fires | Came::Waits => fired += 1,
                Came::Skipped => skipped += 1,
            }
        }
        let clock = self.clock;
        let known = self.definitions.get_mut(&item.number)?.backfills.get_mut(&item.backfill)?;
        known.next = item.next;
        known.decided += u64::from(fired + skipped);
        known.skipped += u64::from(skipped);
        known.ended = (item.next == NEVER).then_some(clock);
        Some(Backfilled::Advanced { fired, skipped })
    }
}
