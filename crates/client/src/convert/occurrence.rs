//! Occurrences and how to ask for them.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::{read_instant, read_optional};
use super::{definition, known, required, time};
use crate::types::{Occurrence, OccurrenceQuery, Outcome};

/// To the wire.
pub fn to_proto(occurrence: &Occurrence) -> v1::Occurrence {
    v1::Occurrence {
        r#ref: Some(definition::key_to_proto(&occurrence.definition)),
        version: occurrence.version,
        firing_key: occurrence.firing_key.clone(),
        outcome: outcome_to_proto(occurrence.outcome).into(),
        reason: occurrence.reason.clone(),
        detail: occurrence.detail.clone(),
        due: Some(time::timestamp(occurrence.due)),
        decided_at: Some(time::timestamp(occurrence.decided_at)),
        started_at: occurrence.started_at.map(time::timestamp),
        workflow_id: occurrence.workflow_id.clone(),
        count: occurrence.count,
        utc_offset_seconds: occurrence.utc_offset_seconds,
        ..v1::Occurrence::default()
    }
}

/// From the wire.
pub fn from_proto(proto: v1::Occurrence) -> Result<Occurrence, Violations> {
    let definition = definition::key_from_proto(proto.r#ref, "ref")?;
    let mut faults = Violations::default();
    let outcome = read_outcome(proto.outcome, At::root("outcome"), &mut faults);
    let occurrence = Occurrence {
        definition,
        version: proto.version,
        firing_key: proto.firing_key,
        outcome: required(outcome, At::root("outcome"), &mut faults).unwrap_or(Outcome::Failed),
        reason: proto.reason,
        detail: proto.detail,
        due: read_instant(proto.due, At::root("due"), &mut faults),
        decided_at: read_instant(proto.decided_at, At::root("decided_at"), &mut faults),
        started_at: read_optional(proto.started_at, At::root("started_at"), &mut faults),
        workflow_id: proto.workflow_id,
        count: proto.count.max(1),
        utc_offset_seconds: proto.utc_offset_seconds,
    };
    faults.into_result().map(|()| occurrence)
}

/// To the wire; whether it may be stale is the client's to say.
pub fn query_to_proto(query: &OccurrenceQuery, page_size: u32, page_token: String) -> v1::ListOccurrencesRequest {
    v1::ListOccurrencesRequest {
        namespace: query.namespace.clone(),
        definition_id: query.definition_id.clone(),
        outcomes: query.outcomes.iter().map(|outcome| outcome_to_proto(*outcome).into()).collect(),
        reason: query.reason.clone(),
        firing_key: query.firing_key.clone(),
        since: query.since.map(time::timestamp),
        until: query.until.map(time::timestamp),
        page_size,
        page_token,
        stale: false,
    }
}

/// From the wire; the page stays with the request.
pub fn query_from_proto(proto: &v1::ListOccurrencesRequest) -> Result<OccurrenceQuery, Violations> {
    let mut faults = Violations::default();
    let at = At::root("outcomes");
    let outcomes = proto.outcomes.iter().enumerate();
    let query = OccurrenceQuery {
        namespace: proto.namespace.clone(),
        definition_id: proto.definition_id.clone(),
        outcomes: outcomes.filter_map(|(i, number)| read_outcome(*number, at.index(i), &mut faults)).collect(),
        reason: proto.reason.clone(),
        firing_key: proto.firing_key.clone(),
        since: read_optional(proto.since, At::root("since"), &mut faults),
        until: read_optional(proto.until, At::root("until"), &mut faults),
    };
    faults.into_result().map(|()| query)
}

fn outcome_to_proto(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Fired => v1::Outcome::Fired,
        Outcome::Skipped => v1::Outcome::Skipped,
        Outcome::Dropped => v1::Outcome::Dropped,
        Outcome::Failed => v1::Outcome::Failed,
    }
}

fn read_outcome(number: i32, at: At<'_>, faults: &mut Violations) -> Option<Outcome> {
    match known(number, at, faults)? {
        v1::Outcome::Fired => Some(Outcome::Fired),
        v1::Outcome::Skipped => Some(Outcome::Skipped),
        v1::Outcome::Dropped => Some(Outcome::Dropped),
        v1::Outcome::Failed => Some(Outcome::Failed),
        v1::Outcome::Unspecified => None,
    }
}
