//! What a schedule may hold at most, and the span of time that it is read in.

use flintwheel_model::Span;

/// Cron lines in one schedule.
pub const MAX_CRON_LINES: usize = 100;
/// Bytes of one cron line.
pub const MAX_CRON_LINE_BYTES: usize = 1024;
/// Intervals in one schedule.
pub const MAX_INTERVALS: usize = 100;
/// Single times in one schedule.
pub const MAX_SINGLE_TIMES: usize = 1000;
/// The shortest window of a misfire policy: below that, a restart alone would skip due times.
pub const SHORTEST_MISFIRE_WINDOW: Span = Span::from_secs(10);
/// Faults that are told of one cron line; the others are counted.
pub(crate) const MAX_FAULTS_PER_LINE: usize = 8;

/// No due time lies before this one: 1970-01-01T00:00:00Z.
pub const FIRST_TIME: i64 = 0;
/// No due time lies after this one: the last microsecond of the year 2100, UTC.
pub const LAST_TIME: i64 = 4_133_980_800 * 1_000_000 - 1;
