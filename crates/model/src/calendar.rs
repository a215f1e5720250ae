//! A calendar: days by a name, for all schedules of its namespace that exclude them or keep to them. What its fields mean,
//! and what they may hold, is the `schedule` crate's business.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::definition::Metadata;
use crate::one_or_many::{OneOrMany, one_or_many};

/// The `kind` of a calendar.
pub const KIND: &str = "Calendar";

/// Days by a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Always `flintwheel.dev/v1`.
    #[serde(rename = "apiVersion", alias = "api_version")]
    pub api_version: String,
    /// Always `Calendar`.
    pub kind: String,
    /// Who it is. Schedules name it by its id.
    pub metadata: Metadata,
    /// Which days.
    pub spec: CalendarSpec,
}

/// The days of a calendar: the union of all that stands in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// Days of each week: names or ranges, such as `sat` or `sat-sun`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub weekdays: Vec<String>,
    /// `2026-12-24`, a range with both ends `2026-12-24/2027-01-06`, or a day of each year `12-25`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub dates: Vec<String>,
    /// The text of an iCalendar file (RFC 5545): the days of its events, which are of whole days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ical: Option<String>,
    /// Other calendars of the namespace, whose days are its days too.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub calendars: Vec<String>,
}
