//! The one zone of a schedule: a field of its own, or what its cron lines and rules agree on.

use super::Compiler;
use super::kinds::Named;
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
