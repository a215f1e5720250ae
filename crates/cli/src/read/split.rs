//! Where the documents of a YAML text, or the elements of a JSON list, begin and end.
//!
//! A line that begins with `---` always begins a document: YAML forbids it anywhere else. So the text can be cut before it is parsed,
//! and a fault in one document does not hide the next.

use std::ops::Range;

use serde_json::value::RawValue;

/// The byte ranges of the documents; empty ones are left out.
pub(super) fn documents(text: &str) -> Vec<Range<usize>> {
    elements(text).unwrap_or_else(|| between_markers(text))
}

/// Of a JSON list, as `get -o json` prints several definitions; none where the text is anything else.
fn elements(text: &str) -> Option<Vec<Range<usize>>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    if !elements.iter().all(|element| element.get().starts_with('{')) {
        return None;
    }
    let range = |element: &RawValue| {
        let start = element.get().as_ptr() as usize - text.as_ptr() as usize;
        start..start + element.get().len()
    };
    Some(elements.into_iter().map(range).collect())
}

fn between_markers(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut offset, mut has_content, mut has_marker) = (0, 0, false, false);
    for line in text.split_inclusive('\n') {
        if is_marker(line, "---") {
            if has_content {
                ranges.push(start..offset);
            }
            // Before its marker, a document has nothing but directives and comments.
            if has_content || has_marker {
                start = offset;
            }
            (has_content, has_marker) = (false, true);
        }
        offset += line.len();
        if is_marker(line, "...") {
            if has_content {
                ranges.push(start..offset);
            }
            (start, has_content, has_marker) = (offset, false, false);
        } else {
            has_content |= is_content(line);
        }
    }
    if has_content {
        ranges.push(start..offset);
    }
    ranges
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Neither blank, nor a comment, nor a directive, nor a marker alone.
fn is_content(line: &str) -> bool {
    let line = if is_marker(line, "---") { &line[3..] } else { line };
    let line = line.trim_start_matches('\u{feff}').trim();
    !(line.is_empty() || line.starts_with('#') || line.starts_with('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_list_is_cut_into_its_elements() {
        for (text, expected) in [
            ("[]", vec![]),
            (" [\n{\"a\": [1, \"]\"]},\n {\"b\": 2} ]\n", vec!["{\"a\": [1, \"]\"]}", "{\"b\": 2}"]),
            // Nothing that could be definitions: one document, whose fault the reader tells.
            ("[1, 2]", vec!["[1, 2]"]),
            ("[a, b]", vec!["[a, b]"]),
            ("[{\"a\": 1}", vec!["[{\"a\": 1}"]),
        ] {
            let cut: Vec<&str> = documents(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(cut, expected, "{text:?}");
        }
    }

    #[test]
    fn cut_at_markers_and_nowhere_else() {
        for (text, expected) in [
            ("", vec![]),
            ("# nothing\n---\n# at all\n", vec![]),
            ("a: 1", vec!["a: 1"]),
            ("---\na: 1\n---\nb: 2\n", vec!["---\na: 1\n", "---\nb: 2\n"]),
            ("a: 1\n---\n---\n# c\n---\nb: 2", vec!["a: 1\n", "---\nb: 2"]),
            ("a: 1\n...\n# c\nb: 2\n", vec!["a: 1\n...\n", "# c\nb: 2\n"]),
            ("%YAML 1.2\n---\na: 1\n", vec!["%YAML 1.2\n---\na: 1\n"]),
            ("--- {a: 1}\n--- {b: 2}\n", vec!["--- {a: 1}\n", "--- {b: 2}\n"]),
            ("a: ---\nb: |\n  ---\n", vec!["a: ---\nb: |\n  ---\n"]),
            ("{\"a\": 1}\r\n---\r\n{}", vec!["{\"a\": 1}\r\n", "---\r\n{}"]),
        ] {
            let cut: Vec<&str> = documents(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(cut, expected, "{text:?}");
        }
    }
}
