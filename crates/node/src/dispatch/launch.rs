//! From a firing to a start: a pure function of the account record, the definition's version and the payload, so that a second sending of it
//! is the same start.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_model::definition::{ActivityDefinition, Metadata, StartWorkflow};
use flintwheel_model::event::Event;
use flintwheel_model::firing::{Left, Start};
use flintwheel_model::ids;
use flintwheel_model::run::{self, RunArgument, TriggerEvent, TriggerKind};
use flintwheel_model::{DefinitionKey, FiringKey, limits, template};
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
    for (name, value) in &workflow.memo {
        let rendered = template::render(value, vars).map_err(|e| format!("memo.{name}{}: {e}", e.path))?;
        start.memo.push((name.clone(), rendered.to_string().into()));
    }
    for (name, value) in &workflow.search_attributes {
        let rendered = template::render(value, vars).map_err(|e| format!("search_attributes.{name}{}: {e}", e.path))?;
        start.search_attributes.push((name.clone(), rendered.to_string().into()));
    }
    start.retry_policy.clone_from(&workflow.retry_policy);
    start.execution_timeout = workflow.execution_timeout.map(Into::into);
    start.run_timeout = workflow.run_timeout.map(Into::into);
    start.task_timeout = workflow.task_timeout.map(Into::into);
    Ok(())
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
