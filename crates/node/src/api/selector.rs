//! Label selectors as Kubernetes has them: `team=billing,tier!=test,region in (eu, us),!legacy`.

use std::collections::BTreeMap;

use flintwheel_model::validate::is_label;

/// Conditions on labels; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads a selector; empty matches everything. `Err` says what is wrong and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        split(text).into_iter().filter(|part| !part.is_empty()).map(parse_condition).collect::<Result<_, _>>().map(Self)
    }

    /// It asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these labels fulfil it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Condition::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Condition::Exists(key) => labels.contains_key(key),
            Condition::Absent(key) => !labels.contains_key(key),
        })
    }
}

/// At commas that stand outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn parse_condition(part: &str) -> Result<Condition, String> {
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Condition::NotIn(label(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Condition::In(label(key)?, vec![value_of(value)?]));
    }
    if let Some((head, list)) = part.strip_suffix(')').and_then(|p| p.split_once('(')) {
        let values = list.split(',').map(value_of).collect::<Result<Vec<_>, _>>()?;
        let words: Vec<&str> = head.split_whitespace().collect();
        return match words[..] {
            [key, "in"] => Ok(Condition::In(label(key)?, values)),
            [key, "notin"] => Ok(Condition::NotIn(label(key)?, values)),
            _ => Err(fault(part)),
        };
    }
    match part.strip_prefix('!') {
        Some(key) => Ok(Condition::Absent(label(key)?)),
        None => Ok(Condition::Exists(label(part)?)),
    }
}

fn label(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || !is_label(text) { Err(fault(text)) } else { Ok(text.to_owned()) }
}

fn value_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if is_label(text) { Ok(text.to_owned()) } else { Err(fault(text)) }
}

fn fault(part: &str) -> String {
    format!("{part:?} is not a condition; write key=value, key!=value, key in (a, b), key notin (a, b), key or !key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_together() {
        let labels: BTreeMap<String, String> =
            [("team", "billing"), ("region", "eu")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (text, matches) in [
            ("", true),
            ("team=billing", true),
            ("team==billing, region = eu", true),
            ("team!=billing", false),
            ("tier!=test", true),
            ("region in (us, eu)", true),
            ("region notin (us,eu),team=billing", false),
            ("team,!legacy", true),
            ("legacy", false),
        ] {
            assert_eq!(Selector::parse(text).expect(text).matches(&labels), matches, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["a b", "=x", "a=b c", "a within (b)", "!", "a=b,ä=c"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
