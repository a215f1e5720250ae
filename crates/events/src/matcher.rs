//! One definition's side of matching: which attributes an event must have, and what its dedupe key is. Compiled from what stands in the
//! shard's subscription table.

use std::collections::BTreeMap;

use flintwheel_model::definition::{DedupeKeyStrategy, EventTrigger};
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
}

/// How a definition matches events of a type that it listens to.
#[derive(Debug)]
pub struct Matcher {
    attributes: BTreeMap<String, String>,
    key: Option<Expression>,
    window: u32,
}

impl Matcher {
    /// What is to stand in the subscription table of a definition.
    pub fn encode(trigger: &EventTrigger, strategy: &DedupeKeyStrategy) -> Vec<u8> {
        let stored = Stored {
            attributes: trigger.attributes.clone(),
            key: strategy.key.clone(),
            window: u32::try_from(strategy.window.secs()).unwrap_or(u32::MAX),
        };
        serde_json::to_vec(&stored).expect("strings and numbers are always JSON")
    }

    /// From the subscription table.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let key = stored.key.as_deref().map(Expression::compile).transpose().map_err(|e| e.to_string())?;
        Ok(Self { attributes: stored.attributes, key, window: stored.window })
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
