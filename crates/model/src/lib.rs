//! Pure. What Flintwheel talks about: activity definitions, triggers, events, firings, their ids, and what is wrong with them.
//!
//! Everything here is data and rules over data: no clock, no I/O, no runtime. Cron text is only carried here; what it
//! means is the `schedule` crate's business, and which event matches which definition is the `events` crate's.

pub mod base64;
pub mod calendar;
pub mod calendar_values;
pub mod definition;
pub mod duration;
pub mod event;
pub mod expected;
pub mod expression;
pub mod fields;
pub mod firing;
pub mod ids;
pub mod limits;
pub mod near;
pub mod one_or_many;
pub mod pace;
pub mod run;
pub mod schema;
pub mod template;
pub mod validate;
pub mod violation;

pub use calendar::Calendar;
pub use definition::ActivityDefinition;
pub use duration::Span;
pub use event::Event;
pub use ids::{DefinitionKey, FiringKey};
pub use pace::Pace;
pub use violation::{Violation, Violations};
