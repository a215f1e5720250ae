//! What calendars that are given mean for a namespace: their days, and those of all calendars that refer to them; or what is wrong with that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flintwheel_model::calendar::{Calendar, CalendarSpec};
use flintwheel_model::validate::check_calendar;
use flintwheel_model::{Violation, Violations, limits};
use flintwheel_raft::Group;
use flintwheel_schedule::{CalendarDays, compile_calendar};
use flintwheel_shard::calendars::document;
use flintwheel_shard::{Machine, ReadError};

use super::no_such;
use crate::error::EngineError;

/// See the module.
#[derive(Debug, Default)]
pub struct Planned {
    /// The newest revision at home, by which all this was found.
    pub truth: u64,
    /// The days of what was given, and of what refers to it, by name.
    pub days: BTreeMap<String, CalendarDays>,
    /// Names that refer to what was given, at whatever distance.
    pub touched: Vec<String>,
}

/// A calendar's head, as far as it is needed here.
struct Other {
    refers: Vec<String>,
    bytes: u64,
}

/// The calendars of a namespace at its home, read as they are needed.
struct Shelf<'a> {
    group: &'a Group<Machine>,
    namespace: &'a str,
    others: BTreeMap<String, Other>,
    specs: BTreeMap<String, CalendarSpec>,
}

/// Looks at calendars of one namespace, given to its home: `Ok(Err(_))` says what is wrong with them, by their place among those given.
/// Reads documents, and may take some ten milliseconds.
pub fn plan(
    group: &Group<Machine>,
    namespace: &str,
    given: &[Calendar],
) -> Result<Result<Planned, (usize, Violations)>, EngineError> {
    let (truth, others) = group.read(|machine, _| {
        let calendars = machine.calendars();
        let staying = calendars.homes_of(namespace).filter(|(_, head)| head.leaving.is_none());
        let other = |(name, head): (&str, &flintwheel_shard::calendars::Head)| {
            (name.to_owned(), Other { refers: head.refers.clone(), bytes: head.bytes.into() })
        };
        (calendars.truth(), staying.map(other).collect())
    })?;
    let mut shelf = Shelf { group, namespace, others, specs: BTreeMap::new() };
    for (place, calendar) in given.iter().enumerate() {
        if let Err(faults) = shelf.add(calendar, given) {
            return Ok(Err((place, faults)));
        }
    }
    if let Err(faults) = shelf.check_room() {
        return Ok(Err((given.len().saturating_sub(1), faults)));
    }
    let names: Vec<&str> = given.iter().map(|calendar| calendar.metadata.id.as_str()).collect();
    let touched = shelf.touched(&names);
    shelf.load(names.iter().copied().chain(touched.iter().map(String::as_str)))?;
    let mut days = BTreeMap::new();
    for (place, name) in names.iter().enumerate() {
        match shelf.compile(name) {
            Ok(found) => _ = days.insert((*name).to_owned(), found),
            Err(faults) => return Ok(Err((place, faults))),
        }
    }
    for name in &touched {
        match shelf.compile(name) {
            Ok(found) => _ = days.insert(name.clone(), found),
            Err(faults) => {
                let why = format!("calendar {name:?} refers to it, and would be at fault: {faults}");
                return Ok(Err((0, Violations(vec![Violation::new("spec", why)]))));
            }
        }
    }
    Ok(Ok(Planned { truth, days, touched }))
}

/// The days of a calendar at its home, as it stands there.
pub fn days_of(group: &Group<Machine>, namespace: &str, name: &str) -> Result<Result<Bytes, Violations>, EngineError> {
    let mut shelf = Shelf { group, namespace, others: BTreeMap::new(), specs: BTreeMap::new() };
    shelf.load([name])?;
    Ok(shelf.compile(name).map(|days| days.encode().into()))
}

impl Shelf<'_> {
    /// Puts a given calendar on the shelf, in the place of the one that was there.
    fn add(&mut self, calendar: &Calendar, given: &[Calendar]) -> Result<(), Violations> {
        let mut faults = check_calendar(calendar);
        let known: BTreeSet<&str> = given.iter().map(|other| other.metadata.id.as_str()).collect();
        let known: BTreeSet<&str> = self.others.keys().map(String::as_str).chain(known).collect();
        for (place, name) in calendar.spec.calendars.iter().enumerate() {
            if !known.contains(name.as_str()) {
                let names: Vec<&str> = known.iter().copied().filter(|known| *known != calendar.metadata.id).collect();
                faults.push(format!("spec.calendars[{place}]"), no_such(name, self.namespace, &names));
            }
        }
        faults.into_result()?;
        let bytes = serde_json::to_vec(calendar).map_or(0, |json| json.len()) as u64;
        let (name, refers) = (calendar.metadata.id.clone(), calendar.spec.calendars.clone());
        self.others.insert(name.clone(), Other { refers, bytes });
        self.specs.insert(name, calendar.spec.clone());
        Ok(())
    }

    fn check_room(&self) -> Result<(), Violations> {
        let (count, bytes) = (self.others.len(), self.others.values().map(|other| other.bytes).sum::<u64>());
        let mut faults = Violations::default();
        if count > limits::CALENDARS {
            faults.push(
                "metadata.id",
                format!("namespace {} would have {count} calendars; at most {}", self.namespace, limits::CALENDARS),
            );
        }
        if bytes > limits::CALENDARS_BYTES as u64 {
            let most = limits::CALENDARS_BYTES;
            faults.push(
                "",
                format!("all calendars of namespace {} would have {bytes} bytes; at most {most}", self.namespace),
            );
        }
        faults.into_result()
    }

    /// Names that refer to these, at whatever distance; without these.
    fn touched(&self, names: &[&str]) -> Vec<String> {
        let mut reached: BTreeSet<&str> = names.iter().copied().collect();
        loop {
            let refers = |other: &Other| other.refers.iter().any(|name| reached.contains(name.as_str()));
            let more: Vec<&str> = self
                .others
                .iter()
                .filter(|(name, other)| !reached.contains(name.as_str()) && refers(other))
                .map(|(name, _)| name.as_str())
                .collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        reached.into_iter().filter(|name| !names.contains(name)).map(str::to_owned).collect()
    }

    /// Reads what is needed to compile these, and is not on the shelf.
    fn load<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> Result<(), EngineError> {
        let mut wanted: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let state = self.group.state();
        while let Some(name) = wanted.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if !self.specs.contains_key(&name) {
                let Some(text) = document(&state, self.namespace, &name)? else { continue };
                let read = |e: serde_json::Error| ReadError(format!("calendar {}/{name}: {e}", self.namespace));
                let calendar: Calendar = serde_json::from_slice(&text).map_err(read)?;
                self.specs.insert(name.clone(), calendar.spec);
            }
            wanted.extend(self.specs[&name].calendars.iter().cloned());
        }
        Ok(())
    }

    fn compile(&self, name: &str) -> Result<CalendarDays, Violations> {
        compile_calendar(name, "spec", &|name| self.specs.get(name))
    }
}
