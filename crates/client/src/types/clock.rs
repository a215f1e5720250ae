//! What a schedule's clock shows, as the server counts it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What the clock of a schedule's zone is ahead of UTC, from a time on, by the time-zone data that the server counts with. Each time of an answer
/// has the last one that begins at or before it; an answer of an older server has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The first one begins with the earliest time of the answer.
    pub from: DateTime<Utc>,
    /// Negative where it is behind.
    pub utc_offset_seconds: i32,
}
