//! What a run is started with: the one argument of the `RunActivity` workflow, and the variables that templates and expressions see.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::definition::Metadata;
use crate::ids::{DefinitionKey, rfc3339};

/// The one argument of `RunActivity`. A reader ignores fields that it does not know, so that a newer server can add some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunArgument {
    /// The tenant.
    pub namespace: String,
    /// Which definition fired.
    pub definition_id: String,
    /// Which version of it fired; the run loads this one.
    pub version: u64,
    /// Tells a definition from its predecessor of the same id.
    pub incarnation: u64,
    /// See [`crate::ids::workflow_id`].
    pub workflow_id: String,
    /// What set it off.
    pub trigger: TriggerEvent,
}

impl RunArgument {
    /// Which definition fired.
    pub fn definition(&self) -> DefinitionKey {
        DefinitionKey::new(&self.namespace, &self.definition_id)
    }
}

/// What set a definition off: a due time, an event, or somebody by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerEvent {
    /// Which of the three.
    pub kind: TriggerKind,
    /// The due time; for an event or a manual trigger, when it was accepted.
    pub scheduled_for: DateTime<Utc>,
    /// When the firing was decided.
    pub fired_at: DateTime<Utc>,
    /// The CloudEvent as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
    /// What a manual trigger was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// What kind of trigger event it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerKind {
    /// A due time.
    Time,
    /// A CloudEvent.
    Event,
    /// By hand.
    Manual,
}

impl TriggerKind {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Event => "event",
            Self::Manual => "manual",
        }
    }
}

/// The names of [`variables`].
pub const VARIABLES: [&str; 7] = ["event", "input", "context", "scheduled_for", "fired_at", "trigger", "definition"];

/// What templates and expressions see: `scheduled_for`, `fired_at`, `trigger.kind`, `definition`, `input` (null where there is none), and
/// `event` and `context` where there is one. The times are RFC 3339 texts in UTC.
pub fn variables(
    metadata: &Metadata,
    version: u64,
    trigger: &TriggerEvent,
    context: Option<&Map<String, Value>>,
) -> Value {
    let mut vars = json!({
        "scheduled_for": rfc3339(trigger.scheduled_for.timestamp_micros()),
        "fired_at": rfc3339(trigger.fired_at.timestamp_micros()),
        "trigger": {"kind": trigger.kind.as_str()},
        "input": trigger.input,
        "definition": {
            "namespace": metadata.namespace,
            "id": metadata.id,
            "name": metadata.name,
            "version": version,
            "labels": metadata.labels,
        },
    });
    let context = context.map(|fields| Value::Object(fields.clone()));
    for (name, value) in [("event", trigger.event.clone()), ("context", context)] {
        if let Some(value) = value {
            vars[name] = value;
        }
    }
    vars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument() -> Value {
        json!({
            "namespace": "billing", "definition_id": "reminder", "version": 3, "incarnation": 7,
            "workflow_id": "flintwheel:billing:reminder:e:1",
            "trigger": {
                "kind": "event", "scheduled_for": "2026-11-23T08:00:00Z", "fired_at": "2026-11-23T08:00:00.250Z",
                "event": {"type": "t", "data": {"n": 1}}
            }
        })
    }

    #[test]
    fn the_argument_is_read_back_as_written_and_unknown_fields_do_no_harm() {
        let mut json = argument();
        let read: RunArgument = serde_json::from_value(json.clone()).expect("an argument");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), json);
        json["from_the_future"] = json!(true);
        assert_eq!(serde_json::from_value::<RunArgument>(json).expect("an argument"), read);
        assert_eq!(read.definition().to_string(), "billing/reminder");
    }

    #[test]
    fn variables_hold_what_there_is_and_nothing_else() {
        let read: RunArgument = serde_json::from_value(argument()).expect("an argument");
        let metadata: Metadata =
            serde_json::from_value(json!({"id": "reminder", "labels": {"a": "b"}})).expect("metadata");
        let context = Map::from_iter([("tone".to_owned(), json!("friendly"))]);
        let vars = variables(&metadata, 3, &read.trigger, Some(&context));
        for (pointer, value) in [
            ("/event/data/n", json!(1)),
            ("/context/tone", json!("friendly")),
            ("/scheduled_for", json!("2026-11-23T08:00:00Z")),
            ("/fired_at", json!("2026-11-23T08:00:00.250Z")),
            ("/definition/version", json!(3)),
            ("/definition/labels/a", json!("b")),
            ("/trigger/kind", json!("event")),
        ] {
            assert_eq!(vars.pointer(pointer), Some(&value), "{pointer}");
        }
        assert_eq!(vars.get("input"), Some(&Value::Null));
        assert_eq!(variables(&metadata, 3, &read.trigger, None).get("context"), None);
    }
}
