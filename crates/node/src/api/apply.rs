//! Definitions created and changed: admission where it is asked, then one entry per shard, by its leader, for all that came together.

use std::collections::BTreeMap;
use std::sync::Arc;

use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_shard::ReadError;
use flintwheel_shard::entry::{Body, Define, NEVER, Request};
use flintwheel_shard::query;
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Before, Change, Defined, Definite, Outcome};
use flintwheel_shard::slots::Slot;
use futures::future::join_all;

use super::ask::{Act, Applying, Ask, Look, Told, otherwise};
use super::desk::Replica;
use super::request::{Content, request_id, reused};
use super::{Api, ApiError, check_request_id, time};
use crate::admission::{Admitted, SCHEDULE, admit};
use crate::error::EngineError;

/// Definitions of one entry. Their documents may be large, and everybody else's entries wait behind it.
const BATCH: usize = 256;
/// Bytes of documents in one entry.
const BATCH_BYTES: usize = 1024 * 1024;
/// A definition is behind when its cursor has been moved between our look at the clock and the entry; that happens once, not often.
const ROUNDS: usize = 4;
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
    incarnation: u64,
    request_id: String,
    /// What is to be remembered of it.
    request: Option<Request>,
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
        let mut results: Vec<Option<Result<Applied, ApiError>>> = Vec::new();
        let mut parts: BTreeMap<(u32, bool), Vec<(usize, Applying)>> = BTreeMap::new();
        for (index, (definition, options)) in definitions.iter().enumerate() {
            // Faults are told by any node, whether the shard has a leader or not.
            match prepare(definition, options) {
                Err(error) => results.push(Some(Err(error))),
                Ok((key, item)) => {
                    results.push(None);
                    parts.entry((self.shard_of(&key), options.validate_only)).or_default().push((index, item));
                }
            }
        }
        let parts = parts.into_iter().map(|((shard, tried), items)| self.apply_shard(shard, tried, items));
        for (index, result) in join_all(parts).await.into_iter().flatten() {
            results[index] = Some(result);
        }
        results.into_iter().map(|result| result.unwrap_or(Err(ApiError::Engine(EngineError::Stopping)))).collect()
    }

    async fn apply_shard(&self, shard: u32, tried: bool, items: Vec<(usize, Applying)>) -> Results {
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
            let ask = if tried { Ask::from(Look::Preview(batch)) } else { Act::Apply(batch).into() };
            match self.ask(shard, ask).await {
                Ok(Told::Applied(applied)) if applied.len() == indices.len() => {
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
            let item = match self.item(applying) {
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

    fn item(&self, applying: &Applying) -> Result<Item, ApiError> {
        let admitted = applying.admitted()?;
        self.check_place(&admitted.key)?;
        self.check_tracking(admitted.tracking.is_some(), &format!("{SCHEDULE}.overlap_policy"))?;
        let after = self.now();
        let next = admitted.next(after);
        let expected = applying.options.expected_version.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let incarnation = rand::random::<u64>() >> (u64::BITS - INCARNATION_BITS);
        let ApplyOptions { request_id, expected_version, .. } = applying.options.clone();
        let content = Content::Apply { document: &admitted.document, expected_version };
        let request = self.request(&admitted.key, &request_id, &content);
        Ok(Item { admitted, expected, after, next, incarnation, request_id, request })
    }

    /// A file with a one-shot of last week may be applied again as it is, and a request comes again after the one-shot that it made. The outer
    /// error is that of the shard.
    async fn check_future(&self, item: &Item) -> Result<Result<(), ApiError>, ApiError> {
        let Err(past) = item.admitted.check_future(item.next) else { return Ok(Ok(())) };
        // What is refused for what it finds must look at what is current.
        self.confirm().await.map_err(|_| EngineError::NotLed)?;
        let (admitted, request) = (Arc::clone(&item.admitted), item.request);
        let same =
            self.read(move |replica| Ok(replica.is_stored(&admitted)? || replica.remembers(request.as_ref())?)).await?;
        Ok(if same { Ok(()) } else { Err(past.into()) })
    }

    fn remembers(&self, request: Option<&Request>) -> Result<bool, ApiError> {
        let Some(request) = request else { return Ok(false) };
        Ok(self.group.read(|machine, state| machine.remembers(state, request))??)
    }

    fn is_stored(&self, admitted: &Admitted) -> Result<bool, ApiError> {
        Ok(self.stored(&admitted.key)?.is_some_and(|(_, stored)| stored.document == admitted.document))
    }

    /// What an apply would do, without doing it.
    pub(super) fn preview(&self, applying: &Applying) -> Result<Applied, ApiError> {
        let item = self.item(applying)?;
        if let Err(past) = item.admitted.check_future(item.next)
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
        Ok(applied(&item, outcome, actual, new))
    }

    async fn write(&self, mut batch: Vec<(usize, Item)>, again: bool) -> Result<Results, ApiError> {
        let mut results = Vec::with_capacity(batch.len());
        for _ in 0..ROUNDS {
            if batch.is_empty() {
                return Ok(results);
            }
            let mut behind = Vec::new();
            let outcomes = self.define(&batch).await?;
            for ((index, mut item), defined) in batch.into_iter().zip(outcomes) {
                if let Defined::Behind { last } = defined {
                    item.after = last.max(item.after);
                    item.next = item.admitted.next(item.after);
                    behind.push((index, item));
                } else {
                    results.push((index, self.outcome(&item, defined, again).await?));
                }
            }
            batch = behind;
        }
        results.extend(batch.into_iter().map(|(index, _)| (index, Err(EngineError::Busy.into()))));
        Ok(results)
    }

    async fn define(&self, batch: &[(usize, Item)]) -> Result<Vec<Defined>, ApiError> {
        let bytes = batch.iter().map(|(_, item)| item.admitted.document.len()).sum();
        let define = |item: &Item| Define {
            request: item.request,
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
            Defined::Behind { .. } => Ok(Err(EngineError::Busy.into())),
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
    let next = Some(next).filter(|next| *next != NEVER);
    Applied {
        outcome,
        old_version: old.into(),
        new_version: new.into(),
        next_due: next.map(time),
        warnings: item.admitted.warnings.clone(),
    }
}

fn conflict(key: &DefinitionKey, expected: u32, actual: u32) -> ApiError {
    ApiError::Conflict { key: key.clone(), expected: expected.into(), actual: actual.into() }
}
