//! From what the user wrote to a plan, or to all that is wrong with it.

use chrono::{DateTime, Utc};
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_model::{Violation, Violations};

use crate::cron::{Cron, Line};
use crate::fault::Piece;
use crate::interval::{Every, IntervalFault};
use crate::jitter::Spread;
use crate::limits::{FIRST_TIME, LAST_TIME, MAX_CRON_LINES, MAX_INTERVALS, MAX_SINGLE_TIMES, SHORTEST_MISFIRE_WINDOW};
use crate::plan::Plan;
use crate::zone::Zone;

/// The zone of a schedule that names none.
const DEFAULT_ZONE: &str = "UTC";

impl Plan {
    /// Reads a schedule. `field` is its path, such as `spec.trigger.schedule`, which all paths of faults begin with.
    ///
    /// # Errors
    /// All that is wrong with it; also when it can't ever fire.
    pub fn compile(trigger: &ScheduleTrigger, field: &str) -> Result<Self, Violations> {
        let mut compiler = Compiler { field, trigger, faults: Violations::default() };
        let lines = compiler.lines();
        let zone = compiler.zone(&lines);
        let mut intervals = compiler.intervals();
        intervals.extend(
            lines.iter().filter_map(|(_, line)| if let Line::Every(every) = line { Some(*every) } else { None }),
        );
        let singles = compiler.singles();
        let (first, last) = compiler.bounds();
        compiler.check_misfire_policy();
        let Some(zone) = zone else { return Err(compiler.faults) };
        compiler.check_clock_changes(&lines, zone);
        let crons = lines.iter().filter_map(|(_, line)| times(line)).copied().collect();
        let plan = Self {
            crons: distinct(crons),
            intervals: distinct(intervals),
            singles: distinct(singles),
            zone,
            first,
            last,
            spread: trigger.jitter.filter(|jitter| !jitter.window.is_zero()).map(Spread::new),
        };
        compiler.check_that_it_fires(&plan);
        compiler.faults.into_result().map(|()| plan)
    }
}

fn times<'a>(line: &'a Line) -> Option<&'a Cron> {
    if let Line::Times(cron, _) = line { Some(cron) } else { None }
}

fn distinct<T: Ord>(mut items: Vec<T>) -> Box<[T]> {
    items.sort_unstable();
    items.dedup();
    items.into()
}

struct Compiler<'a> {
    field: &'a str,
    trigger: &'a ScheduleTrigger,
    faults: Violations,
}

impl<'a> Compiler<'a> {
    fn fault(&mut self, field: &str, message: String) {
        self.faults.push(format!("{}.{field}", self.field), message);
    }

    fn fault_in_line(&mut self, line: usize, part: Piece, message: String) {
        self.faults.0.push(part.fault(message).in_field(&format!("{}.cron[{line}]", self.field)));
    }

    /// Whether a list is not too long; a longer one is not looked into.
    fn fits(&mut self, field: &str, len: usize, max: usize) -> bool {
        if len > max {
            self.fault(field, format!("{len} entries are too many; at most {max} are allowed"));
        }
        len <= max
    }

    /// The cron lines that can be read, with their numbers.
    fn lines(&mut self) -> Vec<(usize, Line<'a>)> {
        let mut lines = Vec::new();
        if !self.fits("cron", self.trigger.cron.len(), MAX_CRON_LINES) {
            return lines;
        }
        for (number, text) in self.trigger.cron.iter().enumerate() {
            match Line::parse(text) {
                Ok(line) => lines.push((number, line)),
                Err(faults) => {
                    let field = format!("{}.cron[{number}]", self.field);
                    self.faults.0.extend(faults.into_iter().map(|fault| fault.in_field(&field)));
                }
            }
        }
        lines
    }

    /// The one zone of the schedule: a field of its own, or what the cron lines agree on.
    fn zone(&mut self, lines: &[(usize, Line)]) -> Option<&'static Zone> {
        self.check_line_zones(lines);
        let own = self.trigger.timezone.as_deref();
        let of_lines = lines.iter().find_map(|(_, line)| line_zone(line)).map(|zone| zone.text);
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
    fn check_line_zones(&mut self, lines: &[(usize, Line)]) {
        let own = self.trigger.timezone.as_deref().map(|own| (own, format!("{}.timezone", self.field)));
        let mut of_lines = lines.iter().filter_map(|(number, line)| Some((*number, line_zone(line)?)));
        let first = of_lines.next().map(|(number, zone)| (zone.text, format!("{}.cron[{number}]", self.field)));
        let own_is_set = own.is_some();
        let Some((agreed, source)) = own.or(first) else { return };
        for (number, line) in lines {
            match (line, line_zone(line)) {
                (_, Some(zone)) if zone.text != agreed => {
                    let message =
                        format!("zone {} is not \"{agreed}\" as in {source}; a schedule has one zone", zone.quoted());
                    self.fault_in_line(*number, zone, message);
                }
                (_, Some(zone)) => {
                    if let Err(message) = Zone::named(zone.text) {
                        self.fault_in_line(*number, zone, message);
                    }
                }
                (Line::Times(..), None) if !own_is_set => {
                    let message =
                        format!("it has no zone, while {source} has \"{agreed}\"; set timezone for all lines");
                    self.fault(&format!("cron[{number}]"), message);
                }
                _ => {}
            }
        }
    }

