//! What a definition must pass before it is proposed, and what the shard is told of it.

mod given;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_events::{DueAfter, Matcher};
use flintwheel_model::definition::{
    self, ActivityDefinition, After, DedupeKeyStrategy, Exclusion, Metadata, OverlapPolicy, Roll, ScheduleTrigger,
    StartWorkflow, after_type,
};
use flintwheel_model::validate;
use flintwheel_model::{DefinitionKey, Violation, Violations};
use flintwheel_schedule::{CalendarDays, Plan, identity, warnings};
use flintwheel_shard::courses::{AfterEnd, Bounds};
use flintwheel_shard::entry::{Define, NEVER};
use flintwheel_shard::tracks::{Policy, Tracking};

use crate::calendars::no_such;
pub use given::GivenCalendars;

/// The path of the schedule in a definition.
pub const SCHEDULE: &str = "spec.trigger.schedule";

/// A definition without fault, and what follows from it.
pub struct Admitted {
    /// Its name.
    pub key: DefinitionKey,
    /// Canonical JSON: two documents of the same meaning are the same bytes.
    pub document: Bytes,
    /// Whether its triggers act.
    pub enabled: bool,
    /// When it is due, if it has a schedule.
    pub plan: Option<Plan>,
    /// What is allowed in it but hardly meant.
    pub warnings: Vec<String>,
    /// What it asks for about its runs.
    pub tracking: Option<Tracking>,
    /// What it asks for about the end of its schedule.
    pub bounds: Option<Bounds>,
    /// A field of its schedule that nodes know only since [`flintwheel_shard::entry::BOUNDS_SINCE`]: others could not read the document.
    pub newest: Option<&'static str>,
    /// The calendars that it names, each once, in order.
    pub calendars: Vec<String>,
    /// Where it is due in the window of its jitter is chosen by who creates it.
    pub chosen: bool,
    /// Whether its workflow has what older nodes can't read.
    pub start_options: bool,
    subscriptions: Vec<(String, Bytes)>,
}

/// The calendars of a definition's namespace.
pub struct Book<'a> {
    /// The days of one of them.
    pub find: &'a dyn Fn(&str) -> Option<Arc<CalendarDays>>,
    /// All names.
    pub names: &'a dyn Fn() -> Vec<String>,
}

/// Checks a definition: all faults at once, those of its schedule too. What it names of calendars is not looked at: where it names some, the
/// plan is not that of its due times.
pub fn admit(definition: &ActivityDefinition) -> Result<Admitted, Violations> {
    check(definition, None)
}

/// The same, with the calendars that it may name; for what has been admitted before, and may be stored already: a limit of its schedule that
/// is younger than it does not count ([`Plan::compile_stored`]).
pub fn admit_with(definition: &ActivityDefinition, calendars: &Book<'_>) -> Result<Admitted, Violations> {
    check(definition, Some(calendars))
}

fn check(definition: &ActivityDefinition, book: Option<&Book<'_>>) -> Result<Admitted, Violations> {
    let mut faults = validate::check(definition);
    let Metadata { namespace, id, .. } = &definition.metadata;
    let schedule = definition.spec.trigger.schedule.as_ref();
    let warned = schedule.map(|trigger| warnings(trigger, SCHEDULE)).unwrap_or_default();
    let calendars = schedule.map(names_of).unwrap_or_default();
    if let (Some(trigger), Some(book)) = (schedule, book) {
        faults.0.extend(missing(trigger, namespace, book));
    }
    let own = identity(namespace, id);
    let compile = |trigger: &ScheduleTrigger| match book {
        Some(book) if faults.0.is_empty() => Plan::compile_stored(trigger, SCHEDULE, own, book.find),
        // What else is wrong is told all the same.
        _ => Plan::compile(&without_names(trigger), SCHEDULE, own),
    };
    let plan = match schedule.map(compile).transpose() {
        Ok(plan) => plan,
        Err(more) => {
            faults.0.extend(more.0);
            None
        }
    };
    faults.into_result()?;
    let document = serde_json::to_vec(definition).map_err(|e| one("", &format!("can't be written as JSON: {e}")))?;
    Ok(Admitted {
        key: DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id),
        document: document.into(),
        enabled: definition.spec.enabled,
        plan,
        warnings: warned.iter().map(ToString::to_string).collect(),
        tracking: definition.spec.trigger.schedule.as_ref().and_then(tracking),
        bounds: definition.spec.trigger.schedule.as_ref().and_then(bounds),
        newest: definition.spec.trigger.schedule.as_ref().and_then(newest),
        calendars,
        chosen: definition.spec.trigger.schedule.as_ref().is_some_and(is_chosen_here),
        start_options: definition.spec.start_workflow.as_ref().is_some_and(has_options),
        subscriptions: subscriptions(definition),
    })
}

