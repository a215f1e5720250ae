//! Publish requests whose events stay bytes.
//!
//! On the wire they are the messages of `event_service.proto`: an embedded message and a byte string look the same
//! there. Decoding every event, its attribute map above all, costs two thirds of what a stream can carry; the server
//! looks into an event with [`crate::cloudevent::Scan`] instead, once, and only as far as it must.

use prost::bytes::Bytes;

/// See `PublishRequest` in `event_service.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublishRequest {
    /// Whose definitions they are for; empty means `default`.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Encoded `io.cloudevents.v1.CloudEvent` messages; not checked yet.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub events: Vec<Bytes>,
}

/// See `PublishStreamRequest` in `event_service.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublishStreamRequest {
    /// Names the batch in its acknowledgement.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// Whose definitions they are for; empty means `default`.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Encoded `io.cloudevents.v1.CloudEvent` messages; not checked yet.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub events: Vec<Bytes>,
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FileDescriptorSet};

    fn message(name: &str) -> DescriptorProto {
        let set = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).expect("descriptors");
        let file = set.file.iter().find(|f| f.name().ends_with("event_service.proto")).expect("file");
        file.message_type.iter().find(|m| m.name() == name).expect("message").clone()
    }

    fn fields(name: &str) -> Vec<(String, i32, Type, Label)> {
        message(name).field.iter().map(|f| (f.name().to_owned(), f.number(), f.r#type(), f.label())).collect()
    }

    #[test]
    fn the_contract_has_exactly_the_fields_that_are_written_by_hand() {
        let namespace = |number| ("namespace".to_owned(), number, Type::String, Label::Optional);
        let events = |number| ("events".to_owned(), number, Type::Message, Label::Repeated);
        let sequence = ("sequence".to_owned(), 1, Type::Uint64, Label::Optional);
        assert_eq!(fields("PublishRequest"), [namespace(1), events(2)]);
        assert_eq!(fields("PublishStreamRequest"), [sequence, namespace(2), events(3)]);
    }
}
