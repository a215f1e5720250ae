//! A stored calendar, how it stands, and what became of a call that changed it.

use chrono::{DateTime, Utc};
use flintwheel_model::{Calendar, DefinitionKey};
use serde::{Deserialize, Serialize};

use super::ApplyOutcome;

/// A stored calendar, and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalendarRecord {
    /// As it was applied.
    #[serde(flatten)]
    pub calendar: Calendar,
    /// How it stands.
    pub status: CalendarStatus,
}

/// How a stored calendar stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarStatus {
    /// Grows by one with each change of the calendar.
    pub version: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When the current version was applied.
    pub updated_at: DateTime<Utc>,
    /// Definitions that name it.
    pub definitions: u64,
    /// Calendars of the namespace that refer to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referred_by: Vec<String>,
    /// Its last change, or that it goes, is not everywhere yet.
    pub spreading: bool,
}

/// What became of an applied calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarApplied {
    /// Created, configured or unchanged.
    pub outcome: ApplyOutcome,
    /// The version before; 0 if there was none.
    pub old_version: u64,
    /// The version now (or as it would be).
    pub new_version: u64,
    /// Definitions that use it, or a calendar that refers to it.
    pub definitions: u64,
    /// Of them, those whose next due time has moved, or would.
    pub moved: u64,
    /// Where nothing was changed: the first of those that would move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<DueMove>,
}

/// A definition whose next due time would be another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DueMove {
    /// Which one.
    #[serde(flatten)]
    pub definition: DefinitionKey,
    /// When it is due next; none where nothing is to come.
    pub before: Option<DateTime<Utc>>,
    /// When it would be.
    pub after: Option<DateTime<Utc>>,
}