    fn intervals(&mut self) -> Vec<Every> {
        let mut intervals = Vec::new();
        if !self.fits("interval", self.trigger.interval.len(), MAX_INTERVALS) {
            return intervals;
        }
        for (number, interval) in self.trigger.interval.iter().enumerate() {
            match Every::new(*interval) {
                Ok(every) => intervals.push(every),
                Err(faults) => faults.into_iter().for_each(|fault| match fault {
                    IntervalFault::Every(message) => self.fault(&format!("interval[{number}].every"), message),
                    IntervalFault::Phase(message) => self.fault(&format!("interval[{number}].phase"), message),
                }),
            }
        }
        intervals
    }

    fn singles(&mut self) -> Vec<i64> {
        let at = &self.trigger.at;
        if !self.fits("at", at.len(), MAX_SINGLE_TIMES) {
            return Vec::new();
        }
        for (number, time) in at.iter().enumerate() {
            if time.timestamp_subsec_nanos() % 1_000 != 0 {
                self.fault(&format!("at[{number}]"), format!("{} is finer than a microsecond", shown(time)));
            }
            if !(FIRST_TIME..=LAST_TIME).contains(&time.timestamp_micros()) {
                self.fault(&format!("at[{number}]"), format!("{} is not in the years 1970-2100", shown(time)));
            }
        }
        at.iter().map(DateTime::timestamp_micros).collect()
    }

    /// First and last nominal time that the schedule allows.
    fn bounds(&mut self) -> (i64, i64) {
        let (start, end) = (self.trigger.start, self.trigger.end);
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            self.fault("end", format!("{} is before start {}", shown(&end), shown(&start)));
        }
        let first = start.map_or(FIRST_TIME, |start| first_micros_from(start).max(FIRST_TIME));
        let last = end.map_or(LAST_TIME, |end| end.timestamp_micros().min(LAST_TIME));
        (first, last)
    }

    fn check_misfire_policy(&mut self) {
        if let Some(policy) = self.trigger.misfire_policy
            && policy.window < SHORTEST_MISFIRE_WINDOW
        {
            let message = format!("window \"{}\" is below {SHORTEST_MISFIRE_WINDOW}", policy.window);
            self.fault("misfire_policy.window", message);
        }
    }

    /// A line that names nothing but local times that its zone leaves out.
    fn check_clock_changes(&mut self, lines: &[(usize, Line)], zone: &Zone) {
        for (number, line) in lines {
            let never = |cron: &Cron| cron.first_instant(zone.spans_from(FIRST_TIME), FIRST_TIME).is_none();
            if times(line).is_some_and(never) {
                let message =
                    format!("it never fires: clock changes in {} leave out all its times until 2100", zone.name());
                self.fault(&format!("cron[{number}]"), message);
            }
        }
    }

    /// Asked only when nothing else is wrong: a schedule that can't ever fire is a mistake.
    fn check_that_it_fires(&mut self, plan: &Plan) {
        if !self.faults.0.is_empty() || plan.next(plan.first - 1).is_some() {
            return;
        }
        let trigger = self.trigger;
        let message = if trigger.cron.is_empty() && trigger.interval.is_empty() && trigger.at.is_empty() {
            "it has neither cron nor interval nor at; leave the schedule out to run by hand or by events only"
                .to_owned()
        } else {
            let bound = |time: Option<DateTime<Utc>>, none: &str| time.map_or(none.to_owned(), |time| shown(&time));
            let (from, to) = (bound(trigger.start, "1970"), bound(trigger.end, "2100"));
            format!("it never fires: no due time lies in its bounds, from {from} to {to}")
        };
        self.faults.0.push(Violation::new(self.field, message));
    }
}

fn line_zone<'a>(line: &Line<'a>) -> Option<Piece<'a>> {
    if let Line::Times(_, zone) = line { *zone } else { None }
}

/// The first whole microsecond that is not before a time.
fn first_micros_from(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros() + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1_000))
}

fn shown(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
