//! The event envelope: CloudEvents 1.0, independent of how it came in.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::{Map, Value, json};

use crate::ids::short;
use crate::limits;
use crate::violation::Violations;

/// One event as templates and expressions see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// All context attributes by name: `id`, `source`, `specversion`, `type`, the optional ones and extensions. Values are strings,
    /// numbers or booleans.
    pub attributes: BTreeMap<String, Value>,
    /// The payload.
    pub data: Data,
}

/// An event's payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data {
    /// No data.
    #[default]
    None,
    /// `datacontenttype` is JSON (or absent).
    Json(Value),
    /// Text of another type.
    Text(String),
    /// Bytes; base64 in JSON.
    Binary(Vec<u8>),
}

impl Event {
    /// The attribute as a string in CloudEvents' canonical form.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).map(canonical)
    }

    /// The envelope in CloudEvents' JSON format (`data`, or `data_base64` for bytes).
    pub fn to_json(&self) -> Value {
        let mut object: Map<String, Value> = self.attributes.clone().into_iter().collect();
        match &self.data {
            Data::None => {}
            Data::Json(value) => {
                object.insert("data".into(), value.clone());
            }
            Data::Text(text) => {
                object.insert("data".into(), json!(text));
            }
            Data::Binary(bytes) => {
                object.insert("data_base64".into(), json!(crate::base64::encode(bytes)));
            }
        }
        Value::Object(object)
    }

    /// Reads CloudEvents' JSON format. Faults are told by attribute, all at once.
    pub fn from_json(value: Value) -> Result<Self, Violations> {
        let Value::Object(mut object) = value else {
            return Err(fault("", "an event is a JSON object with specversion, id, source and type"));
        };
        let mut faults = Violations::default();
        let data = take_data(&mut object, &mut faults);
        let mut attributes = BTreeMap::new();
        for (name, value) in object {
            match value {
                // The specification lets producers write null for "absent".
                Value::Null => {}
                Value::String(_) | Value::Bool(_) | Value::Number(_) => {
                    attributes.insert(name, value);
                }
                _ => faults
                    .push(short(&name), "an attribute is a string, a number or a boolean; objects belong into data"),
            }
        }
        faults.into_result()?;
        let event = Self { attributes, data };
        event.check()?;
        Ok(event)
    }

    /// The envelope's own rules: required attributes, names, lengths, the form of `time`.
    pub fn check(&self) -> Result<(), Violations> {
        let mut faults = Violations::default();
        for name in ["id", "source", "type"] {
            match self.attribute(name) {
                None => faults.push(name, "is required"),
                Some(value) if value.is_empty() => faults.push(name, "must not be empty"),
                Some(_) => {}
            }
        }
        match self.attribute("specversion").as_deref() {
            Some("1.0") => {}
            Some(other) => {
                faults.push("specversion", format!("{:?} is not supported; it must be \"1.0\"", short(other)))
            }
            None => faults.push("specversion", "is required and must be \"1.0\""),
        }
        if self.attributes.len() > limits::ATTRIBUTES {
            faults.push("", format!("{} attributes; at most {}", self.attributes.len(), limits::ATTRIBUTES));
        }
        for (name, value) in &self.attributes {
            check_attribute(name, value, &mut faults);
        }
        faults.into_result()
    }
}

fn check_attribute(name: &str, value: &Value, faults: &mut Violations) {
    if !is_attribute_name(name) {
        faults.push(short(name), "an attribute's name has 1 to 64 characters of a-z 0-9");
    }
    let text = canonical(value);
    if text.len() > limits::ATTRIBUTE_LEN {
        faults.push(name, format!("{} bytes; at most {}", text.len(), limits::ATTRIBUTE_LEN));
    }
    if text.chars().any(char::is_control) {
        faults.push(name, "holds a control character");
    }
    if name == "time" && DateTime::parse_from_rfc3339(&text).is_err() {
        faults.push("time", format!("{:?} is not an RFC 3339 time such as 2026-11-23T08:00:00Z", short(&text)));
    }
}

