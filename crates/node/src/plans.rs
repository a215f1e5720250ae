//! Schedules of the definitions that are due soon, compiled once however many definitions share one.
//!
//! A million definitions of "daily at some minute" are 1,440 plans. A plan is compiled when a definition first comes near, not when the node
//! starts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flintwheel_model::definition::{MisfirePolicy, ScheduleTrigger};
use flintwheel_schedule::{Plan, identity, may_depend_on_identity};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admission::SCHEDULE;
use crate::calendars::Found;

/// How a plan finds the calendars that it names: by namespace and name.
pub type Find<'a> = &'a dyn Fn(&str, &str) -> Option<Found>;

/// A compiled schedule and what else decides about its due times.
#[derive(Debug)]
pub struct Timing {
    /// When.
    pub plan: Plan,
    /// What happens to late ones.
    pub misfire: MisfirePolicy,
    /// What jitter is derived from; 0 where there is none.
    pub seed: u64,
}

impl Timing {
    /// When a nominal time is due.
    pub fn due(&self, nominal: i64) -> i64 {
        self.plan.due(nominal, self.seed)
    }
}

/// Index of a timing in its [`Plans`].
pub type PlanId = u32;

/// Timings by what they were compiled from.
#[derive(Default)]
pub struct Plans {
    timings: Vec<Arc<Timing>>,
    by_source: HashMap<Source, PlanId>,
}

/// Of a calendar: its name, and which revision of it.
type Revision = (Box<str>, u64);

/// What a timing is compiled from.
#[derive(PartialEq, Eq, Hash)]
struct Source {
    text: Box<str>,
    seed: u64,
    identity: u64,
    /// Of schedules that name calendars: whose they are, and the revision of each, in order of name.
    calendars: Option<(Box<str>, Box<[Revision]>)>,
}

/// Of a whole document, just who it is and the schedule's text.
#[derive(Deserialize)]
struct Document<'a> {
    metadata: Named,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Deserialize)]
struct Named {
    namespace: String,
    id: String,
}

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow, default)]
    trigger: Trigger<'a>,
}

#[derive(Default, Deserialize)]
struct Trigger<'a> {
    #[serde(borrow, default)]
    schedule: Option<&'a RawValue>,
}

impl Plans {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.timings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timings.is_empty()
    }

    /// A timing by its id.
    pub fn get(&self, id: PlanId) -> &Arc<Timing> {
        &self.timings[id as usize]
    }

    /// The timing of a stored document, or why there is none. A document is admitted before it is stored, so a fault here means that this
    /// program reads schedules otherwise than the one that admitted it, that the shard does not have its calendars yet, or that these leave
    /// nothing open.
    pub fn of_document(&mut self, document: &[u8], incarnation: u64, find: Find<'_>) -> Result<PlanId, String> {
        let parsed: Document = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        let text = parsed.spec.trigger.schedule.ok_or("the definition has no schedule")?.get();
        // Only jitter needs a seed of the definition's own, and only `H` its identity.
        let seed = if text.contains("\"jitter\"") { incarnation } else { 0 };
        let Named { namespace, id } = parsed.metadata;
        let own = if may_depend_on_identity(text) { identity(&namespace, &id) } else { 0 };
        // Documents are written with these names, whatever the user wrote.
        let names_calendars = text.contains("\"calendar_name\"") || text.contains("\"only_on\"");
        let found = if names_calendars { look_up(text, &namespace, find)? } else { BTreeMap::new() };
        let revisions = || found.iter().map(|(name, (revision, _))| (Box::from(name.as_str()), *revision)).collect();
        let calendars = names_calendars.then(|| (Box::from(namespace.as_str()), revisions()));
        let source = Source { text: Box::from(text), seed, identity: own, calendars };
        if let Some(id) = self.by_source.get(&source) {
            return Ok(*id);
        }
        let trigger: ScheduleTrigger = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let days = |name: &str| found.get(name).map(|(_, days)| Arc::clone(days));
        let plan = Plan::compile_stored(&trigger, SCHEDULE, own, &days).map_err(|e| e.to_string())?;
        let id = PlanId::try_from(self.timings.len()).map_err(|_| "too many different schedules")?;
        self.timings.push(Arc::new(Timing { plan, misfire: trigger.misfire_policy.unwrap_or_default(), seed }));
        self.by_source.insert(source, id);
        Ok(id)
    }
}

/// The calendars that a schedule names, as far as they are found.
fn look_up(text: &str, namespace: &str, find: Find<'_>) -> Result<BTreeMap<String, Found>, String> {
    let trigger: ScheduleTrigger = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut found = BTreeMap::new();
    for name in trigger.calendar_names() {
        if let Some(days) = find(namespace, name) {
            found.insert(name.to_owned(), days);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use flintwheel_model::calendar::CalendarSpec;
    use flintwheel_schedule::compile_calendar;
    use serde_json::json;

    use super::*;

    fn document(namespace: &str, schedule: &serde_json::Value) -> Vec<u8> {
        let metadata = json!({"namespace": namespace, "id": "d"});
        json!({"metadata": metadata, "spec": {"trigger": {"schedule": schedule}}}).to_string().into()
    }

    #[test]
    fn a_plan_is_shared_as_long_as_its_calendars_are_the_same() {
        let spec = CalendarSpec { weekdays: vec!["sat-sun".into()], ..CalendarSpec::default() };
        let days = Arc::new(compile_calendar("c", "spec", &|_| Some(&spec)).expect("valid"));
        let revision = RefCell::new(1);
        let find = |_: &str, _: &str| Some((*revision.borrow(), Arc::clone(&days)));
        let none = |_: &str, _: &str| None;
        let named = json!({"cron": ["0 9 * * *"], "exclude": [{"calendar_name": ["c"]}]});
        let plain = json!({"cron": ["0 9 * * *"]});
        let mut plans = Plans::default();
        let mut id = |namespace: &str, schedule, find: Find<'_>| {
            plans.of_document(&document(namespace, schedule), 1, find).expect("compiles")
        };
        assert_eq!([id("n", &plain, &find), id("n", &plain, &none), id("m", &plain, &none)], [0, 0, 0]);
        assert_eq!([id("n", &named, &find), id("n", &named, &find)], [1, 1]);
        assert_eq!(id("m", &named, &find), 2, "another namespace's calendar of that name is another one");
        *revision.borrow_mut() = 2;
        assert_eq!([id("n", &named, &find), id("n", &plain, &find)], [3, 0]);
        let missing = plans.of_document(&document("n", &named), 1, &none).expect_err("is not found");
        assert!(missing.contains("there is no calendar \"c\""), "{missing}");
    }
}
