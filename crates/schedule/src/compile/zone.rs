//! The one zone of a schedule: a field of its own, or what its cron lines agree on.

use super::Compiler;
use crate::cron::Line;
use crate::fault::Piece;
use crate::zone::Zone;

/// The zone of a schedule that names none.
const DEFAULT_ZONE: &str = "UTC";

type Numbered<'a> = (String, Line<'a>);

impl<'a> Compiler<'_> {
    /// `lines` are all cron lines with their paths, also the excluded ones.
    pub(super) fn zone<'b>(&mut self, lines: impl Iterator<Item = &'b Numbered<'a>> + Clone) -> Option<&'static Zone>
    where
        'a: 'b,
    {
        self.check_line_zones(lines.clone());
        let own = self.trigger.timezone.as_deref();
        let of_lines = lines.into_iter().find_map(|(_, line)| line_zone(line)).map(|zone| zone.text);
        match Zone::named(own.or(of_lines).unwrap_or(DEFAULT_ZONE)) {
            Ok(zone) => Some(zone),
            Err(message) if own.is_some() => {
                self.fault("timezone", message);
                None
            }
            // It has been told of the line.
            Err(_) => None,
        }
    }

    /// That each line's zone is known, and none contradicts the schedule's or the first line's.
    fn check_line_zones<'b>(&mut self, lines: impl Iterator<Item = &'b Numbered<'a>> + Clone)
    where
        'a: 'b,
    {
        let own = self.trigger.timezone.as_deref().map(|own| (own, format!("{}.timezone", self.field)));
        let first = lines.clone().find_map(|(path, line)| Some((line_zone(line)?.text, path.clone())));
        let own_is_set = own.is_some();
        let Some((agreed, source)) = own.or(first) else { return };
        for (path, line) in lines {
            match (line, line_zone(line)) {
                (_, Some(zone)) if zone.text != agreed => {
                    let message =
                        format!("zone {} is not \"{agreed}\" as in {source}; a schedule has one zone", zone.quoted());
                    self.faults.0.push(zone.fault(message).in_field(path));
                }
                (_, Some(zone)) => {
                    if let Err(message) = Zone::named(zone.text) {
                        self.faults.0.push(zone.fault(message).in_field(path));
                    }
                }
                (Line::Times(..), None) if !own_is_set => {
                    let message =
                        format!("it has no zone, while {source} has \"{agreed}\"; set timezone for all lines");
                    self.faults.push(path, message);
                }
                _ => {}
            }
        }
    }
}

fn line_zone<'a>(line: &Line<'a>) -> Option<Piece<'a>> {
    if let Line::Times(_, zone) = line { *zone } else { None }
}
