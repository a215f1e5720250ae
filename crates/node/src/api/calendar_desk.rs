//! Calendars at a shard: at their home, where they are written down; and in every shard, which has their days.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_client::{Applied, ApplyOutcome, CalendarStatus, DueMove, NextTimes};
use flintwheel_model::ids::{calendar_home, calendar_request_digest};
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey};
use flintwheel_schedule::CalendarDays;
use flintwheel_shard::calendar_entry::{CALENDARS_SINCE, CalendarMark, CalendarStep, PutCalendar, RemoveCalendar};
use flintwheel_shard::calendars::{Head, document, used_by, users};
use flintwheel_shard::entry::{Body, NEVER, Request};
use flintwheel_shard::query;
use flintwheel_shard::reply::{Calendared, Change, Outcome};

use super::ask::{Applying, Packed, Told};
use super::calendar_ask::{CalendarAct, CalendarAt, CalendarLook, CalendarTold, GivenDays, KeptCalendar, Previewed};
use super::calendars::calendar_key;
use super::definitions::times_by;
use super::desk::Replica;
use super::request::{Content, reused};
use super::{ApiError, OperateError, one, time};
use crate::calendars::{Found, Given, Planned, find, plan};
use crate::due_anew::due_anew;
use crate::error::EngineError;
use crate::plans::Plans;

/// A home looks again at most so often where other calendars change meanwhile.
const ROUNDS: usize = 8;
/// Documents of one answer, in bytes.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

impl Replica {
    pub(super) fn show_calendar(&self, look: CalendarLook) -> Result<Told, ApiError> {
        Ok(Told::Calendar(match look {
            CalendarLook::One(key) => CalendarTold::One(Box::new(self.kept(&key)?)),
            CalendarLook::List { namespace, after, limit } => {
                self.listed(namespace.as_deref(), after.as_ref(), limit)?
            }
            CalendarLook::Spread { namespace, counted, through } => self.spread(&namespace, counted, through)?,
            CalendarLook::Preview(calendars) => self.preview_calendars(&calendars)?,
            CalendarLook::At(key) => CalendarTold::At(self.calendar_at(&key)?),
            CalendarLook::Counts { namespace } => CalendarTold::Counts(self.counts(namespace.as_deref())?),
            CalendarLook::Users { key, limit } => self.users(&key, limit)?,
            CalendarLook::Moves { given, from, limit } => self.moves(&given, from, limit)?,
            CalendarLook::Apply { items, given } => self.preview_given(&items, &given)?,
            CalendarLook::Times { definition, given, count, after } => {
                CalendarTold::Times(self.times_given(&definition, &given, count, after)?)
            }
        }))
    }

    pub(super) async fn act_on_calendar(&self, act: &CalendarAct) -> Result<Told, ApiError> {
        self.check_calendars("kind")?;
        Ok(Told::Calendar(match act {
            CalendarAct::Put { calendar, expected_version, request_id } => {
                self.put_calendar(calendar, *expected_version, request_id).await?
            }
            CalendarAct::Remove { key, expected_version, request_id } => {
                self.remove_calendar(key, *expected_version, request_id).await?
            }
            CalendarAct::Days { key, revision, days: Packed(days) } => {
                CalendarTold::At(self.take_days(key, *revision, days).await?)
            }
            CalendarAct::Drop { key, revision } => CalendarTold::At(self.drop_days(key, *revision).await?),
        }))
    }

    /// What is about calendars is refused where a node of the cluster would not understand the entry.
    pub(super) fn check_calendars(&self, field: &str) -> Result<(), ApiError> {
        if self.all_know(CALENDARS_SINCE) {
            return Ok(());
        }
        let message = "not all nodes of the cluster know named calendars yet: upgrade them first, and apply it then";
        Err(one(field, message.to_owned()).into())
    }

    fn check_home(&self, namespace: &str) -> Result<(), ApiError> {
        let home = calendar_home(namespace, self.shared.shards());
        if home == self.shard {
            return Ok(());
        }
        let asked = self.shard;
        let why = format!("calendars of {namespace} are at home in shard {home}, and shard {asked} was asked");
        Err(EngineError::Read(why).into())
    }

