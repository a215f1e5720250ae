//! The one zone of a schedule: a field of its own, or what its cron lines and rules agree on.

use flintwheel_model::Violations;
use flintwheel_model::definition::ScheduleTrigger;

use super::kinds::{Kinds, Named};
use super::{Compiler, reading};
use crate::cron::Line;
use crate::fault::{Piece, quoted};
use crate::zone::Zone;

/// The zone of a schedule that names none.
const DEFAULT_ZONE: &str = "UTC";

/// A text whose times are read in a zone: its path, and the zone that it names itself, with where it does.
struct Told<'a> {
    path: &'a str,
    zone: Option<(&'a str, Piece<'a>)>,
}

/// The IANA name of the zone that a schedule's local times are read in, whatever else is wrong with it; `None` where it is not known, or the
/// schedule's texts don't agree.
pub fn zone_name(trigger: &ScheduleTrigger) -> Option<&'static str> {
    if let Some(own) = &trigger.timezone {
        return Zone::named(own).ok().map(Zone::name);
    }
    // Neither a path nor an identity nor days make a zone another one.
    let mut compiler = Compiler { field: "", trigger, calendars: &|_| None, faults: Violations::default() };
    let named = compiler.named(&Kinds::of_schedule(trigger, ""), reading(trigger, 0, false));
    let excluded = compiler.excluded(reading(trigger, 0, true));
    compiler.zone([&named, &excluded.named]).map(Zone::name)
}

impl Compiler<'_> {
    /// `named` is all that has texts, also what is excluded.
    pub(super) fn zone(&mut self, named: [&Named; 2]) -> Option<&'static Zone> {
        let told: Vec<Told> = named.into_iter().flat_map(texts).collect();
        self.check_zones(&told);
        let own = self.trigger.timezone.as_deref();
        let of_texts = told.iter().find_map(|text| text.zone).map(|(name, _)| name);
        match Zone::named(own.or(of_texts).unwrap_or(DEFAULT_ZONE)) {
            Ok(zone) => Some(zone),
            Err(message) if own.is_some() => {
                self.fault("timezone", message);
                None
            }
            // It has been told of the text.
            Err(_) => None,
        }
    }

    /// That each text's zone is known, and none contradicts the schedule's or the first text's.
    fn check_zones(&mut self, told: &[Told]) {
        let own = self.trigger.timezone.as_deref().map(|own| (own, format!("{}.timezone", self.field)));
        let first = told.iter().find_map(|text| Some((text.zone?.0, text.path.to_owned())));
        let own_is_set = own.is_some();
        let Some((agreed, source)) = own.or(first) else { return };
        for Told { path, zone } in told {
            match zone {
                Some((name, piece)) if *name != agreed => {
                    let message =
                        format!("zone {} is not \"{agreed}\" as in {source}; a schedule has one zone", quoted(name));
                    self.faults.0.push(piece.fault(message).in_field(path));
                }
                Some((name, piece)) => {
                    if let Err(message) = Zone::named(name) {
                        self.faults.0.push(piece.fault(message).in_field(path));
                    }
                }
                None if !own_is_set => {
                    let message =
                        format!("it has no zone, while {source} has \"{agreed}\"; set timezone for all of them");
                    self.faults.push(*path, message);
                }
                None => {}
            }
        }
    }
}

fn texts<'a>(named: &'a Named<'a>) -> impl Iterator<Item = Told<'a>> {
    let lines = named.lines.iter().filter_map(|(path, line)| match line {
        Line::Times(_, zone) => Some(Told { path, zone: zone.map(|zone| (zone.text, zone)) }),
        Line::Every(_) => None,
    });
    lines.chain(named.rules.iter().map(|(path, rule)| Told { path, zone: rule.zone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_the_zone_of_its_field_or_of_its_texts() {
        let cron = |line: &str| ScheduleTrigger { cron: vec![line.to_owned()], ..ScheduleTrigger::default() };
        let in_zone = |zone: &str| ScheduleTrigger { timezone: Some(zone.to_owned()), ..cron("0 9 * * *") };
        let rule = "DTSTART;TZID=Europe/Paris:20260101T090000\nRRULE:FREQ=DAILY".to_owned();
        for (trigger, expected) in [
            (ScheduleTrigger::default(), Some("UTC")),
            (cron("0 9 * * *"), Some("UTC")),
            (cron("@every 5m"), Some("UTC")),
            (in_zone("Europe/Berlin"), Some("Europe/Berlin")),
            (cron("CRON_TZ=Asia/Tokyo 0 9 * * *"), Some("Asia/Tokyo")),
            (ScheduleTrigger { rrule: vec![rule], ..ScheduleTrigger::default() }, Some("Europe/Paris")),
            (in_zone("Mars/Base"), None),
            (cron("CRON_TZ=Mars/Base 0 9 * * *"), None),
        ] {
            assert_eq!(zone_name(&trigger), expected, "{trigger:?}");
        }
    }
}
