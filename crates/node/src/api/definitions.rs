//! Definitions read, listed and deleted; their coming times.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flintwheel_client::{
    Counts, DefinitionRecord, DefinitionStatus, DueTime, ListQuery, NextTimes, OpenRun, Page, PageRequest, Paused,
    WatchedRuns,
};
use flintwheel_model::definition::after_of_type;
use flintwheel_model::ids::workflow_id;
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, base64, limits};
use flintwheel_shard::courses::Course;
use flintwheel_shard::entry::{Body, Delete, NEVER};
use flintwheel_shard::records::{PauseNote, Version};
use flintwheel_shard::reply::{Deleted, Outcome};
use flintwheel_shard::slots::{NOT_YET, Slot};
use flintwheel_shard::tracks::{Run, Track, Wish};
use flintwheel_shard::{ReadError, query};

use super::ask::{Act, Kept, Look, Told, otherwise};
use super::desk::Replica;
use super::request::{Content, request_id as given_or_new, reused};
use super::{Api, ApiError, Selector, check_key, check_request_id, clock, one, page_size, time};
use crate::admission::{Admitted, admit};
use crate::after::coming;
use crate::calendars::Given;
use crate::dispatch::firing_key;
use crate::error::EngineError;

/// Names looked at for one page of a list; a page may come back short, with a token to go on.
const LOOKED_AT: usize = 10_000;
/// Names looked at at a time where not all of them will be shown.
const SIFTED: usize = 2000;
/// Documents of one page, in bytes, shared out among the shards. Two messages full: what is too much for one is asked for again anyway.
const PAGE_BYTES: usize = 2 * limits::MESSAGE_BYTES;
/// Documents of one shard's answer, in bytes.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Coming times of one request.
const TIMES: u32 = 1000;
/// Runs, and occurrences that wait, that a status names.
const SHOWN_RUNS: usize = 10;
/// An incarnation that no definition has: theirs are random numbers, of which it is one in 2^53.
const NOBODY: u64 = 0;

impl Api {
    /// One definition: its current version, or an older one that is still kept. `incarnation`, where given, must be its.
    pub async fn get(
        &self,
        key: &DefinitionKey,
        version: Option<u64>,
        incarnation: Option<u64>,
    ) -> Result<DefinitionRecord, ApiError> {
        check_key(key)?;
        let look = Look::Definition { key: key.clone(), version, incarnation };
        match self.ask(self.shard_of(key), look).await? {
            Told::Definition(kept) => kept.record(),
            _ => Err(otherwise()),
        }
    }

    /// Definitions in order of namespace and id.
    pub async fn list(&self, query: &ListQuery, page: &PageRequest) -> Result<Page<DefinitionRecord>, ApiError> {
        let selector = Selector::parse(&query.label_selector).map_err(|why| one("label_selector", why))?;
        let mut after = read_token(&page.token)?;
        let (size, mut looked_at) = (page_size(page.size), 0);
        // One more than wanted, so that a page that is full and the last one says so.
        let sifts = query.paused.is_some() || !selector.is_empty();
        let limit = if sifts { SIFTED.max(size + 1) } else { size + 1 };
        let mut items = Vec::new();
        loop {
            let (names, end) = self.names(&query.namespace, after.take(), limit).await?;
            let (records, through) = self.records(&names, query).await?;
            let done = end && through == names.len();
            for record in records {
                let key = key_of(&record);
                items.push(record);
                if items.len() == size {
                    let last = done && names.last() == Some(&key);
                    return Ok(Page { items, next: (!last).then(|| write_token(&key)) });
                }
            }
            if done {
                return Ok(Page { items, next: None });
            }
            looked_at += through;
            let last = &names[through - 1];
            if through < names.len() || looked_at >= LOOKED_AT {
                return Ok(Page { items, next: Some(write_token(last)) });
            }
            after = Some(last.clone());
        }
    }

