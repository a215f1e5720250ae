//! Definitions created and changed: admission where it is asked, then one entry per shard, by its leader, for all that came together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome};
use flintwheel_model::{ActivityDefinition, DefinitionKey, Violation, Violations};
use flintwheel_schedule::Plan;
use flintwheel_shard::ReadError;
use flintwheel_shard::calendar_entry::Uses;
use flintwheel_shard::entry::{Body, DUE_AFTER_SINCE, Define, NEVER, Request};
use flintwheel_shard::query;
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Before, Change, Defined, Definite, Outcome};
use flintwheel_shard::slots::Slot;
use futures::future::join_all;

use super::ask::{Act, Applying, Ask, Look, Told, otherwise, read_definition};
use super::calendar_ask::{CalendarLook, CalendarTold, GivenDays};
use super::crowd;
use super::desk::Replica;
use super::request::{Content, request_id, reused};
use super::{Api, ApiError, check_request_id, clock, one, time};
use crate::admission::{Admitted, Book, SCHEDULE, admit, admit_with};
use crate::calendars::{Given, View};
use crate::error::EngineError;
use crate::load::{CANDIDATES, least_busy};

/// Definitions of one entry. Their documents may be large, and everybody else's entries wait behind it.
const BATCH: usize = 256;
/// Bytes of documents in one entry.
const BATCH_BYTES: usize = 1024 * 1024;
/// A definition is behind when its cursor has been moved between our look at the clock and the entry; that happens once, not often.
const ROUNDS: usize = 4;
/// How far back the due times of an apply may begin: who takes over from somebody else does so within hours, or days if it was interrupted. Further
/// back is a wrong unit, and would have years of due times looked at.
const LONGEST_AGO: Duration = Duration::from_secs(31 * 86_400);
/// Incarnations stay below 2^53: they travel in JSON, and to languages whose numbers are doubles.
const INCARNATION_BITS: u32 = 53;

type Results = Vec<(usize, Result<Applied, ApiError>)>;

/// One definition of a batch on its way.
struct Item {
    admitted: Arc<Admitted>,
    expected: Option<u32>,
    /// Due times up to here have been decided.
    after: i64,
    /// The first due time after that, or [`NEVER`].
    next: i64,
    /// All firings that it asks for it has had.
    used_up: bool,
    incarnation: u64,
    request_id: String,
    /// What is to be remembered of it.
    request: Option<Request>,
    /// The calendars by which its due time was computed.
    uses: Option<Uses>,
}

impl Api {
    /// Creates or changes one definition.
    pub async fn apply(&self, definition: &ActivityDefinition, options: &ApplyOptions) -> Result<Applied, ApiError> {
        let one = [(definition.clone(), options.clone())];
        self.batch_apply(&one).await.pop().unwrap_or(Err(ApiError::Engine(EngineError::Stopping)))
    }

    /// Creates or changes many; each has its own result, in order.
    pub async fn batch_apply(
        &self,
        definitions: &[(ActivityDefinition, ApplyOptions)],
    ) -> Vec<Result<Applied, ApiError>> {
        self.batch(definitions, None).await
    }

    /// What that would do, with calendars that count as if they had been applied.
    pub(super) async fn batch_preview(
        &self,
        definitions: &[(ActivityDefinition, ApplyOptions)],
        given: &GivenDays,
    ) -> Vec<Result<Applied, ApiError>> {
        self.batch(definitions, Some(given)).await
    }

    async fn batch(
        &self,
        definitions: &[(ActivityDefinition, ApplyOptions)],
        given: Option<&GivenDays>,
    ) -> Vec<Result<Applied, ApiError>> {
        let mut results: Vec<Option<Result<Applied, ApiError>>> = Vec::new();
        let mut parts: BTreeMap<(u32, bool), Vec<(usize, Applying)>> = BTreeMap::new();
        let mut warnings = BTreeMap::new();
        for (index, (definition, options)) in definitions.iter().enumerate() {
            let tried = options.validate_only || given.is_some();
            // Faults are told by any node, whether the shard has a leader or not.
            let prepared = match self.check_due_after(options).and_then(|()| prepare(definition, options)) {
                Ok(prepared) => self.come_after(definition, definitions, tried).await.map(|more| (prepared, more)),
                Err(error) => Err(error),
            };
            match prepared {
                Err(error) => results.push(Some(Err(error))),
                Ok(((key, item), more)) => {
                    results.push(None);
                    warnings.insert(index, more);
                    parts.entry((self.shard_of(&key), tried)).or_default().push((index, item));
                }
            }
        }
        let parts = parts.into_iter().map(|((shard, tried), items)| self.apply_shard(shard, tried, items, given));
        for (index, mut result) in join_all(parts).await.into_iter().flatten() {
            if let Ok(applied) = &mut result {
                applied.warnings.extend(warnings.remove(&index).unwrap_or_default());
            }
            results[index] = Some(result);
        }
        crowd::once(&mut results);
        results.into_iter().map(|result| result.unwrap_or(Err(ApiError::Engine(EngineError::Stopping)))).collect()
    }

