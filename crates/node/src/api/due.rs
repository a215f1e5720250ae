//! How many due times come in each step of a span of time, over all definitions or some: counted from their schedules, some definitions at a
//! time, so that a million of them hold nobody up.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flintwheel_client::{DueCount, DuePart, DueQuery};
use flintwheel_model::{ActivityDefinition, DefinitionKey, Violations, base64};
use flintwheel_shard::courses::Course;
use flintwheel_shard::query;
use flintwheel_shard::slots::Slot;
use serde::{Deserialize, Serialize};

use super::ask::{Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, Selector, one, time};
use crate::after::coming;
use crate::calendars;
use crate::plans::{Find, Plans};

/// Steps of one request: a fortnight of minutes, five hours of seconds.
const STEPS: i64 = 20_000;
/// The longest span, in days: a definition of each second has 31 million due times in it, some seconds of work.
const DAYS: i64 = 366;
/// Definitions named for a step.
const EXAMPLES: u32 = 10;
/// Definitions looked at for one answer, and by one shard at a time.
const LOOKED_AT: u64 = 4_000;
const LOOKED_AT_ONCE: usize = 1_000;
/// Due times counted by one shard at a time: it ends with the definition that makes it as many.
const COUNTED_AT_ONCE: u64 = 500_000;
const SECOND: i64 = 1_000_000;

/// One shard's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueShare {
    /// By the number of the step.
    steps: BTreeMap<u32, Step>,
    /// Definitions that were looked at.
    definitions: u64,
    /// The last of them; None where there are no more.
    last: Option<DefinitionKey>,
}

/// How a definition stands.
struct Stands {
    /// Its next nominal time.
    next: i64,
    /// Firings that are left to it.
    left: usize,
    /// Times that follow from the runs of others.
    coming: Vec<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    due: u64,
    steady: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    examples: Vec<DefinitionKey>,
}

/// Where an answer goes on: at a shard, after a definition.
type Place = (u32, Option<DefinitionKey>);

impl Api {
    /// The counts of some definitions, and a token to go on with. The parts are to be added up.
    pub async fn count_due(&self, query: &DueQuery, token: &str) -> Result<DuePart, ApiError> {
        check(query)?;
        let (mut shard, mut after) = read_token(token, self.shared.shards())?;
        let mut all = DueShare::default();
        while shard < self.shared.shards() && all.definitions < LOOKED_AT {
            let look = Look::Due { query: query.clone(), after: after.take() };
            let Told::Due(share) = self.ask(shard, look).await? else { return Err(otherwise()) };
            after = share.last.clone();
            shard += u32::from(after.is_none());
            all.add(share, query.examples);
        }
        let next = (shard < self.shared.shards()).then(|| write_token(&(shard, after)));
        let counts = all.steps.into_iter().map(|(number, step)| DueCount {
            from: time(query.from.timestamp_micros() + i64::from(number) * i64::from(query.step) * SECOND),
            due: step.due,
            steady: step.steady,
            examples: step.examples,
        });
        Ok(DuePart { counts: counts.collect(), definitions: all.definitions, next })
    }
}

impl DueShare {
    fn add(&mut self, other: Self, examples: u32) {
        self.definitions += other.definitions;
        for (number, more) in other.steps {
            let step = self.steps.entry(number).or_default();
            step.due += more.due;
            step.steady += more.steady;
            let room = (examples as usize).saturating_sub(step.examples.len());
            step.examples.extend(more.examples.into_iter().take(room));
        }
    }
}