    /// The next names over all shards, and whether there are no more than these.
    pub(super) async fn names(
        &self,
        namespace: &str,
        after: Option<DefinitionKey>,
        limit: usize,
    ) -> Result<(Vec<DefinitionKey>, bool), ApiError> {
        let shards = self.shared.shards();
        // Names are spread evenly: twice a shard's share is mostly more than enough.
        let share = limit.min(limit.div_ceil(shards as usize) * 2 + 8);
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let look = Look::Names { namespace, after, limit: share };
        let mut parts = Vec::with_capacity(shards as usize);
        for told in self.ask_each((0..shards).map(|shard| (shard, look.clone()))).await? {
            let Told::Names(names) = told else { return Err(otherwise()) };
            parts.push(names);
        }
        Ok(merge(parts, share, limit))
    }

    /// The definitions of these names that fit the query, and how many of the names they are of: the first ones, and one at least.
    async fn records(
        &self,
        names: &[DefinitionKey],
        query: &ListQuery,
    ) -> Result<(Vec<DefinitionRecord>, usize), ApiError> {
        let mut by_shard: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, key) in names.iter().enumerate() {
            by_shard.entry(self.shard_of(key)).or_default().push(index);
        }
        let bytes = PAGE_BYTES / by_shard.len().max(1);
        let asks = by_shard.iter().map(|(shard, indices)| {
            let keys = indices.iter().map(|index| names[*index].clone()).collect();
            let (selector, paused) = (query.label_selector.clone(), query.paused);
            (*shard, Look::Records { keys, selector, paused, bytes })
        });
        let (mut all, mut reach) = (Vec::new(), names.len());
        for (told, indices) in self.ask_each(asks).await?.into_iter().zip(by_shard.values()) {
            let Told::Records { records, through } = told else { return Err(otherwise()) };
            reach = reach.min(indices.get(through.max(1)).copied().unwrap_or(names.len()));
            let records = records.into_iter().map(|kept| kept.record().map(|record| (key_of(&record), record)));
            all.extend(records.collect::<Result<Vec<_>, _>>()?);
        }
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let within = |key: &DefinitionKey| names.get(reach).is_none_or(|first_beyond| key < first_beyond);
        Ok((all.into_iter().filter(|(key, _)| within(key)).map(|(_, record)| record).collect(), reach))
    }

    /// Deletes a definition, once for each request id (an empty one is made up); what it has fired is still started. Returns the version that
    /// it had.
    pub async fn delete(
        &self,
        key: &DefinitionKey,
        expected_version: Option<u64>,
        request_id: &str,
        validate_only: bool,
    ) -> Result<u64, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        let shard = self.shard_of(key);
        // First which one it is, then that one: nobody else is touched who takes the name meanwhile.
        let found = match self.ask(shard, Look::Identity(key.clone())).await {
            Ok(Told::Identity { version, incarnation }) => Some((version, incarnation)),
            Ok(_) => return Err(otherwise()),
            // This very request may have deleted it.
            Err(ApiError::NotFound(_)) if !validate_only && !request_id.is_empty() => None,
            Err(error) => return Err(error),
        };
        let (version, incarnation) = found.unwrap_or((0, NOBODY));
        if validate_only {
            check_version(key, expected_version, version)?;
            return Ok(version);
        }
        let request_id = given_or_new(request_id);
        match self.ask(shard, Act::Delete { key: key.clone(), incarnation, expected_version, request_id }).await? {
            Told::Removed { version } => Ok(version),
            // Of a node that remembers no requests.
            Told::Deleted if found.is_some() => Ok(version),
            Told::Deleted => Err(ApiError::NotFound(key.clone())),
            _ => Err(otherwise()),
        }
    }

    /// The coming due times of a stored definition.
    pub async fn next_times(
        &self,
        key: &DefinitionKey,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, ApiError> {
        check_key(key)?;
        match self.ask(self.shard_of(key), Look::Times { key: key.clone(), count, after }).await? {
            Told::Times(times) => Ok(times),
            _ => Err(otherwise()),
        }
    }

    /// The coming due times that a definition would have.
    pub async fn next_times_of(
        &self,
        definition: ActivityDefinition,
        calendars: &[Calendar],
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, ApiError> {
        let schedule = definition.spec.trigger.schedule.as_ref();
        if schedule.is_some_and(|schedule| schedule.calendar_names().next().is_some()) {
            check_count(count)?;
            return self.next_times_with(definition, calendars, count, after).await;
        }
        let now = self.now();
        // A schedule that is seldom due is searched for long.
        let found =
            tokio::task::spawn_blocking(move || times_by((&admit(&definition)?, &[]), 0, count, after, now)).await;
        found.map_err(|error| EngineError::Read(format!("the request failed: {error}")))?
    }
}

impl Replica {
    pub(super) fn find(&self, key: &DefinitionKey, version: Option<u64>) -> Result<Option<Found>, ApiError> {
        let found = self.group.read(|machine, state| {
            let number = query::number(state, &key.namespace, &key.id)?;
            let Some((number, slot)) = number.and_then(|n| machine.slots().get(n).map(|s| (n, *s))) else {
                return Ok(None);
            };
            let version = version.map_or(slot.version, |v| u32::try_from(v).unwrap_or(u32::MAX));
            let stored = query::version(state, number, version)?;
            let note = query::pause_note(state, number)?;
            let runs = machine.tracks().get(number).filter(|_| machine.tracks().is_active(number)).cloned();
            let course = machine.courses().get(number).copied();
            let coming = coming(machine, number);
            Ok(stored.map(|stored| Found { slot, stored, note, runs, course, coming }))
        })?;
        found.map_err(|error: ReadError| error.into())
    }

    pub(super) fn identity(&self, key: &DefinitionKey) -> Result<Told, ApiError> {
        let (slot, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        Ok(Told::Identity { version: slot.version.into(), incarnation: stored.incarnation })
    }

    pub(super) fn definition(
        &self,
        key: &DefinitionKey,
        version: Option<u64>,
        incarnation: Option<u64>,
    ) -> Result<Told, ApiError> {
        let found = self.find(key, version)?;
        let wanted = found.filter(|found| incarnation.is_none_or(|wanted| wanted == found.stored.incarnation));
        let (stored, mut status) = self.status_of(wanted.ok_or_else(|| ApiError::NotFound(key.clone()))?);
        status.version = version.unwrap_or(status.version);
        Ok(Told::Definition(Box::new(Kept::new(stored.document, status)?)))
    }

    pub(super) fn names(
        &self,
        namespace: Option<&str>,
        after: Option<&DefinitionKey>,
        limit: usize,
    ) -> Result<Told, ApiError> {
        let after = after.map(|key| (key.namespace.as_str(), key.id.as_str()));
        let names = query::names(&self.group.state(), namespace, after, limit)?;
        Ok(Told::Names(names.into_iter().map(|(namespace, id, _)| DefinitionKey { namespace, id }).collect()))
    }

    pub(super) fn records(
        &self,
        keys: &[DefinitionKey],
        selector: &str,
        paused: Option<bool>,
        bytes: usize,
    ) -> Result<Told, ApiError> {
        let selector = Selector::parse(selector).map_err(|why| one("label_selector", why))?;
        let (mut records, mut through, mut left) = (Vec::new(), 0, bytes.min(ANSWER_BYTES));
        for key in keys {
            through += 1;
            // Deleted since its name was read: not there.
            let Some(found) = self.find(key, None)? else { continue };
            if paused.is_some_and(|paused| paused != found.slot.is_paused()) {
                continue;
            }
            let (stored, status) = self.status_of(found);
            let kept = Kept::new(stored.document, status)?;
            if kept.definition().is_some_and(|definition| selector.matches(&definition.metadata.labels)) {
                left = left.saturating_sub(kept.bytes());
                records.push(kept);
            }
            if left == 0 {
                break;
            }
        }
        Ok(Told::Records { records, through })
    }

    pub(super) fn times(
        &self,
        key: &DefinitionKey,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<Told, ApiError> {
        let Found { slot, stored, course, coming, .. } =
            self.find(key, None)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let definition = serde_json::from_slice(&stored.document)
            .map_err(|e| EngineError::Read(format!("{key} can't be read: {e}")))?;
        let (admitted, _) = self.admitted_by(&definition, &Given::default())?;
        let mut times = times_by((&admitted, &coming), stored.incarnation, count, after, self.now())?;
        if let Some(course) = course {
            let left = if is_over(&slot, &stored, &course) { Some(0) } else { course.left() };
            times.times.truncate(left.map_or(usize::MAX, |left| left as usize));
            times.offsets = clock::of_times(&times.timezone, &times.times);
        }
        Ok(Told::Times(times))
    }

    /// Deletes this incarnation, and no other one of the same name. Asked again after a try that nobody knows the end of, it does no harm: the
    /// shard remembers the request.
    pub(super) async fn delete(
        &self,
        key: &DefinitionKey,
        incarnation: u64,
        expected_version: Option<u64>,
        request_id: &str,
        again: bool,
    ) -> Result<Told, ApiError> {
        let request = self.request(key, request_id, &Content::Delete { expected_version });
        if request.is_none() {
            return self.delete_unremembered(key, incarnation, expected_version, again).await;
        }
        let expected = expected_version.map(|version| u32::try_from(version).unwrap_or(u32::MAX));
        let delete =
            Delete { incarnation: Some(incarnation), expected_version: expected, request, ..plain_delete(key) };
        match self.delete_by(delete).await? {
            Deleted::Gone { version, .. } | Deleted::Repeated { version } => {
                Ok(Told::Removed { version: version.into() })
            }
            Deleted::NotFound => Err(ApiError::NotFound(key.clone())),
            Deleted::Conflict { actual } => {
                let expected = expected_version.unwrap_or_default();
                Err(ApiError::Conflict { key: key.clone(), expected, actual: actual.into() })
            }
            Deleted::Reused => Err(reused(key, request_id)),
        }
    }

    /// Where not all nodes know requests yet. Asked again after a try that nobody knows the end of, that one may have done it: it is gone, and
    /// that is what was asked for.
    async fn delete_unremembered(
        &self,
        key: &DefinitionKey,
        incarnation: u64,
        expected_version: Option<u64>,
        again: bool,
    ) -> Result<Told, ApiError> {
        let gone = || if again { Ok(Told::Deleted) } else { Err(ApiError::NotFound(key.clone())) };
        let name = key.clone();
        let stored = self.read(move |replica| replica.stored(&name)).await?;
        let Some((slot, _)) = stored.filter(|(_, stored)| stored.incarnation == incarnation) else { return gone() };
        check_version(key, expected_version, slot.version.into())?;
        match self.delete_by(plain_delete(key)).await? {
            Deleted::Gone { .. } => Ok(Told::Deleted),
            _ => gone(),
        }
    }

    async fn delete_by(&self, delete: Delete) -> Result<Deleted, ApiError> {
        let bytes = delete.id.len();
        match self.command(Body::Delete(vec![delete]), bytes).await? {
            Outcome::Deleted(results) if results.len() == 1 => Ok(results[0]),
            _ => Err(EngineError::Read("a delete entry was answered otherwise".into()).into()),
        }
    }
}

fn plain_delete(key: &DefinitionKey) -> Delete {
    let (namespace, id) = (key.namespace.clone(), key.id.clone());
    Delete { namespace, id, incarnation: None, expected_version: None, request: None }
}

/// Names of all shards, each part in order and at most `share` long: those that are the next ones for sure, at most `limit`, and whether
/// these are all.
fn merge(parts: Vec<Vec<DefinitionKey>>, share: usize, limit: usize) -> (Vec<DefinitionKey>, bool) {
    // A part that is full may go on after its last name, but not before it.
    let sure = parts.iter().filter(|part| part.len() >= share).filter_map(|part| part.last()).min().cloned();
    let mut all: Vec<DefinitionKey> = parts.into_iter().flatten().collect();
    all.retain(|key| sure.as_ref().is_none_or(|sure| key <= sure));
    all.sort_unstable();
    let end = sure.is_none() && all.len() <= limit;
    all.truncate(limit);
    (all, end)
}

fn key_of(record: &DefinitionRecord) -> DefinitionKey {
    DefinitionKey::new(&record.definition.metadata.namespace, &record.definition.metadata.id)
}

fn check_version(key: &DefinitionKey, expected: Option<u64>, actual: u64) -> Result<(), ApiError> {
    match expected.filter(|expected| *expected != actual) {
        Some(expected) => Err(ApiError::Conflict { key: key.clone(), expected, actual }),
        None => Ok(()),
    }
}

fn check_count(count: u32) -> Result<(), ApiError> {
    if count > TIMES { Err(one("count", format!("{count} is not in 0-{TIMES}")).into()) } else { Ok(()) }
}

/// The coming due times of a definition that was looked at with the calendars that it names, with those that have come from runs of others.
pub(super) fn times_by(
    (admitted, coming): (&Admitted, &[(i64, String)]),
    seed: u64,
    count: u32,
    after: Option<DateTime<Utc>>,
    now: i64,
) -> Result<NextTimes, ApiError> {
    check_count(count)?;
    let count = if count == 0 { 10 } else { count };
    let Some(plan) = &admitted.plan else { return Ok(NextTimes::default()) };
    let first = after.map_or(now, |after| after.timestamp_micros());
    let plan = plan.with_admitted(coming.iter().map(|(nominal, _)| *nominal));
    let nominal = std::iter::successors(plan.next(first), |nominal| plan.next(*nominal));
    let why = |n: i64| coming.iter().find(|(nominal, _)| *nominal == n).map(|(_, why)| why.clone());
    let times = nominal.take(count as usize).map(|n| DueTime {
        nominal: time(n),
        due: time(plan.due(n, seed)),
        because: why(n).unwrap_or_default(),
    });
    let (times, timezone): (Vec<_>, _) = (times.collect(), plan.zone_name().to_owned());
    Ok(NextTimes { offsets: clock::of_times(&timezone, &times), times, timezone })
}

/// How a definition stands.
/// A definition as it is found in a shard.
pub(super) struct Found {
    slot: Slot,
    stored: Version,
    note: Option<PauseNote>,
    /// Where they are watched.
    runs: Option<Track>,
    /// Where it asks for something about its end.
    course: Option<Course>,
    /// Due times that have come from runs of others.
    coming: Vec<(i64, String)>,
}

impl Replica {
    /// The version that was found, and how its definition stands.
    pub(super) fn status_of(&self, found: Found) -> (Version, DefinitionStatus) {
        let Found { slot, stored, note, runs, course, .. } = found;
        let key = DefinitionKey::new(&stored.namespace, &stored.id);
        let runs = runs.map(|track| watched(&self.shared.dispatchers.prefix, &key, &track));
        let firings_left = course.and_then(|course| course.left());
        let over = course.is_some_and(|course| is_over(&slot, &stored, &course));
        let status = status(&slot, &stored, note);
        // A run of another definition may make it due at any time.
        let waits = comes_after_runs(&stored) && slot.is_enabled() && !slot.is_paused() && !over;
        let armed = status.armed || waits;
        (stored, DefinitionStatus { runs, firings_left, over, armed, ..status })
    }
}

/// Of one that asks for something about its end: whether that has come. What comes after runs of others may be due again until all of its firings
/// are used up.
fn is_over(slot: &Slot, stored: &Version, course: &Course) -> bool {
    let ends = !comes_after_runs(stored) || course.left() == Some(0);
    course.disabled || (course.bounds.is_some() && slot.is_enabled() && slot.next == NEVER && ends)
}

/// The runs of a definition that have not ended, and what waits for them.
fn watched(prefix: &str, key: &DefinitionKey, track: &Track) -> WatchedRuns {
    let open = |run: &Run| OpenRun {
        workflow_id: workflow_id(prefix, key, &firing_key(&run.key)),
        since: time(run.since),
        started: run.place.is_none(),
        wish: match run.wish {
            Wish::None => "",
            Wish::Cancel => "cancel",
            Wish::Terminate => "terminate",
        }
        .to_owned(),
    };
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    WatchedRuns {
        open: count(track.open_len()),
        waiting: count(track.waiting_len()),
        kept_out: track.kept_out,
        oldest: track.open().take(SHOWN_RUNS).map(|(_, run)| open(run)).collect(),
        next: track.waiting().take(SHOWN_RUNS).map(|(_, waiting)| firing_key(&waiting.key).text()).collect(),
    }
}

fn status(slot: &Slot, stored: &Version, note: Option<PauseNote>) -> DefinitionStatus {
    let paused =
        slot.is_paused().then(|| note.unwrap_or(PauseNote { at: stored.updated, note: String::new(), until: None }));
    DefinitionStatus {
        version: slot.version.into(),
        generation: slot.generation.into(),
        incarnation: stored.incarnation,
        created_at: time(stored.created),
        updated_at: time(stored.updated),
        next_due: Some(slot.next).filter(|next| *next != NEVER && slot.is_armed()).map(time),
        last_fired: Some(slot.last).filter(|last| *last != NOT_YET).map(time),
        paused: paused.map(|note| Paused { note: note.note, at: time(note.at), until: note.until.map(time) }),
        counts: Counts {
            fired: slot.fired.into(),
            skipped: slot.skipped.into(),
            failed: slot.failed.into(),
            dropped: 0,
        },
        armed: slot.is_armed(),
        runs: None,
        firings_left: None,
        over: false,
        offsets: Vec::new(),
    }
}

/// Runs of other definitions make it due.
fn comes_after_runs(stored: &Version) -> bool {
    stored.event_types.iter().any(|listens| after_of_type(listens).is_some())
}

/// A page token is the last name of the page before.
pub(super) fn write_token(key: &DefinitionKey) -> String {
    base64::encode(key.to_string().as_bytes())
}

pub(super) fn read_token(token: &str) -> Result<Option<DefinitionKey>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = base64::decode(token).and_then(|bytes| String::from_utf8(bytes).ok());
    let name = text.and_then(|text| text.split_once('/').map(|(ns, id)| DefinitionKey::new(ns, id)));
    name.map(Some).ok_or_else(|| one("page_token", "is not one that this server gave out").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<DefinitionKey> {
        names.iter().map(|id| DefinitionKey::new("n", *id)).collect()
    }

    #[test]
    fn names_of_all_shards_are_merged_as_far_as_they_are_sure() {
        for (parts, share, limit, merged, end) in [
            (&[&["a", "d"][..], &["b"]][..], 3, 10, &["a", "b", "d"][..], true),
            (&[&["a", "d"], &["b"]], 3, 2, &["a", "b"], false),
            (&[&["a", "d"], &["b"]], 3, 3, &["a", "b", "d"], true),
            // The second shard may have more after "b", so "d" is not sure.
            (&[&["a", "d"], &["b", "c"]], 2, 10, &["a", "b", "c"], false),
            (&[&["a", "b"], &["x", "y"]], 2, 10, &["a", "b"], false),
            (&[&[], &[]], 2, 10, &[], true),
        ] {
            let parts = parts.iter().map(|part| keys(part)).collect();
            assert_eq!(merge(parts, share, limit), (keys(merged), end));
        }
    }
}
