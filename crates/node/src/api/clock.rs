//! What the clock of a schedule's zone is ahead of UTC at the times of an answer, by the time-zone data of the node that counts: whoever shows
//! local times may have other data, or none.

use chrono::{DateTime, Utc};
use flintwheel_client::{ClockOffset, DefinitionStatus, DueTime, Explanation, Moment, Occurrence};
use flintwheel_model::ActivityDefinition;
use flintwheel_schedule::{clock_offsets, zone_name};

use super::time;

/// At these times, in the zone of this name. Never more of them than times, so that an answer stays as large as what was asked for.
pub(super) fn offsets(zone: &str, times: impl IntoIterator<Item = DateTime<Utc>>) -> Vec<ClockOffset> {
    let times: Vec<i64> = times.into_iter().map(|time| time.timestamp_micros()).collect();
    let told = clock_offsets(zone, &times).into_iter();
    told.map(|offset| ClockOffset { from: time(offset.from), utc_offset_seconds: offset.utc_offset }).collect()
}

/// At the times of a status that are shown in the zone of the definition's schedule.
pub(super) fn of_status(definition: &ActivityDefinition, status: &DefinitionStatus) -> Vec<ClockOffset> {
    let until = status.paused.as_ref().and_then(|paused| paused.until);
    let times: Vec<DateTime<Utc>> = status.next_due.into_iter().chain(until).collect();
    let trigger = definition.spec.trigger.schedule.as_ref().filter(|_| !times.is_empty());
    trigger.and_then(zone_name).map(|zone| offsets(zone, times)).unwrap_or_default()
}

/// At coming times.
pub(super) fn of_times(zone: &str, times: &[DueTime]) -> Vec<ClockOffset> {
    offsets(zone, times.iter().flat_map(|time| [time.nominal, time.due]))
}

/// At all times that an explanation tells.
pub(super) fn of_explanation(told: &Explanation) -> Vec<ClockOffset> {
    let left_out = told.left_out.iter().flat_map(|left_out| [Some(left_out.change), left_out.moves_to]);
    let paused = told.paused.iter().flat_map(|paused| [Some(paused.at), paused.until]);
    let others = [told.before, told.after, Some(told.version_since), told.looked_back_to].into_iter();
    let others = others.chain(left_out).chain(paused).flatten();
    offsets(&told.timezone, told.moments.iter().flat_map(of_moment).chain(others))
}

fn of_moment(moment: &Moment) -> impl Iterator<Item = DateTime<Utc>> {
    let own = [Some(moment.instant), moment.due, moment.jittered_from, moment.rolls_to].into_iter().flatten();
    let became = |one: &Occurrence| [Some(one.due), Some(one.decided_at), one.started_at].into_iter().flatten();
    own.chain(moment.rolled_from.iter().copied()).chain(moment.occurrences.iter().flat_map(became))
}

/// Tells each of a definition's occurrences the offset at its due time.
pub(super) fn tell_occurrences(definition: &ActivityDefinition, occurrences: &mut [Occurrence]) {
    let Some(zone) = definition.spec.trigger.schedule.as_ref().and_then(zone_name) else { return };
    for one in occurrences {
        let offset = offsets(zone, [one.due]).first().map(|offset| offset.utc_offset_seconds);
        one.utc_offset_seconds = offset;
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_client::{LeftOut, Paused};
    use serde_json::json;

    use super::*;

    fn at(month: u32) -> DateTime<Utc> {
        format!("2026-{month:02}-01T08:00:00Z").parse().expect("a time")
    }

    fn definition(trigger: &serde_json::Value) -> ActivityDefinition {
        let document = json!({"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "a"},
            "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}}});
        serde_json::from_value(document).expect("a definition")
    }

    #[test]
    fn every_time_that_an_explanation_tells_has_its_offset() {
        let winter = || Moment { instant: at(1), ..Moment::default() };
        let occurrence = Occurrence { started_at: Some(at(7)), ..occurrence() };
        let left_out = LeftOut { change: at(1), forward: 0, named_by: vec![], moves_to: Some(at(7)) };
        let paused = Paused { note: String::new(), at: at(1), until: Some(at(7)) };
        let plain = || Explanation { timezone: "Europe/Berlin".into(), version_since: at(1), ..Explanation::default() };
        let moments = [
            Moment { due: Some(at(7)), ..winter() },
            Moment { jittered_from: Some(at(7)), ..winter() },
            Moment { rolled_from: vec![at(7)], ..winter() },
            Moment { rolls_to: Some(at(7)), ..winter() },
            Moment { occurrences: vec![occurrence], ..winter() },
        ];
        let others = [
            Explanation { left_out: Some(left_out), ..plain() },
            Explanation { paused: Some(paused), ..plain() },
            Explanation { before: Some(at(7)), ..plain() },
            Explanation { after: Some(at(7)), ..plain() },
            Explanation { looked_back_to: Some(at(7)), ..plain() },
        ];
        let of_moments = moments.map(|moment| Explanation { moments: vec![moment], ..plain() });
        for told in of_moments.into_iter().chain(others) {
            let offsets: Vec<i32> = of_explanation(&told).iter().map(|offset| offset.utc_offset_seconds).collect();
            assert_eq!(offsets, [3_600, 7_200], "{told:?}");
        }
        assert_eq!(of_explanation(&Explanation::default()), [], "without a schedule");
    }

    #[test]
    fn occurrences_have_the_offset_of_their_schedules_zone() {
        for (trigger, expected) in [
            (json!({"schedule": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}}), Some(3_600)),
            (json!({"schedule": {"cron": "CRON_TZ=Asia/Tokyo 0 9 * * *"}}), Some(32_400)),
            (json!({"schedule": {"interval": {"every": "5m"}}}), Some(0)),
            (json!({"event": {"types": ["a"]}}), None),
        ] {
            let mut occurrences = [occurrence()];
            tell_occurrences(&definition(&trigger), &mut occurrences);
            assert_eq!(occurrences[0].utc_offset_seconds, expected, "{trigger}");
        }
    }

    fn occurrence() -> Occurrence {
        Occurrence {
            definition: flintwheel_model::DefinitionKey::new("n", "a"),
            version: 1,
            firing_key: String::new(),
            outcome: flintwheel_client::Outcome::Fired,
            reason: String::new(),
            detail: String::new(),
            due: at(1),
            decided_at: at(1),
            started_at: None,
            workflow_id: String::new(),
            count: 1,
            utc_offset_seconds: None,
        }
    }
}
