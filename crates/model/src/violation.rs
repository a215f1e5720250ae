//! What is wrong with a user's input: one entry per field, all of them at once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One fault in one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Path from the root of the resource, such as `spec.trigger.schedule.cron[0]`.
    pub field: String,
    /// What is wrong, with the value, and what is allowed: `hour "25" is not in 0-23`.
    pub message: String,
    /// Which part of the field's text is meant, as byte offsets, where it is not the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<(usize, usize)>,
}

impl Violation {
    /// The whole field is meant.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), part: None }
    }

    /// Narrows it to a part of the field's text (byte offsets).
    #[must_use]
    pub fn at(mut self, start: usize, end: usize) -> Self {
        self.part = Some((start, end));
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // Without a field it is the whole that is meant.
        let separator = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{}{separator}{}", self.field, self.message)
    }
}

/// All faults of one resource; an error only when there is at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    /// Adds one.
    pub fn push(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation::new(field, message));
    }

    /// `Ok` when there is none.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (i, violation) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
