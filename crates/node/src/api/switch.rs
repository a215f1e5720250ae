//! Definitions paused, resumed and fired by hand.

use flintwheel_client::{Switched, Triggered};
use flintwheel_model::ids::{dedupe_digest, workflow_id};
use flintwheel_model::{DefinitionKey, FiringKey, limits};
use flintwheel_shard::entry::{Body, NEVER, Pause, Trigger};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Outcome, Pausing, Triggered as Fired};
use serde_json::Value;

use super::definitions::status;
use super::{Api, ApiError, check_key, check_request_id, one};
use crate::error::EngineError;
use crate::plans::Plans;

/// Due times of a pause that are counted one by one; a pause that passed over more says so by this number.
const MISSED: u32 = 1_000_000;

impl Api {
    /// Pauses a definition, with a note for people.
    pub async fn pause(&self, key: &DefinitionKey, note: &str) -> Result<Switched, ApiError> {
        self.switch(key, true, note).await
    }

    /// Resumes it; due times that passed meanwhile are accounted as skipped.
    pub async fn resume(&self, key: &DefinitionKey, note: &str) -> Result<Switched, ApiError> {
        self.switch(key, false, note).await
    }

    async fn switch(&self, key: &DefinitionKey, paused: bool, note: &str) -> Result<Switched, ApiError> {
        check_key(key)?;
        if note.len() > limits::NOTE_LEN {
            return Err(one("note", format!("{} bytes; at most {}", note.len(), limits::NOTE_LEN)).into());
        }
        let (next, missed) = if paused { (NEVER, 0) } else { self.passed_over(key)? };
        let (namespace, id) = (key.namespace.clone(), key.id.clone());
        let pause = Pause { namespace, id, paused, note: note.to_owned(), next, missed };
        let applied = self.shared.command(self.shard_of(key), Body::Pause(vec![pause]), note.len()).await?;
        let Outcome::Paused(results) = applied.outcome else {
            return Err(EngineError::Read("a pause entry was answered otherwise".into()).into());
        };
        let changed = match results.first() {
            Some(Pausing::Changed(_)) => true,
            Some(Pausing::Same(_)) => false,
            Some(Pausing::NotFound) | None => return Err(ApiError::NotFound(key.clone())),
        };
        let number_note = self.note_of(key)?;
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        Ok(Switched { status: status(&slot, &stored, number_note), changed })
    }

    fn note_of(&self, key: &DefinitionKey) -> Result<Option<flintwheel_shard::records::PauseNote>, ApiError> {
        let state = self.shared.group(self.shard_of(key)).state();
        let number = query::number(&state, &key.namespace, &key.id)?;
        Ok(number.map(|number| query::pause_note(&state, number)).transpose()?.flatten())
    }

    /// The next due time of a paused definition from now on, and how many have passed since it was paused.
    fn passed_over(&self, key: &DefinitionKey) -> Result<(i64, u32), ApiError> {
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        if slot.next == NEVER {
            return Ok((NEVER, 0));
        }
        let mut plans = Plans::default();
        let plan = plans.of_document(&stored.document, stored.incarnation).map_err(EngineError::Read)?;
        let plan = &plans.get(plan).plan;
        let now = self.now();
        let passed = std::iter::successors(Some(slot.next), |nominal| plan.next(*nominal));
        let missed = passed.take_while(|nominal| *nominal <= now).take(MISSED as usize).count() as u32;
        Ok((plan.next(now).unwrap_or(NEVER), missed))
    }

    /// Fires a definition by hand. The same request id fires it once; an empty one is made up.
    pub async fn trigger(
        &self,
        key: &DefinitionKey,
        request_id: &str,
        input: Option<&Value>,
    ) -> Result<Triggered, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        let request_id = if request_id.is_empty() { uuid::Uuid::now_v7().to_string() } else { request_id.to_owned() };
        let input = input.map(Value::to_string).unwrap_or_default();
        if input.len() > limits::EVENT_BYTES {
            return Err(one("input", format!("{} bytes; at most {}", input.len(), limits::EVENT_BYTES)).into());
        }
        let shard = self.shard_of(key);
        let number = query::number(&self.shared.group(shard).state(), &key.namespace, &key.id)?;
        let number = number.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let firing = FiringKey::Manual(request_id.clone());
        let digest = dedupe_digest(number, &firing);
        let (namespace, id, size) = (key.namespace.clone(), key.id.clone(), input.len());
        let trigger = Trigger { namespace, id, request_id, digest, input: input.into() };
        let applied = self.shared.command(shard, Body::Trigger(vec![trigger]), size).await?;
        let Outcome::Triggered(results) = applied.outcome else {
            return Err(EngineError::Read("a trigger entry was answered otherwise".into()).into());
        };
        let duplicate = match results.first() {
            Some(Fired::Fired { .. }) => false,
            Some(Fired::Duplicate { .. }) => true,
            Some(Fired::NotFound) | None => return Err(ApiError::NotFound(key.clone())),
        };
        let workflow_id = workflow_id(&self.shared.dispatchers.prefix, key, &firing);
        Ok(Triggered { firing_key: firing.text(), workflow_id, duplicate })
    }
}
