//! One document: its text as a definition.

use std::collections::BTreeMap;
use std::ops::Range;

use flintwheel_model::definition::{Metadata, Spec};
use flintwheel_model::limits::DEFINITION_BYTES;
use flintwheel_model::{ActivityDefinition, Violation};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fault::{Fault, Place};
use super::{locate, message};
use crate::read::Source;

/// Longer than any definition may be, however it is written.
const DOCUMENT_BYTES: usize = 8 * DEFINITION_BYTES;

/// As `get -o yaml` prints it: with a status, which is not an input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[serde(rename = "apiVersion", alias = "api_version")]
    api_version: String,
    kind: String,
    metadata: Names,
    spec: Spec,
    #[serde(default, rename = "status")]
    _status: Option<IgnoredAny>,
}

/// A definition's metadata, in which the namespace may be left to the command line.
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

/// The definition in a part of a source; none where there are only comments.
pub(super) fn parse(
    source: &Source,
    range: Range<usize>,
    namespace: &str,
) -> Result<Option<ActivityDefinition>, Box<Fault>> {
    let text = &source.text[range.clone()];
    if text.len() > DOCUMENT_BYTES {
        let message = format!("the document has {} bytes; at most {DOCUMENT_BYTES}", text.len());
        return Err(Box::new(Fault::new("", &message).at(Place::new(source, range.start..range.start))));
    }
    let read: Result<Option<Resource>, _> = serde_saphyr::from_str_with_options(text, options());
    match read {
        Ok(resource) => Ok(resource.map(|resource| resource.into_definition(namespace))),
        Err(error) => Err(Box::new(fault(source, range.start, text, &error))),
    }
}

impl Resource {
    fn into_definition(self, namespace: &str) -> ActivityDefinition {
        let Self { api_version, kind, metadata, spec, .. } = self;
        let Names { namespace: given, id, name, labels } = metadata;
        let metadata = Metadata { namespace: given.unwrap_or_else(|| namespace.to_owned()), id, name, labels };
        ActivityDefinition { api_version, kind, metadata, spec }
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
    let told = message::tell(error);
    let Some(range) = error.location().and_then(|location| byte_range(text, &location)) else {
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
