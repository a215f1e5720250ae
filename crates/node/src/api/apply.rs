//! Definitions created and changed: admission, then one entry per shard for all that came together.

use std::collections::BTreeMap;

use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome};
use flintwheel_model::violation::Violations;
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_shard::entry::{Body, NEVER};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Defined, Definite, Outcome};
use futures::future::join_all;

use super::{Api, ApiError, check_request_id, time};
use crate::admission::{Admitted, admit};
use crate::error::EngineError;

/// Definitions of one entry. Their documents may be large, and everybody else's entries wait behind it.
const BATCH: usize = 256;
/// Bytes of documents in one entry.
const BATCH_BYTES: usize = 1024 * 1024;
/// A definition is behind when its cursor has been moved between our look at the clock and the entry; that happens once, not often.
const ROUNDS: usize = 4;
/// Incarnations stay below 2^53: they travel in JSON, and to languages whose numbers are doubles.
const INCARNATION_BITS: u32 = 53;

/// One definition of a batch on its way.
struct Item {
    admitted: Admitted,
    expected: Option<u32>,
    /// Due times up to here have been decided.
    after: i64,
    /// The first due time after that, or [`NEVER`].
    next: i64,
    incarnation: u64,
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
        let mut by_shard: BTreeMap<u32, Vec<(usize, Item)>> = BTreeMap::new();
        for (index, (definition, options)) in definitions.iter().enumerate() {
            match self.prepare(definition, options) {
                Err(error) => results.push(Some(Err(error))),
                Ok(item) if options.validate_only => results.push(Some(self.preview(&item))),
                Ok(item) => {
                    results.push(None);
                    by_shard.entry(self.shard_of(&item.admitted.key)).or_default().push((index, item));
                }
            }
        }
        let shards = by_shard.into_iter().map(|(shard, items)| self.apply_shard(shard, items));
        for (index, result) in join_all(shards).await.into_iter().flatten() {
            results[index] = Some(result);
        }
        results.into_iter().map(|result| result.unwrap_or(Err(ApiError::Engine(EngineError::Stopping)))).collect()
    }

    fn prepare(&self, definition: &ActivityDefinition, options: &ApplyOptions) -> Result<Item, ApiError> {
        check_request_id(&options.request_id)?;
        let admitted = admit(definition)?;
        let after = self.now();
        let next = admitted.next(after);
        if let Err(past) = admitted.check_future(next) {
            self.refuse_unless_unchanged(&admitted, past)?;
        }
        let expected = options.expected_version.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let incarnation = rand::random::<u64>() >> (u64::BITS - INCARNATION_BITS);
        Ok(Item { admitted, expected, after, next, incarnation })
    }

    /// A file with a one-shot of last week may be applied again as it is.
    fn refuse_unless_unchanged(&self, admitted: &Admitted, past: Violations) -> Result<(), ApiError> {
        let stored = self.stored(&admitted.key)?;
        let same = stored.is_some_and(|(_, stored)| stored.document == admitted.document);
        if same { Ok(()) } else { Err(past.into()) }
    }

    /// What an apply would do, without doing it.
    fn preview(&self, item: &Item) -> Result<Applied, ApiError> {
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
        Ok(self.applied(item, outcome, actual, new))
    }

    async fn apply_shard(&self, shard: u32, items: Vec<(usize, Item)>) -> Vec<(usize, Result<Applied, ApiError>)> {
        let mut results = Vec::with_capacity(items.len());
        let mut waiting = items.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut batch = Vec::new();
            let mut bytes = 0;
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(item) = waiting.next() else { break };
                bytes += item.1.admitted.document.len();
                batch.push(item);
            }
            results.extend(self.apply_batch(shard, batch, bytes).await);
        }
        results
    }

    async fn apply_batch(
        &self,
        shard: u32,
        mut batch: Vec<(usize, Item)>,
        bytes: usize,
    ) -> Vec<(usize, Result<Applied, ApiError>)> {
        let mut results = Vec::with_capacity(batch.len());
        for _ in 0..ROUNDS {
            let defines =
                batch.iter().map(|(_, item)| item.admitted.define(item.next, item.incarnation, item.expected));
            let outcome = self.shared.command(shard, Body::Define(defines.collect()), bytes).await;
            let defined = match outcome.map(|applied| applied.outcome) {
                Ok(Outcome::Defined(defined)) => defined,
                Ok(_) => {
                    return fail(batch, results, &EngineError::Read("a define entry was answered otherwise".into()));
                }
                Err(error) => return fail(batch, results, &error),
            };
            let mut behind = Vec::new();
            for ((index, mut item), defined) in batch.into_iter().zip(defined) {
                if let Defined::Behind { last } = defined {
                    item.after = last.max(item.after);
                    item.next = item.admitted.next(item.after);
                    behind.push((index, item));
                } else {
                    results.push((index, self.settle(&item, defined)));
                }
            }
            batch = behind;
            if batch.is_empty() {
                return results;
            }
        }
        fail(batch, results, &EngineError::Busy)
    }

    fn settle(&self, item: &Item, defined: Defined) -> Result<Applied, ApiError> {
        let applied = |outcome, old, now: Definite| Ok(self.applied(item, outcome, old, now.version));
        match defined {
            Defined::Created(now) => applied(ApplyOutcome::Created, 0, now),
            Defined::Configured(now) => applied(ApplyOutcome::Configured, now.version - 1, now),
            Defined::Unchanged(now) => applied(ApplyOutcome::Unchanged, now.version, now),
            Defined::Conflict { actual } => {
                Err(conflict(&item.admitted.key, item.expected.unwrap_or_default(), actual))
            }
            Defined::TooManyNamespaces => Err(ApiError::TooManyNamespaces(item.admitted.key.namespace.clone())),
            Defined::Behind { .. } => Err(ApiError::Engine(EngineError::Busy)),
        }
    }

    fn applied(&self, item: &Item, outcome: ApplyOutcome, old: u32, new: u32) -> Applied {
        let next = Some(item.next).filter(|next| *next != NEVER);
        Applied {
            outcome,
            old_version: old.into(),
            new_version: new.into(),
            next_due: next.map(time),
            warnings: Vec::new(),
        }
    }

    /// A definition's cursor and its current version, if it exists.
    pub(super) fn stored(
        &self,
        key: &DefinitionKey,
    ) -> Result<Option<(flintwheel_shard::slots::Slot, flintwheel_shard::records::Version)>, ApiError> {
        let group = self.shared.group(self.shard_of(key));
        let found = group.read(|machine, state| {
            let number = query::number(state, &key.namespace, &key.id)?;
            let slot = number.and_then(|n| machine.slots().get(n).map(|slot| (n, *slot)));
            slot.map(|(number, slot)| Ok(query::version(state, number, slot.version)?.map(|v| (slot, v)))).transpose()
        })?;
        found.map(Option::flatten).map_err(|error: flintwheel_shard::ReadError| error.into())
    }
}

fn conflict(key: &DefinitionKey, expected: u32, actual: u32) -> ApiError {
    ApiError::Conflict { key: key.clone(), expected: expected.into(), actual: actual.into() }
}

fn fail(
    batch: Vec<(usize, Item)>,
    mut results: Vec<(usize, Result<Applied, ApiError>)>,
    error: &EngineError,
) -> Vec<(usize, Result<Applied, ApiError>)> {
    results.extend(batch.into_iter().map(|(index, _)| (index, Err(error.clone().into()))));
    results
}