    /// Changes one definition to what follows from something that was asked for: with the same request id, that is asked for once, whatever would
    /// follow from it by then.
    pub(super) async fn apply_asked(
        &self,
        definition: &ActivityDefinition,
        options: &ApplyOptions,
        asked: String,
    ) -> Result<Applied, ApiError> {
        let (key, mut item) = prepare(definition, options)?;
        self.come_after(definition, &[], options.validate_only).await?;
        item.asked = Some(asked);
        let done = self.apply_shard(self.shard_of(&key), options.validate_only, vec![(0, item)], None).await.pop();
        done.map_or(Err(ApiError::Engine(EngineError::Stopping)), |(_, result)| result)
    }

    /// Where not all nodes know what it means, who leads the shard might not, and would leave out what has passed. Only an absence of nodes is no
    /// reason: a node that runs alone is the leader itself.
    fn check_due_after(&self, options: &ApplyOptions) -> Result<(), ApiError> {
        let Some(after) = options.due_after else { return Ok(()) };
        if self.shared.peers.directory().meta().format().is_some_and(|format| format < DUE_AFTER_SINCE) {
            let message = "not all nodes of the cluster know it yet: upgrade them first";
            return Err(one("due_after", message).into());
        }
        let oldest = self.now() - LONGEST_AGO.as_micros() as i64;
        if after.timestamp_micros() < oldest {
            let message = format!("{} is longer ago than 31 days", after.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            return Err(one("due_after", message).into());
        }
        Ok(())
    }

    async fn apply_shard(
        &self,
        shard: u32,
        tried: bool,
        items: Vec<(usize, Applying)>,
        given: Option<&GivenDays>,
    ) -> Results {
        let mut results = Vec::with_capacity(items.len());
        let mut waiting = items.into_iter().peekable();
        while waiting.peek().is_some() {
            let (mut indices, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some((index, item)) = waiting.next() else { break };
                bytes += item.bytes();
                indices.push(index);
                batch.push(item);
            }
            let ask = match given.filter(|given| !given.is_empty()) {
                Some(given) => Look::Calendar(CalendarLook::Apply { items: batch, given: given.clone() }).into(),
                None if tried => Ask::from(Look::Preview(batch)),
                None => Act::Apply(batch).into(),
            };
            match self.ask(shard, ask).await {
                Ok(Told::Applied(applied) | Told::Calendar(CalendarTold::Apply(applied)))
                    if applied.len() == indices.len() =>
                {
                    results.extend(indices.into_iter().zip(applied));
                }
                other => {
                    let error = other.err().unwrap_or_else(otherwise);
                    results.extend(indices.into_iter().map(|index| (index, Err(error.clone()))));
                }
            }
        }
        results
    }
}

fn prepare(definition: &ActivityDefinition, options: &ApplyOptions) -> Result<(DefinitionKey, Applying), ApiError> {
    check_request_id(&options.request_id)?;
    let admitted = admit(definition)?;
    // Here, not where it is led: all tries must have the same.
    let options = ApplyOptions { request_id: request_id(&options.request_id), ..options.clone() };
    Ok((admitted.key.clone(), Applying::new(admitted, options)))
}

impl Replica {
    /// Writes definitions; each has its own result, in order. An error is one of all of them.
    ///
    /// Asked again after a try that nobody knows the end of, it does no harm: the shard remembers the request. Where not all nodes know requests
    /// yet, a definition that is there already is left as it is. Only where a version was expected the try itself would be in the way, so
    /// `again` lets its version count as ours.
    pub(super) async fn apply(
        &self,
        items: &[Applying],
        again: bool,
    ) -> Result<Vec<Result<Applied, ApiError>>, ApiError> {
        let mut results: Vec<Option<Result<Applied, ApiError>>> = Vec::with_capacity(items.len());
        let mut batch = Vec::with_capacity(items.len());
        for (index, applying) in items.iter().enumerate() {
            let item = match self.item(applying, &Given::default()) {
                Ok(item) => self.check_future(&item).await?.map(|()| item),
                Err(error) => Err(error),
            };
            results.push(None);
            match item {
                Ok(item) => batch.push((index, item)),
                Err(error) => results[index] = Some(Err(error)),
            }
        }
        for (index, result) in self.write(batch, again).await? {
            results[index] = Some(result);
        }
        Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(otherwise()))).collect())
    }

    fn item(&self, applying: &Applying, given: &Given) -> Result<Item, ApiError> {
        let (admitted, uses) = self.settled(applying.admitted()?, given)?;
        self.check_place(&admitted.key)?;
        self.check_tracking(admitted.tracking.is_some(), &format!("{SCHEDULE}.overlap_policy"))?;
        self.check_bounds(admitted.newest.is_some(), &format!("{SCHEDULE}.{}", admitted.newest.unwrap_or_default()))?;
        self.check_start_options(admitted.start_options)?;
        let after = applying.options.due_after.map_or_else(|| self.now(), |after| after.timestamp_micros());
        let used_up = self.is_used_up(&admitted)?;
        let next = if used_up { NEVER } else { admitted.next(after) };
        let expected = applying.options.expected_version.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let incarnation = self.incarnation(&admitted, next);
        let ApplyOptions { request_id, expected_version, due_after, .. } = applying.options.clone();
        let due_after = due_after.map(|after| after.timestamp_micros());
        let content = match &applying.asked {
            Some(asked) => Content::Asked(asked),
            None => Content::Apply { document: &admitted.document, expected_version, due_after },
        };
        let request = self.request(&admitted.key, &request_id, &content);
        Ok(Item { admitted, expected, after, next, used_up, incarnation, request_id, request, uses })
    }

    /// A random number: also the seed of its jitter, so where the engine is to choose when it is due, it chooses among some.
    fn incarnation(&self, admitted: &Admitted, next: i64) -> u64 {
        let random = || rand::random::<u64>() >> (u64::BITS - INCARNATION_BITS);
        let plan = admitted.plan.as_ref().filter(|_| admitted.chosen && next != NEVER);
        let chosen = plan.and_then(|plan| {
            let seeds = std::iter::repeat_with(random).take(CANDIDATES);
            least_busy(&self.shared.load, seeds, |seed| plan.due(next, seed))
        });
        chosen.unwrap_or_else(random)
    }

    /// With the calendars that it names, as this shard has them now.
    fn settled(&self, admitted: Arc<Admitted>, given: &Given) -> Result<(Arc<Admitted>, Option<Uses>), ApiError> {
        if admitted.calendars.is_empty() {
            return Ok((admitted, None));
        }
        let (mut settled, uses) = self.admitted_by(&read_definition(&admitted.document)?, given)?;
        settled.document = admitted.document.clone();
        Ok((Arc::new(settled), uses))
    }

    /// A definition, checked with the calendars of this shard and those that are given.
    pub(super) fn admitted_by(
        &self,
        definition: &ActivityDefinition,
        given: &Given,
    ) -> Result<(Admitted, Option<Uses>), ApiError> {
        let namespace = &definition.metadata.namespace;
        let view = View::new(&self.shared.calendars, &self.group, namespace, given)?;
        let names = || -> Vec<String> { view.names().into_iter().map(str::to_owned).collect() };
        let admitted = admit_with(definition, &Book { find: &|name| view.find(name), names: &names })?;
        let names = admitted.calendars.clone();
        if names.is_empty() {
            return Ok((admitted, None));
        }
        self.check_calendars(SCHEDULE)?;
        Ok((admitted, Some(Uses { revision: view.seen, names })))
    }

    /// A file with a one-shot of last week may be applied again as it is, and a request comes again after the one-shot that it made. The outer
    /// error is that of the shard.
    async fn check_future(&self, item: &Item) -> Result<Result<(), ApiError>, ApiError> {
        let Err(past) = item.check_future() else { return Ok(Ok(())) };
        // What is refused for what it finds must look at what is current.
        self.confirm().await.map_err(|_| EngineError::NotLed)?;
        let (admitted, request) = (Arc::clone(&item.admitted), item.request);
        let same =
            self.read(move |replica| Ok(replica.is_stored(&admitted)? || replica.remembers(request.as_ref())?)).await?;
        Ok(if same { Ok(()) } else { Err(past.into()) })
    }

    /// Whether so many of a definition's due times have fired as it is to have in all.
    fn is_used_up(&self, admitted: &Admitted) -> Result<bool, ApiError> {
        let Some(max) = admitted.bounds.and_then(|bounds| bounds.max) else { return Ok(false) };
        let DefinitionKey { namespace, id } = &admitted.key;
        let used = self.group.read(|machine, state| {
            let number = query::number(state, namespace, id)?;
            let course = number.and_then(|number| machine.courses().get(number));
            Ok(course.filter(|course| course.left().is_some()).map_or(0, |course| course.used))
        })?;
        let used = used.map_err(|error: ReadError| ApiError::from(error))?;
        Ok(used >= max)
    }

    fn remembers(&self, request: Option<&Request>) -> Result<bool, ApiError> {
        let Some(request) = request else { return Ok(false) };
        Ok(self.group.read(|machine, state| machine.remembers(state, request))??)
    }

    fn is_stored(&self, admitted: &Admitted) -> Result<bool, ApiError> {
        Ok(self.stored(&admitted.key)?.is_some_and(|(_, stored)| stored.document == admitted.document))
    }

    /// What an apply would do, without doing it.
    pub(super) fn preview(&self, applying: &Applying, given: &Given) -> Result<Applied, ApiError> {
        let item = self.item(applying, given)?;
        if let Err(past) = item.check_future()
            && !self.is_stored(&item.admitted)?
        {
            return Err(past.into());
        }
        let stored = self.stored(&item.admitted.key)?;
        let actual = stored.as_ref().map_or(0, |(slot, _)| slot.version);
        if let Some(expected) = item.expected.filter(|expected| *expected != actual) {
            return Err(conflict(&item.admitted.key, expected, actual));
        }
        let (outcome, new) = match stored {
            None => (ApplyOutcome::Created, 1),
            Some((slot, stored)) if stored.document == item.admitted.document => {
                (ApplyOutcome::Unchanged, slot.version)
            }
            Some((slot, _)) => (ApplyOutcome::Configured, slot.version + 1),
        };
        let mut answer = applied(&item, outcome, actual, new);
        answer.warnings.extend(self.crowd(&item.admitted, item.next));
        Ok(answer)
    }

    async fn write(&self, mut batch: Vec<(usize, Item)>, again: bool) -> Result<Results, ApiError> {
        let mut results = Vec::with_capacity(batch.len());
        let mut written = Vec::with_capacity(batch.len());
        for _ in 0..ROUNDS {
            if batch.is_empty() {
                break;
            }
            let mut behind = Vec::new();
            let outcomes = self.define(&batch).await?;
            for ((index, mut item), defined) in batch.into_iter().zip(outcomes) {
                match defined {
                    Defined::Behind { last } => {
                        item.after = last.max(item.after);
                        item.next = item.admitted.next(item.after);
                        behind.push((index, item));
                    }
                    // A calendar has changed, or gone, between our look at it and the entry.
                    Defined::Outdated => match self.settled(Arc::clone(&item.admitted), &Given::default()) {
                        Ok((admitted, uses)) => {
                            let next = admitted.next(item.after);
                            behind.push((index, Item { admitted, uses, next, ..item }));
                        }
                        Err(error) => results.push((index, Err(error))),
                    },
                    other => {
                        if matches!(other, Defined::Created(_)) {
                            self.follow_new(&item.admitted).await?;
                        }
                        let result = self.outcome(&item, other, again).await?;
                        if result.is_ok() {
                            written.push((results.len(), Arc::clone(&item.admitted), item.next));
                        }
                        results.push((index, result));
                    }
                }
            }
            batch = behind;
        }
        results.extend(batch.into_iter().map(|(index, _)| (index, Err(EngineError::Busy.into()))));
        self.warn_of_crowds(&mut results, written).await;
        Ok(results)
    }

    /// Written are places of results, what was admitted, and when that is due.
    async fn warn_of_crowds(
        &self,
        results: &mut [(usize, Result<Applied, ApiError>)],
        written: Vec<(usize, Arc<Admitted>, i64)>,
    ) {
        // What can't be told keeps nothing from being applied.
        let crowds = self.read(move |replica| Ok(replica.crowds_of(&written))).await.unwrap_or_default();
        for (place, warning) in crowds {
            if let Some((_, Ok(applied))) = results.get_mut(place) {
                applied.warnings.push(warning);
            }
        }
    }

    async fn define(&self, batch: &[(usize, Item)]) -> Result<Vec<Defined>, ApiError> {
        let bytes = batch.iter().map(|(_, item)| item.admitted.document.len()).sum();
        let define = |item: &Item| Define {
            request: item.request,
            calendars: item.uses.clone(),
            ..item.admitted.define(item.next, item.incarnation, item.expected)
        };
        let defines = batch.iter().map(|(_, item)| define(item)).collect();
        match self.command(Body::Define(defines), bytes).await? {
            Outcome::Defined(defined) => Ok(defined),
            _ => Err(EngineError::Read("a define entry was answered otherwise".into()).into()),
        }
    }

    /// The outer error is that of the shard.
    async fn outcome(&self, item: &Item, defined: Defined, again: bool) -> Result<Result<Applied, ApiError>, ApiError> {
        let done = |outcome, old, now: Definite| Ok(Ok(applied(item, outcome, old, now.version)));
        match defined {
            Defined::Created(now) => done(ApplyOutcome::Created, 0, now),
            Defined::Configured(now) => done(ApplyOutcome::Configured, now.version - 1, now),
            Defined::Unchanged(now) => done(ApplyOutcome::Unchanged, now.version, now),
            Defined::Conflict { actual } => {
                let expected = item.expected.unwrap_or_default();
                let unknown = again && item.request.is_none();
                if unknown && expected.checked_add(1) == Some(actual) && self.is_ours(item).await? {
                    // The try before this one made this version of the one that was expected.
                    let outcome = if expected == 0 { ApplyOutcome::Created } else { ApplyOutcome::Configured };
                    return Ok(Ok(applied(item, outcome, expected, actual)));
                }
                Ok(Err(conflict(&item.admitted.key, expected, actual)))
            }
            Defined::TooManyNamespaces => Ok(Err(ApiError::TooManyNamespaces(item.admitted.key.namespace.clone()))),
            Defined::Behind { .. } | Defined::Outdated => Ok(Err(EngineError::Busy.into())),
            Defined::Repeated(before) => Ok(Ok(repeated(item, before))),
            Defined::Reused => Ok(Err(reused(&item.admitted.key, &item.request_id))),
        }
    }

    async fn is_ours(&self, item: &Item) -> Result<bool, ApiError> {
        let admitted = Arc::clone(&item.admitted);
        self.read(move |replica| replica.is_stored(&admitted)).await
    }

    /// A definition's cursor and its current version, if it exists.
    pub(super) fn stored(&self, key: &DefinitionKey) -> Result<Option<(Slot, Version)>, ApiError> {
        let found = self.group.read(|machine, state| {
            let number = query::number(state, &key.namespace, &key.id)?;
            let slot = number.and_then(|n| machine.slots().get(n).map(|slot| (n, *slot)));
            slot.map(|(number, slot)| Ok(query::version(state, number, slot.version)?.map(|v| (slot, v)))).transpose()
        })?;
        found.map(Option::flatten).map_err(|error: ReadError| error.into())
    }
}

