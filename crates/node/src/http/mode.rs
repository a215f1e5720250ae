//! In which of CloudEvents' forms a request brings its events, and the events out of it.

use bytes::Bytes;
use flintwheel_model::event::Event;
use flintwheel_model::ids::short;
use flintwheel_model::violation::Violations;
use flintwheel_proto::wire::{Fields, Malformed, Raw};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::body::{from_slice, text};
use super::{binary, problem::within};
use crate::cloudevents::encode;

/// What is taken, for those who send something else.
const TAKEN: &str = "ce-* headers with the data as body, application/cloudevents+json, application/cloudevents-batch+json, \
                     application/cloudevents+protobuf or application/cloudevents-batch+protobuf";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// One event as JSON.
    Structured,
    /// A JSON array of events.
    Batched,
    /// One event as protobuf.
    Protobuf,
    /// Many events as protobuf.
    ProtobufBatch,
}

impl Mode {
    /// By the content type; `Err` says what is taken.
    pub fn of(headers: &HeaderMap) -> Result<Self, String> {
        let media_type = text(headers, &CONTENT_TYPE);
        let (essence, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
        let mode = match essence.trim().to_ascii_lowercase().as_str() {
            "application/cloudevents+json" | "application/cloudevents" => Self::Structured,
            "application/cloudevents-batch+json" => Self::Batched,
            "application/cloudevents+protobuf" => Self::Protobuf,
            "application/cloudevents-batch+protobuf" => Self::ProtobufBatch,
            other if other.starts_with("application/cloudevents") || !binary::is_meant(headers) => {
                return Err(format!("content-type {:?} is no form of a CloudEvent; send {TAKEN}", short(media_type)));
            }
            _ => return Ok(Self::Binary),
        };
        let charset =
            parameters.split(';').find_map(|p| p.trim().strip_prefix("charset=").map(|c| c.trim_matches('"')));
        match charset {
            Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => {
                Err(format!("charset {:?} is not supported; send UTF-8", short(charset)))
            }
            _ => Ok(mode),
        }
    }

    /// Whether faults need to say which event they are in.
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batched | Self::ProtobufBatch)
    }

    /// The events, encoded as they are kept. All faults of all of them at once.
    pub fn events(self, headers: &HeaderMap, body: &Bytes) -> Result<Vec<Bytes>, Violations> {
        match self {
            Self::Binary => Ok(vec![encode(&binary::event(headers, body)?)?]),
            Self::Structured => Ok(vec![structured(from_slice(body)?)?]),
            Self::Batched => batched(from_slice(body)?),
            Self::Protobuf => Ok(vec![body.clone()]),
            Self::ProtobufBatch => protobuf_batch(body).map_err(|error| {
                let mut faults = Violations::default();
                faults.push("", format!("is no io.cloudevents.v1.CloudEventBatch: {error}"));
                faults
            }),
        }
    }
}

fn structured(value: Value) -> Result<Bytes, Violations> {
    encode(&Event::from_json(value)?)
}

fn batched(values: Vec<Value>) -> Result<Vec<Bytes>, Violations> {
    let mut faults = Violations::default();
    let mut events = Vec::with_capacity(values.len());
    for (place, value) in values.into_iter().enumerate() {
        match structured(value) {
            Ok(event) => events.push(event),
            Err(found) => faults.0.extend(within(&format!("[{place}]"), found)),
        }
    }
    faults.into_result().map(|()| events)
}

/// Slices of the body: nothing is decoded here.
fn protobuf_batch(body: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut events = Vec::new();
    for field in Fields::new(body) {
        if let (1, raw) = field? {
            let Raw::Bytes(event) = raw else { return Err(Malformed::WireType) };
            events.push(body.slice_ref(event));
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use flintwheel_proto::cloudevents::{CloudEvent, CloudEventBatch};
    use http::HeaderName;
    use prost::Message;
    use serde_json::json;

    use super::*;
    use crate::cloudevents::event;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| -> (HeaderName, http::HeaderValue) {
            (name.parse().expect("a name"), value.parse().expect("a value"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_content_type_says_which_form_it_is() {
        let ce = ("ce-id", "1");
        for (pairs, mode) in [
            (&[("content-type", "application/cloudevents+json")][..], Some(Mode::Structured)),
            (&[("content-type", "Application/CloudEvents+JSON; charset=UTF-8")], Some(Mode::Structured)),
            (&[("content-type", "application/cloudevents+json; charset=latin1")], None),
            (&[("content-type", "application/cloudevents-batch+json")], Some(Mode::Batched)),
            (&[("content-type", "application/cloudevents+protobuf")], Some(Mode::Protobuf)),
            (&[("content-type", "application/cloudevents-batch+protobuf")], Some(Mode::ProtobufBatch)),
            (&[("content-type", "application/cloudevents+avro"), ce], None),
            (&[("content-type", "application/json"), ce], Some(Mode::Binary)),
            (&[ce], Some(Mode::Binary)),
            (&[("content-type", "application/json")], None),
            (&[], None),
        ] {
            assert_eq!(Mode::of(&headers(pairs)).ok(), mode, "{pairs:?}");
        }
    }

    #[test]
    fn every_form_brings_the_same_event() {
        let json = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "é",
            "datacontenttype": "application/json", "data": {"a": [1, null]}});
        let wire = encode(&Event::from_json(json.clone()).expect("an event")).expect("encoded");
        let decoded = CloudEvent::decode(wire.clone()).expect("an event");
        let batch = CloudEventBatch { events: vec![decoded.clone(), decoded] }.encode_to_vec();
        let attributes = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "s"),
            ("ce-type", "t"),
            ("ce-subject", "%C3%A9"),
        ];
        for (mode, body, count) in [
            (Mode::Binary, br#"{"a":[1,null]}"#.to_vec(), 1),
            (Mode::Structured, json.to_string().into_bytes(), 1),
            (Mode::Batched, json!([json, json]).to_string().into_bytes(), 2),
            (Mode::Batched, b"[]".to_vec(), 0),
            (Mode::Protobuf, wire.to_vec(), 1),
            (Mode::ProtobufBatch, batch, 2),
            (Mode::ProtobufBatch, Vec::new(), 0),
        ] {
            let events = mode.events(&headers(&attributes), &body.into()).expect("events");
            assert_eq!(events.len(), count, "{mode:?}");
            for bytes in events {
                assert_eq!(event(&bytes).expect("an event").to_json(), json, "{mode:?}");
            }
        }
    }

    #[test]
    fn all_faults_of_a_batch_are_told_with_their_place() {
        let batch = json!([
            {"specversion": "1.0", "id": "1", "source": "s", "type": "t"},
            {"specversion": "1.0", "source": "s"},
            5,
            {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "size": 1.5},
        ]);
        let faults = Mode::Batched.events(&HeaderMap::new(), &batch.to_string().into()).expect_err("faults");
        let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["[1].id", "[1].type", "[2]", "[3].size"]);
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        for (mode, body) in [
            (Mode::Structured, &b"{"[..]),
            (Mode::Structured, b"[]"),
            (Mode::Batched, b"{}"),
            (Mode::Batched, b"[1"),
            (Mode::ProtobufBatch, b"\x0a\x05a"),
            (Mode::ProtobufBatch, b"\x08\x01"),
        ] {
            assert!(mode.events(&HeaderMap::new(), &Bytes::from_static(body)).is_err(), "{mode:?} {body:?}");
        }
    }
}
