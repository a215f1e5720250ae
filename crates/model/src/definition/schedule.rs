//! The schedule of a definition, field for field. What the fields mean, and what they may hold, is the `schedule` crate's
//! business.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calendar_values::{CalendarValue, values};
use crate::duration::Span;
use crate::one_or_many::{OneOrMany, one_or_many};
use crate::pace::Pace;

/// Due times: the union of all cron lines, calendars, rules, intervals and single times, without those that are excluded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTrigger {
    /// Cron lines: 5 fields, 6 (year last) or 7 (second first, year last) in the dialect of Temporal; `@daily` and its
    /// kin, `@every 1h/5m`, `CRON_TZ=`; `L`, `15W`, `5L`, `H`, and ranges that wrap around (`fri-mon`).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub cron: Vec<String>,
    /// How cron lines are read (default: `temporal`).
    #[serde(default, skip_serializing_if = "CronDialect::is_default")]
    pub dialect: CronDialect,
    /// Local times, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<CalendarTimes>")]
    pub calendar: Vec<CalendarTimes>,
    /// Recurrence rules (RFC 5545) with their begin, such as `DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYDAY=MO`; with
    /// `RDATE` and `EXDATE` where single times are added or left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub rrule: Vec<String>,
    /// Every so often: after a length of time, or every few days, weeks, months or years of the local calendar.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<Interval>")]
    pub interval: Vec<Interval>,
    /// Single times, RFC 3339.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<DateTime<Utc>>")]
    pub at: Vec<DateTime<Utc>>,
    /// A delay after each run of another definition that ends. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<After>")]
    pub after: Vec<After>,
    /// Due times that are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<Exclusion>")]
    pub exclude: Vec<Exclusion>,
    /// Calendars by their names: all other days are closed.
    #[serde(default, alias = "onlyOn", skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub only_on: Vec<String>,
    /// What becomes of a local time on a closed day: one that `exclude` names whole, or `only_on` does not name (default:
    /// `skip`).
    #[serde(default, skip_serializing_if = "Roll::is_default")]
    pub roll: Roll,
    /// IANA name of the zone that local times are read in (default: UTC).
    #[serde(default, alias = "timeZone", skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What becomes of local times that a clock change leaves out or repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<DstPolicy>,
    /// Spreads due times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Jitter>,
    /// No due time before this one (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// No due time after this one (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DateTime<Utc>>,
    /// So many of its due times fire, then it is over. Those that are skipped don't count, nor do firings by hand or by
    /// events.
    #[serde(default, alias = "maxFirings", skip_serializing_if = "Option::is_none")]
    pub max_firings: Option<u32>,
    /// What becomes of the definition when its schedule is over: no due time is left, or all of `max_firings` are used up
    /// (default: `keep`).
    #[serde(default, alias = "afterEnd", skip_serializing_if = "AfterEnd::is_default")]
    pub after_end: AfterEnd,
    /// What happens to due times that are met late.
    #[serde(default, alias = "misfirePolicy", skip_serializing_if = "Option::is_none")]
    pub misfire_policy: Option<MisfirePolicy>,
    /// What becomes of a due time while a run of the definition is open (default: `allow_all`, and runs are not watched).
    #[serde(default, alias = "overlapPolicy", skip_serializing_if = "Option::is_none")]
    pub overlap_policy: Option<OverlapPolicy>,
    /// A run that fails or times out, after all its retries, pauses the definition (default: `false`).
    #[serde(default, alias = "pauseOnFailure", skip_serializing_if = "is_false")]
    pub pause_on_failure: bool,
    /// Each run is given the last result, and the last failure, as Temporal's schedules do (default: `false`).
    #[serde(default, alias = "carryLastResult", skip_serializing_if = "is_false")]
    pub carry_last_result: bool,
}

pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

impl ScheduleTrigger {
    /// Whether anything depends on how runs end.
    pub fn watches_runs(&self) -> bool {
        let overlaps = self.overlap_policy.unwrap_or_default() != OverlapPolicy::AllowAll;
        overlaps || self.pause_on_failure || self.carry_last_result
    }
}

/// Due a delay after each run of another definition that ends in a certain way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as {definition: other}")]
pub struct After {
    /// Its id. It is of the same namespace, and another one than this.
    pub definition: String,
    /// Counted from when the run has ended (default: 0s; at most 365d).
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub delay: Span,
    /// How the run must have ended (default: `success`).
    #[serde(default, skip_serializing_if = "RunOutcome::is_default")]
    pub outcome: RunOutcome,
}

/// Under which type a definition listens to the ends of another one's runs. It holds a control character: no event has such a type.
pub fn after_type(definition: &str) -> String {
    format!("{AFTER_TYPE}{definition}")
}