impl Item {
    /// A definition that will never be due again is a mistake, unless it stands there already.
    fn check_future(&self) -> Result<(), Violations> {
        let max = self.admitted.bounds.and_then(|bounds| bounds.max);
        match max.filter(|_| self.used_up && self.admitted.enabled) {
            Some(max) => {
                let message = format!("{max} of its due times have fired already: raise it, or leave it out");
                Err(Violations(vec![Violation::new(format!("{SCHEDULE}.max_firings"), message)]))
            }
            None => self.admitted.check_future(self.next),
        }
    }
}

fn applied(item: &Item, outcome: ApplyOutcome, old: u32, new: u32) -> Applied {
    answer(item, outcome, old, new, item.next)
}

/// As the first time.
fn repeated(item: &Item, before: Before) -> Applied {
    let Before { change, version, next } = before;
    let (outcome, old) = match change {
        Change::Created => (ApplyOutcome::Created, 0),
        Change::Configured => (ApplyOutcome::Configured, version - 1),
        Change::Unchanged => (ApplyOutcome::Unchanged, version),
    };
    answer(item, outcome, old, version, next)
}

fn answer(item: &Item, outcome: ApplyOutcome, old: u32, new: u32, next: i64) -> Applied {
    let next = Some(next).filter(|next| *next != NEVER).map(time);
    let zone = item.admitted.plan.as_ref().map(Plan::zone_name);
    Applied {
        outcome,
        old_version: old.into(),
        new_version: new.into(),
        next_due: next,
        warnings: item.admitted.warnings.clone(),
        offsets: zone.map(|zone| clock::offsets(zone, next)).unwrap_or_default(),
    }
}

fn conflict(key: &DefinitionKey, expected: u32, actual: u32) -> ApiError {
    ApiError::Conflict { key: key.clone(), expected: expected.into(), actual: actual.into() }
}
