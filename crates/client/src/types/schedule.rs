//! What schedules say: why a time is due or not, and how much comes when.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use flintwheel_model::DefinitionKey;
use serde::{Deserialize, Serialize};

use super::{ClockOffset, Occurrence, Paused};

/// The time that is to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedTime {
    /// An instant.
    Instant(DateTime<Utc>),
    /// What the clocks of the schedule's zone show. They may show it once, twice or never.
    Local(NaiveDateTime),
}

impl FromStr for AskedTime {
    type Err = String;

    /// `2026-11-19T08:00:00Z` is an instant, `2026-11-19T09:00` (with seconds or without; a space will do for the `T`) a local time.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Instant(instant.to_utc()));
        }
        let local = text.replacen(' ', "T", 1);
        let read =
            ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"].iter().find_map(|f| NaiveDateTime::parse_from_str(&local, f).ok());
        read.map(Self::Local).ok_or_else(|| {
            format!(
                "{:?} is no time: an instant is written 2026-11-19T08:00:00Z, a time of the schedule's zone 2026-11-19T09:00",
                flintwheel_model::ids::short(text)
            )
        })
    }
}

/// What a definition's schedule says about a time, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// IANA name of the zone that local times are read in; empty where there is no schedule.
    pub timezone: String,
    /// The instant that was asked about; of a local time those at which clocks show it.
    pub moments: Vec<Moment>,
    /// Where clocks leave the local time out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// The nominal time before it, if there is one within a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<DateTime<Utc>>,
    /// The nominal time after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<DateTime<Utc>>,
    /// The definition's triggers act.
    pub enabled: bool,
    /// Since when it is paused, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Paused>,
    /// The version that is explained.
    pub version: u64,
    /// When it was applied: before, another one counted.
    pub version_since: DateTime<Utc>,
    /// Where the account holds more of it than is looked at: what was decided before is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_to: Option<DateTime<Utc>>,
    /// Of that zone, at all times that are told here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<ClockOffset>,
}

/// What a schedule says about one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Which one.
    pub instant: DateTime<Utc>,
    /// Whether it is a nominal time.
    pub is_nominal: bool,
    /// When it is due, with jitter, if it is a nominal time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// The nominal time that jitter moves to just this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jittered_from: Option<DateTime<Utc>>,
    /// Fields of the definition that name it, whether it is excluded or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_by: Vec<String>,
    /// Fields that exclude it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_by: Vec<String>,
    /// Nominal times on closed days which moved here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_from: Vec<DateTime<Utc>>,
    /// Where it moves, being on a closed day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_to: Option<DateTime<Utc>>,
    /// Clocks show its local time twice, and `dst.fold` counts the other one.
    #[serde(default)]
    pub is_other_of_fold: bool,
    /// It is before `start`.
    #[serde(default)]
    pub before_start: bool,
    /// It is after `end`.
    #[serde(default)]
    pub after_end: bool,
    /// What became of it; none where the account knows nothing of it, or nothing any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occurrences: Vec<Occurrence>,
}

/// A local time that clocks leave out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// When clocks go forward.
    pub change: DateTime<Utc>,
    /// By so many seconds.
    pub forward: u32,
    /// Fields of the definition that name it.
    pub named_by: Vec<String>,
    /// Where `dst.gap` moves it; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_to: Option<DateTime<Utc>>,
}

/// Which due times are to be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueQuery {
    /// Only this one's; empty means all namespaces.
    pub namespace: String,
    /// Only those with these labels; empty means all.
    pub label_selector: String,
    /// From this time on.
    pub from: DateTime<Utc>,
    /// Up to this time, which is not counted.
    pub until: DateTime<Utc>,
    /// Seconds.
    pub step: u32,
    /// For each step, name so many definitions that are due in it and have no jitter.
    pub examples: u32,
}

/// The counts of some definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuePart {
    /// Steps in which something is due, in order.
    pub counts: Vec<DueCount>,
    /// Definitions that were looked at.
    pub definitions: u64,
    /// Ask with it for the next part; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is due in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueCount {
    /// When the step begins.
    pub from: DateTime<Utc>,
    /// Due times.
    pub due: u64,
    /// Of them, those of definitions without jitter: they could be spread.
    pub steady: u64,
    /// Some of those definitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<DefinitionKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_an_offset_and_a_local_time_has_none() {
        let local = |text: &str| AskedTime::Local(text.parse().expect("a time"));
        let instant = |text: &str| AskedTime::Instant(text.parse().expect("a time"));
        for (text, read) in [
            ("2026-11-19T09:00:00Z", Some(instant("2026-11-19T09:00:00Z"))),
            ("2026-11-19T09:00:00+01:00", Some(instant("2026-11-19T08:00:00Z"))),
            ("2026-11-19T09:00:05", Some(local("2026-11-19T09:00:05"))),
            ("2026-11-19T09:00", Some(local("2026-11-19T09:00:00"))),
            ("2026-11-19 09:00", Some(local("2026-11-19T09:00:00"))),
            ("2026-11-19", None),
            ("2026-11-31T09:00", None),
            ("yesterday", None),
        ] {
            assert_eq!(text.parse().ok(), read, "{text}");
        }
    }
}
