//! Pure. A schedule's due times: cron lines, calendars, recurrence rules, intervals and single times, without what is excluded,
//! in their time zone, with jitter and catch-up.
//!
//! It does not know what a definition does, nor what time it is: the time is passed in, as microseconds since the Unix
//! epoch. A *nominal* time is one that the schedule names; the *due* time is the nominal time moved by jitter.
//!
//! Cron lines, calendars and intervals of the local calendar name local times; a due time is every instant at which the
//! clocks of the zone show one of them. So a time that a clock change leaves out is skipped, and one that it repeats is due
//! twice, as Temporal documents it; unless the schedule chooses another policy.

mod business;
mod calendar;
pub mod catchup;
mod clock;
mod closed;
mod compile;
mod cron;
mod explain;
mod fault;
mod identity;
mod interval;
mod jitter;
pub mod limits;
pub mod pace;
mod plan;
mod reach;
mod repeat;
mod roll;
mod rule;
mod zone;

pub use calendar::{CalendarDays, Calendars, compile_calendar};
pub use compile::{warnings, zone_name};
pub use explain::{Asked, Explanation, LeftOut, Moment, explain};
pub use identity::{identity, may_depend_on_identity};
pub use plan::Plan;
pub use zone::{ClockOffset, ZoneFault, clock_offsets, load_zones, tzdata_version};
