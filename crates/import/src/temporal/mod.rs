//! Schedules of Temporal.

mod action;
mod cause;
mod compare;
mod cut;
mod mark;
mod schedule;
mod spec;
#[cfg(test)]
mod tests;
mod times;
mod zone;

use flintwheel_model::definition::{
    API_VERSION, KIND, Metadata, MisfireMode, MisfirePolicy, OverlapPolicy, ScheduleTrigger, Spec as DefinitionSpec,
    Trigger,
};
use flintwheel_model::{ActivityDefinition, Span, limits, validate};
use flintwheel_schedule::{Plan, identity};

pub use cause::{Cause, cause};
pub use compare::{Difference, compare};
pub use cut::{Facts, Handed, back, forth, is_settled};
pub use mark::Mark;
pub use schedule::{
    Action, Calendar, Info, Interval, Overlap, Payload, Policies, Priority, Range, Retry, Schedule, Spec, State,
    Versioning, WorkerVersion,
};
pub use times::Times;
pub use zone::{Change, next_change};

use crate::finding::Finding;
use crate::{Destination, definition_id};

/// The path of a definition's schedule.
const SCHEDULE: &str = "spec.trigger.schedule";
/// Temporal takes no shorter window than this.
const SHORTEST_WINDOW: u64 = 10_000_000;
const YEAR: u64 = 365 * 86_400_000_000;

/// A schedule as a definition, and what is to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// Enabled, whether the schedule is paused or not.
    pub definition: ActivityDefinition,
    /// In the order of the schedule's fields.
    pub findings: Vec<Finding>,
    /// Its due times without jitter; none where it has none, or can't be read.
    pub plan: Option<Plan>,
    /// How far a due time may be moved, in microseconds.
    pub window: i64,
}

/// Translates one. `id` is the schedule's.
pub fn translate(id: &str, schedule: &Schedule, into: &Destination) -> Translation {
    let mut findings = Vec::new();
    let Schedule { spec, action, policies, state, .. } = schedule;
    let mut trigger = spec::trigger(spec, &mut findings);
    if let Some(trigger) = &mut trigger {
        follow(policies, trigger, &mut findings);
        count(state, trigger, &mut findings);
    }
    let start = action.as_ref().map(|action| action::start(action, &mut findings));
    if let Some(action) = action {
        let message = format!(
            "workflow ids begin with the definition, not with {:?}, and Temporal's search attributes of schedules are not set",
            action.workflow_id
        );
        findings.push(Finding::note("workflow_id", "action.workflow_id", message));
    } else {
        findings.push(Finding::lost("action", "action", "it starts no workflow"));
    }
    of_itself(schedule, &mut findings);
    let definition = ActivityDefinition {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata: metadata(id, state, into, &mut findings),
        spec: DefinitionSpec {
            enabled: true,
            trigger: Trigger { schedule: trigger, event: None },
            dedupe_key_strategy: None,
            context_sources: Vec::new(),
            task_templates: Vec::new(),
            start_workflow: start,
        },
    };
    let plan = admit(&definition, &mut findings);
    // As it is there, not as far as it is allowed here: by this much its own times may have been moved.
    let window = spec.jitter.clamp(0, Span::MAX.micros() as i64);
    Translation { definition, findings, plan, window }
}

