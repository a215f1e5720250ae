//! Backfills begun, listed and stopped. What makes them go on is [`crate::backfills`].

use chrono::{DateTime, Utc};
use flintwheel_client::{
    Backfill, BackfillBegun, BackfillOrder, BackfillQuery, BackfillRequest, BackfillStopped, Backfills,
};
use flintwheel_model::definition::OverlapPolicy;
use flintwheel_model::ids::{check_backfill, rfc3339};
use flintwheel_model::{DefinitionKey, Violations, limits};
use flintwheel_shard::backfills::{Backfill as Stored, PER_DEFINITION};
use flintwheel_shard::entry::{BackfillStep, BeginBackfill, Body, NEVER, Range};
use flintwheel_shard::reply::{Backfilled, Outcome};
use flintwheel_shard::tracks::Policy;
use flintwheel_shard::{ReadError, query};

use super::ask::{Act, BackfillAct, Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, check_key, one, time};
use crate::admission::policy;
use crate::backfills::{Count, count, first, timing};
use crate::calendars;
use crate::error::EngineError;

/// Due times a second, where nobody says how many.
const RATE: u32 = 10;
/// Backfills of one list.
const LISTED: usize = 1000;

impl Api {
    /// Begins a backfill, once for each id, or counts what it would fire.
    pub async fn backfill(&self, key: &DefinitionKey, request: &BackfillRequest) -> Result<BackfillBegun, ApiError> {
        check_key(key)?;
        self.check_operations(true, "backfill")?;
        let request = self.check_backfill(request)?;
        let act = BackfillAct::Begin(request.clone());
        let ask = Act::Backfill { key: key.clone(), act };
        let told = if request.validate_only {
            self.ask(self.shard_of(key), Look::Backfill { key: key.clone(), request }).await?
        } else {
            self.ask(self.shard_of(key), ask).await?
        };
        match told {
            Told::BackfillBegun(begun) => Ok(begun),
            _ => Err(otherwise()),
        }
    }

    /// Backfills under way, and those that have ended lately, of one definition or of all.
    pub async fn backfills(&self, asked: &BackfillQuery) -> Result<Backfills, ApiError> {
        let look = || Look::Backfills(asked.clone());
        let shards: Vec<u32> = if asked.definition_id.is_empty() {
            (0..self.shared.shards()).collect()
        } else {
            let key = DefinitionKey::new(&asked.namespace, &asked.definition_id);
            check_key(&key)?;
            vec![self.shard_of(&key)]
        };
        let (mut items, mut truncated) = (Vec::new(), false);
        for told in self.ask_each(shards.into_iter().map(|shard| (shard, look()))).await? {
            let Told::Backfills(part) = told else { return Err(otherwise()) };
            truncated |= part.truncated;
            items.extend(part.items);
        }
        items.sort_by(|a, b| (&a.definition, &a.backfill_id).cmp(&(&b.definition, &b.backfill_id)));
        truncated |= items.len() > LISTED;
        items.truncate(LISTED);
        Ok(Backfills { items, truncated })
    }

    /// Stops one. What it has decided stays.
    pub async fn stop_backfill(&self, key: &DefinitionKey, backfill: &str) -> Result<BackfillStopped, ApiError> {
        check_key(key)?;
        check_backfill(backfill).map_err(|why| one("backfill_id", why))?;
        let act = Act::Backfill { key: key.clone(), act: BackfillAct::Stop(backfill.to_owned()) };
        match self.ask(self.shard_of(key), act).await? {
            Told::BackfillStopped(stopped) => Ok(stopped),
            _ => Err(otherwise()),
        }
    }

    /// With all that was left open filled in.
    fn check_backfill(&self, request: &BackfillRequest) -> Result<BackfillRequest, Violations> {
        let mut faults = Violations::default();
        let (from, to, now) = (request.from.timestamp_micros(), request.to.timestamp_micros(), self.now());
        if to < from {
            faults.push("to", format!("{} is before from, {}", rfc3339(to), rfc3339(from)));
        }
        if to > now {
            let message =
                format!("{} is to come: it is {} now, and what is to come fires by itself", rfc3339(to), rfc3339(now));
            faults.push("to", message);
        }
        let rate = if request.rate == 0 { RATE } else { request.rate };
        if rate > limits::BACKFILL_RATE {
            faults.push("rate", format!("{rate} due times a second; 1 to {} are possible", limits::BACKFILL_RATE));
        }
        let backfill_id = match request.backfill_id.as_str() {
            "" => of_range(request.from, request.to),
            given => given.to_owned(),
        };
        if let Err(why) = check_backfill(&backfill_id) {
            faults.push("backfill_id", why);
        }
        faults.into_result().map(|()| BackfillRequest { rate, backfill_id, ..request.clone() })
    }
}

