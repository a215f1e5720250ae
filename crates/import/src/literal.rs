//! JSON of others, as it stands in a definition: there, `{{ ... }}` in a string is a template, so a text that holds such marks is written as a
//! template that yields it.

use serde_json::{Map, Value};

/// The same value in a definition.
pub fn literal(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(literal_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(literal).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), literal(field))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// The same of a text.
pub fn literal_text(text: &str) -> String {
    if !["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
        return text.to_owned();
    }
    let quoted = Value::String(text.to_owned()).to_string();
    // Braces as escapes: then no mark stands in the literal either.
    format!("{{{{ {} }}}}", quoted.replace('{', "\\u007b").replace('}', "\\u007d"))
}

#[cfg(test)]
mod tests {
    use flintwheel_model::template;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_looks_like_a_template_is_itself_when_it_is_rendered() {
        for value in [
            json!("plain"),
            json!("{{ scheduled_for }}"),
            json!("a {{ b }} \"c\" {% d %}\n"),
            json!("{{ \"x\" }} {# e #} ü \\ \u{1}"),
            json!({"k": ["{{", "}}", 1, null, {"{{": "{%"}]}),
        ] {
            let written = literal(&value);
            assert!(template::check(&written).is_empty(), "{written}");
            assert_eq!(template::render(&written, &json!({})).expect("it renders"), value);
        }
    }
}
