//! Calendars that somebody has at hand without a server: what is wrong with them as far as that can be told, and definitions checked with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flintwheel_model::calendar::{Calendar, CalendarSpec};
use flintwheel_model::validate::check_calendar;
use flintwheel_model::{ActivityDefinition, Violations};
use flintwheel_schedule::{CalendarDays, compile_calendar};

use super::{Admitted, Book, admit, admit_with};

/// By namespace and name.
type Key = (String, String);

/// See the module.
#[derive(Default)]
pub struct GivenCalendars {
    days: BTreeMap<Key, Arc<CalendarDays>>,
    names: BTreeSet<Key>,
}

impl GivenCalendars {
    /// Reads them; by calendar, what is wrong with it. Calendars that they refer to and that are not among them may be on a server.
    pub fn read(calendars: &[Calendar]) -> (Self, Vec<Violations>) {
        let key = |calendar: &Calendar| (calendar.metadata.namespace.clone(), calendar.metadata.id.clone());
        let specs: BTreeMap<Key, &CalendarSpec> =
            calendars.iter().map(|calendar| (key(calendar), &calendar.spec)).collect();
        let elsewhere = CalendarSpec { dates: vec!["1970-01-01".to_owned()], ..CalendarSpec::default() };
        let mut given = Self { days: BTreeMap::new(), names: specs.keys().cloned().collect() };
        let mut all = Vec::with_capacity(calendars.len());
        for calendar in calendars {
            let (namespace, name) = key(calendar);
            let find = |name: &str| {
                let known = specs.get(&(namespace.clone(), name.to_owned())).copied();
                Some(known.unwrap_or(&elsewhere))
            };
            let mut faults = check_calendar(calendar);
            match compile_calendar(&name, "spec", &find) {
                Ok(days) => {
                    // One that refers to what is elsewhere is not known whole.
                    if given.is_whole(&specs, &namespace, calendar) {
                        given.days.insert((namespace, name), Arc::new(days));
                    }
                }
                Err(more) => faults.0.extend(more.0),
            }
            all.push(faults);
        }
        (given, all)
    }

    /// Whether all that a calendar refers to, at whatever distance, is at hand.
    fn is_whole(&self, specs: &BTreeMap<Key, &CalendarSpec>, namespace: &str, calendar: &Calendar) -> bool {
        let (mut open, mut seen) = (calendar.spec.calendars.clone(), BTreeSet::new());
        while let Some(name) = open.pop() {
            let key = (namespace.to_owned(), name);
            let Some(spec) = specs.get(&key) else { return false };
            if seen.insert(key) {
                open.extend(spec.calendars.iter().cloned());
            }
        }
        true
    }

    /// Checks a definition: with its calendars if all of them are at hand, else without.
    pub fn admit(&self, definition: &ActivityDefinition) -> Result<Admitted, Violations> {
        let admitted = admit(definition)?;
        if admitted.calendars.is_empty() {
            return Ok(admitted);
        }
        let namespace = &definition.metadata.namespace;
        let find = |name: &str| self.days.get(&(namespace.clone(), name.to_owned())).cloned();
        let names = || self.names.iter().filter(|(of, _)| of == namespace).map(|(_, name)| name.clone()).collect();
        let all_here = admitted.calendars.iter().all(|name| find(name).is_some());
        if all_here { admit_with(definition, &Book { find: &find, names: &names }) } else { Ok(admitted) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn calendar(id: &str, spec: &Value) -> Calendar {
        let metadata = json!({"namespace": "ops", "id": id});
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "Calendar", "metadata": metadata, "spec": spec
        }))
        .expect("a calendar")
    }

    fn definition(schedule: &Value) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"namespace": "ops", "id": "a"},
            "spec": {"trigger": {"schedule": schedule}, "start_workflow": {"type": "W", "task_queue": "q"}},
        }))
        .expect("a definition")
    }

    #[test]
    fn a_window_of_jitter_that_is_too_long_is_told_with_calendars_as_without() {
        let (given, _) = GivenCalendars::read(&[calendar("work", &json!({"weekdays": "mon-fri"}))]);
        for schedule in [
            json!({"cron": "0 9 * * *", "jitter": {"window": "366d"}}),
            json!({"cron": "0 9 * * *", "jitter": {"window": "366d"}, "only_on": "work"}),
            json!({"cron": "0 9 * * *", "jitter": {"window": "366d"}, "only_on": "elsewhere"}),
        ] {
            let faults = given.admit(&definition(&schedule)).err().expect("refused");
            assert!(faults.to_string().contains("schedule.jitter.window: window \"366d\" is above 365d"), "{faults}");
        }
        // As it is read where it is stored already.
        let stored = definition(&json!({"cron": "0 9 * * *", "jitter": {"window": "366d"}}));
        assert!(admit_with(&stored, &Book { find: &|_| None, names: &Vec::new }).is_ok());
    }

    #[test]
    fn what_is_at_hand_is_told_and_what_is_not_may_be_elsewhere() {
        let calendars = [
            calendar("work", &json!({"weekdays": "mon-fri"})),
            calendar("more", &json!({"dates": "12-32", "calendars": ["elsewhere"]})),
            calendar("a", &json!({"calendars": ["b"]})),
            calendar("b", &json!({"calendars": ["a"]})),
            calendar("part", &json!({"dates": "12-24", "calendars": ["elsewhere"]})),
        ];
        let (given, faults) = GivenCalendars::read(&calendars);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!((told[0].as_str(), told[4].as_str()), ("", ""));
        assert!(told[1].starts_with("spec.dates[0]: ") && !told[1].contains("elsewhere"), "{}", told[1]);
        assert!(told[2].contains("leads back to itself") && told[3].contains("leads back to itself"), "{told:?}");
        let nothing_left = json!({"cron": "0 9 * * sat", "only_on": "work"});
        assert!(given.admit(&definition(&nothing_left)).is_err());
        for unknown in ["part", "elsewhere"] {
            let schedule = json!({"cron": "0 9 * * sat", "only_on": ["work", unknown]});
            assert!(given.admit(&definition(&schedule)).is_ok(), "{unknown}");
        }
    }
}
