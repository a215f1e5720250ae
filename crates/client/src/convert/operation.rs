//! Operations on stored definitions, and what became of them.

use flintwheel_model::Violations;
use flintwheel_proto::v1;
use flintwheel_proto::v1::bulk_action::Action;

use super::at::At;
use super::record::{missed_from_proto, missed_to_proto, read_instant, read_optional};
use super::{definition, json, required, schedule, time};
use crate::error::Error;
use crate::types::{
    Backfill, BackfillBegun, BackfillOrder, BackfillQuery, BackfillRequest, BackfillStopped, Backfills, BulkAction,
    BulkRequest, BulkResult, FieldChange,
};

/// To the wire.
pub fn changes_to_proto(changes: &[FieldChange]) -> Result<Vec<v1::FieldChange>, Violations> {
    let write = |(i, change): (usize, &FieldChange)| {
        let field = format!("changes[{i}].value");
        let value = change.value.as_ref().map(|value| json::to_proto(value, &field)).transpose()?;
        Ok(v1::FieldChange { path: change.path.clone(), value })
    };
    changes.iter().enumerate().map(write).collect()
}

/// From the wire.
pub fn changes_from_proto(changes: Vec<v1::FieldChange>) -> Result<Vec<FieldChange>, Violations> {
    let read = |(i, change): (usize, v1::FieldChange)| {
        let field = format!("changes[{i}].value");
        let value = change.value.map(|value| json::from_proto(value, &field)).transpose()?;
        Ok(FieldChange { path: change.path, value })
    };
    changes.into_iter().enumerate().map(read).collect()
}

/// To the wire, with the page that is asked for.
pub fn bulk_to_proto(request: &BulkRequest, page_size: u32, page_token: String) -> Result<v1::BulkRequest, Violations> {
    let action = match &request.action {
        BulkAction::Pause { note, until } => {
            Action::Pause(v1::BulkPause { note: note.clone(), until: until.map(time::timestamp) })
        }
        BulkAction::Resume { note, missed } => {
            Action::Resume(v1::BulkResume { note: note.clone(), missed: missed_to_proto(*missed).into() })
        }
        BulkAction::Delete => Action::Delete(v1::BulkDelete {}),
        BulkAction::Update(changes) => Action::Update(v1::BulkUpdate { changes: changes_to_proto(changes)? }),
    };
    let BulkRequest { namespace, label_selector, request_id, validate_only, .. } = request.clone();
    let action = Some(v1::BulkAction { action: Some(action) });
    Ok(v1::BulkRequest { namespace, label_selector, action, page_size, page_token, request_id, validate_only })
}

/// From the wire; the page stays with the request.
pub fn bulk_from_proto(proto: v1::BulkRequest) -> Result<BulkRequest, Violations> {
    let mut faults = Violations::default();
    let at = At::root("action");
    let action = required(proto.action.and_then(|action| action.action), at, &mut faults);
    let action = match action {
        Some(Action::Pause(v1::BulkPause { note, until })) => {
            BulkAction::Pause { note, until: read_optional(until, at.field("pause").field("until"), &mut faults) }
        }
        Some(Action::Resume(v1::BulkResume { note, missed })) => {
            BulkAction::Resume { note, missed: missed_from_proto(missed)? }
        }
        Some(Action::Update(v1::BulkUpdate { changes })) => BulkAction::Update(changes_from_proto(changes)?),
        Some(Action::Delete(_)) | None => BulkAction::Delete,
    };
    let v1::BulkRequest { namespace, label_selector, request_id, validate_only, .. } = proto;
    faults.into_result().map(|()| BulkRequest { namespace, label_selector, action, request_id, validate_only })
}

/// To the wire.
pub fn bulk_result_to_proto(result: &BulkResult) -> v1::BulkResult {
    v1::BulkResult {
        r#ref: Some(definition::key_to_proto(&result.definition)),
        version: result.version,
        changed: result.changed,
        fault: result.fault.as_ref().map(Error::to_proto),
    }
}

