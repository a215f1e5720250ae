//! Calendars applied, read and deleted, as they are asked for. Each change is answered when all shards have it.

use std::collections::BTreeMap;
use std::time::Duration;

use flintwheel_client::{
    Applied, ApplyOptions, ApplyOutcome, CalendarApplied, CalendarRecord, DueMove, NextTimes, Page, PageRequest,
};
use flintwheel_model::ids::{calendar_home, check_namespace};
use flintwheel_model::validate::check_calendar;
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, Violations, limits};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::ask::{Act, Look, Packed, Told, otherwise};
use super::calendar_ask::{CalendarAct, CalendarAt, CalendarLook, CalendarTold, GivenDays, KeptCalendar, Previewed};
use super::definitions::{read_token, write_token};
use super::request::request_id as given_or_new;
use super::route::SIDE_BY_SIDE;
use super::{Api, ApiError, OperateError, check_key, check_request_id, one, page_size};
use crate::error::EngineError;

/// For a change to come to all shards. Less than clients give a call: who asked comes back, and waits on.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(250);
/// Definitions that are named where something is refused because of them, or would move.
const NAMED: usize = 3;
const MOVES: usize = 200;
/// Definitions that a shard looks at in one go for what would move.
const LOOKED_AT: usize = 1000;
/// Calendars of one answer of a home.
const PART: usize = 100;

impl Api {
    /// Creates or changes one calendar.
    pub async fn apply_calendar(
        &self,
        calendar: &Calendar,
        options: &ApplyOptions,
    ) -> Result<CalendarApplied, ApiError> {
        check_request_id(&options.request_id)?;
        check_calendar(calendar).into_result()?;
        let namespace = calendar.metadata.namespace.clone();
        if options.validate_only {
            return self.preview_calendar(calendar, &[], options.expected_version).await;
        }
        let put = CalendarAct::Put {
            calendar: Box::new(calendar.clone()),
            expected_version: options.expected_version,
            // Here, not where it is led: all tries must have the same.
            request_id: given_or_new(&options.request_id),
        };
        let told = self.ask_home(&namespace, Act::Calendar(put)).await?;
        let CalendarTold::Put { result, counted, through } = told else { return Err(faulty(told)) };
        let Previewed { outcome, old_version, new_version } = result;
        let (definitions, moved) = self.everywhere(&calendar_key(calendar), counted, through).await?;
        // What it was before has moved them.
        let moved = if outcome == ApplyOutcome::Unchanged { 0 } else { moved };
        Ok(CalendarApplied { outcome, old_version, new_version, definitions, moved, moves: Vec::new() })
    }

    /// One calendar, as it was last changed.
    pub async fn calendar(&self, key: &DefinitionKey) -> Result<CalendarRecord, ApiError> {
        check_key(key)?;
        let kept = self.kept_calendar(key).await?.ok_or_else(|| ApiError::NoCalendar(key.clone()))?;
        let counts = self.calendar_counts(&key.namespace).await?;
        Ok(kept.record(counts.get(key).copied().unwrap_or(0)))
    }

    /// Calendars of a namespace, or of all where it is empty, in order of namespace and name.
    pub async fn calendars(&self, namespace: &str, page: &PageRequest) -> Result<Page<CalendarRecord>, ApiError> {
        if !namespace.is_empty() {
            check_namespace(namespace).map_err(|why| one("namespace", why))?;
        }
        let (after, size) = (read_token(&page.token)?, page_size(page.size));
        let homes = match namespace {
            "" => (0..self.shared.shards()).collect(),
            one => vec![calendar_home(one, self.shared.shards())],
        };
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let limit = size.min(PART);
        let look = CalendarLook::List { namespace: namespace.clone(), after, limit };
        let asks = homes.into_iter().map(|home| (home, Look::Calendar(look.clone())));
        let (mut all, mut sure) = (Vec::new(), None::<DefinitionKey>);
        for told in self.ask_each(asks).await? {
            let Told::Calendar(CalendarTold::List { records, more }) = told else { return Err(otherwise()) };
            // One that has more may have some after its last, but not before it.
            let last = records.last().filter(|_| more).map(KeptCalendar::key);
            sure = [sure, last].into_iter().flatten().min();
            all.extend(records);
        }
        all.sort_unstable_by_key(KeptCalendar::key);
        all.retain(|kept| sure.as_ref().is_none_or(|sure| kept.key() <= *sure));
        let more = sure.is_some() || all.len() > size;
        all.truncate(size);
        let next = all.last().filter(|_| more).map(|kept| write_token(&kept.key()));
        let counts = self.calendar_counts(&namespace.unwrap_or_default()).await?;
        let count = |kept: &KeptCalendar| counts.get(&kept.key()).copied().unwrap_or(0);
        let items = all.into_iter().map(|kept| (count(&kept), kept)).map(|(count, kept)| kept.record(count)).collect();
        Ok(Page { items, next })
    }

