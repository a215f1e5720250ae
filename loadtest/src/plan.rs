//! Definitions made for a proof: how many, due how often, subscribed to what. A pure function of numbers, so that a
//! run can be repeated and the ledger knows what to expect.

use flintwheel_model::ActivityDefinition;
use serde_json::{Value, json};

use crate::rhythm::Rhythm;

/// Periods that divide a minute, for cron lines.
const CRON_PERIODS: [u32; 7] = [5, 6, 10, 12, 15, 20, 30];

/// What sets a planned definition off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Due times.
    Time(Rhythm),
    /// Events of this type; their id is the dedupe key.
    Event(String),
}

/// One definition to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Flintwheel's namespace.
    pub namespace: String,
    /// Unique in it.
    pub id: String,
    /// When it fires.
    pub cause: Cause,
}

impl Planned {
    /// One that is due at times.
    pub fn timed(namespace: &str, id: String, rhythm: Rhythm) -> Self {
        Self { namespace: namespace.to_owned(), id, cause: Cause::Time(rhythm) }
    }

    /// One that events of this type set off.
    pub fn subscribed(namespace: &str, id: String, event_type: String) -> Self {
        Self { namespace: namespace.to_owned(), id, cause: Cause::Event(event_type) }
    }

    /// As the engine takes it: it starts a workflow that no worker knows.
    pub fn definition(&self) -> ActivityDefinition {
        serde_json::from_value(self.to_json()).expect("a planned definition is a valid one")
    }

    /// The resource as JSON.
    pub fn to_json(&self) -> Value {
        let mut spec = json!({
            "start_workflow": {"type": "LoadTest", "task_queue": "loadtest", "input": [{"load": "test"}]},
        });
        match &self.cause {
            Cause::Time(rhythm) => spec["trigger"] = json!({"schedule": rhythm.schedule()}),
            Cause::Event(event_type) => {
                spec["trigger"] = json!({"event": {"types": [event_type]}});
                spec["dedupe_key_strategy"] = json!({"key": "event.id"});
            }
        }
        json!({
            "apiVersion": "flintwheel.dev/v1",
            "kind": "ActivityDefinition",
            "metadata": {"namespace": self.namespace, "id": self.id},
            "spec": spec,
        })
    }

    /// The workflow id of one of its due times, spelled out here once more rather than taken from the engine's code.
    pub fn timed_workflow_id(&self, due_us: i64) -> String {
        let instant = chrono::DateTime::from_timestamp_micros(due_us).expect("generated times are of our century");
        format!("flintwheel:{}:{}:t:{}", self.namespace, self.id, instant.format("%Y-%m-%dT%H:%M:%SZ"))
    }

    /// The workflow id for an event.
    pub fn event_workflow_id(&self, event_id: &str) -> String {
        format!("flintwheel:{}:{}:e:{event_id}", self.namespace, self.id)
    }
}

/// Definitions due each 5 to 30 s, half of them intervals with phases and half cron lines, spread evenly.
pub fn mixed(namespace: &str, count: u32) -> Vec<Planned> {
    (0..count)
        .map(|n| {
            let rhythm = if n % 2 == 0 { mixed_interval(n / 2) } else { mixed_cron(n / 2) };
            Planned::timed(namespace, format!("mixed-{n}"), rhythm)
        })
        .collect()
}

fn mixed_interval(n: u32) -> Rhythm {
    let every = 5 + n % 26;
    Rhythm::Interval { every, phase: (n / 26) % every }
}

fn mixed_cron(n: u32) -> Rhythm {
    let every = CRON_PERIODS[n as usize % CRON_PERIODS.len()];
    Rhythm::CronSeconds { every, first: (n / CRON_PERIODS.len() as u32) % every }
}

/// Definitions that are all due every `every` seconds, spread over its seconds.
pub fn even(namespace: &str, count: u32, every: u32) -> Vec<Planned> {
    (0..count)
        .map(|n| Planned::timed(namespace, format!("even-{n}"), Rhythm::Interval { every, phase: n % every }))
        .collect()
}

/// Definitions that are all due at the same seconds.
pub fn burst(namespace: &str, count: u32, every: u32) -> Vec<Planned> {
    (0..count).map(|n| Planned::timed(namespace, format!("burst-{n}"), Rhythm::Interval { every, phase: 0 })).collect()
}

/// Daily crons, spread over the minutes of the day.
pub fn daily(namespace: &str, count: u32) -> Vec<Planned> {
    (0..count)
        .map(|n| Planned::timed(namespace, format!("daily-{n}"), Rhythm::CronDaily { minute: n % 1440 }))
        .collect()
}

/// Subscriptions, each to an event type of its own.
pub fn subscriptions(namespace: &str, count: u32) -> Vec<Planned> {
    (0..count).map(|n| Planned::subscribed(namespace, format!("sub-{n}"), event_type(n))).collect()
}

/// The type that the n-th subscription waits for.
pub fn event_type(n: u32) -> String {
    format!("dev.flintwheel.loadtest.{n}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_plan_is_valid_and_has_no_id_twice() {
        for plan in [mixed("a", 3000), even("a", 50, 7), burst("a", 50, 5), daily("a", 2000), subscriptions("a", 50)] {
            let ids: HashSet<_> = plan.iter().map(|planned| planned.definition().metadata.id).collect();
            assert_eq!(ids.len(), plan.len());
        }
    }

    #[test]
    fn the_mix_is_due_between_5_and_30_seconds() {
        for planned in mixed("a", 3000) {
            let Cause::Time(rhythm) = planned.cause else { panic!("{planned:?}") };
            assert!((5_000_000..=30_000_000).contains(&rhythm.period_us()), "{rhythm:?}");
        }
    }

    #[test]
    fn workflow_ids_as_the_contract_has_them() {
        let planned = Planned::timed("billing", "a".to_owned(), Rhythm::CronDaily { minute: 0 });
        let id = planned.timed_workflow_id(1_795_420_800_000_000);
        assert_eq!(id, "flintwheel:billing:a:t:2026-11-23T08:00:00Z");
        assert_eq!(planned.event_workflow_id("x"), "flintwheel:billing:a:e:x");
    }
}
