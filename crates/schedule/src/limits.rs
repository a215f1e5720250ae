//! What a schedule may hold at most, and the span of time that it is read in.

use flintwheel_model::Span;

/// Cron lines in one schedule.
pub const MAX_CRON_LINES: usize = 100;
/// Bytes of one cron line.
pub const MAX_CRON_LINE_BYTES: usize = 1024;
/// Calendars in one schedule.
pub const MAX_CALENDARS: usize = 100;
/// Bytes of a calendar's comment, as in Temporal.
pub const MAX_CALENDAR_COMMENT_BYTES: usize = 200;
/// Intervals in one schedule.
pub const MAX_INTERVALS: usize = 100;
/// Recurrence rules in one schedule.
pub const MAX_RULES: usize = 20;
/// Bytes of one recurrence rule, with its single times.
pub const MAX_RULE_BYTES: usize = 16 * 1024;
/// Times in all `RDATE` of a rule, and in all its `EXDATE`.
pub const MAX_RULE_DATES: usize = 500;
/// The largest `COUNT`: it is counted out when the rule is read, which takes about a millisecond.
pub const MAX_RULE_COUNT: u32 = 10_000;
/// The largest `INTERVAL`: eleven days in seconds.
pub const MAX_RULE_INTERVAL: i64 = 1_000_000;
/// How many hours, minutes or seconds of a rule are looked at in vain before it counts as over: a millisecond of work.
pub(crate) const MAX_RULE_SLOTS: u32 = 40_000;
/// Single times in one schedule.
pub const MAX_SINGLE_TIMES: usize = 1000;
/// Entries in `exclude` of one schedule.
pub const MAX_EXCLUSIONS: usize = 100;
/// Cron lines and calendars in all of `exclude` of one schedule; not more, as sets of them are bits of one number.
pub const MAX_EXCLUDED_FIELDS: usize = 64;
/// Intervals and recurrence rules in all of `exclude` of one schedule.
pub const MAX_EXCLUDED_INTERVALS: usize = 16;
/// Dates and single times in all of `exclude` of one schedule, each.
pub const MAX_EXCLUDED_DATES: usize = 1000;
/// How many times in a row may be excluded one by one before a schedule counts as over: some milliseconds of work.
pub const MAX_EXCLUDED_TIMES: u32 = 20_000;
/// Steps of the search for one due time among what is excluded, for all entries together: some milliseconds of work. A step is a minute that is looked
/// into, on days of which several exclusions name a part; to ask an entry for its next time takes 30.
pub const MAX_STEPS: u32 = 200_000;
/// The shortest window of a misfire policy: below that, a restart alone would skip due times.
pub const SHORTEST_MISFIRE_WINDOW: Span = Span::from_secs(10);
/// The longest window of jitter: a due time never moves past the one that follows, and the last one by no more than a year.
pub const MAX_JITTER: Span = Span::from_secs(365 * 86_400);
/// Faults that are told of one cron line; the others are counted.
pub(crate) const MAX_FAULTS_PER_LINE: usize = 8;

/// Calendars that a schedule excludes, and those that it keeps to.
pub const MAX_NAMED_CALENDARS: usize = 16;
/// Dates and ranges of one calendar, with those of its file's events and of the calendars that it refers to.
pub const MAX_CALENDAR_DATES: usize = 20_000;
/// Calendars that one refers to, within each other, itself included.
pub const MAX_CALENDAR_DEPTH: usize = 8;
/// Calendars that one refers to, in all.
pub const MAX_CALENDAR_PARTS: usize = 64;
/// Bytes of an iCalendar file.
pub const MAX_ICAL_BYTES: usize = 192 * 1024;
/// Events of an iCalendar file.
pub const MAX_ICAL_EVENTS: usize = 2_000;

/// No due time lies before this one: 1970-01-01T00:00:00Z.
pub const FIRST_TIME: i64 = 0;
/// No due time lies after this one: the last microsecond of the year 2100, UTC.
pub const LAST_TIME: i64 = 4_133_980_800 * 1_000_000 - 1;
/// No clock shows anything later before the last due time has passed: the end of 2100, and a day for zones ahead of UTC.
pub(crate) const LAST_LOCAL: i64 = LAST_TIME / 1_000_000 + 86_400;
