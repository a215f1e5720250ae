//! Definitions paused, resumed and fired by hand.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_client::{DefinitionStatus, Switched, Triggered};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_model::ids::{rfc3339, workflow_id};
use flintwheel_model::{DefinitionKey, FiringKey, limits};
use flintwheel_shard::entry::{Body, OPERATIONS_SINCE, Pause, Request, Trigger};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Outcome, Pausing, Triggered as Fired};
use serde_json::Value;

use super::ask::{Act, Kept, Told, otherwise};
use super::desk::Replica;
use super::request::{Content, request_id as given_or_new, reused};
use super::{Api, ApiError, check_key, check_request_id, one};
use crate::admission::policy;
use crate::after::coming;
use crate::calendars::find;
use crate::dedupe;
use crate::error::EngineError;
use crate::pauses::{Resumed, resumed};

/// No pause ends later, in microseconds since the epoch: the last due times are as late.
const LAST_END: i64 = 4_102_444_800 * 1_000_000;

/// How often is computed where a definition goes on that changes meanwhile.
const ROUNDS: usize = 4;

/// What is to become of a definition.
#[derive(Clone, Copy)]
pub(super) struct Switch<'a> {
    /// Paused, or resumed.
    pub(super) paused: bool,
    /// For people.
    pub(super) note: &'a str,
    /// On resume: what becomes of due times that passed; else what the definition says.
    pub(super) missed: Option<OnResume>,
    /// When a pause ends by itself, in microseconds since the epoch.
    pub(super) until: Option<i64>,
}

impl Api {
    /// Pauses a definition, with a note for people, once for each request id (an empty one is made up).
    pub async fn pause(&self, key: &DefinitionKey, note: &str, request_id: &str) -> Result<Switched, ApiError> {
        self.pause_until(key, note, None, request_id).await
    }

    /// Resumes it; `missed` is what becomes of due times that passed meanwhile, if not what the definition says. One that is not paused is refused.
    pub async fn resume(
        &self,
        key: &DefinitionKey,
        note: &str,
        missed: Option<OnResume>,
        request_id: &str,
    ) -> Result<Switched, ApiError> {
        self.switch(key, Switch { paused: false, note, missed, until: None }, request_id).await
    }

    /// Pauses it until a time at which it goes on by itself; without one, until it is resumed.
    pub async fn pause_until(
        &self,
        key: &DefinitionKey,
        note: &str,
        until: Option<DateTime<Utc>>,
        request_id: &str,
    ) -> Result<Switched, ApiError> {
        let until = self.check_pause(until)?;
        self.switch(key, Switch { paused: true, note, missed: None, until }, request_id).await
    }

    /// When a pause ends, in microseconds since the epoch, if it does by itself.
    pub(super) fn check_pause(&self, until: Option<DateTime<Utc>>) -> Result<Option<i64>, ApiError> {
        self.check_operations(until.is_some(), "until")?;
        until.map(|until| self.check_end(until)).transpose()
    }

    fn check_end(&self, until: DateTime<Utc>) -> Result<i64, ApiError> {
        let (micros, now) = (until.timestamp_micros(), self.now());
        if micros <= now {
            let message = format!("{} is over: it is {} now", rfc3339(micros), rfc3339(now));
            return Err(one("until", message).into());
        }
        if micros >= LAST_END {
            return Err(
                one("until", format!("{until} is not before the year 2100; without it, the pause has no end")).into()
            );
        }
        Ok(micros)
    }

