//! Calendars, how they stand, and what became of calls that changed them.

use flintwheel_model::calendar::{Calendar, CalendarSpec, KIND};
use flintwheel_model::definition::API_VERSION;
use flintwheel_model::{DefinitionKey, Violations};
use flintwheel_proto::v1;

use super::at::At;
use super::definition::{key_from_proto, key_to_proto, or_default, read_metadata, write_metadata};
use super::record::{outcome_from_proto, outcome_to_proto, read_instant, read_optional};
use super::{required, time};
use crate::types::{CalendarApplied, CalendarRecord, CalendarStatus, DueMove};

/// To the wire.
pub fn to_proto(calendar: &Calendar) -> v1::Calendar {
    let CalendarSpec { weekdays, dates, ical, calendars } = calendar.spec.clone();
    v1::Calendar {
        api_version: calendar.api_version.clone(),
        kind: calendar.kind.clone(),
        metadata: Some(write_metadata(&calendar.metadata)),
        spec: Some(v1::CalendarSpec { weekdays, dates, ical, calendars }),
    }
}

/// From the wire; what is unset there gets its default.
pub fn from_proto(proto: v1::Calendar) -> Result<Calendar, Violations> {
    let mut faults = Violations::default();
    let metadata = required(proto.metadata, At::root("metadata"), &mut faults).map(read_metadata);
    let spec = required(proto.spec, At::root("spec"), &mut faults);
    let (Some(metadata), Some(spec)) = (metadata, spec) else { return Err(faults) };
    let v1::CalendarSpec { weekdays, dates, ical, calendars } = spec;
    Ok(Calendar {
        api_version: or_default(proto.api_version, API_VERSION),
        kind: or_default(proto.kind, KIND),
        metadata,
        spec: CalendarSpec { weekdays, dates, ical, calendars },
    })
}

/// Several, from the wire; `field` names the list in violations.
pub fn all_from_proto(protos: Vec<v1::Calendar>, field: &str) -> Result<Vec<Calendar>, Violations> {
    let mut faults = Violations::default();
    let mut calendars = Vec::with_capacity(protos.len());
    for (place, proto) in protos.into_iter().enumerate() {
        match from_proto(proto) {
            Ok(calendar) => calendars.push(calendar),
            Err(more) => {
                more.0.into_iter().for_each(|fault| {
                    faults.push(format!("{field}[{place}].{}", fault.field), fault.message);
                });
            }
        }
    }
    faults.into_result().map(|()| calendars)
}

/// To the wire.
pub fn record_to_proto(record: &CalendarRecord) -> v1::CalendarRecord {
    let CalendarStatus { version, created_at, updated_at, definitions, referred_by, spreading } = record.status.clone();
    let status = v1::CalendarStatus {
        version,
        created_at: Some(time::timestamp(created_at)),
        updated_at: Some(time::timestamp(updated_at)),
        definitions,
        referred_by,
        spreading,
    };
    v1::CalendarRecord { calendar: Some(to_proto(&record.calendar)), status: Some(status) }
}

/// From the wire.
pub fn record_from_proto(proto: v1::CalendarRecord) -> Result<CalendarRecord, Violations> {
    let calendar = from_proto(proto.calendar.unwrap_or_default())?;
    let (mut faults, at) = (Violations::default(), At::root("status"));
    let status = required(proto.status, at, &mut faults).unwrap_or_default();
    let v1::CalendarStatus { version, created_at, updated_at, definitions, referred_by, spreading } = status;
    let status = CalendarStatus {
        version,
        created_at: read_instant(created_at, at.field("created_at"), &mut faults),
        updated_at: read_instant(updated_at, at.field("updated_at"), &mut faults),
        definitions,
        referred_by,
        spreading,
    };
    faults.into_result().map(|()| CalendarRecord { calendar, status })
}

