//! What went wrong when a document was read, in words that name what is allowed.

use flintwheel_model::expected;
use flintwheel_model::ids::short;
use flintwheel_model::limits::JSON_DEPTH;
use flintwheel_model::near::edits;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

/// A fault of form, without its place.
#[derive(Debug)]
pub(super) struct Told {
    /// The name of a field that is missing.
    pub missing: Option<String>,
    pub message: String,
}

/// In our own words where the reader's are for programmers. `shown` is what stands at its place.
pub(super) fn tell(error: &Error, shown: &str) -> Told {
    let told = |message: String| Told { missing: None, message };
    match error {
        Error::SerdeUnknownField { field, expected, .. } => told(unknown("there is no field", field, expected)),
        Error::SerdeUnknownVariant { variant, expected, .. } => told(unknown("there is no value", variant, expected)),
        Error::SerdeMissingField { field, .. } => {
            Told { missing: Some((*field).to_owned()), message: "is required".to_owned() }
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            told(format!("{} is expected here, not {unexpected}", expected::plain(expected)))
        }
        Error::InvalidScalar { ty, .. } if !shown.is_empty() => {
            told(format!("{} is expected here, not {}", expected::plain(ty), short(shown)))
        }
        Error::Unexpected { expected, .. } => told(format!("{} is expected here", plain(expected))),
        Error::InvalidBooleanStrict { .. } => told("true or false is expected here".to_owned()),
        Error::DuplicateMappingKey { key: Some(key), .. } => told(format!("{key:?} stands twice in the same map")),
        Error::Message { msg, .. } => told(msg.clone()),
        Error::AliasError { error, .. } => tell(error, shown),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            told("an alias can't stand inside of what it names".to_owned())
        }
        Error::Budget { breach, .. } => told(beyond(breach)),
        other => told(in_words(DefaultMessageFormatter.format_message(other).into_owned())),
    }
}

/// The parser says that it gave up, not what is allowed.
fn in_words(message: String) -> String {
    if message.starts_with("recursion limit") { too_deep() } else { message }
}

fn too_deep() -> String {
    format!("is nested deeper than {JSON_DEPTH}")
}

/// A limit of the reader's own: no definition that fits our limits comes near it.
fn beyond(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => too_deep(),
        BudgetBreach::Nodes { nodes } => {
            format!(
                "has more than {} values, with all aliases written out; write less, or use fewer aliases",
                nodes - 1
            )
        }
        other => format!("goes beyond a limit of the YAML reader: {other:?}"),
    }
}

/// What the reader calls an event, as people call it.
fn plain(expected: &str) -> &str {
    match expected {
        "mapping start" => "a map (key: value)",
        "sequence start" => "a list",
        other => other,
    }
}

fn unknown(what: &str, name: &str, allowed: &[&str]) -> String {
    let allowed = &without_aliases(allowed)[..];
    let allowed_list = allowed.join(", ");
    match nearest(name, allowed) {
        Some(near) => format!("{what} {name:?} here; did you mean {near:?}? (allowed: {allowed_list})"),
        None => format!("{what} {name:?} here; allowed are: {allowed_list}"),
    }
}

/// Each field once: as it is documented, not as it is accepted too.
fn without_aliases<'a>(allowed: &[&'a str]) -> Vec<&'a str> {
    let is_alias = |name: &str| match name {
        "apiVersion" => false,
        "api_version" => true,
        name => name.contains(|c: char| c.is_ascii_uppercase()),
    };
    allowed.iter().copied().filter(|name| !is_alias(name)).collect()
}

/// The allowed name that a misspelt one is closest to, if it is close at all.
fn nearest<'a>(name: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &str| edits(&name.to_lowercase(), &other.to_lowercase());
    let (near, edits) = allowed.iter().map(|other| (*other, distance(other))).min_by_key(|(_, edits)| *edits)?;
    (edits <= 1 + name.chars().count() / 4).then_some(near)
}

/// The reader's message about a value that should have been a time is the time library's, which does not say what to write.
pub(super) fn tell_time(message: &str, value: &str) -> Option<String> {
    let value = value.trim_matches(['"', '\'']);
    let error = value.parse::<chrono::DateTime<chrono::Utc>>().err()?;
    (error.to_string() == message)
        .then(|| format!("{value:?} is not a time; write RFC 3339, for example 2026-12-01T09:00:00Z"))
}

/// What a message is about, for the caret's label: the words before the first quoted value, `hour` in `hour "25" is not in 0-23`.
pub(super) fn subject(message: &str) -> &str {
    let head = message.split('"').next().unwrap_or("").trim();
    let is_name = !head.is_empty() && head.len() <= 24 && head.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    if is_name { head } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        let allowed = ["schedule", "event", "misfire_policy"];
        for (name, near) in [
            ("schedul", Some("schedule")),
            ("misfire_polcy", Some("misfire_policy")),
            ("Event", Some("event")),
            ("evnet", Some("event")),
            ("cron", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &allowed), near, "{name}");
        }
    }

    #[test]
    fn the_subject_of_a_message_is_its_first_words() {
        for (message, expected) in [
            ("hour \"25\" is not in 0-23", "hour"),
            ("day of month \"32\" is not in 1-31", "day of month"),
            ("\"x\" is not a duration", ""),
            ("interval[0] \"x\"", ""),
        ] {
            assert_eq!(subject(message), expected);
        }
    }
}
