//! Definitions paused, resumed and fired by hand.

use bytes::Bytes;
use flintwheel_client::{DefinitionStatus, Switched, Triggered};
use flintwheel_model::definition::OverlapPolicy;
use flintwheel_model::ids::workflow_id;
use flintwheel_model::{DefinitionKey, FiringKey, limits};
use flintwheel_shard::entry::{Body, NEVER, Pause, Trigger};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Outcome, Pausing, Triggered as Fired};
use serde_json::Value;

use super::ask::{Act, Told, otherwise};
use super::desk::Replica;
use super::request::{Content, request_id as given_or_new, reused};
use super::{Api, ApiError, check_key, check_request_id, one};
use crate::admission::policy;
use crate::dedupe;
use crate::error::EngineError;
use crate::plans::Plans;

/// Due times of a pause that are counted one by one; a pause that passed over more says so by this number.
const MISSED: u32 = 1_000_000;

impl Api {
    /// Pauses a definition, with a note for people, once for each request id (an empty one is made up).
    pub async fn pause(&self, key: &DefinitionKey, note: &str, request_id: &str) -> Result<Switched, ApiError> {
        self.switch(key, true, note, request_id).await
    }

    /// Resumes it; due times that passed meanwhile are accounted as skipped.
    pub async fn resume(&self, key: &DefinitionKey, note: &str, request_id: &str) -> Result<Switched, ApiError> {
        self.switch(key, false, note, request_id).await
    }

    async fn switch(
        &self,
        key: &DefinitionKey,
        paused: bool,
        note: &str,
        request_id: &str,
    ) -> Result<Switched, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        if note.len() > limits::NOTE_LEN {
            return Err(one("note", format!("{} bytes; at most {}", note.len(), limits::NOTE_LEN)).into());
        }
        let act = Act::Switch { key: key.clone(), paused, note: note.to_owned(), request_id: given_or_new(request_id) };
        match self.ask(self.shard_of(key), act).await? {
            Told::Switched(switched) => Ok(switched),
            _ => Err(otherwise()),
        }
    }

    /// Fires a definition by hand. The same request id fires it once; an empty one is made up. `overlap` is what becomes of it while a run is
    /// open, if not what the definition says.
    pub async fn trigger(
        &self,
        key: &DefinitionKey,
        request_id: &str,
        input: Option<&Value>,
        overlap: Option<OverlapPolicy>,
    ) -> Result<Triggered, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        let input = input.map(Value::to_string).unwrap_or_default();
        if input.len() > limits::EVENT_BYTES {
            return Err(one("input", format!("{} bytes; at most {}", input.len(), limits::EVENT_BYTES)).into());
        }
        // Here, not where it is led: all tries must have the same.
        let made_up = request_id.is_empty();
        let request_id = given_or_new(request_id);
        let act = Act::Trigger { key: key.clone(), request_id: request_id.clone(), input, overlap };
        let told = self.ask(self.shard_of(key), act).await?;
        let Told::Triggered { duplicate, waits, skipped } = told else { return Err(otherwise()) };
        let firing = FiringKey::Manual(request_id);
        let workflow_id = workflow_id(&self.shared.dispatchers.prefix, key, &firing);
        // Nobody else knows an id that was just made up: if it has fired, it was a try of this very request.
        Ok(Triggered { firing_key: firing.text(), workflow_id, duplicate: duplicate && !made_up, waits, skipped })
    }
}