/// To the wire.
pub fn applied_to_proto(applied: &CalendarApplied) -> v1::ApplyCalendarResponse {
    let write = |one: &DueMove| v1::DueMove {
        r#ref: Some(key_to_proto(&one.definition)),
        before: one.before.map(time::timestamp),
        after: one.after.map(time::timestamp),
    };
    v1::ApplyCalendarResponse {
        outcome: outcome_to_proto(applied.outcome).into(),
        old_version: applied.old_version,
        new_version: applied.new_version,
        definitions: applied.definitions,
        moved: applied.moved,
        moves: applied.moves.iter().map(write).collect(),
    }
}

/// From the wire.
pub fn applied_from_proto(proto: v1::ApplyCalendarResponse) -> Result<CalendarApplied, Violations> {
    let mut faults = Violations::default();
    let outcome = outcome_from_proto(proto.outcome(), &mut faults);
    let mut moves = Vec::with_capacity(proto.moves.len());
    let at = At::root("moves");
    for (i, one) in proto.moves.into_iter().enumerate() {
        let v1::DueMove { r#ref, before, after } = one;
        let definition = key_from_proto(r#ref, "moves.ref").unwrap_or_else(|more| {
            faults.0.extend(more.0);
            DefinitionKey::new("", "")
        });
        let at = at.index(i);
        let before = read_optional(before, at.field("before"), &mut faults);
        moves.push(DueMove { definition, before, after: read_optional(after, at.field("after"), &mut faults) });
    }
    let v1::ApplyCalendarResponse { old_version, new_version, definitions, moved, .. } = proto;
    faults.into_result().map(|()| CalendarApplied { outcome, old_version, new_version, definitions, moved, moves })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::ApplyOutcome;

    fn calendar() -> Calendar {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "Calendar",
            "metadata": {"namespace": "billing", "id": "de", "name": "Germany", "labels": {"a": "b"}},
            "spec": {"weekdays": ["sat-sun"], "dates": ["12-25"], "ical": "BEGIN:VCALENDAR", "calendars": ["eu"]}
        }))
        .expect("a calendar")
    }

    #[test]
    fn a_calendar_comes_back_as_it_went() {
        let spec = CalendarSpec { weekdays: vec!["sat".into()], ..CalendarSpec::default() };
        for calendar in [calendar(), Calendar { spec, ..calendar() }] {
            assert_eq!(from_proto(to_proto(&calendar)), Ok(calendar.clone()));
            let at = "2026-11-24T08:00:00Z".parse().expect("a time");
            let status = CalendarStatus {
                version: 3,
                created_at: at,
                updated_at: at,
                definitions: 4,
                referred_by: vec!["all".into()],
                spreading: true,
            };
            let record = CalendarRecord { calendar, status };
            assert_eq!(record_from_proto(record_to_proto(&record)), Ok(record));
        }
    }

    #[test]
    fn what_is_unset_has_its_default_and_what_is_required_is_named() {
        let plain = v1::Calendar {
            metadata: Some(v1::Metadata { id: "a".into(), ..Default::default() }),
            spec: Some(v1::CalendarSpec::default()),
            ..Default::default()
        };
        let read = from_proto(plain.clone()).expect("read");
        assert_eq!((read.kind.as_str(), read.metadata.namespace.as_str()), (KIND, "default"));
        let faults = all_from_proto(vec![plain, v1::Calendar::default()], "calendars").expect_err("incomplete");
        let fields: Vec<_> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["calendars[1].metadata", "calendars[1].spec"]);
    }

    #[test]
    fn what_became_of_it_comes_back_as_it_went() {
        let at = |text: &str| Some(text.parse().expect("a time"));
        let moves = vec![
            DueMove { definition: DefinitionKey::new("a", "b"), before: at("2026-11-24T08:00:00Z"), after: None },
            DueMove { definition: DefinitionKey::new("a", "c"), before: None, after: at("2026-11-25T08:00:00Z") },
        ];
        let (outcome, old_version, new_version) = (ApplyOutcome::Configured, 1, 2);
        let applied = CalendarApplied { outcome, old_version, new_version, definitions: 3, moved: 2, moves };
        assert_eq!(applied_from_proto(applied_to_proto(&applied)), Ok(applied));
    }
}