/// Whether a text may name a context attribute.
pub fn is_attribute_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// An attribute's canonical string form.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn take_data(object: &mut Map<String, Value>, faults: &mut Violations) -> Data {
    let json_type = object.get("datacontenttype").and_then(Value::as_str).is_none_or(is_json);
    match (object.remove("data"), object.remove("data_base64")) {
        (Some(_), Some(_)) => {
            faults.push("data_base64", "an event has data or data_base64, not both");
            Data::None
        }
        (Some(Value::String(text)), None) if !json_type => Data::Text(text),
        (Some(value), None) => Data::Json(value),
        (None, Some(Value::String(text))) => match crate::base64::decode(&text) {
            Some(bytes) => Data::Binary(bytes),
            None => {
                faults.push("data_base64", "is not base64");
                Data::None
            }
        },
        (None, Some(_)) => {
            faults.push("data_base64", "must be a string of base64");
            Data::None
        }
        (None, None) => Data::None,
    }
}

/// Whether a media type is JSON: `application/json`, `text/json`, `application/vnd.x+json`, with or without parameters.
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn fault(field: &str, message: &str) -> Violations {
    let mut faults = Violations::default();
    faults.push(field, message);
    faults
}

/// The default dedupe key: the event's source and id, which CloudEvents says are unique together. The bar that parts them can't stand
/// in the source, so that no two pairs give one key.
pub fn default_key(source: &str, id: &str) -> String {
    if source.contains(['|', '%']) {
        return format!("{}|{id}", source.replace('%', "%25").replace('|', "%7C"));
    }
    format!("{source}|{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(extra: Value) -> Value {
        let mut base = json!({"specversion": "1.0", "id": "1", "source": "orders", "type": "t"});
        for (key, value) in extra.as_object().expect("an object") {
            base[key] = value.clone();
        }
        base
    }

    #[test]
    fn json_is_read_and_written_back() {
        for value in [
            event(json!({})),
            event(json!({"data": {"a": [1, 2]}, "subject": "s", "count": 3, "flag": true})),
            event(json!({"data": "plain", "datacontenttype": "text/plain"})),
            event(json!({"data_base64": "AAEC/w=="})),
            event(json!({"time": "2026-11-23T08:00:00Z", "data": null})),
        ] {
            let read = Event::from_json(value.clone()).expect("valid");
            assert_eq!(read.to_json(), value);
        }
    }

    #[test]
    fn faults_name_the_attribute() {
        for (value, field) in [
            (json!([]), ""),
            (json!({"specversion": "1.0", "source": "s", "type": "t"}), "id"),
            (json!({"specversion": "1.0", "id": "1", "type": "t"}), "source"),
            (json!({"specversion": "1.0", "id": "1", "source": "s"}), "type"),
            (json!({"id": "1", "source": "s", "type": "t"}), "specversion"),
            (event(json!({"specversion": "0.3"})), "specversion"),
            (event(json!({"id": ""})), "id"),
            (event(json!({"Bad": "x"})), "Bad"),
            (event(json!({"ext": {"a": 1}})), "ext"),
            (event(json!({"time": "yesterday"})), "time"),
            (event(json!({"subject": "a\u{7}"})), "subject"),
            (event(json!({"subject": "x".repeat(1025)})), "subject"),
            (event(json!({"data": 1, "data_base64": "AA=="})), "data_base64"),
            (event(json!({"data_base64": "???"})), "data_base64"),
        ] {
            let faults = Event::from_json(value.clone()).expect_err("a fault");
            assert!(faults.0.iter().any(|f| f.field == field), "{value}: {faults}");
        }
    }

    #[test]
    fn two_pairs_of_source_and_id_never_give_one_key() {
        assert_eq!(default_key("orders/eu", "42"), "orders/eu|42");
        assert_ne!(default_key("a|b", "c"), default_key("a", "b|c"));
        assert_ne!(default_key("a%7Cb", "c"), default_key("a|b", "c"));
    }
}