/// Overlap and catch-up.
fn follow(policies: &Policies, trigger: &mut ScheduleTrigger, findings: &mut Vec<Finding>) {
    let overlap = match policies.overlap {
        Overlap::Skip => OverlapPolicy::Skip,
        Overlap::BufferOne => OverlapPolicy::BufferOne,
        Overlap::BufferAll => OverlapPolicy::BufferAll,
        Overlap::CancelOther => OverlapPolicy::CancelOther,
        Overlap::TerminateOther => OverlapPolicy::TerminateOther,
        Overlap::AllowAll => OverlapPolicy::AllowAll,
    };
    trigger.overlap_policy = Some(overlap);
    // With `allow_all`, Temporal's first scheduler follows no run to its end.
    trigger.carry_last_result = overlap != OverlapPolicy::AllowAll;
    trigger.pause_on_failure = policies.pause_on_failure;
    if policies.pause_on_failure && overlap == OverlapPolicy::AllowAll {
        let message =
            "beside allow_all, Temporal's first scheduler does not see failures; here they pause the definition";
        findings.push(Finding::differs("pause_on_failure", "policies.pause_on_failure", message));
    }
    let window = policies.catchup_window.map_or(YEAR, |window| u64::try_from(window).unwrap_or(0).max(SHORTEST_WINDOW));
    if window != YEAR {
        let window = Span::from_micros(window.min(Span::MAX.micros()));
        trigger.misfire_policy = Some(MisfirePolicy { mode: MisfireMode::All, window, ..MisfirePolicy::default() });
    }
}

/// How often it acts. Neither side counts what is skipped or asked for by hand.
fn count(state: &State, trigger: &mut ScheduleTrigger, findings: &mut Vec<Finding>) {
    let Some(remaining) = state.remaining_actions else { return };
    let (name, field) = ("remaining_actions", "state.remaining_actions");
    findings.push(match u32::try_from(remaining) {
        Ok(0) => {
            Finding::lost(name, field, "it has none left, and acts no more: leave it where it is, or give it some")
        }
        Ok(left) => {
            trigger.max_firings = Some(left);
            let message = "is counted on here only: moved back, it may act as often there as when it was moved";
            Finding::differs(name, field, message)
        }
        Err(_) => Finding::lost(name, field, format!("{remaining} can't be counted here; at most {}", u32::MAX)),
    });
}

/// What is about the schedule itself, not about what it starts.
fn of_itself(schedule: &Schedule, findings: &mut Vec<Finding>) {
    for (name, names) in
        [("schedule_memo", &schedule.memo), ("schedule_search_attributes", &schedule.search_attributes)]
    {
        if !names.is_empty() {
            let message =
                format!("of the schedule itself, not of its workflows: {}; write them as labels", names.join(", "));
            findings.push(Finding::differs(name, name, message));
        }
    }
}

fn metadata(id: &str, state: &State, into: &Destination, findings: &mut Vec<Finding>) -> Metadata {
    let own = definition_id(id);
    if own != id {
        let message = format!("{id:?} can't be an id here; it is {own:?}");
        findings.push(Finding::differs("schedule_id", "schedule_id", message));
    }
    // A schedule that has moved once had other notes before.
    let notes = Mark::parse(&state.notes).map_or_else(|| state.notes.clone(), |mark| mark.notes);
    let mut name = if notes.is_empty() && own != id { id.to_owned() } else { one_line(&notes) };
    if name.len() > limits::NAME_LEN {
        name.truncate(name.floor_char_boundary(limits::NAME_LEN));
        findings.push(Finding::note("notes", "state.notes", "only their beginning is kept, as the definition's name"));
    }
    Metadata { namespace: into.namespace.clone(), id: own, name, labels: into.labels.clone() }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Its due times without jitter. What a definition may not hold is lost, with the field that says so here.
fn admit(definition: &ActivityDefinition, findings: &mut Vec<Finding>) -> Option<Plan> {
    let faults = validate::check(definition);
    findings.extend(faults.0.into_iter().map(|fault| Finding::lost("definition", fault.field, fault.message)));
    let trigger = definition.spec.trigger.schedule.as_ref()?;
    let bare = ScheduleTrigger { jitter: None, ..trigger.clone() };
    let own = identity(&definition.metadata.namespace, &definition.metadata.id);
    match Plan::compile(trigger, SCHEDULE, own).and_then(|_| Plan::compile(&bare, SCHEDULE, own)) {
        Ok(plan) => Some(plan),
        Err(faults) => {
            findings.extend(faults.0.into_iter().map(|fault| Finding::lost("schedule", fault.field, fault.message)));
            None
        }
    }
}
