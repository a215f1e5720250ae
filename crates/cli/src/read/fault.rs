//! A fault with its place in a file, as people read it.

use std::fmt::{self, Write};
use std::ops::Range;

use super::Source;

/// A snippet shows at most so many characters of a line.
const SHOWN: usize = 100;

/// Something wrong with what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field; empty where it is the whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
    /// Where; none where it is no text.
    pub place: Option<Place>,
    /// Something to add, such as another place.
    pub note: Option<String>,
}

/// A part of a line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the text is called.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub width: usize,
    /// The whole line.
    pub text: String,
    /// What the marked part is.
    pub label: String,
}

impl Fault {
    /// Without a place.
    pub fn new(field: &str, message: &str) -> Self {
        Self { field: field.to_owned(), message: message.to_owned(), place: None, note: None }
    }

    /// Adds its place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// A fault, or what is allowed and hardly meant.
struct Shown<'a>(&'a Fault, &'static str);

impl Fault {
    /// As something that is allowed, and hardly meant.
    pub fn as_warning(&self) -> impl fmt::Display + '_ {
        Shown(self, "warning")
    }
}

impl Place {
    /// Of a range of bytes of a source.
    pub fn new(source: &Source, range: Range<usize>) -> Self {
        let text = &source.text;
        let line_start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + line_text.len();
        let marked = text.get(range.start..range.end.min(line_end)).unwrap_or("");
        Self {
            source: source.name.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..range.start].chars().count() + 1,
            width: marked.chars().count().max(1),
            text: line_text.to_owned(),
            label: String::new(),
        }
    }

    /// Names the marked part.
    #[must_use]
    pub fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    /// The line, cut to a window around the marked part, and where that part begins in it.
    fn window(&self) -> (String, usize) {
        let total = self.text.chars().count();
        let marked = self.column - 1;
        if total <= SHOWN {
            return (clean(&self.text), marked);
        }
        let start = marked.saturating_sub(SHOWN / 3).min(total - SHOWN);
        let shown: String = self.text.chars().skip(start).take(SHOWN).collect();
        let (head, tail) = (if start > 0 { "..." } else { "" }, if start + SHOWN < total { "..." } else { "" });
        (format!("{head}{}{tail}", clean(&shown)), marked - start + head.len())
    }
}

/// Tabs as one space, so that the caret stands below what it means; nothing that a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self, "error").fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Fault { field, message, place, note }, word) = self;
        let separator = if field.is_empty() { "" } else { ": " };
        write!(f, "{word}: {field}{separator}{}", clean(message))?;
        if let Some(place) = place {
            write_snippet(f, place)?;
        }
        match note {
            Some(note) => write!(f, "\n   = {note}"),
            None => Ok(()),
        }
    }
}

fn write_snippet(f: &mut fmt::Formatter<'_>, place: &Place) -> fmt::Result {
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let (line, marked) = place.window();
    let width = place.width.min(line.chars().count().saturating_sub(marked)).max(1);
    let mut caret = format!("{}{}", " ".repeat(marked), "^".repeat(width));
    if !place.label.is_empty() {
        write!(caret, " {}", place.label)?;
    }
    write!(f, "\n{gutter}--> {place}\n{gutter} |\n{number} | {line}\n{gutter} | {caret}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "a.yaml".into(), text: text.into() }
    }

    #[test]
    fn shown_with_line_column_and_caret() {
        let source = source("a: 1\nß: \"0 25 *\"\n");
        let start = source.text.find("25").expect("there");
        let fault =
            Fault::new("ß", "hour \"25\" is not in 0-23").at(Place::new(&source, start..start + 2).labelled("hour"));
        let expected = "\
error: ß: hour \"25\" is not in 0-23
 --> a.yaml:2:7
  |
2 | ß: \"0 25 *\"
  |       ^^ hour";
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn long_lines_are_cut_around_the_place_and_control_characters_do_nothing() {
        let source = source(&format!("{}\tX\u{1b}[31m{}", "a".repeat(300), "b".repeat(300)));
        let at = source.text.find('X').expect("there");
        let shown = Fault::new("", "bad\u{7}").at(Place::new(&source, at..at + 1)).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "error: bad ");
        assert_eq!(lines[1], " --> a.yaml:1:302");
        assert!(lines[3].chars().count() <= SHOWN + 10 && !shown.contains('\u{1b}'));
        let column = lines[4].find('^').expect("a caret");
        assert_eq!(lines[3].chars().nth(column), Some('X'));
    }

    #[test]
    fn the_end_of_a_text_is_a_place_too() {
        let source = source("a: [\n");
        let end = source.text.len();
        assert_eq!(Place::new(&source, end..end).to_string(), "a.yaml:2:1");
    }
}
