//! Activity definitions.

use flintwheel_model::definition::{
    API_VERSION, ActivityDefinition, DedupeKeyStrategy, EventTrigger, KIND, Metadata, Spec, Trigger,
};
use flintwheel_model::{DefinitionKey, Violations};
use flintwheel_proto::v1;

use super::at::At;
use super::{required, schedule, tasks, time};

/// The namespace of those who name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// To the wire.
pub fn to_proto(definition: &ActivityDefinition) -> Result<v1::ActivityDefinition, Violations> {
    let mut faults = Violations::default();
    let proto = v1::ActivityDefinition {
        api_version: definition.api_version.clone(),
        kind: definition.kind.clone(),
        metadata: Some(write_metadata(&definition.metadata)),
        spec: Some(write_spec(&definition.spec, At::root("spec"), &mut faults)),
    };
    faults.into_result().map(|()| proto)
}

/// From the wire; what is unset there gets its default.
pub fn from_proto(proto: v1::ActivityDefinition) -> Result<ActivityDefinition, Violations> {
    let mut faults = Violations::default();
    let metadata = required(proto.metadata, At::root("metadata"), &mut faults).map(read_metadata);
    let spec = required(proto.spec, At::root("spec"), &mut faults);
    let spec = spec.map(|spec| read_spec(spec, At::root("spec"), &mut faults));
    let (Some(metadata), Some(spec)) = (metadata, spec) else { return Err(faults) };
    let definition = ActivityDefinition {
        api_version: or_default(proto.api_version, API_VERSION),
        kind: or_default(proto.kind, KIND),
        metadata,
        spec,
    };
    faults.into_result().map(|()| definition)
}

/// The definition as it is after it has travelled: what the server stores, and what two of them are compared by.
pub fn canonical(definition: &ActivityDefinition) -> Result<ActivityDefinition, Violations> {
    from_proto(to_proto(definition)?)
}

/// A definition's name to the wire.
pub fn key_to_proto(key: &DefinitionKey) -> v1::DefinitionRef {
    v1::DefinitionRef { namespace: key.namespace.clone(), id: key.id.clone() }
}

/// A definition's name from the wire. `field` names it in violations.
pub fn key_from_proto(proto: Option<v1::DefinitionRef>, field: &str) -> Result<DefinitionKey, Violations> {
    let mut faults = Violations::default();
    let proto = required(proto, At::root(field), &mut faults).unwrap_or_default();
    if faults.0.is_empty() && proto.id.is_empty() {
        faults.push(format!("{field}.id"), "is required");
    }
    faults.into_result().map(|()| DefinitionKey::new(or_default(proto.namespace, DEFAULT_NAMESPACE), proto.id))
}

pub(super) fn or_default(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}

pub(super) fn write_metadata(metadata: &Metadata) -> v1::Metadata {
    let Metadata { namespace, id, name, labels } = metadata.clone();
    v1::Metadata { namespace, id, name, labels }
}

pub(super) fn read_metadata(proto: v1::Metadata) -> Metadata {
    let v1::Metadata { namespace, id, name, labels } = proto;
    Metadata { namespace: or_default(namespace, DEFAULT_NAMESPACE), id, name, labels }
}

fn write_spec(spec: &Spec, at: At<'_>, faults: &mut Violations) -> v1::Spec {
    v1::Spec {
        enabled: Some(spec.enabled),
        trigger: Some(write_trigger(&spec.trigger, at.field("trigger"), faults)),
        dedupe_key_strategy: spec.dedupe_key_strategy.as_ref().map(write_dedupe),
        context_sources: tasks::write_sources(&spec.context_sources, at.field("context_sources"), faults),
        task_templates: tasks::write_tasks(&spec.task_templates, at.field("task_templates"), faults),
        start_workflow: spec
            .start_workflow
            .as_ref()
            .map(|start| tasks::write_start(start, at.field("start_workflow"), faults)),
    }
}

fn read_spec(proto: v1::Spec, at: At<'_>, faults: &mut Violations) -> Spec {
    Spec {
        enabled: proto.enabled.unwrap_or(true),
        trigger: proto.trigger.map(|trigger| read_trigger(trigger, at.field("trigger"), faults)).unwrap_or_default(),
        dedupe_key_strategy: proto
            .dedupe_key_strategy
            .map(|strategy| read_dedupe(strategy, at.field("dedupe_key_strategy"), faults)),
        context_sources: tasks::read_sources(proto.context_sources, at.field("context_sources"), faults),
        task_templates: tasks::read_tasks(proto.task_templates, at.field("task_templates"), faults),
        start_workflow: proto.start_workflow.map(|start| tasks::read_start(start, at.field("start_workflow"), faults)),
    }
}

fn write_trigger(trigger: &Trigger, at: At<'_>, faults: &mut Violations) -> v1::Trigger {
    v1::Trigger {
        schedule: trigger.schedule.as_ref().map(|s| schedule::write(s, at.field("schedule"), faults)),
        event: trigger.event.as_ref().map(write_event),
    }
}

fn read_trigger(proto: v1::Trigger, at: At<'_>, faults: &mut Violations) -> Trigger {
    Trigger {
        schedule: proto.schedule.map(|s| schedule::read(s, at.field("schedule"), faults)),
        event: proto.event.map(read_event),
    }
}

fn write_event(event: &EventTrigger) -> v1::EventTrigger {
    let EventTrigger { types, attributes } = event.clone();
    v1::EventTrigger { types, attributes }
}

fn read_event(proto: v1::EventTrigger) -> EventTrigger {
    let v1::EventTrigger { types, attributes } = proto;
    EventTrigger { types, attributes }
}

fn write_dedupe(strategy: &DedupeKeyStrategy) -> v1::DedupeKeyStrategy {
    v1::DedupeKeyStrategy { key: strategy.key.clone(), window: Some(time::write_span(strategy.window)) }
}

fn read_dedupe(proto: v1::DedupeKeyStrategy, at: At<'_>, faults: &mut Violations) -> DedupeKeyStrategy {
    let default = DedupeKeyStrategy::default();
    let window = proto.window.map(|window| time::read_span(window, at.field("window"), faults));
    DedupeKeyStrategy { key: proto.key, window: window.unwrap_or(default.window) }
}

#[cfg(test)]
mod tests;
