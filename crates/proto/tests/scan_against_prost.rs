//! The lazy scanner sees what prost's decoder sees, and no bytes make it panic.

use std::collections::BTreeMap;

use flintwheel_proto::cloudevent::{CloudEvent, Data, Envelope, Malformed, Scan, Value, decode, encode};
use flintwheel_proto::cloudevents::cloud_event::cloud_event_attribute_value::Attr;
use flintwheel_proto::cloudevents::cloud_event::{CloudEventAttributeValue, Data as WireData};
use proptest::prelude::*;

fn attr() -> impl Strategy<Value = Attr> {
    prop_oneof![
        any::<bool>().prop_map(Attr::CeBoolean),
        any::<i32>().prop_map(Attr::CeInteger),
        ".*".prop_map(Attr::CeString),
        any::<Vec<u8>>().prop_map(|b| Attr::CeBytes(b.into())),
        ".*".prop_map(Attr::CeUri),
        ".*".prop_map(Attr::CeUriRef),
        (-62_135_596_800..=253_402_300_799i64, 0..1_000_000_000i32)
            .prop_map(|(seconds, nanos)| Attr::CeTimestamp(prost_types::Timestamp { seconds, nanos })),
    ]
}

fn data() -> impl Strategy<Value = WireData> {
    prop_oneof![
        any::<Vec<u8>>().prop_map(|b| WireData::BinaryData(b.into())),
        ".*".prop_map(WireData::TextData),
        (".*", any::<Vec<u8>>())
            .prop_map(|(type_url, value)| WireData::ProtoData(prost_types::Any { type_url, value })),
    ]
}

fn event() -> impl Strategy<Value = CloudEvent> {
    let attributes = prop::collection::btree_map(
        ".{0,8}",
        attr().prop_map(|attr| CloudEventAttributeValue { attr: Some(attr) }),
        0..6,
    );
    (".*", ".*", ".*", ".*", attributes, prop::option::of(data())).prop_map(
        |(id, source, spec_version, r#type, attributes, data)| CloudEvent {
            id,
            source,
            spec_version,
            r#type,
            attributes,
            data,
        },
    )
}

fn as_value(attr: &Attr) -> Value<'_> {
    match attr {
        Attr::CeBoolean(value) => Value::Boolean(*value),
        Attr::CeInteger(value) => Value::Integer(*value),
        Attr::CeString(text) => Value::String(text),
        Attr::CeBytes(bytes) => Value::Bytes(bytes),
        Attr::CeUri(text) => Value::Uri(text),
        Attr::CeUriRef(text) => Value::UriRef(text),
        Attr::CeTimestamp(time) => Value::Timestamp { seconds: time.seconds, nanos: time.nanos },
    }
}

fn as_data(data: Option<&WireData>) -> Data<'_> {
    match data {
        None => Data::None,
        Some(WireData::BinaryData(bytes)) => Data::Binary(bytes),
        Some(WireData::TextData(text)) => Data::Text(text),
        Some(WireData::ProtoData(any)) => Data::Proto { type_url: &any.type_url, value: &any.value },
    }
}

fn assert_same(envelope: &Envelope<'_>, event: &CloudEvent) {
    assert_eq!(
        (envelope.id, envelope.source, envelope.spec_version, envelope.event_type),
        (event.id.as_str(), event.source.as_str(), event.spec_version.as_str(), event.r#type.as_str())
    );
    assert_eq!(envelope.data, as_data(event.data.as_ref()));
    let seen: BTreeMap<&str, Value<'_>> = envelope.attributes().collect();
    let held: BTreeMap<&str, Value<'_>> = event
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), as_value(value.attr.as_ref().expect("generated with a value"))))
        .collect();
    assert_eq!(seen, held);
    for (name, value) in held {
        assert_eq!(envelope.attribute(name), Some(value));
    }
}

proptest! {
    #[test]
    fn an_event_is_seen_as_prost_decodes_it(event in event()) {
        let bytes = encode(&event);
        assert_same(&Envelope::read(&bytes).expect("well-formed"), &decode(&bytes).expect("well-formed"));
    }

    #[test]
    fn of_two_events_in_one_the_later_fields_count(first in event(), second in event()) {
        let with_data = first.data.is_some() && second.data.is_some();
        prop_assume!(!with_data);
        let bytes = [encode(&first), encode(&second)].concat();
        let merged = decode(&bytes).expect("well-formed");
        assert_same(&Envelope::read(&bytes).expect("well-formed"), &merged);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
        let _ = Scan::new(&bytes).count();
        let _ = Envelope::read(&bytes);
    }

    #[test]
    fn a_damaged_event_is_refused_or_read_within_its_bytes(event in event(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&event).to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(envelope) = Envelope::read(&bytes) {
            prop_assert_eq!(envelope.attributes().count(), envelope.attribute_count);
            for (_, value) in envelope.attributes() {
                let _ = value.canonical();
            }
        }
    }

    #[test]
    fn a_cut_event_is_never_read_as_the_whole(event in event(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&event);
        prop_assume!(!bytes.is_empty());
        let cut = &bytes[..at.index(bytes.len())];
        if let Ok(envelope) = Envelope::read(cut) {
            assert_same(&envelope, &decode(cut).expect("what the scanner takes, prost takes"));
            prop_assert!(decode(cut).expect("checked above") != event);
        }
    }
}

#[test]
fn odd_attributes_are_refused() {
    let attribute = |attr| {
        let value = CloudEventAttributeValue { attr };
        encode(&CloudEvent { attributes: BTreeMap::from([("a".to_owned(), value)]), ..CloudEvent::default() })
    };
    let time = |seconds, nanos| Some(Attr::CeTimestamp(prost_types::Timestamp { seconds, nanos }));
    for attr in [None, time(0, -1), time(0, 1_000_000_000), time(i64::MAX, 0), time(i64::MIN, 0)] {
        let bytes = attribute(attr.clone());
        assert_eq!(Envelope::read(&bytes).err(), Some(Malformed::Attribute), "{attr:?}");
    }
}
