//! Definitions read, listed and deleted; their coming times.

use chrono::{DateTime, Utc};
use flintwheel_client::{
    Counts, DefinitionRecord, DefinitionStatus, DueTime, ListQuery, NextTimes, Page, PageRequest, Paused,
};
use flintwheel_model::{ActivityDefinition, DefinitionKey, base64};
use flintwheel_shard::entry::{Body, Delete, NEVER};
use flintwheel_shard::records::{PauseNote, Version};
use flintwheel_shard::reply::Outcome;
use flintwheel_shard::slots::{NOT_YET, Slot};
use flintwheel_shard::{ReadError, query};

use super::{Api, ApiError, Selector, check_key, one, page_size, time};
use crate::admission::admit;
use crate::error::EngineError;

/// Names looked at for one page of a list with a selector; a page may come back short, with a token to go on.
const LOOKED_AT: usize = 10_000;
/// Coming times of one request.
const TIMES: u32 = 1000;

impl Api {
    /// One definition: its current version, or an older one that is still kept. `incarnation`, where given, must be its.
    pub fn get(
        &self,
        key: &DefinitionKey,
        version: Option<u64>,
        incarnation: Option<u64>,
    ) -> Result<DefinitionRecord, ApiError> {
        check_key(key)?;
        let found = self.find(key, version)?;
        let wanted = found.filter(|(_, stored, _)| incarnation.is_none_or(|wanted| wanted == stored.incarnation));
        let (slot, stored, note) = wanted.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        record(&slot, &stored, note, version)
    }

    fn find(
        &self,
        key: &DefinitionKey,
        version: Option<u64>,
    ) -> Result<Option<(Slot, Version, Option<PauseNote>)>, ApiError> {
        let group = self.shared.group(self.shard_of(key));
        let found = group.read(|machine, state| {
            let number = query::number(state, &key.namespace, &key.id)?;
            let Some((number, slot)) = number.and_then(|n| machine.slots().get(n).map(|s| (n, *s))) else {
                return Ok(None);
            };
            let version = version.map_or(slot.version, |v| u32::try_from(v).unwrap_or(u32::MAX));
            let stored = query::version(state, number, version)?;
            let note = query::pause_note(state, number)?;
            Ok(stored.map(|stored| (slot, stored, note)))
        })?;
        found.map_err(|error: ReadError| error.into())
    }

