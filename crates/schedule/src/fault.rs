//! What is wrong with a text, and where in it.

use std::ops::Range;

use flintwheel_model::Violation;

/// One fault in a text that the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub message: String,
    /// The faulty part, in bytes of the whole text.
    pub part: Range<usize>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, part: Range<usize>) -> Self {
        Self { message: message.into(), part }
    }

    pub(crate) fn in_field(self, field: &str) -> Violation {
        Violation::new(field, self.message).at(self.part.start, self.part.end)
    }
}

/// A piece of a text, which knows where in the whole it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub text: &'a str,
    pub start: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// What stands from `from` to `to`, counted in the piece.
    pub(crate) fn slice(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], start: self.start + range.start }
    }

    pub(crate) fn trim(self) -> Self {
        let begin = self.text.len() - self.text.trim_start().len();
        let text = self.text.trim();
        Self { text, start: self.start + begin }
    }

    /// What stands before the first `separator`, and after it.
    pub(crate) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.slice(0..at), self.slice(at + separator.len_utf8()..self.text.len())))
    }

    pub(crate) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let piece = rest.take()?;
            let Some((head, tail)) = piece.split_once(separator) else { return Some(piece) };
            rest = Some(tail);
            Some(head)
        })
    }

    /// The pieces between white space.
    pub(crate) fn words(self) -> impl Iterator<Item = Self> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let tail = rest.trim();
            let end = tail.text.find(char::is_whitespace).unwrap_or(tail.text.len());
            rest = tail.slice(end..tail.text.len());
            (end > 0).then(|| tail.slice(0..end))
        })
    }

    /// The text as it stands in messages: quoted, without control characters, and not endless.
    pub(crate) fn quoted(self) -> String {
        quoted(self.text)
    }

    pub(crate) fn fault(self, message: impl Into<String>) -> Fault {
        Fault::new(message, self.range())
    }
}

/// A text as it stands in messages: quoted, without control characters, and not endless.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