/// The id of a backfill that was given none: the same range again is the same one.
fn of_range(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let text = |time: DateTime<Utc>| time.format("%Y%m%dt%H%M%S%.fz").to_string();
    format!("{}-{}", text(from), text(to))
}

fn range(request: &BackfillRequest) -> Range {
    Range {
        from: request.from.timestamp_micros(),
        to: request.to.timestamp_micros(),
        newest_first: request.order == BackfillOrder::NewestFirst,
        rate: request.rate,
        policy: request.overlap_policy.map(policy),
    }
}

/// As users know it.
fn of_policy(policy: Policy) -> OverlapPolicy {
    match policy {
        Policy::Skip => OverlapPolicy::Skip,
        Policy::BufferOne => OverlapPolicy::BufferOne,
        Policy::BufferAll => OverlapPolicy::BufferAll,
        Policy::CancelOther => OverlapPolicy::CancelOther,
        Policy::TerminateOther => OverlapPolicy::TerminateOther,
        Policy::AllowAll => OverlapPolicy::AllowAll,
    }
}

fn show(definition: DefinitionKey, id: &str, stored: &Stored) -> Backfill {
    let Range { from, to, newest_first, rate, policy } = stored.range;
    Backfill {
        definition,
        backfill_id: id.to_owned(),
        from: time(from),
        to: time(to),
        rate,
        order: if newest_first { BackfillOrder::NewestFirst } else { BackfillOrder::OldestFirst },
        overlap_policy: policy.map(of_policy),
        total: stored.total,
        decided: stored.decided,
        skipped: stored.skipped,
        next: Some(stored.next).filter(|next| *next != NEVER).map(time),
        begun_at: Some(time(stored.begun)),
        ended_at: stored.ended.map(time),
        stopped: stored.is_stopped(),
    }
}

impl Replica {
    /// What a backfill would fire, as the schedule is now.
    pub(super) fn backfill_preview(&self, key: &DefinitionKey, request: &BackfillRequest) -> Result<Told, ApiError> {
        let (begin, estimated) = self.backfill_of(key, request)?;
        let BeginBackfill { backfill: id, range, next, total, .. } = begin;
        if let Some(known) = self.known(key, &id)? {
            let same = Range { rate: range.rate, ..known.range } == range;
            return if same { Ok(begun(key, &id, &known, true, estimated)) } else { Err(reused(&id)) };
        }
        let tried = Stored { range, begun: 0, next, total, decided: 0, skipped: 0, ended: None };
        let backfill = Backfill { begun_at: None, ..show(key.clone(), &id, &tried) };
        Ok(Told::BackfillBegun(BackfillBegun { backfill, repeated: false, estimated }))
    }

    /// What is asked for, with where it begins and how many due times it has; and whether that is an estimate.
    fn backfill_of(&self, key: &DefinitionKey, request: &BackfillRequest) -> Result<(BeginBackfill, bool), ApiError> {
        let (_, stored) = self.stored(key)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let find = |namespace: &str, name: &str| calendars::find(&self.shared.calendars, &self.group, namespace, name);
        let Some(timing) = timing(&stored, &find)? else {
            return Err(ApiError::Refused(format!(
                "{key} has no schedule: it has no due times that could be backfilled"
            )));
        };
        let range = range(request);
        let Count { total, estimated } = count(&timing.plan, range.from, range.to);
        let next = first(&timing.plan, &range);
        let DefinitionKey { namespace, id } = key.clone();
        let backfill = request.backfill_id.clone();
        Ok((BeginBackfill { namespace, id, backfill, range, next, total }, estimated))
    }

    fn known(&self, key: &DefinitionKey, id: &str) -> Result<Option<Stored>, ApiError> {
        let found = self.group.read(|machine, state| {
            let number = query::number(state, &key.namespace, &key.id)?;
            Ok(number.and_then(|number| machine.backfills().get(number, id).cloned()))
        })?;
        found.map_err(|error: ReadError| error.into())
    }

    pub(super) fn backfills(&self, asked: &BackfillQuery) -> Result<Told, ApiError> {
        let state = self.group.state();
        let wanted = if asked.definition_id.is_empty() {
            None
        } else {
            let key = DefinitionKey::new(&asked.namespace, &asked.definition_id);
            let number = query::number(&state, &key.namespace, &key.id)?;
            Some(number.ok_or(ApiError::NotFound(key))?)
        };
        let found: Vec<(u64, u32, String, Stored)> = self.group.read(|machine, _| {
            let all = machine.backfills().iter().filter(|(number, _, one)| {
                wanted.is_none_or(|wanted| wanted == *number) && !(asked.running && one.ended.is_some())
            });
            let version = |number| machine.slots().get(number).map_or(0, |slot| slot.version);
            all.map(|(number, id, one)| (number, version(number), id.to_owned(), one.clone())).collect()
        })?;
        let mut items = Vec::new();
        for (number, version, id, stored) in found {
            if items.len() > LISTED {
                break;
            }
            let Some(named) = query::version(&state, number, version)? else { continue };
            if asked.namespace.is_empty() || asked.namespace == named.namespace {
                items.push(show(DefinitionKey::new(named.namespace, named.id), &id, &stored));
            }
        }
        let truncated = items.len() > LISTED;
        items.truncate(LISTED);
        Ok(Told::Backfills(Backfills { items, truncated }))
    }