    /// Definitions in order of namespace and id.
    pub fn list(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<DefinitionRecord>, ApiError> {
        let selector = Selector::parse(&query.label_selector).map_err(|why| one("label_selector", why))?;
        let namespace = Some(query.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let mut after = read_token(&page.token)?;
        let (size, mut looked_at) = (page_size(page.size), 0);
        let mut items = Vec::new();
        loop {
            // One more than wanted, so that a page that is full and the last one says so.
            let names = self.names(namespace, after.as_ref(), size + 1)?;
            let Some(last) = names.last().cloned() else { return Ok(Page { items, next: None }) };
            for key in &names {
                looked_at += 1;
                after = Some((key.namespace.clone(), key.id.clone()));
                // Deleted since its name was read: not there.
                let Some((slot, stored, note)) = self.find(key, None)? else { continue };
                let record = record(&slot, &stored, note, None)?;
                let paused = query.paused.is_none_or(|paused| paused == slot.is_paused());
                if paused && selector.matches(&record.definition.metadata.labels) {
                    items.push(record);
                }
                if items.len() == size || looked_at >= LOOKED_AT {
                    let done = names.len() <= size && *key == last;
                    return Ok(Page { items, next: (!done).then(|| write_token(key)) });
                }
            }
            if names.len() <= size {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// The next names over all shards.
    fn names(
        &self,
        namespace: Option<&str>,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> Result<Vec<DefinitionKey>, ApiError> {
        let after = after.map(|(namespace, id)| (namespace.as_str(), id.as_str()));
        let mut all = Vec::new();
        for shard in 0..self.shared.shards() {
            let of_shard = query::names(&self.shared.group(shard).state(), namespace, after, limit)?;
            all.extend(of_shard.into_iter().map(|(namespace, id, _)| DefinitionKey { namespace, id }));
        }
        all.sort_unstable();
        all.truncate(limit);
        Ok(all)
    }

    /// Deletes a definition; what it has fired is still started. Returns the version that it had.
    pub async fn delete(
        &self,
        key: &DefinitionKey,
        expected_version: Option<u64>,
        validate_only: bool,
    ) -> Result<u64, ApiError> {
        check_key(key)?;
        let (slot, _) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let actual = u64::from(slot.version);
        if let Some(expected) = expected_version.filter(|expected| *expected != actual) {
            return Err(ApiError::Conflict { key: key.clone(), expected, actual });
        }
        if validate_only {
            return Ok(actual);
        }
        let body = Body::Delete(vec![Delete { namespace: key.namespace.clone(), id: key.id.clone() }]);
        match self.shared.command(self.shard_of(key), body, key.id.len()).await?.outcome {
            Outcome::Deleted(found) if found.first().is_some_and(Option::is_some) => Ok(actual),
            Outcome::Deleted(_) => Err(ApiError::NotFound(key.clone())),
            _ => Err(EngineError::Read("a delete entry was answered otherwise".into()).into()),
        }
    }

    /// The coming due times of a stored definition.
    pub fn next_times(
        &self,
        key: &DefinitionKey,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, ApiError> {
        check_key(key)?;
        let (_, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        self.times_of(&definition_of(&stored)?, stored.incarnation, count, after)
    }

    /// The coming due times that a definition would have.
    pub fn next_times_of(
        &self,
        definition: &ActivityDefinition,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, ApiError> {
        self.times_of(definition, 0, count, after)
    }

    fn times_of(
        &self,
        definition: &ActivityDefinition,
        seed: u64,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, ApiError> {
        if count > TIMES {
            return Err(one("count", format!("{count} is not in 0-{TIMES}")).into());
        }
        let count = if count == 0 { 10 } else { count };
        let admitted = admit(definition)?;
        let Some(plan) = admitted.plan else { return Ok(NextTimes { times: Vec::new(), timezone: String::new() }) };
        let first = after.map_or_else(|| self.now(), |after| after.timestamp_micros());
        let nominal = std::iter::successors(plan.next(first), |nominal| plan.next(*nominal));
        let times = nominal.take(count as usize).map(|n| DueTime { nominal: time(n), due: time(plan.due(n, seed)) });
        Ok(NextTimes { times: times.collect(), timezone: plan.zone_name().to_owned() })
    }
}

fn definition_of(stored: &Version) -> Result<ActivityDefinition, ApiError> {
    serde_json::from_slice(&stored.document)
        .map_err(|e| EngineError::Read(format!("{}/{} can't be read: {e}", stored.namespace, stored.id)).into())
}

fn record(
    slot: &Slot,
    stored: &Version,
    note: Option<PauseNote>,
    version: Option<u64>,
) -> Result<DefinitionRecord, ApiError> {
    let mut status = status(slot, stored, note);
    status.version = version.unwrap_or(status.version);
    Ok(DefinitionRecord { definition: definition_of(stored)?, status })
}

/// How a definition stands.
pub(super) fn status(slot: &Slot, stored: &Version, note: Option<PauseNote>) -> DefinitionStatus {
    let paused = slot.is_paused().then(|| note.unwrap_or(PauseNote { at: stored.updated, note: String::new() }));
    DefinitionStatus {
        version: slot.version.into(),
        generation: slot.generation.into(),
        incarnation: stored.incarnation,
        created_at: time(stored.created),
        updated_at: time(stored.updated),
        next_due: Some(slot.next).filter(|next| *next != NEVER && slot.is_armed()).map(time),
        last_fired: Some(slot.last).filter(|last| *last != NOT_YET).map(time),
        paused: paused.map(|note| Paused { note: note.note, at: time(note.at) }),
        counts: Counts {
            fired: slot.fired.into(),
            skipped: slot.skipped.into(),
            failed: slot.failed.into(),
            dropped: 0,
        },
        armed: slot.is_armed(),
    }
}

/// A page token is the last name of the page before.
fn write_token(key: &DefinitionKey) -> String {
    base64::encode(key.to_string().as_bytes())
}

fn read_token(token: &str) -> Result<Option<(String, String)>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = base64::decode(token).and_then(|bytes| String::from_utf8(bytes).ok());
    let name = text.and_then(|text| text.split_once('/').map(|(ns, id)| (ns.to_owned(), id.to_owned())));
    name.map(Some).ok_or_else(|| one("page_token", "is not one that this server gave out").into())
}
