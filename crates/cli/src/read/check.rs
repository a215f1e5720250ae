//! What is wrong with definitions and calendars, as far as that can be told without a server and without a clock.

use flintwheel_client::convert;
use flintwheel_model::{ActivityDefinition, Violation};
use flintwheel_node::admission::{GivenCalendars, SCHEDULE};
use flintwheel_schedule::zone_name;

/// Who has the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// A server: it may have newer time-zone data than this program, and so zones that are not known here.
    Server,
    /// This program: nobody else is asked.
    Here,
}

/// All faults: of its fields, of its schedule, with the calendars that stand in the files, and what can't travel. A schedule whose zone is not known
/// here is the server's to judge, if there is one.
pub(super) fn check(definition: &ActivityDefinition, calendars: &GivenCalendars, judge: Judge) -> Vec<Violation> {
    let mut faults = calendars.admit(definition).err().map_or_else(Vec::new, |faults| faults.0);
    if judge == Judge::Server && !is_zone_known(definition) {
        faults.retain(|fault| !fault.field.starts_with(SCHEDULE));
    }
    if let Err(more) = convert::definition::to_proto(definition) {
        faults.extend(more.0);
    }
    faults
}

fn is_zone_known(definition: &ActivityDefinition) -> bool {
    definition.spec.trigger.schedule.as_ref().is_none_or(|schedule| zone_name(schedule).is_some())
}
