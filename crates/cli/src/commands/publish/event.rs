//! Events: from flags, and from a line of JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use flintwheel_client::convert;
use flintwheel_model::event::{Event, is_json};
use flintwheel_model::limits::EVENT_BYTES;
use flintwheel_model::{Violation, Violations};
use serde_json::{Map, Value, json};

use super::EventArgs;
use crate::exit::{Exit, Failure};

/// An event as it travels.
pub(super) type Encoded = bytes::Bytes;

/// Checked and encoded; faults name the attribute.
pub(super) fn encode(value: Value) -> Result<Encoded, Violations> {
    let bytes = convert::event::encode(&Event::from_json(value)?)?;
    if bytes.len() > EVENT_BYTES {
        let message = format!("the event has {} bytes; at most {EVENT_BYTES}", bytes.len());
        return Err(Violations(vec![Violation::new("", message)]));
    }
    Ok(bytes)
}

/// From flags.
pub(super) fn from_args(args: &EventArgs, now: DateTime<Utc>) -> Result<Encoded, Failure> {
    let value = to_json(args, now).map_err(|message| Failure::new(Exit::Refused, message))?;
    encode(value).map_err(|faults| Failure::new(Exit::Refused, faults))
}

fn to_json(args: &EventArgs, now: DateTime<Utc>) -> Result<Value, String> {
    let time = args.time.unwrap_or(now).to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let id = args.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut event = Map::from_iter([
        ("specversion".to_owned(), json!("1.0")),
        ("id".to_owned(), json!(id)),
        ("source".to_owned(), json!(args.source)),
        ("type".to_owned(), json!(args.event_type)),
        ("time".to_owned(), json!(time)),
    ]);
    if let Some(subject) = &args.subject {
        event.insert("subject".to_owned(), json!(subject));
    }
    if let Some(data) = &args.data {
        event.insert("datacontenttype".to_owned(), json!(args.content_type));
        event.insert("data".to_owned(), payload(data, &args.content_type)?);
    }
    for attr in &args.attr {
        let (name, value) = attr.split_once('=').ok_or_else(|| format!("--attr {attr:?} is not NAME=VALUE"))?;
        if event.insert(name.to_owned(), json!(value)).is_some() {
            return Err(format!("--attr {name}: the attribute is given twice, or has a flag of its own"));
        }
    }
    Ok(Value::Object(event))
}

fn payload(data: &str, content_type: &str) -> Result<Value, String> {
    if !is_json(content_type) {
        return Ok(json!(data));
    }
    serde_json::from_str(data).map_err(|error| {
        format!(
            "--data is not JSON: {error}; a text needs quotes of its own ('\"text\"'), or --content-type text/plain"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> EventArgs {
        EventArgs {
            event_type: Some("t".into()),
            source: "s".into(),
            id: Some("1".into()),
            subject: None,
            time: None,
            data: None,
            content_type: "application/json".into(),
            attr: vec![],
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-23T08:00:00Z".parse().expect("a time")
    }

    #[test]
    fn flags_become_an_event() {
        let base = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": "2026-11-23T08:00:00Z"});
        let with = |extra: Value| {
            let mut event = base.clone();
            event.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            event
        };
        let data = |data: &str, content_type: &str| EventArgs {
            data: Some(data.into()),
            content_type: content_type.into(),
            ..args()
        };
        for (args, expected) in [
            (args(), base.clone()),
            (
                EventArgs { subject: Some("x".into()), attr: vec!["k=a=b".into()], ..args() },
                with(json!({"subject": "x", "k": "a=b"})),
            ),
            (
                data("{\"a\": 1}", "application/json"),
                with(json!({"datacontenttype": "application/json", "data": {"a": 1}})),
            ),
            (data("{", "text/plain"), with(json!({"datacontenttype": "text/plain", "data": "{"}))),
        ] {
            assert_eq!(to_json(&args, now()), Ok(expected));
        }
    }

    #[test]
    fn wrong_flags_are_told() {
        for (args, message) in [
            (EventArgs { data: Some("{".into()), ..args() }, "--data is not JSON"),
            (EventArgs { attr: vec!["k".into()], ..args() }, "--attr \"k\" is not NAME=VALUE"),
            (EventArgs { attr: vec!["id=2".into()], ..args() }, "--attr id: the attribute is given twice"),
            (EventArgs { attr: vec!["Bad=2".into()], ..args() }, "Bad: an attribute's name"),
            (EventArgs { event_type: Some(String::new()), ..args() }, "type: must not be empty"),
            (EventArgs { data: Some(format!("\"{}\"", "x".repeat(EVENT_BYTES))), ..args() }, "the event has"),
        ] {
            let failure = from_args(&args, now()).expect_err(message);
            assert!(failure.text.contains(message), "{}", failure.text);
            assert_eq!(failure.exit, Exit::Refused);
        }
    }
}
