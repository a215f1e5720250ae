//! What a translation has to say about one field.

use std::fmt;

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It means the same here, although it looks otherwise.
    Note,
    /// It means something else here.
    Differs,
    /// It can't be carried over: the definition lacks it.
    Lost,
}

/// Something that a user should know before a schedule moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// Of what, for programs and for `--without`: `retry_policy`.
    pub name: &'static str,
    /// Where it stands in what was translated: `action.input[0]`.
    pub field: String,
    /// What, and what is there instead.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(
        weight: Weight,
        name: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { weight, name, field: field.into(), message: message.into() }
    }

    pub(crate) fn note(name: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Weight::Note, name, field, message)
    }

    pub(crate) fn differs(name: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Weight::Differs, name, field, message)
    }

    pub(crate) fn lost(name: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Weight::Lost, name, field, message)
    }
}

impl Weight {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Differs => "differs",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}: {}", self.weight.as_str(), self.field, self.message)
    }
}

/// What can't be carried over, without what may be left out.
pub fn lost<'a>(findings: &'a [Finding], without: &'a [String]) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(|one| one.weight == Weight::Lost && !without.iter().any(|name| name == one.name))
}
