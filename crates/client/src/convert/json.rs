//! Free JSON: `serde_json::Value` and `google.protobuf.Value`.
//!
//! The protobuf type holds every number as a double. So a whole number beyond 2^53 is refused rather than rounded, and
//! `1.0` is the same as `1`: it comes back as the latter. [`canonical`] shows what comes back.

use flintwheel_model::Violations;
use flintwheel_model::limits::JSON_DEPTH;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Proto};
use serde_json::{Map, Number, Value};

use super::at::At;

/// Nesting that can travel: each level of objects takes three of the hundred levels that protobuf decoders allow.
pub const MAX_DEPTH: usize = if JSON_DEPTH < 28 { JSON_DEPTH } else { 28 };
/// Up to here a double holds every whole number.
const EXACT: u64 = 1 << 53;

/// To the wire. `field` names the value in violations.
pub fn to_proto(value: &Value, field: &str) -> Result<Proto, Violations> {
    let mut faults = Violations::default();
    let proto = write(value, At::root(field), MAX_DEPTH, &mut faults);
    faults.into_result().map(|()| proto)
}

/// From the wire. `field` names the value in violations.
pub fn from_proto(proto: Proto, field: &str) -> Result<Value, Violations> {
    let mut faults = Violations::default();
    let value = read(proto, At::root(field), MAX_DEPTH, &mut faults);
    faults.into_result().map(|()| value)
}

/// The value as it is after it has travelled.
pub fn canonical(value: &Value, field: &str) -> Result<Value, Violations> {
    from_proto(to_proto(value, field)?, field)
}

/// An object to the wire.
pub fn object_to_proto(object: &Map<String, Value>, field: &str) -> Result<Struct, Violations> {
    let mut faults = Violations::default();
    let proto = write_object(object, At::root(field), MAX_DEPTH, &mut faults);
    faults.into_result().map(|()| proto)
}

/// An object from the wire.
pub fn object_from_proto(proto: Struct, field: &str) -> Result<Map<String, Value>, Violations> {
    let mut faults = Violations::default();
    let object = read_object(proto, At::root(field), MAX_DEPTH, &mut faults);
    faults.into_result().map(|()| object)
}

pub(super) fn write(value: &Value, at: At<'_>, depth: usize, faults: &mut Violations) -> Proto {
    if depth == 0 {
        faults.push(at.to_string(), format!("is nested deeper than {MAX_DEPTH}"));
        return Proto::default();
    }
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(write_number(number, at, faults)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            let values = items.iter().enumerate().map(|(i, item)| write(item, at.index(i), depth - 1, faults));
            Kind::ListValue(ListValue { values: values.collect() })
        }
        Value::Object(fields) => Kind::StructValue(write_object(fields, at, depth - 1, faults)),
    };
    Proto { kind: Some(kind) }
}

fn write_object(object: &Map<String, Value>, at: At<'_>, depth: usize, faults: &mut Violations) -> Struct {
    let fields = object.iter().map(|(name, value)| (name.clone(), write(value, at.field(name), depth, faults)));
    Struct { fields: fields.collect() }
}

fn write_number(number: &Number, at: At<'_>, faults: &mut Violations) -> f64 {
    let exact = match (number.as_u64(), number.as_i64()) {
        (Some(whole), _) => whole <= EXACT,
        (None, Some(negative)) => negative.unsigned_abs() <= EXACT,
        (None, None) => true,
    };
    if !exact {
        faults.push(at.to_string(), format!("{number} is beyond 2^53 and would be rounded; write it as a string"));
    }
    number.as_f64().unwrap_or_default()
}

pub(super) fn read(proto: Proto, at: At<'_>, depth: usize, faults: &mut Violations) -> Value {
    if depth == 0 {
        faults.push(at.to_string(), format!("is nested deeper than {MAX_DEPTH}"));
        return Value::Null;
    }
    match proto.kind {
        Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) => read_number(number, at, faults),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate().map(|(i, item)| read(item, at.index(i), depth - 1, faults));
            Value::Array(items.collect())
        }
        Some(Kind::StructValue(object)) => Value::Object(read_object(object, at, depth - 1, faults)),
        None => {
            faults.push(at.to_string(), "has no value of any kind");
            Value::Null
        }
    }
}

fn read_object(proto: Struct, at: At<'_>, depth: usize, faults: &mut Violations) -> Map<String, Value> {
    proto
        .fields
        .into_iter()
        .map(|(name, value)| {
            let value = read(value, at.field(&name), depth, faults);
            (name, value)
        })
        .collect()
}

fn read_number(number: f64, at: At<'_>, faults: &mut Violations) -> Value {
    let whole = number.fract() == 0.0 && number.abs() <= EXACT as f64 && !(number == 0.0 && number.is_sign_negative());
    if whole {
        return Value::from(number as i64);
    }
    if !number.is_finite() {
        faults.push(at.to_string(), format!("{number} is not a JSON number"));
    }
    Value::from(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comes_back_as_it_went() {
        for value in [
            json!(null),
            json!(true),
            json!(-1.5),
            json!(-0.0),
            json!(9_007_199_254_740_992_i64),
            json!(-9_007_199_254_740_992_i64),
            json!(1e300),
            json!("text"),
            json!([1, [], {}, {"a": [null]}]),
        ] {
            assert_eq!(canonical(&value, "v"), Ok(value));
        }
        assert_eq!(canonical(&json!(1.0), "v"), Ok(json!(1)));
    }

    #[test]
    fn what_would_change_is_refused_by_its_path() {
        for (value, message) in [
            (json!({"a": [0, 9_007_199_254_740_993_u64]}), "v.a[1]: 9007199254740993 is beyond 2^53"),
            (json!(i64::MIN), "v: -9223372036854775808 is beyond 2^53"),
        ] {
            let faults = to_proto(&value, "v").expect_err("refused").to_string();
            assert!(faults.starts_with(message), "{faults}");
        }
        for (kind, message) in [(None, "v: has no value"), (Some(Kind::NumberValue(f64::NAN)), "v: NaN is not")] {
            let faults = from_proto(Proto { kind }, "v").expect_err("refused").to_string();
            assert!(faults.starts_with(message), "{faults}");
        }
    }

    #[test]
    fn too_deep_is_refused_and_what_is_taken_can_be_decoded() {
        let nest = |levels| (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
        let faults = to_proto(&nest(MAX_DEPTH + 1), "v").expect_err("too deep").to_string();
        assert!(faults.ends_with("is nested deeper than 28"), "{faults}");
        let deepest = to_proto(&nest(MAX_DEPTH), "v").expect("deep enough");
        let bytes = prost::Message::encode_to_vec(&deepest);
        assert_eq!(<Proto as prost::Message>::decode(bytes.as_slice()), Ok(deepest));
    }
}