    async fn switch(&self, key: &DefinitionKey, switch: Switch<'_>, request_id: &str) -> Result<Switched, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        let Switch { paused, note, missed, until } = switch;
        check_note(note)?;
        let (note, request_id) = (note.to_owned(), given_or_new(request_id));
        let act = Act::Switch { key: key.clone(), paused, note, request_id, missed, until };
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

/// Why, for people.
pub(super) fn check_note(note: &str) -> Result<(), ApiError> {
    if note.len() <= limits::NOTE_LEN {
        return Ok(());
    }
    Err(one("note", format!("{} bytes; at most {}", note.len(), limits::NOTE_LEN)).into())
}

impl Replica {
    /// Asked again after a try that nobody knows the end of, it does no harm: the shard remembers the request. Where not all nodes know requests
    /// yet, what is paused stays paused, and due times that were passed over are accounted by the entry that resumes it, not by one that finds
    /// it resumed; only `changed` may then say no.
    pub(super) async fn switch(
        &self,
        key: &DefinitionKey,
        switch: Switch<'_>,
        request_id: &str,
        again: bool,
    ) -> Result<Told, ApiError> {
        self.check_place(key)?;
        self.check_operations(switch.until.is_some(), "until")?;
        let Switch { paused, note, missed, .. } = switch;
        let until = switch.until.filter(|_| paused);
        let request = self.request(key, request_id, &Content::Switch { paused, note, missed, until });
        // A try before this one may have resumed it, and nobody remembers.
        let unknown = again && request.is_none();
        let mut result = Pausing::Stale;
        for _ in 0..ROUNDS {
            result = self.try_to_switch(key, Switch { paused, note, missed, until }, request).await?;
            if result != Pausing::Stale {
                break;
            }
        }
        let changed = match result {
            Pausing::Same(_) | Pausing::Repeated { changed: false } if !paused && !unknown => {
                return Err(ApiError::NotPaused(key.clone()));
            }
            Pausing::Changed(_) => true,
            Pausing::Same(_) => false,
            Pausing::Repeated { changed } => changed,
            Pausing::Reused => return Err(reused(key, request_id)),
            Pausing::NotFound => return Err(ApiError::NotFound(key.clone())),
            Pausing::Stale => return Err(EngineError::Busy.into()),
        };
        let name = key.clone();
        let status = self.read(move |replica| replica.status(&name)).await?;
        Ok(Told::Switched(Switched { status, changed }))
    }

    async fn try_to_switch(
        &self,
        key: &DefinitionKey,
        Switch { paused, note, missed, until }: Switch<'_>,
        request: Option<Request>,
    ) -> Result<Pausing, ApiError> {
        let resumed = if paused { Resumed::NOTHING } else { self.resumed(key, missed).await? };
        self.check_bounds(resumed.wanted_through.is_some(), "missed")?;
        let pause = Pause {
            namespace: key.namespace.clone(),
            id: key.id.clone(),
            paused,
            note: note.to_owned(),
            next: resumed.next,
            missed: resumed.passed_over,
            wanted_through: resumed.wanted_through,
            until,
            computed: resumed.computed().filter(|_| self.all_know(OPERATIONS_SINCE)),
            request,
        };
        let Outcome::Paused(results) = self.command(Body::Pause(vec![pause]), note.len()).await? else {
            return Err(EngineError::Read("a pause entry was answered otherwise".into()).into());
        };
        Ok(results.first().copied().unwrap_or(Pausing::NotFound))
    }

    fn status(&self, key: &DefinitionKey) -> Result<DefinitionStatus, ApiError> {
        let found = self.find(key, None)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let (stored, status) = self.status_of(found);
        Ok(Kept::new(stored.document, status)?.record()?.status)
    }

    /// What becomes of a paused definition's schedule when it is resumed.
    async fn resumed(&self, key: &DefinitionKey, missed: Option<OnResume>) -> Result<Resumed, ApiError> {
        let (name, now) = (key.clone(), self.now());
        self.read(move |replica| replica.resumed_at(&name, missed, now)).await
    }

    fn resumed_at(&self, key: &DefinitionKey, missed: Option<OnResume>, now: i64) -> Result<Resumed, ApiError> {
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let number = query::number(&self.group.state(), &key.namespace, &key.id)?;
        let coming = self.group.read(|machine, _| number.map(|number| coming(machine, number)).unwrap_or_default())?;
        let find = |namespace: &str, name: &str| find(&self.shared.calendars, &self.group, namespace, name);
        Ok(resumed((&slot, &coming), &stored, missed, now, &find)?)
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