impl Replica {
    /// Asked again after a try that nobody knows the end of, it does no harm: the shard remembers the request. Where not all nodes know requests
    /// yet, what is paused stays paused, and due times that were passed over are accounted by the entry that resumes it, not by one that finds
    /// it resumed; only `changed` may then say no.
    pub(super) async fn switch(
        &self,
        key: &DefinitionKey,
        paused: bool,
        note: &str,
        request_id: &str,
    ) -> Result<Told, ApiError> {
        self.check_place(key)?;
        let (next, missed) = if paused { (NEVER, 0) } else { self.passed_over(key).await? };
        let (namespace, id) = (key.namespace.clone(), key.id.clone());
        let request = self.request(key, request_id, &Content::Switch { paused, note });
        let pause = Pause { namespace, id, paused, note: note.to_owned(), next, missed, request };
        let Outcome::Paused(results) = self.command(Body::Pause(vec![pause]), note.len()).await? else {
            return Err(EngineError::Read("a pause entry was answered otherwise".into()).into());
        };
        let changed = match results.first() {
            Some(Pausing::Changed(_)) => true,
            Some(Pausing::Same(_)) => false,
            Some(Pausing::Repeated { changed }) => *changed,
            Some(Pausing::Reused) => return Err(reused(key, request_id)),
            Some(Pausing::NotFound) | None => return Err(ApiError::NotFound(key.clone())),
        };
        let name = key.clone();
        let status = self.read(move |replica| replica.status(&name)).await?;
        Ok(Told::Switched(Switched { status, changed }))
    }

    fn status(&self, key: &DefinitionKey) -> Result<DefinitionStatus, ApiError> {
        let found = self.find(key, None)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        Ok(self.status_of(found).1)
    }

    /// The next due time of a paused definition from now on, and how many have passed since it was paused.
    async fn passed_over(&self, key: &DefinitionKey) -> Result<(i64, u32), ApiError> {
        let (name, now) = (key.clone(), self.now());
        self.read(move |replica| replica.passed_over_by(&name, now)).await
    }

    fn passed_over_by(&self, key: &DefinitionKey, now: i64) -> Result<(i64, u32), ApiError> {
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        if slot.next == NEVER {
            return Ok((NEVER, 0));
        }
        let mut plans = Plans::default();
        let plan = plans.of_document(&stored.document, stored.incarnation).map_err(EngineError::Read)?;
        let plan = &plans.get(plan).plan;
        let passed = std::iter::successors(Some(slot.next), |nominal| plan.next(*nominal));
        let missed = passed.take_while(|nominal| *nominal <= now).take(MISSED as usize).count() as u32;
        Ok((plan.next(now).unwrap_or(NEVER), missed))
    }

    /// The same request id fires it once, however often it is asked.
    pub(super) async fn trigger(
        &self,
        key: &DefinitionKey,
        request_id: &str,
        input: &str,
        overlap: Option<OverlapPolicy>,
    ) -> Result<Told, ApiError> {
        self.check_place(key)?;
        self.check_tracking(overlap.is_some(), "overlap_policy")?;
        let name = key.clone();
        let find = move |replica: &Self| Ok(query::number(&replica.group.state(), &name.namespace, &name.id)?);
        let number = self.read(find).await?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let key_of_it = FiringKey::Manual(request_id.to_owned());
        let digest = self.group.read(|machine, _| dedupe::digest(machine, number, &key_of_it))?;
        let trigger = Trigger {
            namespace: key.namespace.clone(),
            id: key.id.clone(),
            request_id: request_id.to_owned(),
            digest,
            input: Bytes::copy_from_slice(input.as_bytes()),
            policy: overlap.map(policy),
        };
        let Outcome::Triggered(results) = self.command(Body::Trigger(vec![trigger]), input.len()).await? else {
            return Err(EngineError::Read("a trigger entry was answered otherwise".into()).into());
        };
        let told = |duplicate, waits, skipped| Told::Triggered { duplicate, waits, skipped };
        match results.first() {
            Some(Fired::Fired { .. }) => Ok(told(false, false, false)),
            Some(Fired::Duplicate { .. }) => Ok(told(true, false, false)),
            Some(Fired::Waits { .. }) => Ok(told(false, true, false)),
            Some(Fired::Skipped { .. }) => Ok(told(false, false, true)),
            Some(Fired::NotFound) | None => Err(ApiError::NotFound(key.clone())),
        }
    }
}