    /// Deletes a calendar that nothing uses, once for each request id (an empty one is made up). Returns the version that it had.
    pub async fn delete_calendar(
        &self,
        key: &DefinitionKey,
        expected_version: Option<u64>,
        request_id: &str,
        validate_only: bool,
    ) -> Result<u64, ApiError> {
        check_key(key)?;
        check_request_id(request_id)?;
        let kept = self.kept_calendar(key).await?;
        if let Some(kept) = &kept {
            self.check_unused(key, kept).await?;
        }
        if validate_only {
            let version = kept.ok_or_else(|| ApiError::NoCalendar(key.clone()))?.status.version;
            return match expected_version.filter(|expected| *expected != version) {
                Some(expected) => Err(ApiError::Conflict { key: key.clone(), expected, actual: version }),
                None => Ok(version),
            };
        }
        let request_id = given_or_new(request_id);
        let remove = CalendarAct::Remove { key: key.clone(), expected_version, request_id };
        match self.ask_home(&key.namespace, Act::Calendar(remove)).await? {
            CalendarTold::Gone { version } => Ok(version),
            CalendarTold::Leaving { version, .. } => self.gone(key).await.map(|()| version),
            _ => Err(otherwise()),
        }
    }

    /// What an apply of many would do, with calendars that count as if they had been applied before.
    pub async fn preview_with(
        &self,
        definitions: &[(ActivityDefinition, ApplyOptions)],
        calendars: &[Calendar],
    ) -> Result<Vec<Result<Applied, ApiError>>, ApiError> {
        let given = self.given(calendars).await?;
        Ok(self.batch_preview(definitions, &given).await)
    }

    /// The coming due times that a definition would have, with calendars that count as if they had been applied.
    pub(super) async fn next_times_with(
        &self,
        definition: ActivityDefinition,
        calendars: &[Calendar],
        count: u32,
        after: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<NextTimes, ApiError> {
        let given = self.given(calendars).await?;
        let key = DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id);
        let look = CalendarLook::Times { definition: Box::new(definition), given, count, after };
        match self.ask(self.shard_of(&key), Look::Calendar(look)).await? {
            Told::Calendar(CalendarTold::Times(times)) => Ok(times),
            _ => Err(otherwise()),
        }
    }

    /// What an apply would do, and which definitions would move; as if others, of the same namespace, had been applied before.
    pub async fn preview_calendar(
        &self,
        calendar: &Calendar,
        others: &[Calendar],
        expected: Option<u64>,
    ) -> Result<CalendarApplied, ApiError> {
        let key = calendar_key(calendar);
        if others.len() >= limits::CALENDARS {
            return Err(one("others", format!("{} calendars; at most {}", others.len(), limits::CALENDARS - 1)).into());
        }
        for (place, other) in others.iter().enumerate() {
            check_calendar(other).into_result().map_err(|faults| within("others", place, faults))?;
            if other.metadata.namespace != key.namespace || other.metadata.id == key.id {
                let message = format!("{} is not another calendar of namespace {}", calendar_key(other), key.namespace);
                return Err(one(&format!("others[{place}].metadata"), message).into());
            }
        }
        check_calendar(calendar).into_result()?;
        let all = std::iter::once(calendar).chain(others).cloned().collect();
        let look = Look::Calendar(CalendarLook::Preview(all));
        let told = self.ask_home(&key.namespace, look).await?;
        let (results, given) = match told {
            CalendarTold::Preview { results, given } => (results, given),
            CalendarTold::Faulty(place @ 1.., faults) => return Err(within("others", place - 1, faults).into()),
            other => return Err(faulty(other)),
        };
        let Some(Previewed { outcome, old_version, new_version }) = results.first().copied() else {
            return Err(otherwise());
        };
        if let Some(expected) = expected.filter(|expected| *expected != old_version) {
            return Err(ApiError::Conflict { key, expected, actual: old_version });
        }
        let parts = stream::iter((0..self.shared.shards()).map(|shard| self.moves_in(shard, &given)));
        let (mut moves, mut definitions, mut moved) = (Vec::new(), 0, 0);
        let mut parts = parts.buffer_unordered(SIDE_BY_SIDE);
        while let Some(part) = parts.next().await {
            let (some, looked, count) = part?;
            (definitions, moved) = (definitions + looked, moved + count);
            moves.extend(some);
            moves.sort_unstable();
            moves.truncate(MOVES);
        }
        Ok(CalendarApplied { outcome, old_version, new_version, definitions, moved, moves })
    }

