//! From a field's path to its place in a document, and back.
//!
//! Paths are those of violations (`spec.trigger.schedule.cron[0]`); documents may write fields in camelCase, and one value for a list
//! of one. A field that is not there is shown where it would be: at the nearest one above it.

use std::ops::Range;

use flintwheel_model::Violation;

use super::tree::{self, Kind, Node};

/// What a document shows of a violation.
pub(super) struct Shown {
    /// In bytes.
    pub range: Range<usize>,
    /// Whether it is the faulty part of a value, and not the whole of it.
    pub is_part: bool,
}

/// The place in the document that a violation means, in bytes.
pub(super) fn violation(text: &str, violation: &Violation) -> Range<usize> {
    shown(text, violation).range
}

/// The faulty part of a value, where the violation names one and its text stands in the document as it is; else the value, or what is
/// nearest to it.
pub(super) fn shown(text: &str, violation: &Violation) -> Shown {
    let whole = |range| Shown { range, is_part: false };
    let Some(root) = tree::read(text) else { return whole(0..0) };
    let nearest = walk(text, &root, &violation.field);
    let Some(node) = nearest.node.filter(|_| nearest.complete) else { return whole(nearest.shown) };
    match &node.kind {
        Kind::Scalar(value) if !node.span.is_empty() => {
            match violation.part.and_then(|part| part_of(text, node, value, part)) {
                Some(range) => Shown { range, is_part: true },
                None => whole(first_line(text, &node.span)),
            }
        }
        _ => whole(nearest.shown),
    }
}

/// How far a path leads.
struct Nearest<'a> {
    node: Option<&'a Node>,
    /// What to show for the node as a whole: its key, or its first line.
    shown: Range<usize>,
    /// Whether the path was followed to its end.
    complete: bool,
}

fn walk<'a>(text: &str, root: &'a Node, path: &str) -> Nearest<'a> {
    let (mut node, mut shown, mut rest) = (root, first_line(text, &root.span), path);
    while !rest.is_empty() {
        let Some(step) = step(text, node, rest.trim_start_matches('.')) else {
            return Nearest { node: Some(node), shown, complete: false };
        };
        node = step.node;
        shown = step.shown.unwrap_or(shown);
        rest = &rest[rest.len() - step.rest..];
    }
    Nearest { node: Some(node), shown, complete: true }
}

struct Step<'a> {
    node: &'a Node,
    shown: Option<Range<usize>>,
    /// Bytes of the path that are left.
    rest: usize,
}

fn step<'a>(text: &str, node: &'a Node, path: &str) -> Option<Step<'a>> {
    if let Some(path) = path.strip_prefix('[') {
        let (index, rest) = path.split_once(']')?;
        let index: usize = index.parse().ok()?;
        return match &node.kind {
            Kind::List(items) => {
                let node = items.get(index)?;
                Some(Step { node, shown: Some(first_line(text, &node.span)), rest: rest.len() })
            }
            // One value where a list is meant.
            _ if index == 0 => Some(Step { node, shown: None, rest: rest.len() }),
            _ => None,
        };
    }
    let Kind::Map(pairs) = &node.kind else { return None };
    let candidates = pairs.iter().filter_map(|(key, value)| Some((key, value, after_key(path, key)?)));
    // Keys may hold dots: the longest one that fits is meant.
    let (key, value, rest) = candidates.min_by_key(|(.., rest)| *rest)?;
    Some(Step { node: value, shown: Some(key.span.clone()), rest })
}

/// The bytes of the path that follow this key, if the path begins with it.
fn after_key(path: &str, key: &Node) -> Option<usize> {
    let Kind::Scalar(name) = &key.kind else { return None };
    let rest = path.strip_prefix(name.as_str()).or_else(|| path.strip_prefix(snake_case(name).as_str()))?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest.len())
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn part_of(text: &str, node: &Node, value: &str, (start, end): (usize, usize)) -> Option<Range<usize>> {
    value.get(start..end)?;
    on_one_line(text, node, value, (start, end)).or_else(|| on_lines(text, node, value, (start, end)))
}

/// A part of a scalar's value that stands in the document as it is.
fn on_one_line(text: &str, node: &Node, value: &str, (start, end): (usize, usize)) -> Option<Range<usize>> {
    let raw = text.get(node.span.clone())?;
    let quote = usize::from(raw.starts_with(['"', '\'']));
    let same = raw.get(quote..quote + value.len()).is_some_and(|raw| raw == value);
    let first = node.span.start + quote;
    same.then(|| first + start..first + end.max(start + 1).min(value.len()))
}

/// A part of a scalar's value that stands in several lines of the document: each with its indentation, which is not in the value, and a
/// break after it that is a break in the value too, or a space. As much of the part as is on its first line.
fn on_lines(text: &str, node: &Node, value: &str, (start, end): (usize, usize)) -> Option<Range<usize>> {
    let (mut at, mut passed) = (node.span.start, 0);
    let raw = text.get(at..)?;
    let quote = usize::from(raw.starts_with(['"', '\'']));
    at += quote;
    for (number, line) in raw[quote..].split_inclusive('\n').enumerate() {
        // What stands behind `|` or `>` is no part of the value.
        if number > 0 || !line.starts_with(['|', '>']) {
            let rest = value.get(passed..)?;
            let spaces = |text: &str| text.len() - text.trim_start_matches(' ').len();
            let indent = spaces(line).saturating_sub(spaces(rest));
            let content = &line[indent..].trim_end_matches(['\r', '\n']);
            // Behind the end of the value stand a quote, a comment, or nothing.
            let len = content.len().min(rest.len());
            if content.get(..len)? != rest.get(..len)? {
                return None;
            }
            if start <= passed + len {
                let first = at + indent + start - passed;
                return Some(first..first + (end - start).min(passed + len - start).max(1));
            }
            if !rest[len..].starts_with(['\n', ' ']) {
                return None;
            }
            passed += len + 1;
        }
        at += line.len();
    }
    None
}

fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let shown = text.get(span.clone()).unwrap_or("");
    let line = shown.lines().next().unwrap_or("").trim_end();
    span.start..span.start + line.len()
}

/// The path of the field that stands at a byte of the document.
pub(super) fn path_at(text: &str, offset: usize) -> String {
    let mut path = String::new();
    let root = tree::read(text);
    let mut here = root.as_ref();
    while let Some(node) = here {
        here = descend(node, offset, &mut path);
    }
    path
}

fn descend<'a>(node: &'a Node, offset: usize, path: &mut String) -> Option<&'a Node> {
    match &node.kind {
        Kind::Map(pairs) => {
            let (key, value) = pairs.iter().rev().find(|(key, _)| key.span.start <= offset)?;
            if let Kind::Scalar(name) = &key.kind {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            (value.span.start <= offset).then_some(value)
        }
        Kind::List(items) => {
            let index = items.iter().rposition(|item| item.span.start <= offset)?;
            path.push_str(&format!("[{index}]"));
            Some(&items[index])
        }
        Kind::Scalar(_) | Kind::Opaque => None,
    }
}

/// The path of the innermost map that stands at a byte of the document.
pub(super) fn map_at(text: &str, offset: usize) -> String {
    let (mut path, mut found) = (String::new(), String::new());
    let root = tree::read(text);
    let mut here = root.as_ref();
    while let Some(node) = here {
        if matches!(node.kind, Kind::Map(_)) && node.span.start <= offset {
            found.clone_from(&path);
        }
        here = descend(node, offset, &mut path);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"metadata:
  id: a
  labels: {team.name: x, team: {odd: y}}
spec:
  startWorkflow:
    type: W
    input: ["{{ a", 'it''s', two words]
  trigger:
    schedule:
      cron: "0 25 * * *"
      at: [2026-01-01T00:00:00Z]
      rrule: |
        DTSTART;TZID=UTC:20240101T000000
          RRULE:FREQ=MONTHLY;BYDAY=6MO
      exclude:
        cron: >-
          0 25
          * * *
      only_on: [one
        and two, "three
        and four", "o\u006ee
        and six"]
    event:
      types:
      - one
      - two
"#;

    fn shown(field: &str, part: Option<(usize, usize)>) -> &'static str {
        let violation = Violation { field: field.into(), message: String::new(), part };
        &TEXT[super::violation(TEXT, &violation)]
    }

    #[test]
    fn a_path_leads_to_its_value_or_to_the_nearest_key() {
        for (field, text) in [
            ("metadata.id", "a"),
            ("metadata.name", "metadata"),
            ("metadata.labels.team.name", "x"),
            ("metadata.labels.team.odd", "y"),
            ("spec.start_workflow.input[2]", "two words"),
            ("spec.start_workflow.input[9]", "input"),
            ("spec.start_workflow.task_queue", "startWorkflow"),
            ("spec.start_workflow", "startWorkflow"),
            ("spec.trigger.schedule.cron[0]", "\"0 25 * * *\""),
            ("spec.trigger.event.types[1]", "two"),
            ("spec.trigger.event.types", "types"),
            ("spec.task_templates", "spec"),
            ("apiVersion", "metadata:"),
            ("", "metadata:"),
        ] {
            assert_eq!(shown(field, None), text, "{field}");
        }
    }

    #[test]
    fn a_part_is_shown_where_the_text_stands_as_it_is() {
        for (field, part, text) in [
            ("spec.trigger.schedule.cron[0]", (2, 4), "25"),
            ("spec.start_workflow.input[2]", (4, 9), "words"),
            ("spec.start_workflow.input[0]", (3, 3), "a"),
            ("spec.start_workflow.input[1]", (0, 2), "'it''s'"),
            ("spec.trigger.schedule.cron[0]", (2, 400), "\"0 25 * * *\""),
            ("spec.trigger.schedule.rrule[0]", (13, 16), "UTC"),
            ("spec.trigger.schedule.rrule[0]", (60, 63), "6MO"),
            ("spec.trigger.schedule.rrule[0]", (8, 63), "TZID=UTC:20240101T000000"),
            ("spec.trigger.schedule.exclude[0].cron[0]", (2, 4), "25"),
            ("spec.trigger.schedule.exclude[0].cron[0]", (5, 6), "*"),
            ("spec.trigger.schedule.exclude[0].cron[0]", (9, 10), "*"),
            ("spec.trigger.schedule.only_on[0]", (8, 11), "two"),
            ("spec.trigger.schedule.only_on[1]", (10, 14), "four"),
            ("spec.trigger.schedule.only_on[2]", (8, 11), "\"o\\u006ee"),
        ] {
            assert_eq!(shown(field, Some(part)), text, "{field}");
        }
    }

    #[test]
    fn a_place_leads_back_to_its_path() {
        for (text, path) in [
            ("id: a", "metadata.id"),
            ("y}", "metadata.labels.team.odd"),
            ("two words", "spec.startWorkflow.input[2]"),
            ("- two", "spec.trigger.event.types[0]"),
            ("two\n", "spec.trigger.event.types[1]"),
            ("schedule", "spec.trigger.schedule"),
        ] {
            let offset = TEXT.find(text).expect(text);
            assert_eq!(path_at(TEXT, offset), path, "{text}");
        }
    }
}
