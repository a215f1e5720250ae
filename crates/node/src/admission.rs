//! What a definition must pass before it is proposed, and what the shard is told of it.

use bytes::Bytes;
use flintwheel_events::Matcher;
use flintwheel_model::definition::{ActivityDefinition, DedupeKeyStrategy, Metadata, OverlapPolicy, ScheduleTrigger};
use flintwheel_model::validate;
use flintwheel_model::{DefinitionKey, Violation, Violations};
use flintwheel_schedule::{Plan, identity, warnings};
use flintwheel_shard::entry::{Define, NEVER};
use flintwheel_shard::tracks::{Policy, Tracking};

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
    subscriptions: Vec<(String, Bytes)>,
}

/// Checks a definition: all faults at once, those of its schedule too.
pub fn admit(definition: &ActivityDefinition) -> Result<Admitted, Violations> {
    let mut faults = validate::check(definition);
    let Metadata { namespace, id, .. } = &definition.metadata;
    let schedule = definition.spec.trigger.schedule.as_ref();
    let warned = schedule.map(|trigger| warnings(trigger, SCHEDULE)).unwrap_or_default();
    let schedule = schedule.map(|trigger| Plan::compile(trigger, SCHEDULE, identity(namespace, id)));
    let plan = match schedule.transpose() {
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
        subscriptions: subscriptions(definition),
    })
}

impl Admitted {
    /// The first nominal due time after `after` (microseconds), or [`NEVER`].
    pub fn next(&self, after: i64) -> i64 {
        let plan = self.plan.as_ref().filter(|_| self.enabled);
        plan.and_then(|plan| plan.next(after)).unwrap_or(NEVER)
    }

    /// A schedule that has no due time left and no event trigger beside it is a mistake, unless it stands there already. `next` is the next
    /// due time from now on, or [`NEVER`].
    pub fn check_future(&self, next: i64) -> Result<(), Violations> {
        let over = self.enabled && self.plan.is_some() && self.subscriptions.is_empty() && next == NEVER;
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
            request: None,
        }
    }
}

fn tracking(schedule: &ScheduleTrigger) -> Option<Tracking> {
    schedule.watches_runs().then(|| Tracking {
        policy: policy(schedule.overlap_policy.unwrap_or_default()),
        pause_on_failure: schedule.pause_on_failure,
        carry: schedule.carry_last_result,
    })
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
    let Some(event) = &definition.spec.trigger.event else { return Vec::new() };
    let default = DedupeKeyStrategy::default();
    let strategy = definition.spec.dedupe_key_strategy.as_ref().unwrap_or(&default);
    let matcher: Bytes = Matcher::encode(event, strategy).into();
    event.types.iter().map(|event_type| (event_type.clone(), matcher.clone())).collect()
}

fn one(field: &str, message: &str) -> Violations {
    Violations(vec![Violation::new(field, message)])
}
