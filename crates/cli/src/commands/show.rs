//! Definitions in the forms that `get`, `list` and their kin print.

use chrono::{DateTime, Utc};
use flintwheel_client::{DefinitionRecord, DefinitionStatus};
use flintwheel_model::definition::{After, Interval, Trigger};
use flintwheel_model::{ActivityDefinition, DefinitionKey};

use crate::exit::Failure;
use crate::output::{Printer, Zone, ago, when};
use crate::read::key;

/// As `-o name` and messages write it.
pub fn name(key: &DefinitionKey) -> String {
    format!("activitydefinition/{key}")
}

/// Prints some records in the printer's form.
pub fn records(printer: &mut Printer, records: &[DefinitionRecord], now: DateTime<Utc>) -> Result<(), Failure> {
    if printer.is_table() {
        let wide = printer.is_wide();
        let rows: Vec<_> = records.iter().map(|record| row(record, wide, now)).collect();
        return printer.rows(head(wide), &rows);
    }
    records.iter().try_for_each(|record| printer.value(&name(&key(&record.definition)), record))
}

fn head(wide: bool) -> &'static [&'static str] {
    let all = &[
        "NAMESPACE",
        "ID",
        "STATE",
        "TRIGGER",
        "NEXT",
        "LAST",
        "VERSION",
        "FIRED",
        "SKIPPED",
        "FAILED",
        "LABELS",
        "NAME",
    ];
    if wide { all } else { &all[..7] }
}

fn row(record: &DefinitionRecord, wide: bool, now: DateTime<Utc>) -> Vec<String> {
    let (metadata, status) = (&record.definition.metadata, &record.status);
    let mut row = vec![
        metadata.namespace.clone(),
        metadata.id.clone(),
        state(record).to_owned(),
        trigger(&record.definition.spec.trigger),
        next(status, now, &zone_of(record)),
        status.last_fired.map(|time| ago(time, now)).unwrap_or_default(),
        status.version.to_string(),
    ];
    if wide {
        let labels: Vec<_> = metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let counts = &status.counts;
        row.extend([counts.fired, counts.skipped, counts.failed].map(|count| count.to_string()));
        row.extend([labels.join(","), metadata.name.clone()]);
    }
    row
}

/// One word for how a definition stands.
pub fn state(record: &DefinitionRecord) -> &'static str {
    let DefinitionStatus { paused, armed, over, .. } = &record.status;
    match (paused, record.definition.spec.enabled, armed) {
        (Some(_), ..) => "paused",
        (None, false, _) => "disabled",
        (None, true, false) if *over => "over",
        (None, true, true) => "armed",
        // By hand only, or its schedule has ended.
        (None, true, false) => "idle",
    }
}

/// Why its coming times don't fire by themselves, and what it takes that they do; none where they fire.
pub fn held(record: &DefinitionRecord) -> Option<(String, &'static str)> {
    let paused = record.status.paused.as_ref().map(|paused| match paused.until {
        Some(until) => format!("paused until {}", Zone::UTC.exact(until)),
        None => "paused".to_owned(),
    });
    match (paused, record.definition.spec.enabled) {
        (Some(paused), true) => Some((paused, "it is resumed")),
        (Some(paused), false) => Some((format!("{paused} and disabled"), "it is resumed and enabled")),
        (None, false) => Some(("disabled".to_owned(), "it is enabled")),
        (None, true) => None,
    }
}

/// That of its schedule, as the server has told it of its status.
fn zone_of(record: &DefinitionRecord) -> Zone {
    Zone::of(&record.definition).told(&record.status.offsets)
}

/// When it is due next, or when its pause ends by itself.
fn next(status: &DefinitionStatus, now: DateTime<Utc>, zone: &Zone) -> String {
    let resumes = || status.paused.as_ref()?.until;
    match (status.next_due, resumes()) {
        (Some(due), _) => when(due, now, zone),
        (None, Some(until)) => format!("resumes {}", when(until, now, zone)),
        (None, None) => String::new(),
    }
}

/// `every 1h30m`, `every month`, `every 2 weeks`.
fn interval(interval: &Interval) -> String {
    if let Some(every) = interval.every {
        return format!("every {every}");
    }
    let parts =
        [(interval.days, "day"), (interval.weeks, "week"), (interval.months, "month"), (interval.years, "year")];
    let named = parts.into_iter().find_map(|(count, unit)| count.map(|count| (count, unit)));
    match named {
        Some((1, unit)) => format!("every {unit}"),
        Some((count, unit)) => format!("every {count} {unit}s"),
        None => "an interval".to_owned(),
    }
}

/// `after nightly-load`, `10m after nightly-load`.
fn after(After { definition, delay, .. }: &After) -> String {
    if delay.is_zero() { format!("after {definition}") } else { format!("{delay} after {definition}") }
}

/// Of one that has no due time to come: on whose runs it depends when it has. Empty for most.
pub fn when_runs_end(definition: &ActivityDefinition) -> String {
    let after = definition.spec.trigger.schedule.iter().flat_map(|schedule| &schedule.after);
    let mut names: Vec<&str> = after.map(|after| after.definition.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(": none until a run of {} ends", names.join(" or ")) }
}

