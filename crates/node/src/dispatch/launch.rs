//! From a firing to a start: a pure function of the account record, the definition's version and the payload, so that a second sending of it
//! is the same start.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_model::definition::{ActivityDefinition, Metadata, Priority, StartWorkflow};
use flintwheel_model::event::Event;
use flintwheel_model::firing::{Left, Start};
use flintwheel_model::ids;
use flintwheel_model::run::{self, RunArgument, TriggerEvent, TriggerKind};
use flintwheel_model::{DefinitionKey, FiringKey, limits, template, validate};
use flintwheel_shard::occurrence::{Key, Record};
use flintwheel_shard::records::Version;
use serde_json::Value;

use super::route::Route;
use crate::cloudevents;

/// The workflow type of the built-in orchestrator.
const RUN_ACTIVITY: &str = "RunActivity";

/// A definition's version, ready to start workflows.
#[derive(Debug)]
pub struct Launch {
    key: DefinitionKey,
    metadata: Metadata,
    version: u32,
    incarnation: u64,
    workflow: Option<StartWorkflow>,
}

impl Launch {
    /// Of a stored version.
    pub fn new(stored: &Version, version: u32) -> Result<Self, String> {
        let definition: ActivityDefinition =
            serde_json::from_slice(&stored.document).map_err(|e| format!("the definition can't be read: {e}"))?;
        Ok(Self {
            key: DefinitionKey::new(&stored.namespace, &stored.id),
            metadata: definition.metadata,
            version,
            incarnation: stored.incarnation,
            workflow: definition.spec.start_workflow,
        })
    }

    /// The start of one firing. `decided` is when it was decided (microseconds).
    pub fn start(
        &self,
        prefix: &str,
        route: &Route,
        record: &Record,
        decided: i64,
        payload: Option<&Bytes>,
    ) -> Result<Start, String> {
        let workflow_id = ids::workflow_id(prefix, &self.key, &firing_key(&record.key));
        let (event, input) = self.payload(record, payload)?;
        let trace = event.as_ref().map(trace).unwrap_or_default();
        let trigger = self.trigger(record, decided, event.as_ref(), input);
        let mut start = Start {
            temporal_namespace: route.temporal_namespace.clone(),
            request_id: ids::request_id(&workflow_id, self.incarnation),
            workflow_id,
            workflow_type: RUN_ACTIVITY.to_owned(),
            task_queue: route.task_queue.clone(),
            input: Vec::new(),
            memo: Vec::new(),
            search_attributes: Vec::new(),
            retry_policy: None,
            execution_timeout: None,
            run_timeout: None,
            task_timeout: None,
            summary: None,
            details: None,
            priority: None,
            versioning_override: None,
            header: Vec::new(),
            trace,
            left: Left::default(),
        };
        match &self.workflow {
            None => start.input = vec![self.argument(&start.workflow_id, trigger)?],
            Some(workflow) => {
                let vars = run::variables(&self.metadata, self.version.into(), &trigger, None);
                fill(&mut start, workflow, &vars)?;
            }
        }
        let size: usize = start.input.iter().map(Bytes::len).sum();
        if size > limits::INPUT_BYTES {
            return Err(format!("the workflow's input has {size} bytes; at most {}", limits::INPUT_BYTES));
        }
        Ok(start)
    }

    fn payload(&self, record: &Record, payload: Option<&Bytes>) -> Result<(Option<Event>, Option<Value>), String> {
        match (&record.key, payload) {
            (Key::Event(_), Some(bytes)) => Ok((Some(cloudevents::event(bytes).map_err(|e| e.to_string())?), None)),
            (Key::Manual(_), Some(bytes)) if !bytes.is_empty() => {
                let input = serde_json::from_slice(bytes).map_err(|e| format!("the input can't be read: {e}"))?;
                Ok((None, Some(input)))
            }
            (Key::Event(_), None) => Err("the event of this firing is gone".to_owned()),
            _ => Ok((None, None)),
        }
    }

    fn trigger(&self, record: &Record, decided: i64, event: Option<&Event>, input: Option<Value>) -> TriggerEvent {
        let (kind, scheduled_for) = match &record.key {
            Key::Time { nominal, .. } => (TriggerKind::Time, *nominal),
            Key::Event(_) => (TriggerKind::Event, decided),
            Key::Manual(_) => (TriggerKind::Manual, decided),
            // What runs sees what it would have seen then.
            Key::Backfill { nominal, .. } => (TriggerKind::Time, *nominal),
        };
        TriggerEvent {
            kind,
            scheduled_for: instant(scheduled_for),
            fired_at: instant(decided),
            event: event.map(Event::to_json),
            input,
        }
    }

