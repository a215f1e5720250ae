//! CloudEvents between their wire form and the model's: protobuf as it is kept, JSON as templates see it.

use bytes::Bytes;
use flintwheel_model::Event;
use flintwheel_model::event::{self, Data};
use flintwheel_model::violation::{Violation, Violations};
use flintwheel_proto::cloudevent::{self as wire, Envelope, Malformed};
use flintwheel_proto::cloudevents::CloudEvent;
use flintwheel_proto::cloudevents::cloud_event::cloud_event_attribute_value::Attr;
use flintwheel_proto::cloudevents::cloud_event::{CloudEventAttributeValue, Data as WireData};
use prost::Message;
use serde_json::Value;

/// An event as templates see it, from the bytes that are kept.
pub fn event(bytes: &[u8]) -> Result<Event, Malformed> {
    let envelope = Envelope::read(bytes)?;
    let mut attributes: std::collections::BTreeMap<String, Value> =
        envelope.attributes().map(|(name, value)| (name.to_owned(), attribute(&value))).collect();
    for (name, value) in [
        ("id", envelope.id),
        ("source", envelope.source),
        ("specversion", envelope.spec_version),
        ("type", envelope.event_type),
    ] {
        attributes.insert(name.to_owned(), value.into());
    }
    let media_type = attributes.get("datacontenttype").and_then(Value::as_str);
    let json = media_type.is_none_or(event::is_json);
    let data = match envelope.data {
        wire::Data::None => Data::None,
        wire::Data::Binary(bytes) => payload(bytes, json),
        wire::Data::Text(text) => payload(text.as_bytes(), json),
        wire::Data::Proto { value, .. } => Data::Binary(value.to_vec()),
    };
    Ok(Event { attributes, data })
}

/// Data that calls itself JSON and is not stays what it is: text or bytes.
fn payload(bytes: &[u8], json: bool) -> Data {
    if json && let Ok(value) = serde_json::from_slice(bytes) {
        return Data::Json(value);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Data::Text(text.to_owned()),
        Err(_) => Data::Binary(bytes.to_vec()),
    }
}

fn attribute(value: &wire::Value<'_>) -> Value {
    match value {
        wire::Value::Boolean(flag) => (*flag).into(),
        wire::Value::Integer(number) => (*number).into(),
        other => other.canonical().into_owned().into(),
    }
}

/// The bytes that are kept, of an event that came in as JSON or in HTTP headers. Checked by [`Event::check`] before.
pub fn encode(event: &Event) -> Result<Bytes, Violations> {
    let text = |name: &str| event.attribute(name).unwrap_or_default();
    let mut message = CloudEvent {
        id: text("id"),
        source: text("source"),
        spec_version: text("specversion"),
        r#type: text("type"),
        ..CloudEvent::default()
    };
    for (name, value) in &event.attributes {
        if !matches!(name.as_str(), "id" | "source" | "specversion" | "type") {
            message.attributes.insert(name.clone(), CloudEventAttributeValue { attr: Some(to_wire(name, value)?) });
        }
    }
    message.data = match &event.data {
        Data::None => None,
        Data::Json(value) => Some(WireData::TextData(value.to_string())),
        Data::Text(text) => Some(WireData::TextData(text.clone())),
        Data::Binary(bytes) => Some(WireData::BinaryData(bytes.clone().into())),
    };
    Ok(message.encode_to_vec().into())
}

fn to_wire(name: &str, value: &Value) -> Result<Attr, Violations> {
    Ok(match value {
        Value::Bool(flag) => Attr::CeBoolean(*flag),
        Value::Number(number) => {
            let whole = number.as_i64().and_then(|n| i32::try_from(n).ok());
            Attr::CeInteger(whole.ok_or_else(|| {
                let message =
                    format!("{number} is not an integer of 32 bits, as CloudEvents has them; write it as a string");
                Violations(vec![Violation::new(name, message)])
            })?)
        }
        other => Attr::CeString(event::canonical(other)),
    })
}