/// What sets a definition off, in one cell.
pub fn trigger(trigger: &Trigger) -> String {
    let mut parts = Vec::new();
    if let Some(schedule) = &trigger.schedule {
        parts.extend(schedule.cron.iter().cloned());
        parts.extend(schedule.interval.iter().map(interval));
        parts.extend(schedule.rrule.iter().map(|rule| rule.split_whitespace().collect::<Vec<_>>().join(" ")));
        parts.extend(schedule.calendar.iter().map(|_| "calendar".to_owned()));
        parts.extend(schedule.at.iter().map(|time| format!("at {}", Zone::UTC.short(*time))));
        parts.extend(schedule.after.iter().map(after));
    }
    if let Some(event) = &trigger.event {
        parts.extend(event.types.iter().map(|name| format!("event {name}")));
    }
    match parts.len() {
        0 => "by hand".to_owned(),
        1 => parts.remove(0),
        more => format!("{} (+{} more)", parts[0], more - 1),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use flintwheel_client::{Counts, Paused};
    use serde_json::{Value, json};

    use super::*;

    pub fn record(spec: Value) -> DefinitionRecord {
        let mut document = json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
            "metadata": {"namespace": "billing", "id": "a", "name": "An example", "labels": {"team": "x"}},
            "spec": {"start_workflow": {"type": "W", "task_queue": "q"}}
        });
        for (field, value) in spec.as_object().expect("an object") {
            document["spec"][field] = value.clone();
        }
        let time = |text: &str| text.parse().expect("a time");
        DefinitionRecord {
            definition: serde_json::from_value(document).expect("a definition"),
            status: DefinitionStatus {
                version: 3,
                generation: 5,
                incarnation: 1,
                created_at: time("2026-11-01T00:00:00Z"),
                updated_at: time("2026-11-02T00:00:00Z"),
                next_due: Some(time("2026-11-24T08:00:00Z")),
                last_fired: Some(time("2026-11-23T08:00:00Z")),
                paused: None,
                counts: Counts { fired: 20, skipped: 1, failed: 0, dropped: 0 },
                armed: true,
                runs: None,
                firings_left: None,
                over: false,
                offsets: vec![],
            },
        }
    }

    #[test]
    fn what_is_paused_or_disabled_says_what_it_takes_to_fire() {
        let end = Some("2026-12-24T08:00:00Z".parse().expect("a time"));
        for (enabled, paused, expected) in [
            (true, None, None),
            (true, Some(None), Some(("paused", "it is resumed"))),
            (true, Some(end), Some(("paused until 2026-12-24 08:00:00 +0000", "it is resumed"))),
            (false, None, Some(("disabled", "it is enabled"))),
            (false, Some(None), Some(("paused and disabled", "it is resumed and enabled"))),
        ] {
            let mut record = record(json!({"enabled": enabled}));
            let at = record.status.updated_at;
            record.status.paused = paused.map(|until| Paused { note: String::new(), at, until });
            assert_eq!(held(&record), expected.map(|(how, until)| (how.to_owned(), until)));
        }
    }

    #[test]
    fn a_row_says_what_and_when() {
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        let mut record = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}}}));
        let expected = ["billing", "a", "armed", "0 9 * * *", "2026-11-24 09:00 CET (in 14h)", "10h ago", "3"];
        assert_eq!(row(&record, false, now), expected);
        assert_eq!(row(&record, true, now)[7..], ["20", "1", "0", "team=x", "An example"]);
        assert_eq!(head(true).len(), row(&record, true, now).len());
        assert_eq!(head(false).len(), expected.len());
        record.status.offsets =
            vec![flintwheel_client::ClockOffset { from: record.status.created_at, utc_offset_seconds: 7_200 }];
        assert_eq!(row(&record, false, now)[4], "2026-11-24 10:00 +02:00 (in 14h)", "as the server counts");
    }

    #[test]
    fn what_is_printed_as_yaml_can_be_applied() {
        let record = record(json!({
            "trigger": {"schedule": {"cron": ["0 9 * * *"], "interval": {"every": "5m"}}},
            "start_workflow": {"type": "W", "task_queue": "q", "input": [{"a": "{{ event.id }}", "b": [null, "yes", 1.5]}]}
        }));
        let text = crate::output::yaml(&record).expect("printed");
        assert_eq!(crate::read::parse_text(&text), Ok(vec![record.definition]));
    }

    #[test]
    fn states_and_triggers_have_words() {
        let mut other = record(json!({"enabled": false}));
        assert_eq!((state(&other), trigger(&other.definition.spec.trigger).as_str()), ("disabled", "by hand"));
        other.status.paused = Some(Paused { note: String::new(), at: other.status.created_at, until: None });
        assert_eq!(state(&other), "paused");
        other.status.next_due = None;
        let (now, zone) = (other.status.created_at, &Zone::UTC);
        assert_eq!(next(&other.status, now, zone), "");
        let until = Some(now + chrono::Duration::hours(3));
        other.status.paused = Some(Paused { note: String::new(), at: now, until });
        assert_eq!(next(&other.status, now, zone), "resumes 2026-11-01 03:00 UTC (in 3h)");
        let mut idle =
            record(json!({"trigger": {"schedule": {"interval": {"every": "5m"}}, "event": {"types": ["a", "b"]}}}));
        idle.status.armed = false;
        assert_eq!((state(&idle), trigger(&idle.definition.spec.trigger).as_str()), ("idle", "every 5m (+2 more)"));
        for (after, shown) in [
            (json!({"definition": "load"}), "after load"),
            (json!({"definition": "load", "delay": "10m"}), "10m after load"),
        ] {
            let waits = record(json!({"trigger": {"schedule": {"after": after}}}));
            assert_eq!(trigger(&waits.definition.spec.trigger), shown);
            assert_eq!(when_runs_end(&waits.definition), ": none until a run of load ends");
        }
    }
}