/// From the wire.
pub fn bulk_result_from_proto(proto: v1::BulkResult) -> Result<BulkResult, Violations> {
    let definition = definition::key_from_proto(proto.r#ref, "ref")?;
    let (version, changed) = (proto.version, proto.changed);
    Ok(BulkResult { definition, version, changed, fault: proto.fault.map(Error::from_proto) })
}

fn write_order(order: BackfillOrder) -> v1::BackfillOrder {
    match order {
        BackfillOrder::OldestFirst => v1::BackfillOrder::OldestFirst,
        BackfillOrder::NewestFirst => v1::BackfillOrder::NewestFirst,
    }
}

fn read_order(number: i32, at: At<'_>, faults: &mut Violations) -> BackfillOrder {
    match v1::BackfillOrder::try_from(number) {
        Ok(v1::BackfillOrder::NewestFirst) => BackfillOrder::NewestFirst,
        Ok(v1::BackfillOrder::OldestFirst | v1::BackfillOrder::Unspecified) => BackfillOrder::OldestFirst,
        Err(_) => {
            faults.push(at.to_string(), format!("{number} is not a value of this enum that this version knows"));
            BackfillOrder::OldestFirst
        }
    }
}

/// To the wire, without the definition.
pub fn backfill_request_to_proto(request: &BackfillRequest) -> v1::BackfillRequest {
    v1::BackfillRequest {
        r#ref: None,
        from: Some(time::timestamp(request.from)),
        to: Some(time::timestamp(request.to)),
        rate: request.rate,
        order: write_order(request.order).into(),
        overlap_policy: schedule::write_overlap(request.overlap_policy).into(),
        backfill_id: request.backfill_id.clone(),
        validate_only: request.validate_only,
        allow_many: request.allow_many,
    }
}

/// From the wire.
pub fn backfill_request_from_proto(proto: &v1::BackfillRequest) -> Result<BackfillRequest, Violations> {
    let mut faults = Violations::default();
    let request = BackfillRequest {
        from: read_instant(proto.from, At::root("from"), &mut faults),
        to: read_instant(proto.to, At::root("to"), &mut faults),
        rate: proto.rate,
        order: read_order(proto.order, At::root("order"), &mut faults),
        overlap_policy: schedule::read_overlap(proto.overlap_policy, At::root("overlap_policy"), &mut faults),
        backfill_id: proto.backfill_id.clone(),
        validate_only: proto.validate_only,
        allow_many: proto.allow_many,
    };
    faults.into_result().map(|()| request)
}

/// To the wire.
pub fn backfill_to_proto(backfill: &Backfill) -> v1::Backfill {
    v1::Backfill {
        r#ref: Some(definition::key_to_proto(&backfill.definition)),
        backfill_id: backfill.backfill_id.clone(),
        from: Some(time::timestamp(backfill.from)),
        to: Some(time::timestamp(backfill.to)),
        rate: backfill.rate,
        order: write_order(backfill.order).into(),
        overlap_policy: schedule::write_overlap(backfill.overlap_policy).into(),
        total: backfill.total,
        decided: backfill.decided,
        skipped: backfill.skipped,
        next: backfill.next.map(time::timestamp),
        begun_at: backfill.begun_at.map(time::timestamp),
        ended_at: backfill.ended_at.map(time::timestamp),
        stopped: backfill.stopped,
    }
}

/// From the wire.
pub fn backfill_from_proto(proto: v1::Backfill) -> Result<Backfill, Violations> {
    let definition = definition::key_from_proto(proto.r#ref, "ref")?;
    let mut faults = Violations::default();
    let backfill = Backfill {
        definition,
        backfill_id: proto.backfill_id,
        from: read_instant(proto.from, At::root("from"), &mut faults),
        to: read_instant(proto.to, At::root("to"), &mut faults),
        rate: proto.rate,
        order: read_order(proto.order, At::root("order"), &mut faults),
        overlap_policy: schedule::read_overlap(proto.overlap_policy, At::root("overlap_policy"), &mut faults),
        total: proto.total,
        decided: proto.decided,
        skipped: proto.skipped,
        next: read_optional(proto.next, At::root("next"), &mut faults),
        begun_at: read_optional(proto.begun_at, At::root("begun_at"), &mut faults),
        ended_at: read_optional(proto.ended_at, At::root("ended_at"), &mut faults),
        stopped: proto.stopped,
    };
    faults.into_result().map(|()| backfill)
}

/// To the wire.
pub fn begun_to_proto(begun: &BackfillBegun) -> v1::BackfillResponse {
    let BackfillBegun { backfill, repeated, estimated } = begun;
    v1::BackfillResponse { backfill: Some(backfill_to_proto(backfill)), repeated: *repeated, estimated: *estimated }
}

/// From the wire.
pub fn begun_from_proto(proto: v1::BackfillResponse) -> Result<BackfillBegun, Violations> {
    let v1::BackfillResponse { backfill, repeated, estimated } = proto;
    Ok(BackfillBegun { backfill: backfill_from_proto(backfill.unwrap_or_default())?, repeated, estimated })
}

/// To the wire.
pub fn query_to_proto(query: &BackfillQuery) -> v1::ListBackfillsRequest {
    let BackfillQuery { namespace, definition_id, running } = query.clone();
    v1::ListBackfillsRequest { namespace, definition_id, running }
}

/// From the wire.
pub fn query_from_proto(proto: v1::ListBackfillsRequest) -> BackfillQuery {
    let v1::ListBackfillsRequest { namespace, definition_id, running } = proto;
    BackfillQuery { namespace, definition_id, running }
}

/// To the wire.
pub fn backfills_to_proto(backfills: &Backfills) -> v1::ListBackfillsResponse {
    let Backfills { items, truncated } = backfills;
    v1::ListBackfillsResponse { backfills: items.iter().map(backfill_to_proto).collect(), truncated: *truncated }
}

/// From the wire.
pub fn backfills_from_proto(proto: v1::ListBackfillsResponse) -> Result<Backfills, Violations> {
    let items = proto.backfills.into_iter().map(backfill_from_proto).collect::<Result<_, _>>()?;
    Ok(Backfills { items, truncated: proto.truncated })
}

/// To the wire.
pub fn stopped_to_proto(stopped: &BackfillStopped) -> v1::StopBackfillResponse {
    v1::StopBackfillResponse { backfill: Some(backfill_to_proto(&stopped.backfill)), changed: stopped.changed }
}

/// From the wire.
pub fn stopped_from_proto(proto: v1::StopBackfillResponse) -> Result<BackfillStopped, Violations> {
    let backfill = backfill_from_proto(proto.backfill.unwrap_or_default())?;
    Ok(BackfillStopped { backfill, changed: proto.changed })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use flintwheel_model::DefinitionKey;
    use flintwheel_model::definition::{OnResume, OverlapPolicy};
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn backfill() -> Backfill {
        Backfill {
            definition: DefinitionKey::new("n", "d"),
            backfill_id: "b".into(),
            from: time("2026-11-01T00:00:00Z"),
            to: time("2026-11-02T00:00:00.000001Z"),
            rate: 7,
            order: BackfillOrder::NewestFirst,
            overlap_policy: Some(OverlapPolicy::BufferAll),
            total: 1,
            decided: 2,
            skipped: 3,
            next: Some(time("2026-11-01T12:00:00Z")),
            begun_at: Some(time("2026-11-03T00:00:00Z")),
            ended_at: None,
            stopped: false,
        }
    }

    #[test]
    fn backfills_come_back_as_they_went() {
        let plain = Backfill {
            overlap_policy: None,
            next: None,
            ended_at: Some(time("2026-11-04T00:00:00Z")),
            stopped: true,
            ..backfill()
        };
        for backfill in [backfill(), plain] {
            assert_eq!(backfill_from_proto(backfill_to_proto(&backfill)), Ok(backfill.clone()));
            let begun = BackfillBegun { backfill: backfill.clone(), repeated: true, estimated: true };
            assert_eq!(begun_from_proto(begun_to_proto(&begun)), Ok(begun));
            let stopped = BackfillStopped { backfill: backfill.clone(), changed: true };
            assert_eq!(stopped_from_proto(stopped_to_proto(&stopped)), Ok(stopped));
            let all = Backfills { items: vec![backfill], truncated: true };
            assert_eq!(backfills_from_proto(backfills_to_proto(&all)), Ok(all));
        }
        let request = BackfillRequest {
            from: backfill().from,
            to: backfill().to,
            rate: 9,
            order: BackfillOrder::NewestFirst,
            overlap_policy: Some(OverlapPolicy::Skip),
            backfill_id: "x".into(),
            validate_only: true,
            allow_many: true,
        };
        assert_eq!(backfill_request_from_proto(&backfill_request_to_proto(&request)), Ok(request));
        let query = BackfillQuery { namespace: "n".into(), definition_id: "d".into(), running: true };
        assert_eq!(query_from_proto(query_to_proto(&query)), query);
    }

    #[test]
    fn bulk_requests_come_back_as_they_went() {
        let changes = vec![
            FieldChange { path: "spec.enabled".into(), value: Some(json!(false)) },
            FieldChange { path: "metadata.labels".into(), value: None },
            FieldChange { path: "spec.x".into(), value: Some(json!(null)) },
        ];
        let until = Some(time("2026-11-05T00:00:00Z"));
        for action in [
            BulkAction::Pause { note: "why".into(), until },
            BulkAction::Pause { note: String::new(), until: None },
            BulkAction::Resume { note: "why".into(), missed: Some(OnResume::Latest) },
            BulkAction::Delete,
            BulkAction::Update(changes),
        ] {
            let request = BulkRequest {
                namespace: "n".into(),
                label_selector: "a=b".into(),
                action,
                request_id: "r".into(),
                validate_only: true,
            };
            let proto = bulk_to_proto(&request, 5, "t".into()).expect("travels");
            assert_eq!((proto.page_size, proto.page_token.as_str()), (5, "t"));
            assert_eq!(bulk_from_proto(proto), Ok(request));
        }
        let without = v1::BulkRequest::default();
        assert_eq!(bulk_from_proto(without).expect_err("no action").0[0].field, "action");
        let fault = Some(Error::new(crate::Code::Aborted, crate::reason::VERSION_CONFLICT, "no"));
        let result = BulkResult { definition: DefinitionKey::new("n", "d"), version: 3, changed: true, fault };
        assert_eq!(bulk_result_from_proto(bulk_result_to_proto(&result)), Ok(result));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let request = v1::BackfillRequest { order: 9, ..v1::BackfillRequest::default() };
        let faults = backfill_request_from_proto(&request).expect_err("faults");
        assert_eq!(faults.0.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["from", "to", "order"]);
    }
}