impl Admitted {
    /// The first nominal due time after `after` (microseconds), or [`NEVER`].
    pub fn next(&self, after: i64) -> i64 {
        let plan = self.plan.as_ref().filter(|_| self.enabled);
        plan.and_then(|plan| plan.next(after)).unwrap_or(NEVER)
    }

    /// A schedule that has no due time left is a mistake, unless it stands there already, or has an event trigger beside it and does not end
    /// that. `next` is the next due time from now on, or [`NEVER`].
    pub fn check_future(&self, next: i64) -> Result<(), Violations> {
        let ends = self.bounds.is_some_and(|bounds| bounds.after_end != AfterEnd::Keep);
        let idle = self.subscriptions.is_empty() || ends;
        let over = self.enabled && self.plan.is_some() && idle && next == NEVER;
        if over { Err(one(SCHEDULE, "has no due time after now: all of them are in the past")) } else { Ok(()) }
    }

    /// What the shard is asked to write. `next` is the first due time after what has been decided (microseconds), or [`NEVER`].
    pub fn define(&self, next: i64, incarnation: u64, expected_version: Option<u32>) -> Define {
        Define {
            namespace: self.key.namespace.clone(),
            id: self.key.id.clone(),
            document: self.document.clone(),
            enabled: self.enabled,
            next,
            subscriptions: if self.enabled { self.subscriptions.clone() } else { Vec::new() },
            incarnation,
            expected_version,
            tracking: self.tracking,
            bounds: self.bounds,
            calendars: None,
            request: None,
        }
    }
}

