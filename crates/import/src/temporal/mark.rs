//! What a schedule that has moved says of itself, in the note with which it is paused: where it has gone, and what must be known to say which due time
//! is the first one there. So a move that is interrupted can be finished by anybody, from the two schedules alone.

use chrono::{DateTime, SecondsFormat};
use flintwheel_model::DefinitionKey;

/// Bytes of a note that Temporal takes.
const MOST: usize = 1000;
const BEGIN: &str = "moved to flintwheel ";

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The definition that it is now.
    pub definition: DefinitionKey,
    /// When it was last seen to act, in microseconds since the Unix epoch. What was due until then is its own.
    pub seen: i64,
    /// What it had passed over by then ([`super::Info::passed_over`]).
    pub passed_over: i64,
    /// It was paused before: nothing was due.
    pub was_paused: bool,
    /// Its notes before; of long ones the beginning.
    pub notes: String,
}

impl Mark {
    /// The note, not longer than Temporal takes.
    pub fn text(&self) -> String {
        let seen = DateTime::from_timestamp_micros(self.seen).unwrap_or_default();
        let seen = seen.to_rfc3339_opts(SecondsFormat::Micros, true);
        let paused = if self.was_paused { ", paused before" } else { "" };
        let Self { definition, passed_over, notes, .. } = self;
        let mut text = format!("{BEGIN}{definition} (seen {seen}, {passed_over} passed over{paused})");
        if !notes.is_empty() {
            text.push_str(": ");
            text.push_str(notes);
            text.truncate(text.floor_char_boundary(MOST));
        }
        text
    }

    /// None where a note is another one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(BEGIN)?;
        let (definition, rest) = rest.split_once(" (seen ")?;
        let (facts, notes) = rest.split_once(')')?;
        let (namespace, id) = definition.split_once('/')?;
        let mut facts = facts.split(", ");
        let seen = DateTime::parse_from_rfc3339(facts.next()?).ok()?.timestamp_micros();
        let passed_over = facts.next()?.strip_suffix(" passed over")?.parse().ok()?;
        let was_paused = match facts.next() {
            None => false,
            Some("paused before") => true,
            Some(_) => return None,
        };
        let notes = notes.strip_prefix(": ").unwrap_or_default().to_owned();
        Some(Self { definition: DefinitionKey::new(namespace, id), seen, passed_over, was_paused, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_others_are_none() {
        for (was_paused, notes) in [(false, ""), (true, ""), (false, "ours (see wiki): nightly"), (true, "a\nb")] {
            let mark = Mark {
                definition: DefinitionKey::new("billing", "nightly-1a2b3c4d"),
                seen: 1_790_000_000_123_456,
                passed_over: 12,
                was_paused,
                notes: notes.to_owned(),
            };
            assert_eq!(Mark::parse(&mark.text()).as_ref(), Some(&mark), "{}", mark.text());
        }
        for text in [
            "",
            "moved to flintwheel",
            "moved to flintwheel a/b (seen then)",
            "on holiday",
            "moved to flintwheel x (seen 2026-01-01T00:00:00Z, 1 passed over)",
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_note_fits_into_what_temporal_takes() {
        let mark = Mark {
            definition: DefinitionKey::new("n".repeat(63), "i".repeat(200)),
            seen: 0,
            passed_over: i64::MAX,
            was_paused: true,
            notes: "ü".repeat(1000),
        };
        let text = mark.text();
        assert!(text.len() <= MOST);
        assert_eq!(Mark::parse(&text).map(|mark| mark.definition), Some(mark.definition));
    }
}
