//! Schedules and times as tests write them.
#![allow(dead_code, reason = "each test uses a part")]

pub mod lines;
pub mod times;

use chrono::{DateTime, SecondsFormat};
use flintwheel_model::definition::ScheduleTrigger;

/// Where a schedule stands in a definition.
pub const FIELD: &str = "spec.trigger.schedule";

/// A schedule of cron lines.
pub fn schedule<'a>(lines: impl IntoIterator<Item = &'a str>) -> ScheduleTrigger {
    ScheduleTrigger { cron: lines.into_iter().map(str::to_owned).collect(), ..ScheduleTrigger::default() }
}

/// RFC 3339 as microseconds since the Unix epoch.
pub fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|error| panic!("{text}: {error}")).timestamp_micros()
}

/// Microseconds since the Unix epoch as RFC 3339.
pub fn rfc3339(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).expect("a time").to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