/// The other way; none for the type of an event.
pub fn after_of_type(event_type: &str) -> Option<&str> {
    event_type.strip_prefix(AFTER_TYPE)
}

const AFTER_TYPE: &str = "\u{1}after:";

/// How a run has ended, after all its retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Well.
    #[default]
    Success,
    /// It has failed or timed out.
    Failure,
    /// In any way: it may have been cancelled or terminated, too.
    Any,
}

impl RunOutcome {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Any => "any",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of an occurrence while a run of its definition is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// It is skipped, with that reason.
    Skip,
    /// It waits for the run to end, if none waits already.
    BufferOne,
    /// It waits for the run to end; at most 1,000 do.
    BufferAll,
    /// The run is asked to cancel; when it has ended, the latest that came meanwhile runs.
    CancelOther,
    /// The run is terminated; when it has ended, the latest that came meanwhile runs.
    TerminateOther,
    /// It runs as well.
    #[default]
    AllowAll,
}

impl OverlapPolicy {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Skip, Self::BufferOne, Self::BufferAll, Self::CancelOther, Self::TerminateOther, Self::AllowAll];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::BufferOne => "buffer_one",
            Self::BufferAll => "buffer_all",
            Self::CancelOther => "cancel_other",
            Self::TerminateOther => "terminate_other",
            Self::AllowAll => "allow_all",
        }
    }
}

impl std::str::FromStr for OverlapPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{:?} is no overlap policy; it is one of {all}", crate::ids::short(text))
        })
    }
}

/// How a cron line is read, so that a line copied from elsewhere means what it meant there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CronDialect {
    /// 5, 6 (year last) or 7 (second first, year last) fields; a day must match day of month AND day of week; `#` begins
    /// a comment, wherever it stands.
    #[default]
    Temporal,
    /// 5 fields; where day of month and day of week are both given, a day matches one OR the other; `5#3` is the third
    /// Friday of a month.
    Vixie,
    /// 6 (second first) or 7 (year last) fields; Sunday is 1; one of day of month and day of week is `?`; `6#3` is the
    /// third Friday of a month.
    Quartz,
}

impl CronDialect {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Local times whose fields all match. A field holds a number, a range with a step as in cron (`9-17/2`, `mon-fri`), or
/// `{start, end, step}`, or a list of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as {hour: 9}")]
pub struct CalendarTimes {
    /// 0 to 59 (default: 0; in `exclude`, any).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub second: Vec<String>,
    /// 0 to 59 (default: 0; in `exclude`, any).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub minute: Vec<String>,
    /// 0 to 23 (default: 0; in `exclude`, any).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub hour: Vec<String>,
    /// 1 to 31, or `L`, `L-3`, `15W`, `LW`; `3B`, `LB`, `L-2B` count the open days of the month (default: any).
    #[serde(default, alias = "dayOfMonth", skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub day_of_month: Vec<String>,
    /// 1 to 12, or a name (default: any).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub month: Vec<String>,
    /// 0 to 7, both 0 and 7 are Sunday; or a name, `5L`, `5#3` (default: any).
    #[serde(default, alias = "dayOfWeek", skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub day_of_week: Vec<String>,
    /// 2000 to 2100 (default: any).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "values")]
    #[schemars(with = "OneOrMany<CalendarValue>")]
    pub year: Vec<String>,
    /// For people. At most 200 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// Every so often. Exactly one of `every`, `days`, `weeks`, `months` and `years` is set.
///
/// `every` is a length of time: due times are at `phase` past each multiple of it, counted from the Unix epoch or
/// `anchor`, whatever the zone. The others follow the local calendar: `{months: 1, anchor: 2026-01-31T09:00}` is 09:00 of
/// the 31st, or of the last day of a month that is shorter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as {every: 1h}")]
pub struct Interval {
    /// At least one second, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// So many days of the local calendar; 1 to 36600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// So many weeks; without an anchor they begin on Mondays. 1 to 5200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weeks: Option<u32>,
    /// So many months; 1 to 1200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months: Option<u32>,
    /// So many years; 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<u32>,
    /// Added to each; less than the interval (default: 0s).
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub phase: Span,
    /// What is counted from, in both directions. With `every`: RFC 3339 (default: the Unix epoch). Else a local date or
    /// time, such as `2026-01-31` or `2026-01-31T09:00` (default: the begin of a day, Monday, month or year).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
}

impl Interval {
    /// Of a length of time, counted from the Unix epoch.
    pub fn every(every: Span, phase: Span) -> Self {
        Self { every: Some(every), phase, ..Self::default() }
    }
}

/// Due times that are none: the union of what stands in it. What a calendar or a cron line leaves out means any: a
/// calendar of day and month excludes the whole day, a line of five fields each second of its minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a map such as {dates: 2026-12-24}")]
pub struct Exclusion {
    /// Calendars by their names: their days.
    #[serde(default, alias = "calendarName", skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub calendar_name: Vec<String>,
    /// Local days: `2026-12-24`, or `2026-12-24/2027-01-06` with both ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub dates: Vec<String>,
    /// Cron lines, in the schedule's dialect.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub cron: Vec<String>,
    /// Local times, field by field.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<CalendarTimes>")]
    pub calendar: Vec<CalendarTimes>,
    /// Recurrence rules, as beside `cron`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<String>")]
    pub rrule: Vec<String>,
    /// The times of an interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<Interval>")]
    pub interval: Vec<Interval>,
    /// Single times, RFC 3339.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<DateTime<Utc>>")]
    pub at: Vec<DateTime<Utc>>,
}

/// What becomes of a local time on a closed day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Roll {
    /// Nothing is due.
    #[default]
    Skip,
    /// It is due on the next open day.
    Next,
    /// It is due on the open day before.
    Previous,
    /// It is due on the open day that is nearest, of two as near on the later one.
    Nearest,
}

impl Roll {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl ScheduleTrigger {
    /// The calendars that it names; one may be named twice.
    pub fn calendar_names(&self) -> impl Iterator<Item = &str> {
        let excluded = self.exclude.iter().flat_map(|exclusion| &exclusion.calendar_name);
        excluded.chain(&self.only_on).map(String::as_str)
    }
}

/// What becomes of local times when clocks change. Without it a local time is a literal one: what is left out is skipped,
/// what comes twice is due twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DstPolicy {
    /// A local time that is left out, as clocks go forward.
    #[serde(default)]
    pub gap: Gap,
    /// A local time that comes twice, as clocks go back.
    #[serde(default)]
    pub fold: Fold,
}

/// What becomes of a local time that is left out, as clocks go forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Nothing is due.
    #[default]
    Skip,
    /// It is due as much later as clocks go forward: 02:30 at 03:30.
    Shift,
    /// It is due when clocks go forward: 02:30 at 03:00.
    AtEnd,
}

