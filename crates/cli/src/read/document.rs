//! One document: its text as a definition or a calendar.

use std::collections::BTreeMap;
use std::ops::Range;

use flintwheel_model::calendar::{CalendarSpec, KIND};
use flintwheel_model::definition::{Metadata, Spec};
use flintwheel_model::limits::DEFINITION_BYTES;
use flintwheel_model::{ActivityDefinition, Calendar, Violation};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::fault::{Fault, Place};
use super::tree::{self, Kind};
use super::{locate, message};
use crate::read::Source;

/// Longer than any definition may be, however it is written.
const DOCUMENT_BYTES: usize = 8 * DEFINITION_BYTES;

/// As `get -o yaml` prints it: with a status, which is not an input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource<S> {
    #[serde(rename = "apiVersion", alias = "api_version")]
    api_version: String,
    kind: String,
    metadata: Names,
    spec: S,
    #[serde(default, rename = "status")]
    _status: Option<IgnoredAny>,
}

/// What a document is.
pub(super) enum Content {
    Definition(Box<ActivityDefinition>),
    Calendar(Box<Calendar>),
}

/// Metadata, in which the namespace may be left to the command line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    namespace: Option<String>,
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What stands in a part of a source; none where there are only comments.
pub(super) fn parse(source: &Source, range: Range<usize>, namespace: &str) -> Result<Option<Content>, Box<Fault>> {
    let text = &source.text[range.clone()];
    check_length(source, range.clone(), text)?;
    if is_calendar(text) {
        let resource = read::<CalendarSpec>(source, range.start, text)?;
        return Ok(resource.map(|Resource { api_version, kind, metadata, spec, .. }| {
            let metadata = metadata.within(namespace);
            Content::Calendar(Box::new(Calendar { api_version, kind, metadata, spec }))
        }));
    }
    let resource = read::<Spec>(source, range.start, text)?;
    Ok(resource.map(|Resource { api_version, kind, metadata, spec, .. }| {
        let metadata = metadata.within(namespace);
        Content::Definition(Box::new(ActivityDefinition { api_version, kind, metadata, spec }))
    }))
}

fn check_length(source: &Source, range: Range<usize>, text: &str) -> Result<(), Box<Fault>> {
    if text.len() <= DOCUMENT_BYTES {
        return Ok(());
    }
    let message = format!(
        "the document has {} bytes; at most {DOCUMENT_BYTES}: a definition has at most {DEFINITION_BYTES} bytes as JSON, and many days belong \
         in a calendar (kind: {KIND}), or in ranges such as 2026-12-24/2027-01-06",
        text.len()
    );
    Err(Box::new(Fault::new("", &message).at(Place::new(source, range.start..range.start))))
}

/// The document in a part of a source, whatever it says; none where there are only comments.
pub(super) fn value(source: &Source, range: Range<usize>) -> Result<Option<Value>, Box<Fault>> {
    let text = &source.text[range.clone()];
    check_length(source, range.clone(), text)?;
    serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| Box::new(fault(source, range.start, text, &error)))
}

fn read<S: DeserializeOwned>(source: &Source, start: usize, text: &str) -> Result<Option<Resource<S>>, Box<Fault>> {
    let read = serde_saphyr::from_str_with_options(text, options());
    read.map_err(|error| Box::new(fault(source, start, text, &error)))
}

/// By its `kind`: all else is read as a definition, whose faults say what is allowed.
fn is_calendar(text: &str) -> bool {
    // Most documents need not be looked into for that.
    if !text.contains(KIND) {
        return false;
    }
    let Some(Kind::Map(pairs)) = tree::read(text).map(|root| root.kind) else { return false };
    let says = |kind: &Kind, what: &str| matches!(kind, Kind::Scalar(text) if text == what);
    pairs.iter().any(|(key, value)| says(&key.kind, "kind") && says(&value.kind, KIND))
}

impl Names {
    fn within(self, namespace: &str) -> Metadata {
        let Self { namespace: given, id, name, labels } = self;
        Metadata { namespace: given.unwrap_or_else(|| namespace.to_owned()), id, name, labels }
    }
}

/// YAML 1.2 without surprises: `yes` is a text, a key stands once, a tag means something or is refused. The limits on nesting, aliases
/// and nodes are the reader's own.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        emit_comments: false,
    }
}

fn fault(source: &Source, start: usize, text: &str, error: &serde_saphyr::Error) -> Fault {
    let found = error.location().and_then(|location| byte_range(text, &location));
    let told = message::tell(error, found.clone().map_or("", |range| &text[range]));
    let Some(range) = found else {
        return Fault::new("", &format!("{}: {}", source.name, told.message));
    };
    if let Some(missing) = &told.missing {
        return missing_field(source, start, text, &locate::map_at(text, range.start), missing);
    }
    let field = locate::path_at(text, range.start);
    let message = message::tell_time(&told.message, &text[range.clone()]).unwrap_or(told.message);
    Fault::new(&field, &message).at(Place::new(source, start + range.start..start + range.end))
}

/// Shown at the key of the map that lacks it.
fn missing_field(source: &Source, start: usize, text: &str, map: &str, missing: &str) -> Fault {
    let field = if map.is_empty() { missing.to_owned() } else { format!("{map}.{missing}") };
    let violation = Violation::new(field, "is required");
    let found = locate::violation(text, &violation);
    Fault::new(&violation.field, &violation.message).at(Place::new(source, start + found.start..start + found.end))
}

/// None where the reader does not know the place.
fn byte_range(text: &str, location: &serde_saphyr::Location) -> Option<Range<usize>> {
    if location.line() == 0 {
        return None;
    }
    let Some(offset) = location.span().byte_offset() else {
        let at = offset_of(text, location.line() as usize, location.column() as usize);
        return Some(at..at);
    };
    let len = location.span().byte_len().unwrap_or(0);
    let boundary = |byte: u64| {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
        (0..=byte).rev().find(|byte| text.is_char_boundary(*byte)).unwrap_or(0)
    };
    Some(boundary(offset)..boundary(offset.saturating_add(len)))
}

/// Faults of the YAML itself come with line and column (in characters, both from 1) and no bytes.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let line = text[start..].lines().next().unwrap_or("");
    start + line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
}
