//! The forms of data: tables for people, JSON and YAML for programs, names for pipes.

use std::io::{self, BufWriter, Stdout, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::table::table;
use crate::exit::{Exit, Failure};

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// One value, or a list of them
    Json,
    /// One document for each
    Yaml,
    /// Names alone, to be given to another command
    Name,
}

/// For commands that print data.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", env = "FLINTWHEEL_OUTPUT")]
    pub output: Format,
}

/// Prints items of one kind, in the asked form, as they come; call [`Printer::finish`] at the end.
pub struct Printer<W: Write = BufWriter<Stdout>> {
    out: W,
    format: Format,
    /// For JSON: whether the items are a list even if there is one.
    list: bool,
    printed: usize,
}

impl Printer {
    /// Of a list, which may be long.
    pub fn list(format: Format) -> Self {
        Self::to(BufWriter::new(io::stdout()), format, true)
    }

    /// Of one value.
    pub fn one(format: Format) -> Self {
        Self::to(BufWriter::new(io::stdout()), format, false)
    }
}

impl<W: Write> Printer<W> {
    pub(super) fn to(out: W, format: Format, list: bool) -> Self {
        Self { out, format, list, printed: 0 }
    }

    /// Whether rows of a table are wanted, rather than values.
    pub fn is_table(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether all columns are wanted.
    pub fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }

    /// Rows below a head; the head stands once.
    pub fn rows(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let head = if self.printed == 0 { head } else { &[] };
        self.printed += rows.len();
        self.out.write_all(table(head, rows).as_bytes())?;
        Ok(())
    }

    /// A line of its own form, for tables that are sentences.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.printed += 1;
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    /// A value as JSON, YAML or by its name.
    pub fn value(&mut self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Name => writeln!(self.out, "{name}")?,
            Format::Yaml => {
                let separator = if self.printed > 0 { "---\n" } else { "" };
                write!(self.out, "{separator}{}", yaml(value)?)?;
            }
            Format::Json | Format::Table | Format::Wide => self.json(value)?,
        }
        self.printed += 1;
        Ok(())
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(unprintable)?;
        if !self.list {
            writeln!(self.out, "{text}")?;
            return Ok(());
        }
        let separator = if self.printed == 0 { "[\n" } else { ",\n" };
        write!(self.out, "{separator}{text}")?;
        Ok(())
    }

    /// How many were printed.
    pub fn printed(&self) -> usize {
        self.printed
    }

    /// Writes what is buffered, and the end of a list.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.list && self.format == Format::Json {
            writeln!(self.out, "{}", if self.printed == 0 { "[]" } else { "\n]" })?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// Shows what there is so far: before a pause, for one.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// A value as one YAML document.
pub fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(unprintable)
}

fn unprintable(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the answer can't be printed: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(format: Format, list: bool, items: usize) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::to(&mut out, format, list);
        for i in 0..items {
            if printer.is_table() {
                printer.rows(&["ID"], &[vec![format!("a{i}")]]).expect("printed");
            } else {
                printer.value(&format!("kind/a{i}"), &json!({ "id": format!("a{i}") })).expect("printed");
            }
        }
        printer.finish().expect("printed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_form_of_none_one_and_many() {
        for (format, list, items, expected) in [
            (Format::Table, true, 0, ""),
            (Format::Table, true, 2, "ID\na0\na1\n"),
            (Format::Json, true, 0, "[]\n"),
            (Format::Json, true, 2, "[\n{\n  \"id\": \"a0\"\n},\n{\n  \"id\": \"a1\"\n}\n]\n"),
            (Format::Json, false, 1, "{\n  \"id\": \"a0\"\n}\n"),
            (Format::Yaml, true, 0, ""),
            (Format::Yaml, true, 2, "id: a0\n---\nid: a1\n"),
            (Format::Name, true, 2, "kind/a0\nkind/a1\n"),
        ] {
            assert_eq!(printed(format, list, items), expected, "{format:?} {items}");
        }
    }

    #[test]
    fn yaml_can_be_read_back_whatever_the_texts_hold() {
        for text in [
            "yes",
            "1",
            "null",
            "a: b",
            "- x",
            "#",
            "",
            " ",
            "multi\nline\n",
            "\u{7}",
            "{{ event.id }}",
            "2026-01-01",
            "'\"",
            "---",
        ] {
            let value = json!({ "v": [text, {"k": text}], text: 1 });
            let shown = yaml(&value).expect("printed");
            let read: serde_json::Value = serde_saphyr::from_str(&shown).unwrap_or_else(|e| panic!("{shown}: {e}"));
            assert_eq!(read, value, "{shown}");
        }
    }
}