/// What becomes of a local time that comes twice, as clocks go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Due the first time only.
    First,
    /// Due the second time only.
    Last,
    /// Due twice.
    #[default]
    Both,
}

/// Spreads due times over a window, so that a thousand definitions of 09:00 don't start at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jitter {
    /// The latest that a due time is moved to; never past the one that follows it. At most 365d.
    pub window: Span,
    /// How the offset is chosen.
    #[serde(default)]
    pub mode: JitterMode,
}

/// How a jitter offset is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JitterMode {
    /// Another offset for each due time, a pure function of definition and nominal time.
    #[default]
    PerFiring,
    /// One offset for the definition.
    Stable,
    /// One offset for the definition, chosen when it is created: where the engine sees least due.
    Auto,
}

/// What becomes of a definition when its schedule is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterEnd {
    /// It stays: events and hands still fire it.
    #[default]
    Keep,
    /// It is disabled: only hands still fire it.
    Disable,
    /// It is deleted.
    Delete,
}

impl AfterEnd {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to due times that are met late: after downtime, a pause, or an outage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MisfirePolicy {
    /// Which of the late ones fire.
    #[serde(default)]
    pub mode: MisfireMode,
    /// Later than this, none fires (default: 365d; at least 10s).
    #[serde(default = "MisfirePolicy::default_window")]
    pub window: Span,
    /// Late ones fire no faster than this, such as `1/s` (default: no faster than the server lets a namespace catch up).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What becomes of due times that passed in a pause, unless who resumes says otherwise (default: `drop`).
    #[serde(default, alias = "onResume", skip_serializing_if = "OnResume::is_default")]
    pub on_resume: OnResume,
}

impl Default for MisfirePolicy {
    fn default() -> Self {
        Self { mode: MisfireMode::All, window: Self::default_window(), pace: None, on_resume: OnResume::Drop }
    }
}

impl MisfirePolicy {
    fn default_window() -> Span {
        Span::from_secs(365 * 86_400)
    }
}

/// Which late due times fire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MisfireMode {
    /// Each of them, oldest first.
    #[default]
    All,
    /// The latest only; the others are skipped, with that reason.
    Latest,
    /// None; each is skipped, with that reason.
    None,
}

/// What becomes of due times that passed in a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnResume {
    /// They are skipped, with that reason.
    #[default]
    Drop,
    /// The latest fires; the others are skipped.
    Latest,
    /// Each fires, oldest first.
    All,
}

impl OnResume {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Latest, Self::All];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Latest => "latest",
            Self::All => "all",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl std::str::FromStr for OnResume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{:?} says nothing of missed due times; it is one of {all}", crate::ids::short(text))
        })
    }
}