impl Replica {
    pub(super) fn due(&self, query: &DueQuery, after: Option<&DefinitionKey>) -> Result<Told, ApiError> {
        check(query)?;
        let selector = Selector::parse(&query.label_selector).map_err(|why| one("label_selector", why))?;
        let (state, mut plans) = (self.group.state(), Plans::default());
        let namespace = Some(query.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let after = after.map(|key| (key.namespace.as_str(), key.id.as_str()));
        let names = query::names(&state, namespace, after, LOOKED_AT_ONCE)?;
        let slots: Vec<Option<(Slot, Stands)>> = self.group.read(|machine, _| {
            let stands = |number, slot: &Slot| Stands {
                next: slot.next,
                left: machine.courses().get(number).and_then(Course::left).map_or(usize::MAX, |left| left as usize),
                coming: coming(machine, number).into_iter().map(|(nominal, _)| nominal).collect(),
            };
            let slot = |number| machine.slots().get(number).map(|slot| (*slot, stands(number, slot)));
            names.iter().map(|(_, _, number)| slot(*number)).collect()
        })?;
        let find = |namespace: &str, name: &str| calendars::find(&self.shared.calendars, &self.group, namespace, name);
        let (mut share, mut counted) = (DueShare::default(), 0);
        let is_full = names.len() == LOOKED_AT_ONCE;
        for ((namespace, id, number), slot) in names.into_iter().zip(slots) {
            share.definitions += 1;
            let key = DefinitionKey { namespace, id };
            if let Some((slot, stands)) = slot.filter(|(slot, _)| slot.is_armed())
                && let Some(stored) = query::version(&state, number, slot.version)?
                && fits(&selector, &stored.document)
            {
                counted +=
                    share.count(query, &key, (&mut plans, &find), (&stored.document, stored.incarnation), &stands);
            }
            share.last = Some(key);
            if counted >= COUNTED_AT_ONCE {
                return Ok(Told::Due(share));
            }
        }
        share.last = share.last.filter(|_| is_full);
        Ok(Told::Due(share))
    }
}

impl DueShare {
    /// Counts the due times of one definition; how many there were. One whose schedule can't be read fires nothing.
    fn count(
        &mut self,
        query: &DueQuery,
        key: &DefinitionKey,
        (plans, find): (&mut Plans, Find<'_>),
        (document, incarnation): (&[u8], u64),
        Stands { next, left, coming }: &Stands,
    ) -> u64 {
        let Ok(plan) = plans.of_document(document, incarnation, find) else { return 0 };
        let timing = plans.get(plan);
        let with_coming = (!coming.is_empty()).then(|| timing.plan.with_admitted(coming.iter().copied()));
        let (plan, seed) = (with_coming.as_ref().unwrap_or(&timing.plan), timing.seed);
        let (from, until) = (query.from.timestamp_micros(), query.until.timestamp_micros());
        let (window, step) = (plan.jitter_window(), i64::from(query.step) * SECOND);
        // Where few are left, those that come before the span take of them.
        let first = if *left == usize::MAX { from.saturating_sub(window).max(*next) } else { *next };
        let nominal = std::iter::successors(plan.next(first - 1), |nominal| plan.next(*nominal)).take(*left);
        let mut counted = 0;
        for due in nominal.take_while(|nominal| *nominal < until).map(|nominal| plan.due(nominal, seed)) {
            if !(from..until).contains(&due) {
                continue;
            }
            counted += 1;
            let number = u32::try_from((due - from) / step).expect("there are at most 20,000 steps");
            let found = self.steps.entry(number).or_default();
            found.due += 1;
            if window > 0 {
                continue;
            }
            found.steady += 1;
            if found.examples.len() < query.examples as usize && found.examples.last() != Some(key) {
                found.examples.push(key.clone());
            }
        }
        counted
    }
}

fn fits(selector: &Selector, document: &[u8]) -> bool {
    let labels = || serde_json::from_slice::<ActivityDefinition>(document).map(|definition| definition.metadata.labels);
    selector.is_empty() || labels().is_ok_and(|labels| selector.matches(&labels))
}

fn check(query: &DueQuery) -> Result<(), Violations> {
    let DueQuery { from, until, step, examples, .. } = query;
    let mut faults = Violations::default();
    if until <= from {
        faults.push("until", format!("{} is not after {}", shown(until), shown(from)));
    }
    let range = flintwheel_schedule::limits::FIRST_TIME..=flintwheel_schedule::limits::LAST_TIME;
    for (field, at) in [("from", from), ("until", until)] {
        if !range.contains(&at.timestamp_micros()) {
            faults.push(field, format!("{} is not within the years 1970 to 2100", shown(at)));
        }
    }
    let length = (*until - *from).num_seconds();
    if length > DAYS * 86_400 {
        faults.push("until", format!("{} is more than {DAYS} days after {}", shown(until), shown(from)));
    }
    match i64::from(*step) {
        0 => faults.push("step", "0s is not at least 1s"),
        step if length / step > STEPS => {
            let least = (length + STEPS - 1) / STEPS;
            faults.push(
                "step",
                format!("{step}s makes {} steps; at most {STEPS} are counted: take {least}s", length / step),
            );
        }
        _ => {}
    }
    if *examples > EXAMPLES {
        faults.push("examples", format!("{examples} is not in 0-{EXAMPLES}"));
    }
    faults.into_result()
}

fn shown(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

fn write_token((shard, after): &Place) -> String {
    let after = after.as_ref().map(ToString::to_string).unwrap_or_default();
    base64::encode(format!("{shard}:{after}").as_bytes())
}

fn read_token(token: &str, shards: u32) -> Result<Place, ApiError> {
    if token.is_empty() {
        return Ok((0, None));
    }
    let read = || {
        let text = String::from_utf8(base64::decode(token)?).ok()?;
        let (shard, after) = text.split_once(':')?;
        let shard = shard.parse().ok().filter(|shard| *shard < shards)?;
        let after = after.split_once('/').map(|(namespace, id)| DefinitionKey::new(namespace, id));
        Some((shard, after))
    };
    read().ok_or_else(|| one("page_token", "is not one that this server gave out").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str, until: &str, step: u32) -> DueQuery {
        let at = |text: &str| text.parse().expect("a time");
        let (namespace, label_selector) = Default::default();
        DueQuery { namespace, label_selector, from: at(from), until: at(until), step, examples: 2 }
    }

    fn counted(schedule: &str, next: i64, query: &DueQuery) -> Vec<(u32, u64, u64)> {
        counted_of(schedule, &Stands { next, left: usize::MAX, coming: Vec::new() }, query)
    }

    fn counted_of(schedule: &str, stands: &Stands, query: &DueQuery) -> Vec<(u32, u64, u64)> {
        let document =
            format!(r#"{{"metadata":{{"namespace":"a","id":"b"}},"spec":{{"trigger":{{"schedule":{schedule}}}}}}}"#);
        let mut share = DueShare::default();
        let key = DefinitionKey::new("a", "b");
        let counted = share.count(query, &key, (&mut Plans::default(), &|_, _| None), (document.as_bytes(), 7), stands);
        assert_eq!(counted, share.steps.values().map(|step| step.due).sum::<u64>());
        share.steps.into_iter().map(|(number, step)| (number, step.due, step.steady)).collect()
    }

    #[test]
    fn each_due_time_is_counted_in_its_step() {
        let hour = query("2026-11-02T09:00:00Z", "2026-11-02T10:00:00Z", 900);
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time").timestamp_micros();
        for (schedule, next, expected) in [
            (r#"{"cron":["*/10 * * * *"]}"#, 0, vec![(0, 2, 2), (1, 1, 1), (2, 2, 2), (3, 1, 1)]),
            (r#"{"cron":["0 10 * * *"]}"#, 0, vec![]),
            (r#"{"cron":["0 9 * * *"]}"#, 0, vec![(0, 1, 1)]),
            // What it has fired already is not due again.
            (r#"{"cron":["*/30 * * * *"]}"#, at("2026-11-02T09:30:00Z"), vec![(2, 1, 1)]),
            (r#"{"cron":["nonsense"]}"#, 0, vec![]),
        ] {
            assert_eq!(counted(schedule, next, &hour), expected, "{schedule}");
        }
    }

    #[test]
    fn no_more_are_counted_than_are_left() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time").timestamp_micros();
        let hour = query("2026-11-02T09:00:00Z", "2026-11-02T10:00:00Z", 3600);
        for (next, left, expected) in [
            ("2026-11-02T09:00:00Z", 2, vec![(0, 2, 2)]),
            // Three are due before the span.
            ("2026-11-02T08:30:00Z", 5, vec![(0, 2, 2)]),
            ("2026-11-02T08:30:00Z", 3, vec![]),
            ("2026-11-02T08:30:00Z", 100, vec![(0, 6, 6)]),
        ] {
            let stands = Stands { next: at(next), left, coming: Vec::new() };
            assert_eq!(counted_of(r#"{"cron":["*/10 * * * *"]}"#, &stands, &hour), expected, "{next} {left}");
        }
    }

    #[test]
    fn what_jitter_moves_is_counted_where_it_is_due() {
        let schedule = r#"{"cron":["0 9 * * *"],"jitter":{"window":"2h","mode":"stable"}}"#;
        let day = query("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", 1);
        let counts = counted(schedule, 0, &query("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", 60));
        let [(minute, 1, 0)] = counts[..] else { panic!("{counts:?}") };
        assert!((540..660).contains(&minute) && minute != 540, "{minute}");
        // Also where its nominal time is before the span.
        let from = day.from + chrono::Duration::minutes(i64::from(minute));
        let late = DueQuery { from, step: 60, ..day };
        assert_eq!(counted(schedule, 0, &late), [(0, 1, 0)]);
    }

    #[test]
    fn what_is_asked_for_in_vain_is_refused() {
        let (nine, ten) = ("2026-11-02T09:00:00Z", "2026-11-02T10:00:00Z");
        for (asked, field) in [
            (query(ten, nine, 60), "until"),
            (query(nine, nine, 60), "until"),
            (query(nine, ten, 0), "step"),
            (query(nine, "2026-12-02T10:00:00Z", 60), "step"),
            (query(nine, "2028-11-02T09:00:00Z", 86_400), "until"),
            (query("1969-01-01T00:00:00Z", "1969-01-02T00:00:00Z", 60), "from"),
            (DueQuery { examples: 11, ..query(nine, ten, 60) }, "examples"),
        ] {
            assert_eq!(check(&asked).expect_err("refused").0[0].field, field, "{asked:?}");
        }
        assert_eq!(check(&query(nine, ten, 1)), Ok(()));
    }

    #[test]
    fn a_token_says_where_to_go_on() {
        for place in [(0, None), (3, Some(DefinitionKey::new("a", "b.c"))), (15, None)] {
            assert_eq!(read_token(&write_token(&place), 16).expect("a token"), place);
        }
        for odd in ["x", "AAAA", &write_token(&(16, None))] {
            assert!(read_token(odd, 16).is_err(), "{odd}");
        }
    }

    #[test]
    fn shares_are_added_up_and_name_no_more_than_asked_for() {
        let keys = |ids: &[&str]| ids.iter().map(|id| DefinitionKey::new("n", *id)).collect::<Vec<_>>();
        let step = |due, examples: &[&str]| Step { due, steady: due, examples: keys(examples) };
        let share =
            |steps: Vec<(u32, Step)>| DueShare { steps: steps.into_iter().collect(), definitions: 2, last: None };
        let mut all = share(vec![(1, step(3, &["a"]))]);
        all.add(share(vec![(1, step(2, &["b", "c"])), (4, step(1, &["d"]))]), 2);
        assert_eq!(all.steps, share(vec![(1, step(5, &["a", "b"])), (4, step(1, &["d"]))]).steps);
        assert_eq!(all.definitions, 4);
    }
}
