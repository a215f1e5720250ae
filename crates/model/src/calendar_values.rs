//! The values of a calendar's field: `9`, `9-17/2`, `{start: 9, end: 17, step: 2}`, or a list of these. All become texts
//! of the one grammar that cron fields have, so that a fault can be told with its place.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The JSON Schema of one such value; never built.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum CalendarValue {
    /// A single value.
    Number(u32),
    /// As in a cron line: `*`, `mon-fri`, `*/15`, `1,15`.
    Text(String),
    /// As Temporal's structured calendars have it.
    Range(Range),
}

/// From `start` to `end`, both included, every `step`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    start: u32,
    /// Default, and what 0 means: `start`.
    #[serde(default)]
    end: u32,
    /// Default, and what 0 means: 1.
    #[serde(default)]
    step: u32,
}

impl Range {
    fn text(&self) -> Result<String, String> {
        let Self { start, end, step } = *self;
        match (end, step) {
            (0, _) => Ok(start.to_string()),
            (end, _) if end < start => Err(format!("end {end} is before start {start}")),
            (end, 0 | 1) => Ok(format!("{start}-{end}")),
            (end, step) => Ok(format!("{start}-{end}/{step}")),
        }
    }
}

/// For `deserialize_with`.
pub fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Values { in_list: false })
}

/// One value or a list of them; in a list, one value.
struct Values {
    in_list: bool,
}

impl<'de> Visitor<'de> for Values {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, a text such as \"9-17/2\", {start, end, step}, or a list of these")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(vec![number.to_string()])
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let range = Range::deserialize(MapAccessDeserializer::new(map))?;
        range.text().map(|text| vec![text]).map_err(Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        if self.in_list {
            return Err(Error::custom("a list in a list is not a value"));
        }
        let mut values = Vec::new();
        while let Some(Item(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

/// A value in a list.
struct Item(String);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(Values { in_list: true })?.pop();
        value.map(Self).ok_or_else(|| Error::custom("it is empty"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Holder {
        #[serde(deserialize_with = "values")]
        field: Vec<String>,
    }

    fn read(value: serde_json::Value) -> Result<Vec<String>, String> {
        serde_json::from_value::<Holder>(json!({"field": value})).map(|h| h.field).map_err(|e| e.to_string())
    }

    #[test]
    fn every_form_becomes_a_text_of_the_cron_grammar() {
        for (value, expected) in [
            (json!(5), &["5"][..]),
            (json!(-5), &["-5"]),
            (json!("mon-fri"), &["mon-fri"]),
            (json!([1, "9-17/2", {"start": 20, "end": 23}]), &["1", "9-17/2", "20-23"]),
            (json!({"start": 9, "end": 17, "step": 2}), &["9-17/2"]),
            (json!({"start": 9, "step": 2}), &["9"]),
            (json!({"start": 9, "end": 0}), &["9"]),
            (json!({"start": 0, "end": 0, "step": 0}), &["0"]),
            (json!([]), &[]),
        ] {
            assert_eq!(read(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}")), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (value, why) in [
            (json!({"start": 9, "end": 8}), "end 8 is before start 9"),
            (json!({"end": 8}), "missing field `start`"),
            (json!({"start": 8, "stop": 9}), "unknown field `stop`"),
            (json!({"start": -1}), "-1"),
            (json!([[1]]), "a list in a list"),
            (json!(1.5), "a number, a text such as"),
            (json!(null), "a number, a text such as"),
        ] {
            let error = read(value.clone()).expect_err("it is refused");
            assert!(error.contains(why), "{value}: {error}");
        }
    }
}
