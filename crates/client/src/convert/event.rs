//! Events: `model`'s, and CloudEvents as the wire has them.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use flintwheel_model::event::{self, Data, Event};
use flintwheel_model::{Violations, base64};
use flintwheel_proto::cloudevent::{self, Envelope};
use flintwheel_proto::cloudevents::CloudEvent;
use flintwheel_proto::cloudevents::cloud_event::cloud_event_attribute_value::Attr;
use flintwheel_proto::cloudevents::cloud_event::{CloudEventAttributeValue, Data as WireData};
use prost::bytes::Bytes;
use serde_json::Value;

use super::time;

/// An event as the bytes that publish requests hold.
pub fn encode(event: &Event) -> Result<Bytes, Violations> {
    to_proto(event).map(|proto| cloudevent::encode(&proto))
}

/// To the wire. Attributes that are numbers must be whole and have 32 bits: CloudEvents knows no others.
pub fn to_proto(event: &Event) -> Result<CloudEvent, Violations> {
    let mut faults = Violations::default();
    let required = |name: &str| event.attribute(name).unwrap_or_default();
    let extra = event.attributes.iter().filter(|(name, _)| !is_required(name));
    let attributes: BTreeMap<_, _> = extra
        .filter_map(|(name, value)| {
            let attr = Some(write_attribute(name, value, &mut faults)?);
            Some((name.clone(), CloudEventAttributeValue { attr }))
        })
        .collect();
    let proto = CloudEvent {
        id: required("id"),
        source: required("source"),
        spec_version: required("specversion"),
        r#type: required("type"),
        attributes,
        data: write_data(&event.data),
    };
    faults.into_result().map(|()| proto)
}

/// From the wire: bytes that have been read once, so that only what is wanted is copied.
pub fn from_envelope(envelope: &Envelope<'_>) -> Result<Event, Violations> {
    let mut attributes = BTreeMap::new();
    for (name, text) in [
        ("id", envelope.id),
        ("source", envelope.source),
        ("specversion", envelope.spec_version),
        ("type", envelope.event_type),
    ] {
        if !text.is_empty() {
            attributes.insert(name.to_owned(), Value::from(text));
        }
    }
    let mut faults = Violations::default();
    for (name, value) in envelope.attributes() {
        if is_required(name) || name == "data" {
            faults.push(name, "stands in a field of its own, not among the attributes");
        }
        attributes.insert(name.to_owned(), read_attribute(value));
    }
    let data = read_data(envelope, &attributes, &mut faults);
    faults.into_result()?;
    Ok(Event { attributes, data })
}

fn is_required(name: &str) -> bool {
    matches!(name, "id" | "source" | "specversion" | "type")
}

