//! One definition's side of matching: which attributes an event must have, and what its dedupe key is. Compiled from what stands in the
//! shard's subscription table.

use std::collections::BTreeMap;

use flintwheel_model::definition::{DedupeKeyStrategy, EventTrigger, RunOutcome};
use flintwheel_model::event::{Event, default_key};
use flintwheel_model::expression::{Expression, ExpressionError};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What stands in the subscription table, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    window: u32,
    /// Of what listens to the ends of another definition's runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<DueAfter>,
}

/// A definition is due a delay after each run of another one that ends so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DueAfter {
    /// How the run must have ended.
    pub outcome: RunOutcome,
    /// In microseconds.
    pub delay: u64,
}

/// How a definition matches events of a type that it listens to.
#[derive(Debug)]
pub struct Matcher {
    attributes: BTreeMap<String, String>,
    key: Option<Expression>,
    window: u32,
    after: Vec<DueAfter>,
}

/// For how long it is remembered that a definition was told of a run's end, in seconds: a shard that can't be reached for longer may be told twice.
const TOLD_WINDOW: u32 = 30 * 86_400;

impl Matcher {
    /// What is to stand in the subscription table of a definition that waits for the ends of another one's runs.
    pub fn encode_after(after: Vec<DueAfter>) -> Vec<u8> {
        let stored = Stored { attributes: BTreeMap::new(), key: None, window: TOLD_WINDOW, after };
        serde_json::to_vec(&stored).expect("strings and numbers are always JSON")
    }

    /// When it makes a definition due after a run of another one that has ended; empty for what listens to events.
    pub fn after(&self) -> &[DueAfter] {
        &self.after
    }

    /// What is to stand in the subscription table of a definition.
    pub fn encode(trigger: &EventTrigger, strategy: &DedupeKeyStrategy) -> Vec<u8> {
        let stored = Stored {
            attributes: trigger.attributes.clone(),
            key: strategy.key.clone(),
            window: u32::try_from(strategy.window.secs()).unwrap_or(u32::MAX),
            after: Vec::new(),
        };
        serde_json::to_vec(&stored).expect("strings and numbers are always JSON")
    }

    /// From the subscription table.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let key = stored.key.as_deref().map(Expression::compile).transpose().map_err(|e| e.to_string())?;
        Ok(Self { attributes: stored.attributes, key, window: stored.window, after: stored.after })
    }

    /// Attributes that an event must have, with these values exactly.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// For how long a key is remembered, in seconds.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Whether the key is the event's source and id, so that nobody need decode the event for it.
    pub fn has_default_key(&self) -> bool {
        self.key.is_none()
    }

    /// The one attribute that is the key, where it is one that every event has, as a text: nobody need decode the event for it.
    pub fn key_attribute(&self) -> Option<&str> {
        let name = self.key.as_ref()?.source().trim().strip_prefix("event.")?;
        ["id", "source", "type"].contains(&name).then_some(name)
    }

    /// Whether an event with these attributes matches.
    pub fn matches<'e>(&self, attribute: impl Fn(&str) -> Option<&'e str>) -> bool {
        self.attributes.iter().all(|(name, value)| attribute(name) == Some(value))
    }

    /// The dedupe key of an event that matched.
    pub fn key(&self, event: &Event) -> Result<String, ExpressionError> {
        match &self.key {
            Some(expression) => expression.key(&json!({ "event": event.to_json() })),
            None => {
                let part = |name| event.attribute(name).unwrap_or_default();
                Ok(default_key(&part("source"), &part("id")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_model::event::Event;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_for_runs_is_read_as_it_was_written_and_what_listens_to_events_is_as_it_ever_was() {
        let after = vec![
            DueAfter { outcome: RunOutcome::Success, delay: 0 },
            DueAfter { outcome: RunOutcome::Any, delay: 600_000_000 },
        ];
        let stored = Matcher::encode_after(after.clone());
        let golden =
            r#"{"window":2592000,"after":[{"outcome":"success","delay":0},{"outcome":"any","delay":600000000}]}"#;
        assert_eq!(String::from_utf8_lossy(&stored), golden);
        assert_eq!(Matcher::decode(&stored).expect("a matcher").after(), after);
        let event = EventTrigger { types: vec!["t".into()], attributes: BTreeMap::new() };
        let stored = Matcher::encode(&event, &DedupeKeyStrategy::default());
        assert_eq!(String::from_utf8_lossy(&stored), r#"{"window":86400}"#);
    }

    #[test]
    fn the_attribute_that_is_the_key_is_what_the_expression_yields() {
        let event = json!({"specversion": "1.0", "id": "i", "source": "/s", "type": "t", "subject": "x"});
        let event = Event::from_json(event).expect("an event");
        for (key, attribute, value) in [
            ("event.id", Some("id"), "i"),
            (" event.source ", Some("source"), "/s"),
            ("event.type", Some("type"), "t"),
            ("event.subject", None, "x"),
            ("event.id + '!'", None, "i!"),
            ("'event.id'", None, "event.id"),
        ] {
            let stored = json!({"key": key, "window": 60}).to_string();
            let matcher = Matcher::decode(stored.as_bytes()).expect("a matcher");
            assert_eq!(matcher.key_attribute(), attribute, "{key}");
            assert_eq!(matcher.key(&event).expect("a key"), value, "{key}");
        }
    }
}
