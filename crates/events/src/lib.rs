//! Pure. Which definitions an event matches, and what makes two events the same firing.
//!
//! Knows no shard actor and no wire format: it is handed an event's attributes by name and answers with subscriptions.

mod index;
mod matcher;

pub use index::{Index, Subscription};
pub use matcher::{DueAfter, Matcher};
