//! What is wrong with definitions and calendars, as far as that can be told without a server and without a clock.

use flintwheel_client::convert;
use flintwheel_model::{ActivityDefinition, Violation};
use flintwheel_node::admission::GivenCalendars;

/// All faults: of its fields, of its schedule, with the calendars that stand in the files, and what can't travel.
pub(super) fn check(definition: &ActivityDefinition, calendars: &GivenCalendars) -> Vec<Violation> {
    let mut faults = calendars.admit(definition).err().map_or_else(Vec::new, |faults| faults.0);
    if let Err(more) = convert::definition::to_proto(definition) {
        faults.extend(more.0);
    }
    faults
}