/// The calendars that a schedule names, each once, in order.
fn names_of(schedule: &ScheduleTrigger) -> Vec<String> {
    let mut names: Vec<String> = schedule.calendar_names().map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Each place that names a calendar which is not there.
fn missing(schedule: &ScheduleTrigger, namespace: &str, book: &Book<'_>) -> Vec<Violation> {
    let only_on = schedule.only_on.iter().enumerate().map(|(i, name)| (format!("{SCHEDULE}.only_on[{i}]"), name));
    let exclude = schedule.exclude.iter().enumerate().flat_map(|(i, exclusion)| {
        let named = exclusion.calendar_name.iter().enumerate();
        named.map(move |(j, name)| (format!("{SCHEDULE}.exclude[{i}].calendar_name[{j}]"), name))
    });
    let unknown: Vec<_> = exclude.chain(only_on).filter(|(_, name)| (book.find)(name).is_none()).collect();
    let names = if unknown.is_empty() { Vec::new() } else { (book.names)() };
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    unknown.into_iter().map(|(field, name)| Violation::new(field, no_such(name, namespace, &known))).collect()
}

/// A schedule that names no calendars, and is at fault where this one is. That it never fires, or has nothing to roll from, can't be told.
fn without_names(schedule: &ScheduleTrigger) -> ScheduleTrigger {
    let mut plain = schedule.clone();
    if schedule.calendar_names().next().is_none() {
        return plain;
    }
    plain.only_on.clear();
    plain.roll = Roll::Skip;
    for exclusion in &mut plain.exclude {
        exclusion.calendar_name.clear();
        if *exclusion == Exclusion::default() {
            // One that excludes nothing would be a fault of its own.
            exclusion.dates.push("1970-01-01".to_owned());
        }
    }
    plain
}

fn has_options(start: &StartWorkflow) -> bool {
    let StartWorkflow {
        search_attributes, retry_policy, summary, details, priority, versioning_override, header, ..
    } = start;
    let values = [search_attributes, header].into_iter().any(|values| !values.is_empty());
    let texts = [summary, details].into_iter().any(|text| !text.is_empty());
    values || texts || retry_policy.is_some() || priority.is_some() || versioning_override.is_some()
}

fn tracking(schedule: &ScheduleTrigger) -> Option<Tracking> {
    schedule.watches_runs().then(|| Tracking {
        policy: policy(schedule.overlap_policy.unwrap_or_default()),
        pause_on_failure: schedule.pause_on_failure,
        carry: schedule.carry_last_result,
    })
}

fn bounds(schedule: &ScheduleTrigger) -> Option<Bounds> {
    let after_end = match schedule.after_end {
        definition::AfterEnd::Keep => AfterEnd::Keep,
        definition::AfterEnd::Disable => AfterEnd::Disable,
        definition::AfterEnd::Delete => AfterEnd::Delete,
    };
    let asks = schedule.max_firings.is_some() || after_end != AfterEnd::Keep;
    asks.then_some(Bounds { max: schedule.max_firings, after_end })
}

fn newest(schedule: &ScheduleTrigger) -> Option<&'static str> {
    let misfire = schedule.misfire_policy.unwrap_or_default();
    [
        ("after", !schedule.after.is_empty()),
        ("max_firings", schedule.max_firings.is_some()),
        ("after_end", schedule.after_end != definition::AfterEnd::Keep),
        ("misfire_policy.pace", misfire.pace.is_some()),
        ("jitter.mode", is_chosen_here(schedule)),
        ("misfire_policy.on_resume", misfire.on_resume != definition::OnResume::Drop),
    ]
    .into_iter()
    .find_map(|(field, asked)| asked.then_some(field))
}

/// Whether the engine is to choose where in its window it is due.
pub fn is_chosen_here(schedule: &ScheduleTrigger) -> bool {
    schedule.jitter.is_some_and(|jitter| jitter.mode == definition::JitterMode::Auto)
}

/// A policy as the shard knows it.
pub fn policy(policy: OverlapPolicy) -> Policy {
    match policy {
        OverlapPolicy::Skip => Policy::Skip,
        OverlapPolicy::BufferOne => Policy::BufferOne,
        OverlapPolicy::BufferAll => Policy::BufferAll,
        OverlapPolicy::CancelOther => Policy::CancelOther,
        OverlapPolicy::TerminateOther => Policy::TerminateOther,
        OverlapPolicy::AllowAll => Policy::AllowAll,
    }
}

fn subscriptions(definition: &ActivityDefinition) -> Vec<(String, Bytes)> {
    let mut all = of_runs(definition);
    let Some(event) = &definition.spec.trigger.event else { return all };
    let default = DedupeKeyStrategy::default();
    let strategy = definition.spec.dedupe_key_strategy.as_ref().unwrap_or(&default);
    let matcher: Bytes = Matcher::encode(event, strategy).into();
    all.extend(event.types.iter().map(|event_type| (event_type.clone(), matcher.clone())));
    all
}

/// One for each definition for whose runs this one waits.
fn of_runs(definition: &ActivityDefinition) -> Vec<(String, Bytes)> {
    let mut by_name: BTreeMap<&str, Vec<DueAfter>> = BTreeMap::new();
    for After { definition, delay, outcome } in comes_after(definition) {
        by_name.entry(definition).or_default().push(DueAfter { outcome: *outcome, delay: delay.micros() });
    }
    by_name.into_iter().map(|(id, due)| (after_type(id), Matcher::encode_after(due).into())).collect()
}

/// What its schedule comes after.
pub fn comes_after(definition: &ActivityDefinition) -> &[After] {
    definition.spec.trigger.schedule.as_ref().map_or(&[], |schedule| &schedule.after)
}