    /// Asked again after a try that nobody knows the end of, it does no harm: the home remembers the request.
    async fn put_calendar(
        &self,
        calendar: &Calendar,
        expected_version: Option<u64>,
        request_id: &str,
    ) -> Result<CalendarTold, ApiError> {
        let key = calendar_key(calendar);
        self.check_home(&key.namespace)?;
        let document = written(calendar)?;
        let content = Content::Apply { document: &document, expected_version, due_after: None };
        let request = self.calendar_request(&key, request_id, &content);
        for _ in 0..ROUNDS {
            let planned = match self.planned(calendar).await? {
                Ok(planned) => planned,
                Err(faults) => return Err(faults.into()),
            };
            let Planned { truth, touched, .. } = planned;
            let put = PutCalendar {
                namespace: key.namespace.clone(),
                name: key.id.clone(),
                document: document.clone(),
                refers: calendar.spec.calendars.clone(),
                touched,
                expected_version: expected(expected_version),
                truth,
                request,
            };
            let behind = put.touched.len() as u64;
            match self.calendar_step(CalendarStep::Put(put), document.len()).await? {
                Calendared::Put { change, version, revision } => {
                    self.shared.spreading.notify_one();
                    let last = if change == Change::Unchanged { revision } else { revision + behind };
                    return self.put(&key, previewed(change, version), (revision, last));
                }
                Calendared::Repeated(before) => {
                    let revision = self.group.read(|machine, _| {
                        machine.calendars().home(&key.namespace, &key.id).map_or(0, |head| head.revision)
                    })?;
                    return self.put(&key, previewed(before.change, before.version), (revision, revision));
                }
                Calendared::Conflict { actual } => {
                    let expected = expected_version.unwrap_or_default();
                    return Err(ApiError::Conflict { key, expected, actual: actual.into() });
                }
                Calendared::Reused => return Err(reused(&key, request_id)),
                Calendared::Outdated => {}
                _ => return Err(answered_otherwise()),
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Who is told that it is so may have asked for that earlier, of somebody who died before it was everywhere: so all that is here is waited for.
    fn put(&self, key: &DefinitionKey, result: Previewed, counted: (u64, u64)) -> Result<CalendarTold, ApiError> {
        let newest = self
            .group
            .read(|machine, _| machine.calendars().homes_of(&key.namespace).map(|(_, head)| head.revision).max())?;
        Ok(CalendarTold::Put { result, counted, through: newest.unwrap_or(0) })
    }

    async fn planned(&self, calendar: &Calendar) -> Result<Result<Planned, flintwheel_model::Violations>, ApiError> {
        let given = vec![calendar.clone()];
        let planned = self.read(move |replica| {
            let namespace = given[0].metadata.namespace.clone();
            Ok(plan(&replica.group, &namespace, &given)?)
        });
        Ok(planned.await?.map_err(|(_, faults)| faults))
    }

    /// Asked again, it does no harm: while it is about to go it says so, and then the home remembers the request.
    async fn remove_calendar(
        &self,
        key: &DefinitionKey,
        expected_version: Option<u64>,
        request_id: &str,
    ) -> Result<CalendarTold, ApiError> {
        self.check_home(&key.namespace)?;
        let request = self.calendar_request(key, request_id, &Content::Delete { expected_version });
        for _ in 0..ROUNDS {
            let (truth, others) = self.group.read(|machine, _| {
                (machine.calendars().truth(), referred_by(machine.calendars().homes_of(&key.namespace), &key.id))
            })?;
            if !others.is_empty() {
                let why = format!("calendar {key} is referred to by {}: change them first", others.join(", "));
                return Err(OperateError::Refused(why).into());
            }
            let remove = RemoveCalendar {
                namespace: key.namespace.clone(),
                name: key.id.clone(),
                expected_version: expected(expected_version),
                truth,
                request,
            };
            match self.calendar_step(CalendarStep::Remove(remove), 0).await? {
                Calendared::Leaving { version, revision } => {
                    self.shared.spreading.notify_one();
                    return Ok(CalendarTold::Leaving { version: version.into(), revision });
                }
                Calendared::Gone { version } => return Ok(CalendarTold::Gone { version: version.into() }),
                Calendared::NotFound => return Err(ApiError::NoCalendar(key.clone())),
                Calendared::Conflict { actual } => {
                    let expected = expected_version.unwrap_or_default();
                    return Err(ApiError::Conflict { key: key.clone(), expected, actual: actual.into() });
                }
                Calendared::Reused => return Err(reused(key, request_id)),
                Calendared::Outdated => {}
                _ => return Err(answered_otherwise()),
            }
        }
        Err(EngineError::Busy.into())
    }

    /// A straggler changes nothing.
    async fn take_days(&self, key: &DefinitionKey, revision: u64, days: &Bytes) -> Result<CalendarAt, ApiError> {
        if self.group.read(|machine, _| machine.calendars().seen(&key.namespace))? < revision {
            CalendarDays::decode(days).map_err(|why| one("days", why))?;
            let step = CalendarStep::Days { mark: mark(key, revision), days: days.clone() };
            self.calendar_step(step, days.len()).await?;
        }
        self.calendar_at(key)
    }

    async fn drop_days(&self, key: &DefinitionKey, revision: u64) -> Result<CalendarAt, ApiError> {
        if self.group.read(|machine, _| machine.calendars().seen(&key.namespace))? < revision {
            self.calendar_step(CalendarStep::Drop(mark(key, revision)), 0).await?;
        }
        self.calendar_at(key)
    }

    async fn calendar_step(&self, step: CalendarStep, bytes: usize) -> Result<Calendared, ApiError> {
        match self.command(Body::Calendar(step), bytes).await? {
            Outcome::Calendar(calendared) => Ok(calendared),
            _ => Err(answered_otherwise()),
        }
    }

    fn calendar_request(&self, key: &DefinitionKey, request_id: &str, content: &Content<'_>) -> Option<Request> {
        let request = self.request(key, request_id, content)?;
        Some(Request { digest: calendar_request_digest(key, request_id), ..request })
    }

    fn kept(&self, key: &DefinitionKey) -> Result<KeptCalendar, ApiError> {
        let head = self.group.read(|machine, _| {
            let calendars = machine.calendars();
            let head = calendars.home(&key.namespace, &key.id).cloned();
            head.map(|head| (head, referred_by(calendars.homes_of(&key.namespace), &key.id)))
        })?;
        let (head, others) = head.ok_or_else(|| ApiError::NoCalendar(key.clone()))?;
        self.keep(key, head, others)
    }

    fn keep(&self, key: &DefinitionKey, head: Head, referred_by: Vec<String>) -> Result<KeptCalendar, ApiError> {
        let text = document(&self.group.state(), &key.namespace, &key.id)?;
        let text = text.ok_or_else(|| ApiError::NoCalendar(key.clone()))?;
        let calendar = serde_json::from_slice(&text)
            .map_err(|e| EngineError::Read(format!("calendar {key} can't be read: {e}")))?;
        let status = CalendarStatus {
            version: head.version.into(),
            created_at: time(head.created),
            updated_at: time(head.updated),
            definitions: head.users,
            referred_by,
            spreading: head.pending,
        };
        Ok(KeptCalendar { calendar, status, revision: head.revision, leaving: head.leaving.is_some() })
    }

    fn listed(
        &self,
        namespace: Option<&str>,
        after: Option<&DefinitionKey>,
        limit: usize,
    ) -> Result<CalendarTold, ApiError> {
        let wanted = |key: &DefinitionKey| {
            namespace.is_none_or(|namespace| key.namespace == namespace) && after.is_none_or(|after| key > after)
        };
        let found: Vec<(DefinitionKey, Head, Vec<String>)> = self.group.read(|machine, _| {
            let calendars = machine.calendars();
            let all = calendars.homes().map(|(namespace, name, head)| (DefinitionKey::new(namespace, name), head));
            let some = all.filter(|(key, _)| wanted(key)).take(limit + 1);
            let whole = some.map(|(key, head)| {
                let others = referred_by(calendars.homes_of(&key.namespace), &key.id);
                (key, head.clone(), others)
            });
            whole.collect()
        })?;
        let (mut records, mut bytes, all) = (Vec::new(), 0, found.len());
        for (key, head, others) in found.into_iter().take(limit) {
            bytes += head.bytes as usize;
            records.push(self.keep(&key, head, others)?);
            if bytes >= ANSWER_BYTES {
                break;
            }
        }
        let more = records.len() < all;
        Ok(CalendarTold::List { records, more })
    }

    fn spread(&self, namespace: &str, (from, to): (u64, u64), through: u64) -> Result<CalendarTold, ApiError> {
        self.check_home(namespace)?;
        let told = self.group.read(|machine, _| {
            let heads = || machine.calendars().homes_of(namespace).map(|(_, head)| head);
            let pending = heads().filter(|head| head.pending && head.revision <= through).count() as u64;
            let of = |head: &&Head| (from..=to).contains(&head.revision);
            let users = heads().filter(of).map(|head| head.users).sum();
            let moved = heads().filter(of).map(|head| head.moved).sum();
            CalendarTold::Spread { pending, users, moved }
        })?;
        Ok(told)
    }

    fn preview_calendars(&self, calendars: &[Calendar]) -> Result<CalendarTold, ApiError> {
        let Some(namespace) = calendars.first().map(|calendar| &calendar.metadata.namespace) else {
            return Ok(CalendarTold::Preview { results: Vec::new(), given: Vec::new() });
        };
        self.check_home(namespace)?;
        self.check_calendars("kind")?;
        let planned = match plan(&self.group, namespace, calendars)? {
            Ok(planned) => planned,
            Err((place, faults)) => return Ok(CalendarTold::Faulty(place, faults)),
        };
        let results = calendars.iter().map(|calendar| self.would_be(calendar)).collect::<Result<_, _>>()?;
        let packed =
            |(name, days): (String, CalendarDays)| (DefinitionKey::new(namespace, name), Packed(days.encode().into()));
        Ok(CalendarTold::Preview { results, given: planned.days.into_iter().map(packed).collect() })
    }

    fn would_be(&self, calendar: &Calendar) -> Result<Previewed, ApiError> {
        let key = calendar_key(calendar);
        let version =
            self.group.read(|machine, _| machine.calendars().home(&key.namespace, &key.id).map(|head| head.version))?;
        let Some(version) = version else { return Ok(previewed(Change::Created, 1)) };
        let same = document(&self.group.state(), &key.namespace, &key.id)? == Some(written(calendar)?);
        Ok(if same { previewed(Change::Unchanged, version) } else { previewed(Change::Configured, version + 1) })
    }

    fn calendar_at(&self, key: &DefinitionKey) -> Result<CalendarAt, ApiError> {
        Ok(self.group.read(|machine, _| {
            let calendars = machine.calendars();
            let (local, users) = (calendars.local(&key.namespace, &key.id), calendars.users(&key.namespace, &key.id));
            CalendarAt {
                revision: local.map(|local| local.revision),
                done: local.is_some_and(|local| local.done),
                users,
                moved: local.map_or(0, |local| local.moved),
            }
        })?)
    }

    fn counts(&self, namespace: Option<&str>) -> Result<Vec<(DefinitionKey, u64)>, ApiError> {
        Ok(self.group.read(|machine, _| {
            let calendars = machine.calendars();
            let wanted = |one: &(&str, &str, u64)| namespace.is_none_or(|namespace| one.0 == namespace);
            let counts = calendars.all_users().filter(wanted);
            counts.map(|(namespace, name, users)| (DefinitionKey::new(namespace, name), users)).collect()
        })?)
    }

    fn users(&self, key: &DefinitionKey, limit: usize) -> Result<CalendarTold, ApiError> {
        let count = self.calendar_at(key)?.users;
        let state = self.group.state();
        let numbers = users(&state, (&key.namespace, &key.id), 0, limit)?;
        let mut first = Vec::with_capacity(numbers.len());
        for number in numbers {
            let version = self.group.read(|machine, _| machine.slots().get(number).map(|slot| slot.version))?;
            let stored = version.map(|version| query::version(&state, number, version)).transpose()?.flatten();
            first.extend(stored.map(|stored| DefinitionKey::new(stored.namespace, stored.id)));
        }
        Ok(CalendarTold::Users { count, first })
    }

    /// Definitions that would be due at another time, some at a time. One that uses several of the calendars is looked at with the first of them.
    fn moves(&self, given: &GivenDays, from: (usize, u64), limit: usize) -> Result<CalendarTold, ApiError> {
        let (overlay, now) = (unpacked(given)?, self.now());
        let (mut plans, mut moves, mut looked) = (Plans::default(), Vec::new(), 0);
        let find = |namespace: &str, name: &str| self.found(&overlay, namespace, name);
        let mut left = limit.max(1);
        let (mut place, mut from) = from;
        while let Some((key, _)) = given.get(place) {
            let state = self.group.state();
            let numbers = users(&state, (&key.namespace, &key.id), from, left)?;
            for number in &numbers {
                let Some(slot) = self.group.read(|machine, _| machine.slots().get(*number).copied())? else { continue };
                let used = used_by(&state, *number)?.map_or(Vec::new(), |used| used.names);
                let first = given.iter().position(|(one, _)| used.contains(&one.id));
                let Some(stored) = query::version(&state, *number, slot.version)?.filter(|_| first == Some(place))
                else {
                    continue;
                };
                looked += 1;
                let next = due_anew(&mut plans, &stored, &slot, now, &find).unwrap_or(NEVER);
                let next = self.group.read(|machine, _| machine.tracks().soonest(*number, next))?;
                if next != slot.next {
                    let shown = |next: i64| Some(next).filter(|next| *next != NEVER).map(time);
                    let definition = DefinitionKey::new(stored.namespace, stored.id);
                    moves.push(DueMove { definition, before: shown(slot.next), after: shown(next) });
                }
            }
            left -= numbers.len();
            if left == 0 {
                let next = numbers.last().map_or(from, |last| last + 1);
                return Ok(CalendarTold::Moves { moves, looked, next: Some((place, next)) });
            }
            (place, from) = (place + 1, 0);
        }
        Ok(CalendarTold::Moves { moves, looked, next: None })
    }

    /// A calendar by its name, as given, or as the shard has it.
    fn found(&self, given: &Given, namespace: &str, name: &str) -> Option<Found> {
        match given.get(&(namespace.to_owned(), name.to_owned())) {
            // No revision is as large.
            Some(days) => Some((u64::MAX, Arc::clone(days))),
            None => find(&self.shared.calendars, &self.group, namespace, name),
        }
    }

    fn preview_given(&self, items: &[Applying], given: &GivenDays) -> Result<CalendarTold, ApiError> {
        let given = unpacked(given)?;
        let results: Vec<Result<Applied, ApiError>> = items.iter().map(|item| self.preview(item, &given)).collect();
        Ok(CalendarTold::Apply(results))
    }

    fn times_given(
        &self,
        definition: &ActivityDefinition,
        given: &GivenDays,
        count: u32,
        after: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<NextTimes, ApiError> {
        let given = unpacked(given)?;
        self.times_by(&given, definition, 0, count, after)
    }

    /// The coming due times of a definition, by the calendars of this shard and those that are given.
    pub(super) fn times_by(
        &self,
        given: &Given,
        definition: &ActivityDefinition,
        seed: u64,
        count: u32,
        after: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<NextTimes, ApiError> {
        let admitted = self.admitted_by(definition, given)?.0;
        times_by((&admitted, &[]), seed, count, after, self.now())
    }
}

fn expected(version: Option<u64>) -> Option<u32> {
    version.map(|version| u32::try_from(version).unwrap_or(u32::MAX))
}

fn mark(key: &DefinitionKey, revision: u64) -> CalendarMark {
    CalendarMark { namespace: key.namespace.clone(), name: key.id.clone(), revision }
}

/// As it is stored: two calendars that say the same are the same bytes.
fn written(calendar: &Calendar) -> Result<Bytes, ApiError> {
    let written = serde_json::to_vec(calendar).map_err(|e| one("", format!("can't be written as JSON: {e}")))?;
    Ok(written.into())
}

fn previewed(change: Change, version: u32) -> Previewed {
    let (outcome, before) = match change {
        Change::Created => (ApplyOutcome::Created, 0),
        Change::Configured => (ApplyOutcome::Configured, version.saturating_sub(1)),
        Change::Unchanged => (ApplyOutcome::Unchanged, version),
    };
    Previewed { outcome, old_version: before.into(), new_version: version.into() }
}

/// Calendars that refer to one, and stay.
fn referred_by<'a>(heads: impl Iterator<Item = (&'a str, &'a Head)>, name: &str) -> Vec<String> {
    let refers = |head: &Head| head.leaving.is_none() && head.refers.iter().any(|other| other == name);
    heads.filter(|(_, head)| refers(head)).map(|(other, _)| other.to_owned()).collect()
}

fn unpacked(given: &GivenDays) -> Result<Given, ApiError> {
    let mut all = BTreeMap::new();
    for (key, Packed(bytes)) in given {
        let days = CalendarDays::decode(bytes).map_err(|why| one("calendars", format!("{key}: {why}")))?;
        all.insert((key.namespace.clone(), key.id.clone()), Arc::new(days));
    }
    Ok(all)
}

fn answered_otherwise() -> ApiError {
    EngineError::Read("a calendar's entry was answered otherwise".into()).into()
}