    /// The first definitions of a shard that would move; how many were looked at, and how many would move.
    async fn moves_in(&self, shard: u32, given: &GivenDays) -> Result<(Vec<DueMove>, u64, u64), ApiError> {
        let (mut all, mut looked, mut moved, mut from) = (Vec::new(), 0, 0, Some((0, 0)));
        while let Some(next) = from {
            let look = CalendarLook::Moves { given: given.clone(), from: next, limit: LOOKED_AT };
            let Told::Calendar(CalendarTold::Moves { moves, looked: some, next }) =
                self.ask(shard, Look::Calendar(look)).await?
            else {
                return Err(otherwise());
            };
            (looked, moved) = (looked + some, moved + moves.len() as u64);
            all.extend(moves);
            all.sort_unstable();
            all.truncate(MOVES);
            from = next;
        }
        Ok((all, looked, moved))
    }

    /// The days of calendars that are given along.
    pub(super) async fn given(&self, calendars: &[Calendar]) -> Result<GivenDays, ApiError> {
        if calendars.len() > limits::CALENDARS {
            let message = format!("{} calendars; at most {} at a time", calendars.len(), limits::CALENDARS);
            return Err(one("calendars", message).into());
        }
        let mut by_namespace: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (place, calendar) in calendars.iter().enumerate() {
            check_calendar(calendar).into_result().map_err(|faults| within("calendars", place, faults))?;
            by_namespace.entry(&calendar.metadata.namespace).or_default().push(place);
        }
        let mut all = Vec::new();
        for (namespace, places) in by_namespace {
            let some = places.iter().map(|place| calendars[*place].clone()).collect();
            match self.ask_home(namespace, Look::Calendar(CalendarLook::Preview(some))).await? {
                CalendarTold::Preview { given, .. } => all.extend(given),
                CalendarTold::Faulty(place, faults) => {
                    let place = places.get(place).copied().unwrap_or(0);
                    return Err(within("calendars", place, faults).into());
                }
                _ => return Err(otherwise()),
            }
        }
        Ok(all)
    }

    async fn ask_home(&self, namespace: &str, ask: impl Into<super::ask::Ask>) -> Result<CalendarTold, ApiError> {
        match self.ask(calendar_home(namespace, self.shared.shards()), ask).await? {
            Told::Calendar(told) => Ok(told),
            _ => Err(otherwise()),
        }
    }