fn one(field: &str, message: &str) -> Violations {
    Violations(vec![Violation::new(field, message)])
}

#[cfg(test)]
mod tests {
    use flintwheel_model::calendar::CalendarSpec;
    use flintwheel_schedule::compile_calendar;
    use serde_json::{Value, json};

    use super::*;

    fn definition(schedule: &Value) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"namespace": "ops", "id": "a"},
            "spec": {"trigger": {"schedule": schedule}, "start_workflow": {"type": "W", "task_queue": "q"}},
        }))
        .expect("a definition")
    }

    /// What is wrong by a book that has `work`, Monday to Friday, and `rest`, the other days.
    fn faults(schedule: &Value) -> Vec<String> {
        let days = |weekdays: &str| {
            let spec = CalendarSpec { weekdays: vec![weekdays.to_owned()], ..CalendarSpec::default() };
            Some(Arc::new(compile_calendar("c", "spec", &|_| Some(&spec)).expect("valid")))
        };
        let find = |name: &str| match name {
            "work" => days("mon-fri"),
            "rest" => days("sat-sun"),
            _ => None,
        };
        let names = || vec!["rest".to_owned(), "work".to_owned()];
        let admitted = admit_with(&definition(schedule), &Book { find: &find, names: &names });
        admitted.err().map_or_else(Vec::new, |faults| faults.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_calendar_that_is_not_there_is_told_at_each_place_with_those_there_are() {
        let schedule =
            json!({"cron": "0 25 * * *", "only_on": ["wrk", "work"], "exclude": [{"calendar_name": ["rest", "x"]}]});
        let told = faults(&schedule);
        let begins = [
            "spec.trigger.schedule.exclude[0].calendar_name[1]: there is no calendar \"x\"; namespace ops has ",
            "spec.trigger.schedule.only_on[0]: there is no calendar \"wrk\"; namespace ops has work, rest;",
            "spec.trigger.schedule.cron[0]: hour",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        assert!(told.iter().zip(begins).all(|(told, begin)| told.starts_with(begin)), "{told:?}");
    }

    #[test]
    fn whether_anything_is_left_is_told_only_where_the_calendars_are_known() {
        let nothing_left = json!({"cron": "0 9 * * sat", "only_on": "work"});
        assert!(faults(&nothing_left)[0].contains("only_on leaves no due time"), "{:?}", faults(&nothing_left));
        for schedule in [
            nothing_left,
            json!({"cron": "0 9 * * *", "exclude": {"calendar_name": "x"}, "roll": "next"}),
            json!({"cron": "0 9 * * *", "only_on": "x", "roll": "nearest"}),
        ] {
            let admitted = admit(&definition(&schedule)).unwrap_or_else(|faults| panic!("{schedule}: {faults}"));
            assert_eq!(admitted.calendars.len(), 1);
        }
        let twice = json!({"cron": "0 9 * * *", "only_on": ["b", "a", "b"]});
        assert_eq!(admit(&definition(&twice)).expect("valid").calendars, ["a", "b"]);
    }

    #[test]
    fn a_start_that_older_nodes_can_t_read_is_told_apart() {
        let start_options = |more: Value| {
            let mut definition = definition(&json!({"cron": "0 9 * * *"}));
            let mut start = json!({"type": "W", "task_queue": "q"});
            start.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
            definition.spec.start_workflow = Some(serde_json::from_value(start).expect("a start"));
            admit(&definition).unwrap_or_else(|faults| panic!("{more}: {faults}")).start_options
        };
        for old in [json!({}), json!({"input": [1], "memo": {"a": 1}, "task_timeout": "10s"})] {
            assert!(!start_options(old.clone()), "{old}");
        }
        for new in [
            json!({"search_attributes": {"A": 1}}),
            json!({"retry_policy": {}}),
            json!({"summary": "s"}),
            json!({"details": "d"}),
            json!({"priority": {}}),
            json!({"versioning_override": {"auto_upgrade": true}}),
            json!({"header": {"a": 1}}),
        ] {
            assert!(start_options(new.clone()), "{new}");
        }
    }
}