    /// The one argument of the built-in orchestrator.
    fn argument(&self, workflow_id: &str, trigger: TriggerEvent) -> Result<Bytes, String> {
        let argument = RunArgument {
            namespace: self.key.namespace.clone(),
            definition_id: self.key.id.clone(),
            version: self.version.into(),
            incarnation: self.incarnation,
            workflow_id: workflow_id.to_owned(),
            trigger,
        };
        let json = serde_json::to_vec(&argument).map_err(|e| format!("the run's argument can't be written: {e}"))?;
        Ok(json.into())
    }
}

/// Of microseconds that the engine wrote down itself.
fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("due times and clocks stay within the years that chrono knows")
}

fn fill(start: &mut Start, workflow: &StartWorkflow, vars: &Value) -> Result<(), String> {
    start.workflow_type.clone_from(&workflow.type_name);
    start.task_queue.clone_from(&workflow.task_queue);
    for (i, argument) in workflow.input.iter().enumerate() {
        let rendered = template::render(argument, vars).map_err(|e| format!("input[{i}]{}: {e}", e.path))?;
        start.input.push(rendered.to_string().into());
    }
    start.memo = values(&workflow.memo, "memo", vars)?;
    start.search_attributes = values(&workflow.search_attributes, "search_attributes", vars)?;
    start.header = values(&workflow.header, "header", vars)?;
    start.retry_policy.clone_from(&workflow.retry_policy);
    start.execution_timeout = workflow.execution_timeout.map(Into::into);
    start.run_timeout = workflow.run_timeout.map(Into::into);
    start.task_timeout = workflow.task_timeout.map(Into::into);
    start.summary = for_people(&workflow.summary, "summary", limits::SUMMARY_BYTES, vars)?;
    start.details = for_people(&workflow.details, "details", limits::DETAILS_BYTES, vars)?;
    start.priority = workflow.priority.as_ref().map(|priority| rendered(priority, vars)).transpose()?;
    start.versioning_override.clone_from(&workflow.versioning_override);
    Ok(())
}

/// Values by their names, rendered, as JSON text.
fn values(values: &BTreeMap<String, Value>, field: &str, vars: &Value) -> Result<Vec<(String, Bytes)>, String> {
    let rendered = values.iter().map(|(name, value)| {
        let rendered = template::render(value, vars).map_err(|e| format!("{field}.{name}{}: {e}", e.path))?;
        Ok((name.clone(), rendered.to_string().into()))
    });
    rendered.collect()
}

/// A text for people, rendered, as JSON text; none where it is empty.
fn for_people(text: &str, field: &str, most: usize, vars: &Value) -> Result<Option<Bytes>, String> {
    let rendered = template::render_text(text, vars).map_err(|e| format!("{field}: {e}"))?;
    if rendered.is_empty() {
        return Ok(None);
    }
    let json = validate::json_text(&rendered, most).map_err(|why| format!("{field}: rendered, it has {why}"))?;
    Ok(Some(json.into()))
}

fn rendered(priority: &Priority, vars: &Value) -> Result<Priority, String> {
    let fairness_key = template::render_text(&priority.fairness_key, vars)
        .map_err(|e| e.to_string())
        .and_then(|key| validate::check_fairness_key(&key).map(|()| key))
        .map_err(|why| format!("priority.fairness_key: {why}"))?;
    Ok(Priority { fairness_key, ..priority.clone() })
}

/// The firing key of an account record.
pub fn firing_key(key: &Key) -> FiringKey {
    match key {
        Key::Time { nominal, .. } => FiringKey::Time(*nominal),
        Key::Event(key) => FiringKey::Event(key.clone()),
        Key::Manual(request) => FiringKey::Manual(request.clone()),
        Key::Backfill { id, nominal } => FiringKey::Backfill(id.clone(), *nominal),
    }
}

