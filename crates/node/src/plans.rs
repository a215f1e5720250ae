//! Schedules of the definitions that are due soon, compiled once however many definitions share one.
//!
//! A million definitions of "daily at some minute" are 1,440 plans. A plan is compiled when a definition first comes near, not when the node
//! starts.

use std::collections::HashMap;
use std::sync::Arc;

use flintwheel_model::definition::{MisfirePolicy, ScheduleTrigger};
use flintwheel_schedule::{Plan, identity, may_depend_on_identity};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admission::SCHEDULE;

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

/// Timings by the text that they were compiled from.
#[derive(Default)]
pub struct Plans {
    timings: Vec<Arc<Timing>>,
    by_text: HashMap<(Box<str>, u64, u64), PlanId>,
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
    /// A timing by its id.
    pub fn get(&self, id: PlanId) -> &Arc<Timing> {
        &self.timings[id as usize]
    }

    /// The timing of a stored document, or why there is none. A document is admitted before it is stored, so a fault here means that this
    /// program reads schedules otherwise than the one that admitted it.
    pub fn of_document(&mut self, document: &[u8], incarnation: u64) -> Result<PlanId, String> {
        let parsed: Document = serde_json::from_slice(document).map_err(|e| e.to_string())?;
        let text = parsed.spec.trigger.schedule.ok_or("the definition has no schedule")?.get();
        // Only jitter needs a seed of the definition's own, and only `H` its identity.
        let seed = if text.contains("\"jitter\"") { incarnation } else { 0 };
        let Named { namespace, id } = parsed.metadata;
        let own = if may_depend_on_identity(text) { identity(&namespace, &id) } else { 0 };
        let key = (Box::from(text), seed, own);
        if let Some(id) = self.by_text.get(&key) {
            return Ok(*id);
        }
        let trigger: ScheduleTrigger = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let plan = Plan::compile(&trigger, SCHEDULE, own).map_err(|e| e.to_string())?;
        let id = PlanId::try_from(self.timings.len()).map_err(|_| "too many different schedules")?;
        self.timings.push(Arc::new(Timing { plan, misfire: trigger.misfire_policy.unwrap_or_default(), seed }));
        self.by_text.insert(key, id);
        Ok(id)
    }
}