fn write_attribute(name: &str, value: &Value, faults: &mut Violations) -> Option<Attr> {
    match value {
        Value::Bool(value) => Some(Attr::CeBoolean(*value)),
        Value::String(text) if name == "time" => Some(write_time(text)),
        Value::String(text) => Some(Attr::CeString(text.clone())),
        Value::Number(number) => {
            let whole = number.as_i64().and_then(|number| i32::try_from(number).ok());
            if whole.is_none() {
                faults.push(name, format!("{number} is not a whole number of 32 bits; write it as a string"));
            }
            whole.map(Attr::CeInteger)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {
            faults.push(name, "an attribute is a string, a number or a boolean");
            None
        }
    }
}

/// `time` travels as a timestamp, as the standard wants it, where that brings back the same text.
fn write_time(text: &str) -> Attr {
    let parsed = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    match parsed.filter(|time| show_time(*time) == text && time.timestamp_subsec_nanos() < 1_000_000_000) {
        Some(time) => Attr::CeTimestamp(time::timestamp(time)),
        None => Attr::CeString(text.to_owned()),
    }
}

fn show_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn read_attribute(value: cloudevent::Value<'_>) -> Value {
    match value {
        cloudevent::Value::Boolean(value) => Value::from(value),
        cloudevent::Value::Integer(value) => Value::from(value),
        other => Value::from(other.canonical()),
    }
}

fn write_data(data: &Data) -> Option<WireData> {
    match data {
        Data::None => None,
        Data::Json(value) => Some(WireData::TextData(value.to_string())),
        Data::Text(text) => Some(WireData::TextData(text.clone())),
        Data::Binary(bytes) => Some(WireData::BinaryData(bytes.clone().into())),
    }
}

fn read_data(envelope: &Envelope<'_>, attributes: &BTreeMap<String, Value>, faults: &mut Violations) -> Data {
    let media_type = attributes.get("datacontenttype").and_then(Value::as_str);
    let is_json = media_type.is_none_or(event::is_json);
    match envelope.data {
        cloudevent::Data::None => Data::None,
        cloudevent::Data::Text(text) if is_json => read_json(text.as_bytes(), faults),
        cloudevent::Data::Text(text) => Data::Text(text.to_owned()),
        // A producer may send JSON as bytes; without a content type, bytes are just bytes.
        cloudevent::Data::Binary(bytes) if is_json && media_type.is_some() => read_json(bytes, faults),
        cloudevent::Data::Binary(bytes) => Data::Binary(bytes.to_vec()),
        cloudevent::Data::Proto { type_url, value } => {
            // What templates can do with a message whose type is not known here: look at its name and pass it on.
            Data::Json(serde_json::json!({ "@type": type_url, "value": base64::encode(value) }))
        }
    }
}

fn read_json(text: &[u8], faults: &mut Violations) -> Data {
    match serde_json::from_slice(text) {
        Ok(value) => Data::Json(value),
        Err(error) => {
            faults
                .push("data", format!("is not JSON: {error}; set datacontenttype if it is meant to be something else"));
            Data::None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn travel(event: &Event) -> Event {
        let bytes = encode(event).expect("can travel");
        from_envelope(&Envelope::read(&bytes).expect("well-formed")).expect("comes back")
    }

    fn event(extra: Value) -> Event {
        let mut base = json!({"specversion": "1.0", "id": "1", "source": "orders", "type": "t"});
        for (key, value) in extra.as_object().expect("an object") {
            base[key] = value.clone();
        }
        Event::from_json(base).expect("an event")
    }

    #[test]
    fn an_event_comes_back_as_it_went() {
        for extra in [
            json!({}),
            json!({"data": {"a": [1, 2.5, "x", null, 12_345_678_901_234_567_890_u64]}}),
            json!({"data": "text", "datacontenttype": "text/plain"}),
            json!({"data": "a string as JSON"}),
            json!({"data_base64": "AAEC/w=="}),
            json!({"subject": "s", "count": -3, "flag": false}),
            json!({"time": "2026-11-23T08:00:00Z"}),
            json!({"time": "2026-11-23T08:00:00.000001Z"}),
            json!({"time": "2026-11-23T09:00:00+01:00"}),
            json!({"time": "2026-11-23t08:00:00.10Z"}),
        ] {
            let event = event(extra);
            assert_eq!(travel(&event), event);
        }
    }

    #[test]
    fn time_travels_as_a_timestamp_where_that_keeps_its_text() {
        let attr = |text: &str| {
            let proto = to_proto(&event(json!({ "time": text }))).expect("can travel");
            proto.attributes["time"].attr.clone().expect("set")
        };
        assert!(matches!(attr("2026-11-23T08:00:00Z"), Attr::CeTimestamp(_)));
        assert!(matches!(attr("2026-11-23T09:00:00+01:00"), Attr::CeString(_)));
    }

    #[test]
    fn what_cloudevents_cannot_hold_is_refused() {
        for (extra, field) in [(json!({"size": 1.5}), "size"), (json!({"size": 3_000_000_000_u32}), "size")] {
            let faults = to_proto(&event(extra)).expect_err("refused");
            assert_eq!(faults.0[0].field, field);
        }
    }

    #[test]
    fn what_the_wire_should_not_hold_is_refused() {
        let text = |text: &str| CloudEventAttributeValue { attr: Some(Attr::CeString(text.into())) };
        for (proto, field) in [
            (CloudEvent { data: Some(WireData::TextData("{".into())), ..Default::default() }, "data"),
            (CloudEvent { attributes: [("id".into(), text("2"))].into(), ..Default::default() }, "id"),
            (CloudEvent { attributes: [("data".into(), text("2"))].into(), ..Default::default() }, "data"),
        ] {
            let bytes = cloudevent::encode(&proto);
            let faults = from_envelope(&Envelope::read(&bytes).expect("well-formed")).expect_err("refused");
            assert_eq!(faults.0[0].field, field, "{proto:?}");
        }
    }

    #[test]
    fn other_forms_of_data_are_understood() {
        let read = |media_type: Option<&str>, data| {
            let value = media_type.map(|t| CloudEventAttributeValue { attr: Some(Attr::CeString(t.into())) });
            let attributes = value.map(|v| ("datacontenttype".to_owned(), v)).into_iter().collect();
            let bytes = cloudevent::encode(&CloudEvent { data: Some(data), attributes, ..Default::default() });
            from_envelope(&Envelope::read(&bytes).expect("well-formed")).expect("understood").data
        };
        let binary = |bytes: &'static [u8]| WireData::BinaryData(bytes.into());
        assert_eq!(read(Some("application/json"), binary(b"{\"a\":1}")), Data::Json(json!({"a": 1})));
        assert_eq!(read(None, binary(b"{\"a\":1}")), Data::Binary(b"{\"a\":1}".to_vec()));
        let any = prost_types::Any { type_url: "x/y".into(), value: vec![0] };
        assert_eq!(read(None, WireData::ProtoData(any)), Data::Json(json!({"@type": "x/y", "value": "AA=="})));
    }
}
