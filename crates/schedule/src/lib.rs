//! Pure. A schedule's due times: cron lines, intervals and single times, in their time zone, with jitter and catch-up.
//!
//! It does not know what a definition does, nor what time it is: the time is passed in, as microseconds since the Unix
//! epoch. A *nominal* time is one that the schedule names; the *due* time is the nominal time moved by jitter.
//!
//! A cron line means what Temporal documents: a due time is every instant at which the clocks of the zone show what the
//! line asks for. So a time that a clock change leaves out is skipped, and one that it repeats is due twice.

pub mod catchup;
mod compile;
mod cron;
mod fault;
mod interval;
mod jitter;
pub mod limits;
mod plan;
mod zone;

pub use plan::Plan;
pub use zone::TZDATA_VERSION;