    async fn kept_calendar(&self, key: &DefinitionKey) -> Result<Option<KeptCalendar>, ApiError> {
        match self.ask_home(&key.namespace, Look::Calendar(CalendarLook::One(key.clone()))).await {
            Ok(CalendarTold::One(kept)) => Ok(Some(*kept)),
            Ok(_) => Err(otherwise()),
            Err(ApiError::NoCalendar(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many definitions name each calendar, of a namespace or of all.
    async fn calendar_counts(&self, namespace: &str) -> Result<BTreeMap<DefinitionKey, u64>, ApiError> {
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let look = CalendarLook::Counts { namespace };
        let asks = (0..self.shared.shards()).map(|shard| (shard, Look::Calendar(look.clone())));
        let mut counts = BTreeMap::new();
        for told in self.ask_each(asks).await? {
            let Told::Calendar(CalendarTold::Counts(some)) = told else { return Err(otherwise()) };
            some.into_iter().for_each(|(key, count)| *counts.entry(key).or_insert(0) += count);
        }
        Ok(counts)
    }

    async fn check_unused(&self, key: &DefinitionKey, kept: &KeptCalendar) -> Result<(), ApiError> {
        let others = &kept.status.referred_by;
        if !others.is_empty() {
            let why = format!("calendar {key} is referred to by {}: change them first", others.join(", "));
            return Err(OperateError::Refused(why).into());
        }
        let look = CalendarLook::Users { key: key.clone(), limit: NAMED };
        let (mut all, mut named) = (0, Vec::new());
        let asks = (0..self.shared.shards()).map(|shard| (shard, Look::Calendar(look.clone())));
        for told in self.ask_each(asks).await? {
            let Told::Calendar(CalendarTold::Users { count, first }) = told else { return Err(otherwise()) };
            all += count;
            named.extend(first);
        }
        if all == 0 { Ok(()) } else { Err(in_use(key, all, named).into()) }
    }

    /// Waits until revisions of a calendar, and of those that refer to it, are everywhere; says how many definitions use them, and how many have moved.
    async fn everywhere(&self, key: &DefinitionKey, counted: (u64, u64), through: u64) -> Result<(u64, u64), ApiError> {
        let (until, mut wait) = (Instant::now() + PATIENCE, FIRST_LOOK);
        let namespace = key.namespace.clone();
        loop {
            let look = CalendarLook::Spread { namespace: namespace.clone(), counted, through };
            let told = self.ask_home(&key.namespace, Look::Calendar(look)).await?;
            let CalendarTold::Spread { pending, users, moved } = told else { return Err(otherwise()) };
            if pending == 0 {
                return Ok((users, moved));
            }
            if Instant::now() + wait > until {
                return Err(EngineError::Spreading { calendar: key.to_string() }.into());
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_LOOK);
        }
    }

    /// Waits until a calendar is gone, or stays because somebody was quicker.
    async fn gone(&self, key: &DefinitionKey) -> Result<(), ApiError> {
        let (until, mut wait) = (Instant::now() + PATIENCE, FIRST_LOOK);
        loop {
            let Some(kept) = self.kept_calendar(key).await? else { return Ok(()) };
            if !kept.leaving {
                self.check_unused(key, &kept).await?;
                let why =
                    format!("calendar {key} was used, or changed, while it was to go, and stays: delete it again");
                return Err(OperateError::Refused(why).into());
            }
            if Instant::now() + wait > until {
                return Err(EngineError::Spreading { calendar: key.to_string() }.into());
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_LOOK);
        }
    }

    /// Gives a shard the days of a calendar; how it stands with it then.
    pub(crate) async fn give_days(
        &self,
        shard: u32,
        key: &DefinitionKey,
        revision: u64,
        days: bytes::Bytes,
    ) -> Result<CalendarAt, ApiError> {
        let act = CalendarAct::Days { key: key.clone(), revision, days: Packed(days) };
        at(self.ask(shard, Act::Calendar(act)).await?)
    }

    /// Has a shard let go of a calendar, if it can; how it stands with it then.
    pub(crate) async fn drop_calendar(
        &self,
        shard: u32,
        key: &DefinitionKey,
        revision: u64,
    ) -> Result<CalendarAt, ApiError> {
        at(self.ask(shard, Act::Calendar(CalendarAct::Drop { key: key.clone(), revision })).await?)
    }

    /// How a shard stands with a calendar.
    pub(crate) async fn calendar_at(&self, shard: u32, key: &DefinitionKey) -> Result<CalendarAt, ApiError> {
        at(self.ask(shard, Look::Calendar(CalendarLook::At(key.clone()))).await?)
    }
}

fn at(told: Told) -> Result<CalendarAt, ApiError> {
    match told {
        Told::Calendar(CalendarTold::At(at)) => Ok(at),
        _ => Err(otherwise()),
    }
}

fn faulty(told: CalendarTold) -> ApiError {
    match told {
        CalendarTold::Faulty(_, faults) => faults.into(),
        _ => otherwise(),
    }
}

fn within(list: &str, place: usize, faults: Violations) -> Violations {
    let field = |field: &str| if field.is_empty() { String::new() } else { format!(".{field}") };
    let mut all = Violations::default();
    faults.0.into_iter().for_each(|fault| {
        let field = field(&fault.field);
        all.push(format!("{list}[{place}]{field}"), fault.message);
    });
    all
}

fn in_use(key: &DefinitionKey, all: u64, mut named: Vec<DefinitionKey>) -> OperateError {
    named.sort_unstable();
    named.truncate(NAMED);
    let more = all.saturating_sub(named.len() as u64);
    let mut listed = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if more > 0 {
        listed.push_str(&format!(" and {more} more"));
    }
    let definitions = if all == 1 { "1 definition".to_owned() } else { format!("{all} definitions") };
    OperateError::Refused(format!("calendar {key} is used by {definitions}: {listed}; change them first"))
}

/// A calendar's name.
pub(super) fn calendar_key(calendar: &Calendar) -> DefinitionKey {
    DefinitionKey::new(&calendar.metadata.namespace, &calendar.metadata.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_a_calendar_is_named_the_first_of_them() {
        let key = |id: &str| DefinitionKey::new("ops", id);
        for (all, named, says) in [
            (1, vec![key("a")], "is used by 1 definition: ops/a; change"),
            (4, vec![key("d"), key("b"), key("a"), key("c")], "4 definitions: ops/a, ops/b, ops/c and 1 more; change"),
        ] {
            let OperateError::Refused(said) = in_use(&key("de"), all, named) else { panic!("refused") };
            assert!(said.starts_with("calendar ops/de ") && said.contains(says), "{said}");
        }
    }
}