    /// Asked again after a try that nobody knows the end of, it does no harm: an id begins once, and stops once.
    pub(super) async fn backfill(&self, key: &DefinitionKey, act: &BackfillAct) -> Result<Told, ApiError> {
        self.check_place(key)?;
        self.check_operations(true, "backfill")?;
        match act {
            BackfillAct::Begin(request) => self.begin_backfill(key, request).await,
            BackfillAct::Stop(id) => self.stop_backfill(key, id).await,
        }
    }

    async fn begin_backfill(&self, key: &DefinitionKey, request: &BackfillRequest) -> Result<Told, ApiError> {
        let (name, asked) = (key.clone(), request.clone());
        let (begin, estimated, is_known) = self
            .read(move |replica| {
                let (begin, estimated) = replica.backfill_of(&name, &asked)?;
                let is_known = replica.known(&name, &begin.backfill)?.is_some();
                Ok((begin, estimated, is_known))
            })
            .await?;
        if begin.total > limits::BACKFILL_TIMES && !request.allow_many && !is_known {
            return Err(too_many(begin.total, estimated).into());
        }
        let id = begin.backfill.clone();
        let begun_now = match self.step(BackfillStep::Begin(begin), id.len()).await? {
            Backfilled::Begun => true,
            Backfilled::Repeated => false,
            Backfilled::Reused => return Err(reused(&id)),
            Backfilled::TooMany => {
                return Err(ApiError::Refused(format!(
                    "{key} has {PER_DEFINITION} backfills under way, or its shard as many as it may have: wait, or stop one"
                )));
            }
            _ => return Err(ApiError::NotFound(key.clone())),
        };
        let name = key.clone();
        self.read(move |replica| {
            let known = replica.known(&name, &id)?.ok_or_else(|| ApiError::NotFound(name.clone()))?;
            Ok(begun(&name, &id, &known, !begun_now, estimated))
        })
        .await
    }

    async fn stop_backfill(&self, key: &DefinitionKey, id: &str) -> Result<Told, ApiError> {
        let DefinitionKey { namespace, id: definition } = key.clone();
        let stop = BackfillStep::Stop { namespace, id: definition, backfill: id.to_owned() };
        let changed = match self.step(stop, id.len()).await? {
            Backfilled::Stopped => true,
            Backfilled::Ended => false,
            Backfilled::NoBackfill => {
                let message = format!(
                    "{id:?} is no backfill of {key}, or is not known any more: `flintwheel backfills {key}` lists them"
                );
                return Err(one("backfill_id", message).into());
            }
            _ => return Err(ApiError::NotFound(key.clone())),
        };
        let (name, id) = (key.clone(), id.to_owned());
        self.read(move |replica| {
            let known = replica.known(&name, &id)?.ok_or_else(|| ApiError::NotFound(name.clone()))?;
            Ok(Told::BackfillStopped(BackfillStopped { backfill: show(name, &id, &known), changed }))
        })
        .await
    }

    async fn step(&self, step: BackfillStep, bytes: usize) -> Result<Backfilled, ApiError> {
        match self.command(Body::Backfill(vec![step]), bytes).await? {
            Outcome::Backfilled(outcomes) if outcomes.len() == 1 => Ok(outcomes[0]),
            _ => Err(EngineError::Read("a backfill entry was answered otherwise".into()).into()),
        }
    }
}

fn begun(key: &DefinitionKey, id: &str, known: &Stored, repeated: bool, estimated: bool) -> Told {
    Told::BackfillBegun(BackfillBegun { backfill: show(key.clone(), id, known), repeated, estimated })
}

fn reused(id: &str) -> ApiError {
    let message = format!(
        "{id:?} was given to a backfill of another range, order or overlap policy; to fire these due times too, give another id"
    );
    one("backfill_id", message).into()
}

fn too_many(total: u64, estimated: bool) -> Violations {
    let about = if estimated { "about " } else { "" };
    let most = limits::BACKFILL_TIMES;
    one(
        "allow_many",
        format!("the range has {about}{total} due times; for more than {most}, say that so many are meant"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_range_has_the_same_id_and_it_is_one() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let (from, to) = (time("2026-11-01T00:00:00Z"), time("2026-11-02T00:00:00.25Z"));
        let id = of_range(from, to);
        assert_eq!(id, "20261101t000000z-20261102t000000.250z");
        assert_eq!(check_backfill(&id), Ok(()));
        assert_ne!(of_range(from, from), id);
    }
}