fn trace(event: &Event) -> Vec<(String, String)> {
    let attribute = |name: &str| event.attribute(name).map(|value| (name.to_owned(), value));
    ["traceparent", "tracestate"].into_iter().filter_map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use flintwheel_model::definition::{VersioningOverride, WorkerVersion};
    use flintwheel_shard::occurrence::NO_CHUNK;
    use serde_json::json;

    use super::super::sink::Sink;
    use super::*;

    /// 2026-11-23T08:00:00Z.
    const NOMINAL: i64 = 1_795_420_800_000_000;

    /// What starts of one firing, with an input where it has one.
    fn started(more: Value, key: Key, input: Option<Value>) -> Result<Start, String> {
        let mut start = json!({"type": "W", "task_queue": "q"});
        start.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        let definition = json!({"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "a"},
            "spec": {"start_workflow": start}});
        let stored = Version {
            namespace: "default".to_owned(),
            id: "a".to_owned(),
            incarnation: 1,
            created: 0,
            updated: 0,
            event_types: Vec::new(),
            document: definition.to_string().into(),
        };
        let route =
            Route { sink: Sink::Null, temporal_namespace: "default".to_owned(), task_queue: "flintwheel".to_owned() };
        let record = Record { number: 1, version: 4, previous: NO_CHUNK, key, skip: None };
        let payload = input.map(|input| Bytes::from(input.to_string()));
        Launch::new(&stored, 4)?.start("flintwheel", &route, &record, NOMINAL + 1_000_000, payload.as_ref())
    }

    fn manual() -> Key {
        Key::Manual("r".to_owned())
    }

    #[test]
    fn whatever_sets_it_off_a_workflow_gets_all_that_its_definition_says() {
        let version = || json!({"deployment_name": "mail", "build_id": "7"});
        let more = json!({"summary": "{{ definition.id }} of {{ scheduled_for }}", "details": "\"v{{ definition.version }}\"",
            "priority": {"priority_key": 2, "fairness_key": "{{ trigger.kind }}", "fairness_weight": 2.5},
            "versioning_override": {"pinned": version()},
            "header": {"at": {"due": "{{ scheduled_for }}"}, "version": "{{ definition.version }}"}});
        for (key, due, kind) in [
            (Key::Time { nominal: NOMINAL, due: NOMINAL, count: 1 }, "2026-11-23T08:00:00Z", "time"),
            (Key::Backfill { id: "b".to_owned(), nominal: NOMINAL }, "2026-11-23T08:00:00Z", "time"),
            (manual(), "2026-11-23T08:00:01Z", "manual"),
        ] {
            let start = started(more.clone(), key, None).expect("it starts");
            assert_eq!(start.summary, Some(format!("\"a of {due}\"").into()), "{kind}");
            assert_eq!(start.details, Some(r#""\"v4\"""#.into()));
            let priority = start.priority.expect("a priority");
            assert_eq!((priority.priority_key, priority.fairness_key.as_str()), (Some(2), kind));
            assert_eq!(priority.fairness_weight, Some(2.5));
            let pinned = Some(WorkerVersion { deployment_name: "mail".to_owned(), build_id: "7".to_owned() });
            assert_eq!(start.versioning_override, Some(VersioningOverride { pinned, ..Default::default() }));
            let header = [("at", format!("{{\"due\":\"{due}\"}}")), ("version", "4".to_owned())];
            assert_eq!(start.header, header.map(|(name, json)| (name.to_owned(), json.into())));
        }
    }

    #[test]
    fn a_text_that_is_one_expression_stays_a_text_and_an_empty_one_is_none() {
        let said = |input| {
            let more = json!({"summary": "{{ input.s }}", "priority": {"fairness_key": "{{ input.s }}"}});
            let start = started(more, manual(), Some(input)).expect("it starts");
            let json = start.summary.map(|json| String::from_utf8_lossy(&json).into_owned());
            (json, start.priority.expect("a priority").fairness_key)
        };
        assert_eq!(said(json!({"s": 7})), (Some("\"7\"".to_owned()), "7".to_owned()));
        assert_eq!(said(json!({"s": "ü\n"})), (Some("\"ü\\n\"".to_owned()), "ü\n".to_owned()));
        assert_eq!(said(json!({"s": ""})), (None, String::new()));
    }

    #[test]
    fn what_becomes_longer_than_temporal_takes_is_refused_with_its_field() {
        let long = |bytes: usize| Some(json!({"s": "x".repeat(bytes)}));
        for (more, input, told) in [
            (
                json!({"summary": "{{ input.s }}"}),
                long(399),
                "summary: rendered, it has 401 bytes as JSON; at most 400",
            ),
            (json!({"details": "{{ input.s }}"}), long(20_000), "details: rendered, it has 20002 bytes as JSON"),
            (json!({"priority": {"fairness_key": "{{ input.s }}"}}), long(65), "priority.fairness_key: \"xxx"),
            (json!({"priority": {"fairness_key": "{{ input.t }}"}}), long(1), "priority.fairness_key: "),
            (json!({"header": {"h": ["{{ input.t }}"]}}), long(1), "header.h[0]: "),
        ] {
            let why = started(more.clone(), manual(), input).expect_err("refused");
            assert!(why.starts_with(told), "{more}: {why}");
        }
    }
}
